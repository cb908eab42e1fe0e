// Generations under a constraint.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "infer/generator.h"
#include "infer/token_mask.h"
#include "tests/infer/grammar_testing.h"
#include "tests/infer/infer_testing.h"

namespace tern {
namespace {

using testing::GrammarOf;

class ConstrainedGenerator : public ::testing::Test {
 protected:
  testing::Shown Run(const std::string& grammar, SamplingOptions sampling, GenerateOptions options) {
    options.constraint =
        std::make_shared<const TokenConstraint>(MakeTokenMasks(GrammarOf(grammar), *tokenizer_));
    Session session(model_);
    EXPECT_TRUE(session.Feed(tokenizer_->Encode("Once")).ok());
    Sampler sampler(std::move(sampling), tokenizer_.get());
    testing::Shown shown = testing::RunGenerate(session, sampler, *tokenizer_, options);
    EXPECT_EQ(session.tokens().size(), 4 + tokenizer_->Encode(shown.text).size());
    return shown;
  }
  testing::TempDir dir_;
  std::shared_ptr<const Model> model_ = testing::MakeModel(testing::TinyModel(Generation::kRwkv7), dir_);
  std::shared_ptr<const Tokenizer> tokenizer_ = MakeByteTokenizer();
};

TEST_F(ConstrainedGenerator, WritesTextsOfTheGrammarAndEnds) {
  const std::string text = "root ::= \"[\" [a-z]{2,6} (\", \" [0-9]+)? \"]\"";
  const auto grammar = GrammarOf(text);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const float temperature = seed == 0 ? 0.0f : 1.0f;  // greedy too
    const testing::Shown shown =
        Run(text, {.temperature = temperature, .top_p = 1, .seed = seed}, {.max_tokens = 400});
    if (shown.result.reason == StopReason::kLength) continue;  // digits without end
    EXPECT_EQ(shown.result.reason, StopReason::kComplete) << "seed " << seed;
    EXPECT_TRUE(testing::Accepts(grammar, shown.text)) << "seed " << seed << ": " << shown.text;
  }
  const testing::Shown fixed = Run("root ::= \"[ab]\"", {.seed = 1}, {.max_tokens = 50});
  EXPECT_EQ(fixed.text, "[ab]");
  EXPECT_EQ(fixed.result.reason, StopReason::kComplete);
}

TEST_F(ConstrainedGenerator, SaysWhenNothingMayFollow) {
  GenerateOptions options;
  options.constraint =
      std::make_shared<const TokenConstraint>(MakeTokenMasks(GrammarOf("root ::= \"ab\""), *tokenizer_));
  Session session(model_);
  ASSERT_TRUE(session.Feed(65).ok());
  Sampler sampler({.banned = {'b'}});
  auto result = Generate(session, sampler, *tokenizer_, options, [](std::string_view) { return true; });
  EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tern
