// Strings of a schema: pattern, format and lengths together, as the matcher reads them.
#include "infer/json_schema_strings.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "infer/json_schema.h"
#include "infer/token_mask.h"
#include "tests/infer/grammar_testing.h"

namespace tern {
namespace {

using testing::Accepts;

std::shared_ptr<const Grammar> StringSchema(const std::string& text) {
  auto grammar = JsonSchemaGrammar(text);
  EXPECT_TRUE(grammar.ok()) << grammar.status().message() << "\nin\n" << text;
  return grammar.ok() ? *grammar : nullptr;
}

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }

struct StringRow {
  const char* schema;
  std::vector<std::string> texts, others;
};

TEST(JsonSchemaStringsTest, PatternsFormatsAndLengthsHoldTogether) {
  const std::string x60(60, 'x');
  const std::vector<StringRow> table = {
      {R"({"type": "string", "format": "email", "pattern": "@example\\.com$", "minLength": 14, "maxLength": 16})",
       {"ab@example.com", "abcd@example.com"},
       {"a@example.com", "abcde@example.com", "ab@example.org", "a b@example.com"}},
      {R"({"type": "string", "format": "email", "maxLength": 255})",
       {"a@b.c", "joe@" + x60 + "." + x60 + ".com"},
       {"a", x60 + "@" + x60 + "." + x60 + "." + x60 + "." + x60}},
      {R"({"type": "string", "format": "uri", "maxLength": 70})",
       {"http://a/" + x60, "http://a/" + x60 + "x"},
       {"http://a/" + x60 + "xx", "http//a"}},
      {R"({"type": "string", "format": "uri", "maxLength": 65536})", {"http://a/" + x60}, {"http//a", ""}},
      {R"({"type": "string", "format": "uuid", "minLength": 1, "maxLength": 36})",
       {"2eb8aa08-aa98-11ea-b4aa-73b441d16380"},
       {"2eb8aa08-aa98-11ea-b4aa-73b441d1638", ""}},
      {R"({"type": "string", "pattern": "^[a-z]+(-[a-z]+)*$", "maxLength": 5000})",
       {"a", "ab-c", std::string(5000, 'a'), "a-" + std::string(4998, 'a')},
       {"", "a-", "-a", std::string(5001, 'a'), "a-" + std::string(4999, 'a'), std::string(4999, 'a') + "-"}},
      {R"({"type": "string", "pattern": "^[a-z]{3,5000}$"})",
       {"abc", std::string(5000, 'a')},
       {"ab", std::string(5001, 'a')}},
      {R"({"type": "string", "pattern": "^\\S+$", "maxLength": 200})",
       {"\u00e9x", x60 + x60 + x60, R"(\\)"},
       {"a b", x60 + x60 + x60 + x60, ""}},
      {R"({"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "z$"}, {"maxLength": 3}]})",
       {"az", "abz"},
       {"a", "abcz", "za"}},
      {R"({"type": "string", "pattern": "^[ab]*$", "not": {"pattern": "aa"}})",
       {"", "abab", "b"},
       {"aab", "c"}},
      {R"({"type": "string", "pattern": "^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$"})",
       {"1.50", "-7"},
       {"", "+", "1e5"}},
      {R"({"type": "string", "format": "no-such-format", "maxLength": 2})", {"ab"}, {"abc"}},
  };
  for (const StringRow& row : table) {
    const auto grammar = StringSchema(row.schema);
    if (!grammar) continue;
    for (const std::string& text : row.texts)
      EXPECT_TRUE(Accepts(grammar, Quoted(text))) << row.schema << "\n"
                                                  << text.size() << " " << text.substr(0, 80);
    for (const std::string& text : row.others)
      EXPECT_FALSE(Accepts(grammar, Quoted(text))) << row.schema << "\n"
                                                   << text.size() << " " << text.substr(0, 80);
  }
}

/// Goes on under the masks, with the closing quote only where nothing else may follow.
std::string WrittenToItsEnd(TokenMasks* masks, std::string text, Random* random) {
  GrammarMatcher matcher(masks->grammar());
  EXPECT_TRUE(matcher.Advance(text));
  while (!matcher.complete() && text.size() < 2000) {
    const auto mask = masks->Find(matcher);
    if (!mask.ok() || (*mask)->count == 0) return text + " (a dead end)";
    std::vector<int32_t> tokens, closing;
    for (int32_t token = 0; token < static_cast<int32_t>(masks->tokens().vocab_size()); ++token) {
      if (!(*mask)->Contains(token)) continue;
      const bool closes = masks->tokens().text(token).find('"') != std::string_view::npos;
      (closes ? closing : tokens).push_back(token);
    }
    const auto& from = tokens.empty() ? closing : tokens;
    const auto token = masks->tokens().text(from[random->Below(from.size())]);
    EXPECT_TRUE(matcher.Advance(token));
    text += token;
  }
  return text;
}

TEST(JsonSchemaStringsTest, TextsUnderTheMasksEndWithinTheLengthThatIsCounted) {
  constexpr uint64_t kSeed = 9;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  const auto tree = std::make_shared<const TokenTree>(*testing::JsonVocabulary());
  const auto grammar =
      StringSchema(R"({"type": "string", "pattern": "^(?:[a-z]{2}=)*[a-z]{2}$", "maxLength": 1000})");
  ASSERT_TRUE(grammar);
  TokenMasks masks(grammar, tree);
  Random random(kSeed);
  for (const size_t begun : {900u, 987u, 990u, 993u, 996u}) {
    std::string text = "\"";
    while (text.size() < begun) text += "ab=";
    const std::string written = WrittenToItsEnd(&masks, text, &random);
    EXPECT_EQ(written.size(), 998u + 2) << written;  // of 999 and 1000 characters there is no text
  }
}

TEST(JsonSchemaStringsTest, AStringThatIsInvalidWhateverItIsIsRefused) {
  for (const char* schema :
       {R"({"type": "string", "minLength": 3, "maxLength": 2})", R"({"type": "string", "pattern": "a$b"})",
        R"({"type": "string", "format": "uuid", "maxLength": 35})",
        R"({"type": "string", "format": "date", "pattern": "^x"})"})
    EXPECT_FALSE(JsonSchemaGrammar(schema).ok()) << schema;
}

TEST(JsonSchemaStringsTest, APatternThatNeedsTooMuchIsNamed) {
  const auto grammar =
      JsonSchemaGrammar(R"({"properties": {"a": {"type": "string", "pattern": "(x|y)*x(x|y){40}"}}})");
  EXPECT_EQ(grammar.status().code(), StatusCode::kExhausted);
  EXPECT_EQ(grammar.status().message().rfind("#/properties/a/pattern: ", 0), 0u)
      << grammar.status().message();
}

TEST(JsonSchemaStringsTest, EachPatternIsCompiledOnce) {
  JsonStringLanguages languages;
  const auto first = languages.OfPattern("^[a-z]+-[0-9]+$", "#/pattern");
  const auto again = languages.OfPattern("^[a-z]+-[0-9]+$", "#/other");
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_EQ(first->automaton(), again->automaton());
}

}  // namespace
}  // namespace tern
