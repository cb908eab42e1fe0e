// Masks: the tokens that may follow, by trying each; the constraint of a generation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "infer/json_schema.h"
#include "infer/token_mask.h"
#include "tests/infer/grammar_testing.h"
#include "tests/testing/test_data.h"

namespace tern {
namespace {

using testing::GrammarOf;

std::vector<std::shared_ptr<const Grammar>> Grammars() {
  return {
      *JsonObjectGrammar(),
      *JsonSchemaGrammar(
          R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}, "n": {"type": "integer",
                             "minimum": -20, "maximum": 2024}}, "required": ["name"]})"),
      GrammarOf("root ::= [^\\n]{1,40} \"\\n\" root | \"é漢😀\"+"),
      GrammarOf("root ::= \"a\" root root | \"{\" root \"}\" | [0-9a]"),
      GrammarOf("root ::= \"\\\"\" c* [0-9a-f]{6} c* \"\\\"\"\nc ::= [^\\x00-\\x1F\"\\\\]"),
      GrammarOf("root ::= [^n]? [ -~]{3,70} \"\\n\" | [^é]+ \"é\" root"),
  };
}

/// The mask at a place, against every token tried by itself.
void ExpectExact(TokenMasks* masks, const GrammarMatcher& matcher, int32_t step) {
  auto mask = masks->Find(matcher);
  ASSERT_TRUE(mask.ok()) << mask.status().message();
  size_t count = 0;
  const auto size = static_cast<int32_t>(masks->tokens().vocab_size());
  for (int32_t token = 0; token < size; token += step) {
    GrammarMatcher copy = matcher;
    const std::string_view text = masks->tokens().text(token);
    const bool expected = !text.empty() && copy.Advance(text);
    ASSERT_EQ((*mask)->Contains(token), expected)
        << "token " << token << ": " << ::testing::PrintToString(text);
    count += expected ? 1 : 0;
  }
  if (step == 1) {
    EXPECT_EQ((*mask)->count, count);
  }
  EXPECT_FALSE((*mask)->Contains(size));
  EXPECT_FALSE((*mask)->Contains(-1));
}

void ExpectExactOnTheWay(const std::shared_ptr<const TokenTree>& tree, uint64_t seed, int steps,
                         int32_t step) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  for (const auto& grammar : Grammars()) {
    TokenMasks masks(grammar, tree);
    Random random(seed++);
    GrammarMatcher matcher(grammar);
    for (int i = 0; i < steps; ++i) {
      ExpectExact(&masks, matcher, step);
      if (::testing::Test::HasFatalFailure()) return;
      auto mask = masks.Find(matcher);
      std::vector<int32_t> allowed;
      for (size_t t = 0; t < tree->vocab_size(); ++t) {
        if ((*mask)->Contains(static_cast<int32_t>(t))) allowed.push_back(static_cast<int32_t>(t));
      }
      if (allowed.empty()) {
        ASSERT_TRUE(matcher.complete());
        break;
      }
      ASSERT_TRUE(matcher.Advance(tree->text(allowed[random.Below(allowed.size())])));
    }
  }
}

TEST(TokenMask, HoldsJustTheTokensThatMayFollow) {
  ExpectExactOnTheWay(std::make_shared<const TokenTree>(*testing::JsonVocabulary()), 10, 60, 1);
}

TEST(TokenMask, HoldsJustTheTokensOfWorldThatMayFollow) {
  TERN_REQUIRE_TEST_DATA(data);
  const auto tokenizer = LoadWorldTokenizer(data + "/tokenizer/rwkv_vocab_v20230424.txt");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  ExpectExactOnTheWay(std::make_shared<const TokenTree>(**tokenizer), 20, 6, 7);
}

/// Several tokens of one text, and one that is another's beginning.
class Doubles : public Tokenizer {
 public:
  std::vector<int32_t> Encode(std::string_view) const override { return {}; }
  std::string_view TokenBytes(int32_t id) const override {
    static const std::vector<std::string> tokens = {"b", "ab", "", "a", "ab", "abc", "ab", "b"};
    return id >= 0 && static_cast<size_t>(id) < tokens.size()
               ? std::string_view(tokens[static_cast<size_t>(id)])
               : "";
  }
  int32_t vocab_size() const override { return 9; }
  std::string_view name() const override { return "doubles"; }
};

TEST(TokenMask, KnowsTokensOfTheSameText) {
  const auto tree = std::make_shared<const TokenTree>(Doubles());
  const auto grammar = GrammarOf("root ::= \"ab\" | \"b\"");
  TokenMasks masks(grammar, tree);
  ExpectExact(&masks, GrammarMatcher(grammar), 1);
  EXPECT_EQ((*masks.Find(GrammarMatcher(grammar)))->count, 6u);
}

TEST(TokenMask, KnowsHowFarTokensReachTowardsABound) {
  std::vector<std::string> tokens = {""};
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (size_t n = 2; n <= 20; ++n) {
    tokens.emplace_back(n, 'a');
    tokens.push_back(std::string(n - 1, 'a') + "b");
  }
  auto tokenizer = MakeWorldTokenizer(tokens);
  ASSERT_TRUE(tokenizer.ok());
  const auto tree = std::make_shared<const TokenTree>(**tokenizer);
  for (const char* text :
       {"root ::= \"a\"{40,90} \"b\"", "root ::= \"a\"{40,} \"b\"", "root ::= [a-c]{0,70}"}) {
    const auto grammar = GrammarOf(text);
    TokenMasks masks(grammar, tree);
    GrammarMatcher matcher(grammar);
    for (int count = 0; count < 95; ++count) {
      SCOPED_TRACE(text + (" after " + std::to_string(count)));
      ExpectExact(&masks, matcher, 1);
      if (!matcher.Advance(uint8_t{'a'})) break;
    }
  }
}

TEST(TokenMask, IsTheSameFromAllThreads) {
  const auto tree = std::make_shared<const TokenTree>(*testing::JsonVocabulary());
  const auto masks = std::make_shared<TokenMasks>(*JsonObjectGrammar(), tree);
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < texts.size(); ++i) {
    threads.emplace_back([&, i] {
      Random random(5);
      texts[i] = testing::WriteAtRandom(masks, &random, 200, 0.1, 0.1).text;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, texts[0]);
}

TEST(TokenMask, KeepsNoMoreThanItsLimit) {
  constexpr size_t kMost = 100000;
  const auto tree = std::make_shared<const TokenTree>(*testing::JsonVocabulary());
  const auto grammar = GrammarOf("root ::= [a-z]* [a-m] [a-z]{20}");
  TokenMasks bounded(grammar, tree, kMost), unbounded(grammar, tree, SIZE_MAX);
  Random random(8);
  GrammarMatcher matcher(grammar);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(bounded.Find(matcher).ok() && unbounded.Find(matcher).ok());
    EXPECT_LT(bounded.kept_bytes(), 2 * kMost) << i;
    ASSERT_TRUE(matcher.Advance(static_cast<uint8_t>('a' + random.Below(26))));
  }
  EXPECT_GT(unbounded.kept_bytes(), 4 * kMost) << "the walk is too short to show anything";
}

TEST(TokenMask, RefusesToWorkForEver) {
  // Which of the last 26 letters were from a to m is a state of its own, and the vocabulary has 3,000 long
  // texts.
  const auto grammar = GrammarOf("root ::= [a-z]* [a-m] [a-z]{25} \"!\"");
  std::vector<std::string> tokens = {""};
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  Random random(6);
  for (int i = 0; i < 3000; ++i) {
    std::string token(30, 'a');
    for (char& c : token) c = static_cast<char>('a' + random.Below(26));
    tokens.push_back(token);
  }
  auto tokenizer = MakeWorldTokenizer(tokens);
  ASSERT_TRUE(tokenizer.ok());
  TokenMasks masks(grammar, std::make_shared<const TokenTree>(**tokenizer));
  GrammarMatcher matcher(grammar);
  ASSERT_TRUE(matcher.Advance(std::string(26, 'a')));
  EXPECT_EQ(masks.Find(matcher).status().code(), StatusCode::kExhausted);
}

constexpr float kImpossible = -INFINITY;

TEST(TokenMask, SaysThatATextWouldHaveTooManyPlaces) {
  std::string ways = "\"a10000\"";
  for (int i = 10001; i < 19000; ++i) ways += " | \"a" + std::to_string(i) + "\"";
  const auto tokenizer = MakeByteTokenizer();
  const std::string x = "\"x\" ";
  struct Row {
    std::string root;
    const char* before;
    bool fails;
  };
  const std::vector<Row> table = {
      {ways, "", true},
      {x + "(" + ways + ")", "", false},
      {x + "(" + ways + ")", "x", true},
      {x + "(\"b\" | " + ways + ")", "x", false},  // another way can be taken
      {x + "(" + ways + ")?", "x", false},         // or the text end
  };
  for (const Row& row : table) {
    const auto grammar = GrammarOf("root ::= " + row.root);
    ASSERT_TRUE(grammar);
    TokenMasks masks(grammar, std::make_shared<const TokenTree>(*tokenizer));
    GrammarMatcher matcher(grammar);
    ASSERT_TRUE(matcher.Advance(row.before));
    for (int again = 0; again < 2; ++again) {
      const Status status = masks.Find(matcher).status();
      EXPECT_EQ(status.ok(), !row.fails) << row.root.substr(0, 20) << " after '" << row.before << "'";
      if (row.fails) {
        EXPECT_THAT(status.message(), ::testing::HasSubstr("no more than 8192 places"));
      }
    }
  }
}

TEST(TokenConstraint, LetsATextEndOnlyWhereItIsComplete) {
  const auto tokenizer = testing::JsonVocabulary();
  TokenConstraint constraint(MakeTokenMasks(GrammarOf("root ::= \"na\" \"me\"?"), *tokenizer));
  const auto size = static_cast<size_t>(tokenizer->vocab_size());
  const int32_t na = tokenizer->Encode("na")[0], stop = tokenizer->Encode("}")[0];
  const std::vector<int32_t> ends = {0, stop, -1, 1 << 20};
  const auto apply = [&](const TokenConstraint& at, size_t vocab) {
    std::vector<float> logits(vocab, 1.0f);
    TokenConstraint copy = at;
    EXPECT_TRUE(copy.Apply(logits, ends).ok());
    return logits;
  };
  std::vector<float> logits = apply(constraint, size + 5);
  EXPECT_EQ(logits[0], kImpossible);
  EXPECT_EQ(logits[static_cast<size_t>(stop)], kImpossible);
  EXPECT_EQ(logits[static_cast<size_t>(na)], 1.0f);
  EXPECT_EQ(logits[size + 2], kImpossible) << "beyond the vocabulary";
  EXPECT_FALSE(constraint.Accept(stop).ok());
  EXPECT_FALSE(constraint.Accept(0).ok());
  EXPECT_FALSE(constraint.Accept(-1).ok());
  ASSERT_TRUE(constraint.Accept(na).ok());
  EXPECT_TRUE(constraint.complete());
  EXPECT_FALSE(constraint.finished());
  const TokenConstraint kept = constraint;
  logits = apply(constraint, size);
  EXPECT_EQ(logits[0], 1.0f);
  EXPECT_EQ(logits[static_cast<size_t>(stop)], 1.0f);
  for (const char byte : {'m', 'e'})
    ASSERT_TRUE(constraint.Accept(tokenizer->Encode(std::string(1, byte))[0]).ok());
  EXPECT_TRUE(constraint.finished());
  EXPECT_TRUE(kept.complete() && !kept.finished()) << "a copy is independent";
  std::vector<float> none(size, 1.0f);
  EXPECT_FALSE(constraint.Apply(none, {}).ok()) << "nothing may follow";
}

}  // namespace
}  // namespace tern
