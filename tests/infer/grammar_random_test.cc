// Random grammars and vocabularies: masks against every token tried by itself, counts against copies.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/infer/grammar_testing.h"

namespace tern {
namespace {

using testing::GrammarOf;
using testing::NextBytes;

template <typename T, size_t n>
const T& OneOf(const T (&values)[n], Random* random) {
  return values[random->Below(n)];
}

/// Rules r0, r1, r2, of which each calls later ones, or any after a byte.
class GrammarWriter {
 public:
  explicit GrammarWriter(Random* random) : random_(*random) {}

  std::string Write() {
    std::string text = "root ::= r0 \"!\"?\n";
    for (rule_ = 0; rule_ < kRules; ++rule_)
      text += "r" + std::to_string(rule_) + " ::= " + Expression(3) + "\n";
    return text;
  }

 private:
  static constexpr int kRules = 3;

  std::string Atom() {
    static const char* const atoms[] = {
        "\"a\"",       "\"ab\"", "\"A b\"", "[a-zA-Z]", "[a-z]",    "[^\"\\\\]", "[0-9a]",
        "[ -!#-[^-~]", "\"é\"",  "[é-漢]",  ".",        "\"\\\"\"", "[^ab\"]",   "[a-zA-Z é-\\U0010FFFF]"};
    if (random_.Below(4) == 0) {
      const std::string any = "r" + std::to_string(random_.Below(kRules));
      if (rule_ + 1 == kRules || random_.Below(2) == 0) return "(\"(\" " + any + "? \")\")";
      return "r" + std::to_string(rule_ + 1);
    }
    return OneOf(atoms, &random_);
  }

  std::string Repetition() {
    static const char* const marks[] = {"?", "*", "+", "{3}", "{2,}", "{0,7}"};
    if (random_.Below(2) == 0) return OneOf(marks, &random_);
    const size_t min = random_.Below(30);
    if (random_.Below(3) == 0) return "{" + std::to_string(min) + ",}";
    return "{" + std::to_string(min) + "," + std::to_string(min + random_.Below(40)) + "}";
  }

  std::string Expression(int depth) {
    if (depth == 0) return Atom();
    const size_t kind = random_.Below(4);
    const std::string first = Expression(depth - 1);
    if (kind == 0) return first + " " + Expression(depth - 1);
    if (kind == 1) return "(" + first + " | " + Expression(depth - 1) + ")";
    return "(" + first + ")" + (kind == 2 ? Repetition() : "");
  }

  Random& random_;
  int rule_ = 0;
};

/// All bytes, and texts of characters that the grammars tell apart, some cut within a character.
std::shared_ptr<const TokenTree> RandomTokens(Random* random) {
  static const char* const pieces[] = {"a", "b",  "z",  "A", " ",  "0", "(",
                                       ")", "\"", "\\", "é", "漢", "😀", "ab"};
  std::vector<std::string> tokens = {""};
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (int i = 0; i < 250; ++i) {
    std::string token;
    const size_t kinds = 1 + random->Below(std::size(pieces));
    for (size_t n = 1 + random->Below(12); n > 0; --n) token += pieces[random->Below(kinds)];
    if (random->Below(4) == 0) token.resize(1 + random->Below(token.size()));
    if (random->Below(4) == 0) token.erase(0, random->Below(token.size()));
    tokens.push_back(token);
  }
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  auto tokenizer = MakeWorldTokenizer(tokens);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return std::make_shared<const TokenTree>(**tokenizer);
}

std::vector<int32_t> TokensOneByOne(const TokenTree& tree, const GrammarMatcher& matcher) {
  std::vector<int32_t> allowed;
  for (size_t t = 0; t < tree.vocab_size(); ++t) {
    const std::string_view text = tree.text(static_cast<int32_t>(t));
    GrammarMatcher copy = matcher;
    if (!text.empty() && copy.Advance(text)) allowed.push_back(static_cast<int32_t>(t));
  }
  return allowed;
}

/// Writes a text of random tokens; every mask on the way must be exact.
void ExpectExactMasks(const std::shared_ptr<const Grammar>& grammar, TokenMasks* masks, Random* random) {
  GrammarMatcher matcher(grammar);
  std::string written;
  for (int step = 0; step < 8; ++step) {
    const std::vector<int32_t> allowed = TokensOneByOne(masks->tokens(), matcher);
    const auto mask = masks->Find(matcher);
    ASSERT_TRUE(mask.ok()) << mask.status().message();
    std::vector<int32_t> found;
    for (size_t t = 0; t < masks->tokens().vocab_size(); ++t) {
      if ((*mask)->Contains(static_cast<int32_t>(t))) found.push_back(static_cast<int32_t>(t));
    }
    ASSERT_EQ(found, allowed) << "after '" << written << "'";
    ASSERT_EQ((*mask)->count, allowed.size());
    if (allowed.empty()) return;
    const std::string_view text = masks->tokens().text(allowed[random->Below(allowed.size())]);
    ASSERT_TRUE(matcher.Advance(text));
    written += text;
  }
}

TEST(GrammarRandom, MasksAreThoseOfTokensTriedOneByOne) {
  int tried = 0;
  for (uint64_t seed = 1; tried < 80; ++seed) {
    Random random(seed);
    const std::string text = GrammarWriter(&random).Write();
    SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + text);
    const auto grammar = ParseGrammar(text);
    if (!grammar.ok()) {  // an endless repetition of what can be empty, a rule that cannot end
      ASSERT_EQ(grammar.status().code(), StatusCode::kInvalidArgument) << grammar.status().message();
      ASSERT_LT(seed, 1000u);
      continue;
    }
    ++tried;
    TokenMasks masks(*grammar, RandomTokens(&random), seed % 4 == 0 ? 20000 : TokenMasks::kKeptBytes);
    for (int again = 0; again < 3; ++again) {
      ExpectExactMasks(*grammar, &masks, &random);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(GrammarRandom, CountsAreThoseOfCopies) {
  static const char* const parts[] = {"\"a\"",  "x",        "(\"ab\" | \"a\" | \"b\")",
                                      "\"a\"?", "([ab] y)", "(x{5,6} \"c\" | \"a\")"};
  const std::string rules = "x ::= \"a\" | \"a\" x \"b\" | \"c\" x\ny ::= \"b\" | \"\" \n";
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    Random random(seed);
    const std::string part = OneOf(parts, &random);
    const size_t min = random.Below(26), max = std::max<size_t>(min + random.Below(26), 1);
    std::string copies;
    for (size_t i = 0; i < max; ++i) copies += part + (i < min ? " " : "? ");
    const std::string counted = part + "{" + std::to_string(min) + "," + std::to_string(max) + "}";
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + counted);
    GrammarMatcher by_count(GrammarOf("root ::= \"<\" " + counted + " [a>]\n" + rules));
    GrammarMatcher by_copies(GrammarOf("root ::= \"<\" " + copies + " [a>]\n" + rules));
    for (int step = 0; step < 60; ++step) {
      const std::string bytes = NextBytes(by_copies);
      ASSERT_EQ(NextBytes(by_count), bytes) << "at byte " << step;
      ASSERT_EQ(by_count.complete(), by_copies.complete()) << "at byte " << step;
      if (bytes.empty()) break;
      const char byte = bytes[random.Below(bytes.size())];
      ASSERT_TRUE(by_count.Advance(static_cast<uint8_t>(byte)));
      ASSERT_TRUE(by_copies.Advance(static_cast<uint8_t>(byte)));
    }
  }
}

}  // namespace
}  // namespace tern
