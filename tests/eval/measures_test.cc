// How single scores become perplexity, LAMBADA's and multiple choice's numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "eval/choice.h"
#include "eval/lambada.h"
#include "eval/perplexity.h"
#include "tests/model/model_testing.h"

namespace tern::eval {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Measures : public ::testing::Test {
 protected:
  Measures() {
    testing::RandomModel random = testing::SmallModels().front();
    random.vocab = 256;
    model_ = testing::MakeModel(random, dir_);
  }
  void SetUp() override { ASSERT_NE(model_, nullptr); }

  Perplexity Measure(const std::vector<std::string>& documents, std::optional<int32_t> start,
                     const PerplexityOptions& options = {}) const {
    const auto tokens = EncodeAll(*bytes_, documents, start);
    auto measured = MeasurePerplexity(*model_, bytes_.get(), tokens, options);
    EXPECT_TRUE(measured.ok()) << measured.status().message();
    return measured.ok() ? *measured : Perplexity();
  }
  /// −log P(text | context), alone.
  double Nats(const std::string& context, const std::string& text) const {
    const std::vector<std::string> texts = {context, text};
    const auto tokens = EncodeAll(*bytes_, texts, std::nullopt);
    const std::vector<Task> tasks = {{tokens[0], {tokens[1]}}};
    const auto scores = ScoreTasks(*model_, tasks, {});
    EXPECT_TRUE(scores.ok()) << scores.status().message();
    return scores.ok() ? -(*scores)[0][0].Sum() : 0;
  }

  testing::TempDir dir_;
  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Tokenizer> bytes_ = MakeByteTokenizer();
};

TEST_F(Measures, EveryDocumentStartsAnewAfterTheStartToken) {
  const Perplexity both = Measure({"hello world", "", "two"}, '\n');
  EXPECT_EQ(both.documents, 2);
  EXPECT_EQ(both.tokens, 14);
  EXPECT_EQ(both.bytes, 14);
  EXPECT_NEAR(both.nats, Nats("\n", "hello world") + Nats("\n", "two"), 1e-12 * both.nats);
}

TEST_F(Measures, WithoutAStartTokenTheFirstIsGivenNotPredicted) {
  const Perplexity bare = Measure({"hello world", "t"}, std::nullopt);
  EXPECT_EQ(bare.documents, 1);
  EXPECT_EQ(bare.tokens, 10);
  EXPECT_EQ(bare.bytes, 10);
  EXPECT_NEAR(bare.nats, Nats("h", "ello world"), 1e-12 * bare.nats);
}

TEST_F(Measures, WindowsPredictEveryTokenOnceFromTheZeroState) {
  const Perplexity windows = Measure({"hello world"}, '\n', {.context = 4});
  EXPECT_EQ(windows.tokens, 11);
  EXPECT_NEAR(windows.nats, Nats("\n", "hell") + Nats("l", "o wo") + Nats("o", "rld"), 1e-12 * windows.nats);
  ASSERT_EQ(windows.positions.size(), 3u);
  EXPECT_EQ(windows.positions[0].tokens, 3);
  EXPECT_EQ(windows.positions[1].tokens, 3);
  EXPECT_EQ(windows.positions[2].tokens, 5);
}

TEST_F(Measures, ALimitEndsInTheMiddleOfADocument) {
  const Perplexity limited = Measure({"hello", "world", "more"}, '\n', {.limit = 7});
  EXPECT_EQ(limited.documents, 2);
  EXPECT_EQ(limited.tokens, 7);
  EXPECT_EQ(limited.bytes, 7);
  EXPECT_NEAR(limited.nats, Nats("\n", "hello") + Nats("\n", "wo"), 1e-12 * limited.nats);
}

TEST_F(Measures, PositionsAddUpToTheWhole) {
  const std::string text(300, 'x');
  Perplexity sums = Measure({text, "short"}, '\n');
  int64_t tokens = 0, next = 0;
  double nats = 0;
  for (const PositionBucket& bucket : sums.positions) {
    EXPECT_EQ(bucket.from, next);
    next = bucket.to + 1;
    tokens += bucket.tokens;
    nats += bucket.nats;
  }
  EXPECT_EQ(sums.positions.size(), 10u);  // the last token has 299 before it: 0, 1, 2–3, … 256–511
  EXPECT_EQ(sums.positions.back().tokens, 300 - 256);
  EXPECT_EQ(tokens, sums.tokens);
  EXPECT_NEAR(nats, sums.nats, 1e-12 * sums.nats);

  const Perplexity other = Measure({"another"}, '\n');
  const double expected = sums.nats + other.nats;
  sums.Add(other);
  EXPECT_EQ(sums.documents, 3);
  EXPECT_EQ(sums.tokens, 312);
  EXPECT_EQ(sums.positions[2].tokens, 6);
  EXPECT_DOUBLE_EQ(sums.nats, expected);
}

TEST_F(Measures, NothingToPredictIsAnError) {
  const std::vector<std::vector<int32_t>> documents = {{10}, {}};
  EXPECT_EQ(MeasurePerplexity(*model_, bytes_.get(), documents, {}).status().code(), StatusCode::kCorrupt);
  EXPECT_FALSE(MeasureLambada(*model_, *bytes_, {}, 10, {}).ok());
  EXPECT_FALSE(MeasureChoice(*model_, *bytes_, {}, 10, {}).ok());
}

TEST_F(Measures, LambadaCountsAWordAsCorrectWhenEveryTokenWas) {
  // What the model would write after "\nab", to be found again; and the same with its last byte changed.
  State state = model_->NewState();
  std::vector<float> logits = testing::Run(*model_, {{'\n', 'a', 'b'}}, &state, 1);
  std::string word;
  for (int i = 0; i < 3; ++i) {
    const auto best = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    word += static_cast<char>(best);
    logits = testing::Run(*model_, {{best}}, &state, 1);
  }
  std::string wrong = word;
  wrong.back() = static_cast<char>(wrong.back() + 1);
  const std::vector<LambadaExample> examples = {{"ab", word}, {"ab", wrong}, {"ab", word}, {"ab", word}};
  const auto result = MeasureLambada(*model_, *bytes_, examples, '\n', {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->correct, 3);
  EXPECT_DOUBLE_EQ(result->Accuracy(), 0.75);
  EXPECT_DOUBLE_EQ(result->AccuracyError(), std::sqrt(0.75 * 0.25 / 4));
  const double nats = 3 * Nats("\nab", word) + Nats("\nab", wrong);
  EXPECT_NEAR(result->nats, nats, 1e-12 * nats);
  EXPECT_NEAR(result->Perplexity(), std::exp(nats / 4), 1e-9 * std::exp(nats / 4));
}

TEST_F(Measures, ChoicesAreComparedWholePerByteAndPerToken) {
  // Per byte, the length is the choice's own, without the space before it; per token it is the whole
  // continuation's.
  const double one = Nats("\nab", " c"), two = Nats("\nab", " cdefghij");
  ASSERT_LT(one, two);
  const std::vector<double> per_byte = {one / 1, two / 8}, per_token = {one / 2, two / 9};
  for (size_t gold : {size_t{0}, size_t{1}}) {
    const std::vector<ChoiceExample> examples = {{{"ab"}, {" c", " cdefghij"}, {1, 8}, gold}};
    const auto result = MeasureChoice(*model_, *bytes_, examples, '\n', {});
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_EQ(result->correct, gold == 0 ? 1 : 0);
    EXPECT_EQ(result->correct_per_byte, (per_byte[0] < per_byte[1]) == (gold == 0) ? 1 : 0);
    EXPECT_EQ(result->correct_per_token, (per_token[0] < per_token[1]) == (gold == 0) ? 1 : 0);
  }
}

TEST_F(Measures, ChoicesOfContextComparesTheSameContinuation) {
  const size_t better = Nats("\nab", " cd") < Nats("\nxyz", " cd") ? 0 : 1;
  const std::vector<ChoiceExample> examples = {{{"ab", "xyz"}, {" cd"}, {2}, better},
                                               {{"xyz", "ab"}, {" cd"}, {2}, better}};
  const auto result = MeasureChoice(*model_, *bytes_, examples, '\n', {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->examples, 2);
  EXPECT_EQ(result->correct, 1);
  EXPECT_EQ(result->correct_per_byte, 1);
  EXPECT_EQ(result->correct_per_token, 1);
}

TEST(DrawLossByPosition, IsWholeForAnyCurve) {
  Perplexity falling, flat, single;
  for (int i = 0; i < 20; ++i) {
    const int64_t from = i == 0 ? 0 : int64_t{1} << (i - 1);
    falling.positions.push_back({from, i == 0 ? 0 : 2 * from - 1, i == 7 ? 0 : 10, i == 7 ? 0 : 100.0 - i});
    flat.positions.push_back({from, i == 0 ? 0 : 2 * from - 1, 5, 10});
  }
  single.positions.push_back({0, 0, 1, 5.5});
  for (const Perplexity& perplexity : {falling, flat, single, Perplexity()}) {
    const std::string svg = DrawLossByPosition(perplexity, "a<b> & \"c\"");
    EXPECT_TRUE(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    EXPECT_THAT(svg, HasSubstr("a&lt;b&gt; &amp; &quot;c&quot;"));
    EXPECT_THAT(svg, HasSubstr("prefers-color-scheme: dark"));
    EXPECT_THAT(svg, HasSubstr("tokens read before"));
    EXPECT_THAT(svg, HasSubstr("nats per token"));
    for (const char* bad : {"nan", "inf"}) EXPECT_THAT(svg, Not(HasSubstr(bad)));
  }
  EXPECT_THAT(DrawLossByPosition(falling, "a\xff\xc3\xa9"), HasSubstr("a\uFFFDé"));
  const std::string svg = DrawLossByPosition(falling, "t");
  size_t dots = 0;
  for (size_t at = 0; (at = svg.find("<circle", at)) != std::string::npos; ++at) ++dots;
  EXPECT_EQ(dots, 19u);  // a bucket without tokens has none
}

}  // namespace
}  // namespace tern::eval
