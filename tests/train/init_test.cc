#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "train/orthogonal.h"
#include "train/recipe.h"

namespace tern::train {
namespace {

ModelShape ShapeOf(Generation generation, int64_t vocab, int64_t layers, int64_t width,
                   int64_t head_size = 64) {
  auto shape = MakeShape(generation, vocab, layers, width, head_size);
  EXPECT_TRUE(shape.ok()) << shape.status().message();
  return *shape;
}

/// A model's initial values, by name.
struct Initial {
  ParameterLayout layout;
  std::vector<float> values;
  Initial(const ModelShape& shape, uint64_t seed)
      : layout(shape), values(static_cast<size_t>(layout.total()), 99.0f) {
    Initialise(layout, seed, values);
  }
  std::span<const float> Of(const std::string& name) const {
    const Parameter& p = layout.Get(name);
    return std::span(values).subspan(static_cast<size_t>(p.offset), static_cast<size_t>(p.size));
  }
  double At(const std::string& name, size_t index) const { return Of(name)[index]; }
};

/// The largest departure of a matrix's shorter side (rows, or columns when it is taller) from orthogonal
/// vectors of length `gain`, relative to gain².
double OrthogonalError(std::span<const float> matrix, int64_t rows, int64_t columns, double gain) {
  const bool tall = rows > columns;
  const int64_t count = tall ? columns : rows, length = tall ? rows : columns;
  const auto at = [&](int64_t vector, int64_t n) {
    return static_cast<double>(
        matrix[static_cast<size_t>(tall ? n * columns + vector : vector * columns + n)]);
  };
  double worst = 0;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      double dot = 0;
      for (int64_t n = 0; n < length; ++n) dot += at(i, n) * at(j, n);
      worst = std::max(worst, std::abs(dot / (gain * gain) - (i == j ? 1 : 0)));
    }
  }
  return worst;
}

// fp32 rounds every number to 6e-8 of itself and sums of up to 1000 products to some 1e-6.
constexpr double kOrthogonal = 5e-6;

void ExpectOrthogonal(const Initial& initial, const std::string& name, double gain) {
  const Parameter& p = initial.layout.Get(name);
  EXPECT_LT(OrthogonalError(initial.Of(name), static_cast<int64_t>(p.shape[0]),
                            static_cast<int64_t>(p.shape[1]), gain),
            kOrthogonal)
      << name;
}

void ExpectAll(const Initial& initial, const std::string& name, double value) {
  for (float x : initial.Of(name)) ASSERT_FLOAT_EQ(x, static_cast<float>(value)) << name;
}

TEST(Orthonormalise, MakesRandomVectorsOrthonormal) {
  Products<float> products;
  for (const auto& [count, length] :
       {std::pair<int64_t, int64_t>{1, 1}, {1, 7}, {8, 8}, {9, 200}, {257, 257}, {100, 1001}}) {
    SCOPED_TRACE(std::to_string(count) + " vectors of " + std::to_string(length));
    std::vector<float> vectors(static_cast<size_t>(count * length));
    FillNormal(31, count, length, vectors);
    const std::vector<float> given = vectors;
    Orthonormalise(products, vectors, count, length);
    EXPECT_LT(OrthogonalError(vectors, count, length, 1), kOrthogonal);
    // R has a positive diagonal: every vector still points where the given one did.
    for (int64_t i = 0; i < count; ++i) {
      double dot = 0;
      for (auto n = static_cast<size_t>(i * length); n < static_cast<size_t>((i + 1) * length); ++n)
        dot += static_cast<double>(given[n]) * static_cast<double>(vectors[n]);
      EXPECT_GT(dot, 0) << "vector " << i;
    }
  }
}

// One pass alone fails this: it leaves 1e-7 times how nearly the vectors depend on each other.
TEST(Orthonormalise, EndsOrthonormalFromNearlyDependentVectors) {
  constexpr int64_t kCount = 64, kLength = 64;
  Products<float> products;
  std::vector<float> vectors(kCount * kLength), noise(kLength);
  FillNormal(32, kCount, kLength, vectors);
  FillNormal(33, 1, kLength, noise);
  for (size_t n = 0; n < kLength; ++n)
    vectors[(kCount - 1) * kLength + n] = vectors[n] + vectors[kLength + n] + 1e-3f * noise[n];
  Orthonormalise(products, vectors, kCount, kLength);
  EXPECT_LT(OrthogonalError(vectors, kCount, kLength, 1), kOrthogonal);
}

TEST(FillNormal, HasTheMomentsOfANormalDistribution) {
  constexpr uint64_t kSeed = 34;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::vector<float> values(101 * 1001);
  FillNormal(kSeed, 101, 1001, values);
  double sum = 0, squares = 0, fourth = 0;
  for (double x : values) {
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  const auto n = static_cast<double>(values.size());
  // Standard errors: 0.0031, 0.0044, 0.031; five of them.
  EXPECT_NEAR(sum / n, 0, 0.016);
  EXPECT_NEAR(squares / n, 1, 0.022);
  EXPECT_NEAR(fourth / n, 3, 0.155);
}

// The reference's formulas with the numbers put in: L = 3, C = 24, l = 1: depth 1/2, rest 2/3.
TEST(Initialise, Rwkv4FollowsTheReference) {
  const Initial initial(ShapeOf(Generation::kRwkv4, 60, 3, 24), 7);
  const std::string att = "blocks.1.att.", ffn = "blocks.1.ffn.";
  EXPECT_FLOAT_EQ(initial.At(att + "time_decay", 0), -5);
  EXPECT_FLOAT_EQ(initial.At(att + "time_decay", 10), -5 + 8 * std::pow(10.0 / 23, 0.7 + 1.3 / 2));
  EXPECT_FLOAT_EQ(initial.At(att + "time_decay", 23), 3);
  for (size_t n : {0u, 1u, 2u, 3u}) {
    const double zigzag[] = {0, 0.5, -0.5};
    EXPECT_FLOAT_EQ(initial.At(att + "time_first", n), std::log(0.3) + zigzag[n % 3]) << n;
  }
  EXPECT_FLOAT_EQ(initial.At(att + "time_mix_k", 6), std::pow(0.25, 2.0 / 3));
  EXPECT_FLOAT_EQ(initial.At(att + "time_mix_v", 6), std::pow(0.25, 2.0 / 3) + 0.15);
  EXPECT_FLOAT_EQ(initial.At(att + "time_mix_r", 6), std::pow(0.25, 1.0 / 3));
  EXPECT_FLOAT_EQ(initial.At(ffn + "time_mix_k", 6), std::pow(0.25, 2.0 / 3));
  EXPECT_FLOAT_EQ(initial.At(ffn + "time_mix_r", 6), std::pow(0.25, 2.0 / 3));
  for (const char* zero : {"att.key.weight", "att.receptance.weight", "att.output.weight", "ffn.value.weight",
                           "ffn.receptance.weight", "ln1.bias"})
    ExpectAll(initial, std::string("blocks.1.") + zero, 0);
  ExpectAll(initial, "blocks.2.ln2.weight", 1);
  ExpectOrthogonal(initial, att + "value.weight", 1);
  ExpectOrthogonal(initial, ffn + "key.weight", 2);
  ExpectOrthogonal(initial, "head.weight", 0.5 * std::sqrt(60.0 / 24));
}

// L = 3, C = 24, heads of 8, l = 1: depth 1/2, rest 2/3.
TEST(Initialise, Rwkv7FollowsTheReference) {
  const Initial initial(ShapeOf(Generation::kRwkv7, 20, 3, 24, 8), 7);
  const std::string att = "blocks.1.att.", ffn = "blocks.1.ffn.";
  const auto mix = [](double exponent) { return 1 - std::pow(0.25, exponent * 2 / 3); };
  EXPECT_FLOAT_EQ(initial.At(att + "x_r", 6), mix(0.2));
  EXPECT_FLOAT_EQ(initial.At(att + "x_w", 6), mix(0.9));
  EXPECT_FLOAT_EQ(initial.At(att + "x_k", 6), mix(0.7));
  EXPECT_FLOAT_EQ(initial.At(att + "x_v", 6), mix(0.7));
  EXPECT_FLOAT_EQ(initial.At(att + "x_a", 6), mix(0.9));
  EXPECT_FLOAT_EQ(initial.At(att + "x_g", 6), mix(0.2));
  EXPECT_FLOAT_EQ(initial.At(ffn + "x_k", 6), 1 - std::pow(0.25, 16.0 / 81));
  // Channel 10 is the third of its head: t = (2 − 3.5)/3.5.
  const double zigzag = -(1.5 / 3.5) * (1.5 / 3.5), linear = 10.0 / 23 - 0.5;
  EXPECT_FLOAT_EQ(initial.At(att + "w0", 10),
                  -6 + 6 * std::pow(10.0 / 23, 1 + std::pow(0.5, 0.3)) + 0.5 + 2.5 * zigzag);
  EXPECT_FLOAT_EQ(initial.At(att + "a0", 10), -0.19 + 0.3 * zigzag + 0.4 * linear);
  EXPECT_FLOAT_EQ(initial.At(att + "v0", 10), 0.73 - 0.4 * linear);
  EXPECT_FLOAT_EQ(initial.At(att + "k_k", 10), 0.71 - 0.1 * linear);
  ExpectAll(initial, att + "k_a", 1.02);
  ExpectAll(initial, att + "r_k", -0.04);
  ExpectAll(initial, att + "ln_x.weight", std::pow(2.0 / 3, 0.7));
  ExpectAll(initial, att + "ln_x.bias", 0);
  for (const char* zero : {"att.w1", "att.a1", "att.v1", "att.g1", "att.output.weight", "ffn.value.weight"})
    ExpectAll(initial, std::string("blocks.1.") + zero, 0);
  for (const char* low_rank : {"w2", "a2", "v2", "g2"}) {
    const Parameter& p = initial.layout.Get(att + low_rank);
    const double tall = static_cast<double>(p.shape[0]) / static_cast<double>(p.shape[1]);
    ExpectOrthogonal(initial, p.name, 0.1 * std::sqrt(std::max(1.0, tall)));
  }
  ExpectOrthogonal(initial, att + "receptance.weight", 1);
  ExpectOrthogonal(initial, att + "value.weight", 1);
  ExpectOrthogonal(initial, att + "key.weight", 0.1);
  ExpectOrthogonal(initial, ffn + "key.weight", 1);
  ExpectOrthogonal(initial, "head.weight", 0.5);  // fewer tokens than channels
}

TEST(Initialise, EmbeddingIsSmallAndUniform) {
  const Initial initial(ShapeOf(Generation::kRwkv7, 500, 1, 256), 7);
  double sum = 0, squares = 0;
  for (double x : initial.Of("emb.weight")) {
    ASSERT_LE(std::abs(x), 1e-4);
    sum += x * 1e4;
    squares += x * x * 1e8;
  }
  // 128000 values of variance 1/3: five standard errors are 0.008 and 0.0042.
  EXPECT_NEAR(sum / 128000, 0, 0.008);
  EXPECT_NEAR(squares / 128000, 1.0 / 3, 0.0042);
}

TEST(Initialise, GapsBetweenParametersAreZero) {
  const Initial initial(ShapeOf(Generation::kRwkv7, 33, 2, 24, 8), 7);
  int64_t at = 0;
  for (const Parameter& p : initial.layout.parameters()) {
    for (; at < p.offset; ++at) EXPECT_EQ(initial.values[static_cast<size_t>(at)], 0);
    at = p.offset + p.size;
  }
}

TEST(Initialise, OneLayerOneChannelHeadsAreFinite) {
  for (Generation generation : {Generation::kRwkv4, Generation::kRwkv7}) {
    const Initial initial(ShapeOf(generation, 2, 1, 1, 1), 7);
    EXPECT_EQ(FindNonFinite(initial.layout, initial.values), nullptr);
  }
}

TEST(Initialise, DependsOnTheSeedAndNotOnThreads) {
  const ModelShape shape = ShapeOf(Generation::kRwkv7, 300, 2, 128, 64);
  SetNumThreads(1);
  const Initial one(shape, 7);
  for (int threads : {2, 3}) {
    SetNumThreads(threads);
    const Initial more(shape, 7);
    EXPECT_EQ(std::memcmp(one.values.data(), more.values.data(), one.values.size() * sizeof(float)), 0)
        << threads;
  }
  SetNumThreads(0);
  const Initial other(shape, 8);
  for (const char* name : {"emb.weight", "head.weight", "blocks.0.att.receptance.weight", "blocks.1.att.w2"})
    EXPECT_NE(one.At(name, 5), other.At(name, 5)) << name;
  // Matrices of one model are not each other's copies.
  EXPECT_NE(one.At("blocks.0.att.receptance.weight", 5), one.At("blocks.0.att.value.weight", 5));
  EXPECT_NE(one.At("blocks.0.att.receptance.weight", 5), one.At("blocks.1.att.receptance.weight", 5));
}

TEST(Presets, HaveThePublishedNumbersOfParameters) {
  const auto count = [](const char* name) {
    const Preset* p = FindPreset(name);
    if (p == nullptr) return int64_t{0};
    return ParameterLayout(ShapeOf(p->generation, p->vocab, p->layers, p->width, p->head_size)).count();
  };
  EXPECT_EQ(count("rwkv7:0.1B"), 191'034'624);
  EXPECT_NEAR(static_cast<double>(count("rwkv7:0.4B")), 0.45e9, 0.01e9);
  EXPECT_NEAR(static_cast<double>(count("rwkv7:1.5B")), 1.53e9, 0.01e9);
  EXPECT_NEAR(static_cast<double>(count("rwkv7:2.9B")), 2.95e9, 0.01e9);
  for (const auto& [name, layers, width] : {std::tuple<const char*, int64_t, int64_t>{"rwkv4:169M", 12, 768},
                                            {"rwkv4:430M", 24, 1024},
                                            {"rwkv4:1.5B", 24, 2048},
                                            {"rwkv4:3B", 32, 2560},
                                            {"rwkv4:7B", 32, 4096},
                                            {"rwkv4:14B", 40, 5120}}) {
    // 2VC + 13C²L + C(11L + 4)
    EXPECT_EQ(count(name), 2 * 50277 * width + 13 * width * width * layers + width * (11 * layers + 4))
        << name;
  }
}

TEST(Presets, AreDistinctAndPossible) {
  std::set<std::string_view> names;
  for (const Preset& preset : Presets()) {
    EXPECT_TRUE(names.insert(preset.name).second) << preset.name;
    EXPECT_EQ(FindPreset(preset.name), &preset);
    const int64_t vocab = preset.vocab > 0 ? preset.vocab : 256;
    const auto shape = MakeShape(preset.generation, vocab, preset.layers, preset.width, preset.head_size);
    EXPECT_TRUE(shape.ok()) << preset.name << ": " << shape.status().message();
    EXPECT_GT(preset.initial_rate, preset.final_rate) << preset.name;
  }
  EXPECT_EQ(FindPreset("rwkv4:170M"), nullptr);
}

}  // namespace
}  // namespace tern::train
