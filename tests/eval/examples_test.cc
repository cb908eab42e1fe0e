// The readers of documents and examples: what they take, what they refuse, and that damage never breaks them.
#include "eval/examples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/corruption.h"

namespace tern::eval {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ParseText, IsOneDocumentWithoutASeparator) {
  EXPECT_THAT(ParseText("one\n---\ntwo\n", ""), ElementsAre("one\n---\ntwo\n"));
  EXPECT_THAT(ParseText("", ""), ElementsAre());
  EXPECT_THAT(ParseText(" \n", ""), ElementsAre());
}

TEST(ParseText, IsCutAtLinesThatEqualTheSeparator) {
  EXPECT_THAT(ParseText("one\nmore\n---\n\n---\n----\nx ---\n---\r\nlast\n", "---"),
              ElementsAre("one\nmore", "----\nx ---", "last"));
  EXPECT_THAT(ParseText("---\none\r\n---", "---"), ElementsAre("one"));
}

TEST(ParseDocuments, TakesTheTextOfEveryLine) {
  const auto documents =
      ParseDocuments("{\"text\": \"a\\nb\", \"id\": 1}\n\n  \r\n{\"text\": \"\"}\n{\"text\":\"é\"}", "x");
  ASSERT_TRUE(documents.ok()) << documents.status().message();
  EXPECT_THAT(*documents, ElementsAre("a\nb", "é"));
}

TEST(ParseLambada, CutsAtTheLastSpace) {
  const auto examples = ParseLambada("{\"text\": \"He saw\\nthe big dog\"}\n", "x");
  ASSERT_TRUE(examples.ok()) << examples.status().message();
  ASSERT_EQ(examples->size(), 1u);
  EXPECT_EQ((*examples)[0].context, "He saw\nthe big");
  EXPECT_EQ((*examples)[0].target, " dog");
}

TEST(ParseChoices, PutsTheDelimitersWhiteSpaceBeforeTheChoice) {
  const std::string line = R"({"query": " Q: why? \n", "choices": ["one", " two é"], "gold": 1})";
  struct Case {
    const char* delimiter;
    const char* context;
    const char* white;
  };
  for (const Case& c : {Case{" ", "Q: why?", " "},
                        {"\nAnswer: ", "Q: why?\nAnswer:", " "},
                        {"\n", "Q: why?", "\n"},
                        {"", "Q: why?", ""},
                        {" A:", "Q: why? A:", ""}}) {
    const auto examples = ParseChoices(line, "x", c.delimiter);
    ASSERT_TRUE(examples.ok()) << examples.status().message();
    const ChoiceExample& example = examples->front();
    EXPECT_THAT(example.contexts, ElementsAre(c.context));
    EXPECT_THAT(example.continuations,
                ElementsAre(std::string(c.white) + "one", std::string(c.white) + "two é"));
    EXPECT_THAT(example.answer_bytes, ElementsAre(3u, 6u));
    EXPECT_EQ(example.gold, 1u);
  }
}

TEST(ParseChoices, TakesContextOptions) {
  const auto examples = ParseChoices(
      R"({"context_options": ["So Ann ", "So Bob"], "continuation": "won.", "gold": 0})", "x", "#");
  ASSERT_TRUE(examples.ok()) << examples.status().message();
  EXPECT_THAT(examples->front().contexts, ElementsAre("So Ann", "So Bob"));
  EXPECT_THAT(examples->front().continuations, ElementsAre(" won."));
  EXPECT_THAT(examples->front().answer_bytes, ElementsAre(4u));
}

TEST(Parsers, NameFileAndLineOfWhatIsWrong) {
  const auto expect = [](const Status& status, const std::string& what) {
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("'d.jsonl' line 2: "), HasSubstr(what)));
  };
  const std::pair<const char*, const char*> kLines[] = {{"{", "column 2: expected a key"},
                                                        {"[1]", "column 1: no JSON object"},
                                                        {"\"text\"", "column 1: no JSON object"},
                                                        {"nonsense", "column 1: this is no JSON value"},
                                                        {"{\"text\": \"a\xff\"}", "column 12: byte 0xFF"}};
  for (const auto& [line, what] : kLines) {
    const auto documents = ParseDocuments(std::string("{\"text\": \"a b\"}\n") + line, "d.jsonl");
    EXPECT_THAT(documents.status().message(), HasSubstr(std::string("'d.jsonl' line 2, ") + what));
  }
  expect(ParseDocuments("\n{}", "d.jsonl").status(), "there is no \"text\"");
  expect(ParseLambada("\n{\"text\": 3}", "d.jsonl").status(), "\"text\" is no string");
  expect(ParseLambada("\n{\"text\": \"word\"}", "d.jsonl").status(), "no space");
  const std::pair<const char*, const char*> kChoices[] = {
      {R"({"gold": 0})", "neither"},
      {R"({"query": "q", "choices": ["a", "b"]})", "there is no \"gold\""},
      {R"({"query": "q", "choices": ["a", "b"], "gold": 2})", "\"gold\" is 2, not one of the choices 0 to 1"},
      {R"({"query": "q", "choices": ["a", "b"], "gold": -1})", "\"gold\" is -1"},
      {R"({"query": "q", "choices": ["a", "b"], "gold": 0.5})", "\"gold\" is 0.5"},
      {R"({"query": "q", "choices": ["a"], "gold": 0})", "1 items"},
      {R"({"query": "q", "choices": ["a", " "], "gold": 0})", "a choice is empty"},
      {R"({"query": "q", "choices": ["a", 1], "gold": 0})", "item 1 of \"choices\" is no string"},
      {R"({"query": "q", "choices": ["a", "\ud800"], "gold": 0})",
       "item 1 of \"choices\" holds a lone surrogate"},
      {R"({"query": "q", "choices": ["a", "b"], "gold": 1e400})", "\"gold\" is 1e400"},
      {R"({"query": "q", "choices": "ab", "gold": 0})", "no array of strings"},
      {R"({"query": ["q"], "choices": ["a", "b"], "gold": 0})", "\"query\" is no string"},
      {R"({"context_options": ["a", "b"], "gold": 0})", "there is no \"continuation\""},
      {R"({"context_options": ["a", "b"], "continuation": "", "gold": 0})", "a choice is empty"},
  };
  for (const auto& [line, what] : kChoices) {
    expect(ParseChoices(std::string("\n") + line, "d.jsonl", " ").status(), what);
  }
}

TEST(Parsers, TakeAnArrayAndPassOverWhatTheyDoNotUse) {
  const auto documents = ParseDocuments(
      "[{\"text\": \"one\", \"score\": 1e400},\n {\"id\": \"\\ud800\", \"text\": \"two\"}]", "d.json");
  ASSERT_TRUE(documents.ok()) << documents.status().message();
  EXPECT_THAT(*documents, ElementsAre("one", "two"));
  EXPECT_THAT(ParseDocuments("[{\"text\": \"a\"},\n {\"txt\": \"b\"}]", "d.json").status().message(),
              HasSubstr("'d.json' line 2: there is no \"text\""));
}

TEST(Parsers, SurviveDamage) {
  const std::string good =
      "{\"text\": \"He saw the big \\u00e9 dog\"}\n"
      "{\"query\": \"Q?\", \"choices\": [\"one\", \"two\"], \"gold\": 1}\n"
      "{\"context_options\": [\"a\", \"b\"], \"continuation\": \"c\", \"gold\": 0}\n";
  const auto parse = [](const std::vector<std::byte>& bytes) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (const std::string& document : ParseText(text, "---")) EXPECT_FALSE(document.empty());
    const auto documents = ParseDocuments(text, "x");
    const auto lambada = ParseLambada(text, "x");
    const auto choices = ParseChoices(text, "x", "\nAnswer: ");
    for (const Status& status : {documents.status(), lambada.status(), choices.status()}) {
      if (!status.ok()) {
        EXPECT_THAT(status.message(), HasSubstr("'x' line "));
      }
    }
    if (!choices.ok()) return;
    for (const ChoiceExample& example : *choices) {
      EXPECT_LT(example.gold, std::max(example.contexts.size(), example.continuations.size()));
      EXPECT_EQ(example.answer_bytes.size(), example.continuations.size());
    }
  };
  constexpr uint64_t kSeed = 20;
  SCOPED_TRACE(kSeed);
  for (size_t from : {size_t{0}, good.find("{\"query"), good.find("{\"context")}) {
    const auto* bytes = reinterpret_cast<const std::byte*>(good.data());
    const std::vector<std::byte> part(bytes + from, bytes + good.size());
    testing::AttackByTruncation(part, parse);
    testing::AttackByFlips(part, part.size(), 2000, kSeed, parse);
  }
}

TEST(Parsers, TakeDeepNestingAsAnyOtherMistake) {
  const std::string deep = std::string(1'000'000, '[');
  EXPECT_FALSE(ParseDocuments(deep, "x").ok());
  const std::string closed = "{\"text\": " + deep + std::string(1'000'000, ']') + "}";
  EXPECT_FALSE(ParseDocuments(closed, "x").ok());
}

}  // namespace
}  // namespace tern::eval
