#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/parallel.h"
#include "base/random.h"
#include "train/orthogonal.h"
#include "train/recipe.h"

namespace tern::train {
namespace {

/// The embedding starts small: the LayerNorm behind it brings it to scale, and so a few steps can change it
/// wholly.
constexpr double kEmbeddingRange = 1e-4;

/// Where a vector's element n of `size` in layer l of L stands: what the reference's formulas are made of.
struct Place {
  int64_t n, size, layer, layers, head_size;

  double part() const { return static_cast<double>(n) / static_cast<double>(size); }
  double share() const { return size > 1 ? static_cast<double>(n) / static_cast<double>(size - 1) : 0; }
  double depth() const {
    return layers > 1 ? static_cast<double>(layer) / static_cast<double>(layers - 1) : 0;
  }
  double rest() const { return 1 - static_cast<double>(layer) / static_cast<double>(layers); }
  double linear() const { return share() - 0.5; }
  /// −1 … 1 over each head, flat in its middle.
  double zigzag() const {
    if (head_size < 2) return 0;
    const double half = static_cast<double>(head_size - 1) / 2;
    const double t = (static_cast<double>(n % head_size) - half) / half;
    return t * std::abs(t);
  }
};

double Rwkv4Value(std::string_view name, const Place& at) {
  if (name == "att.time_decay") return -5 + 8 * std::pow(at.share(), 0.7 + 1.3 * at.depth());
  if (name == "att.time_first") return std::log(0.3) + 0.5 * static_cast<double>((at.n + 1) % 3 - 1);
  if (name == "att.time_mix_v") return std::pow(at.part(), at.rest()) + 0.3 * at.depth();
  if (name == "att.time_mix_r") return std::pow(at.part(), 0.5 * at.rest());
  return std::pow(at.part(), at.rest());  // att.time_mix_k, ffn.time_mix_k, ffn.time_mix_r
}

double Rwkv7Mix(double exponent, const Place& at) { return 1 - std::pow(at.part(), exponent); }

double Rwkv7Value(std::string_view name, const Place& at) {
  if (name == "att.x_r" || name == "att.x_g") return Rwkv7Mix(0.2 * at.rest(), at);
  if (name == "att.x_w" || name == "att.x_a") return Rwkv7Mix(0.9 * at.rest(), at);
  if (name == "att.x_k" || name == "att.x_v") return Rwkv7Mix(0.7 * at.rest(), at);
  if (name == "ffn.x_k") return Rwkv7Mix(std::pow(at.rest(), 4), at);
  if (name == "att.w0")
    return -6 + 6 * std::pow(at.share(), 1 + std::pow(at.depth(), 0.3)) + 0.5 + 2.5 * at.zigzag();
  if (name == "att.a0") return -0.19 + 0.3 * at.zigzag() + 0.4 * at.linear();
  if (name == "att.v0") return 0.73 - 0.4 * at.linear();
  if (name == "att.k_k") return 0.71 - 0.1 * at.linear();
  if (name == "att.k_a") return 1.02;
  return -0.04;  // att.r_k
}

/// √(rows / columns) of a matrix that is taller than wide, 1 else.
double TallGain(const Parameter& p) {
  return std::sqrt(std::max(1.0, static_cast<double>(p.shape[0]) / static_cast<double>(p.shape[1])));
}

/// The length of an orthogonal matrix's rows or columns; 0: the matrix starts as zeros.
double MatrixGain(Generation generation, const Parameter& p, std::string_view name) {
  if (p.role == Role::kHead) return 0.5 * TallGain(p);
  if (name == "att.output.weight" || name == "ffn.value.weight") return 0;
  if (generation == Generation::kRwkv4) {
    return name == "att.value.weight" || name == "ffn.key.weight" ? TallGain(p) : 0;
  }
  if (p.role == Role::kLowRank) return name.ends_with('1') ? 0 : 0.1 * TallGain(p);
  return name == "att.key.weight" ? 0.1 : 1;
}

/// A parameter's own seed, from its name: what else a model has does not matter.
uint64_t SeedOf(uint64_t seed, std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return Random(hash ^ seed).NextU64();
}

/// Chunk by chunk from seeds of their own: the same for any number of threads.
void FillUniform(uint64_t seed, double range, std::span<float> values) {
  constexpr size_t kChunk = 1 << 16;
  std::vector<uint64_t> seeds((values.size() + kChunk - 1) / kChunk);
  Random source(seed);
  for (uint64_t& chunk_seed : seeds) chunk_seed = source.NextU64();
  ParallelFor(static_cast<int64_t>(seeds.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto chunk = static_cast<size_t>(begin); chunk < static_cast<size_t>(end); ++chunk) {
      Random random(seeds[chunk]);
      const std::span<float> part =
          values.subspan(chunk * kChunk, std::min(kChunk, values.size() - chunk * kChunk));
      for (float& value : part) value = static_cast<float>(random.Uniform(-range, range));
    }
  });
}

class Initialiser {
 public:
  Initialiser(const ModelShape& shape, uint64_t seed) : shape_(shape), seed_(seed) {}

  void Fill(const Parameter& p, std::span<float> values) {
    const std::string_view full = p.name;
    // Within its layer: "att.key.weight".
    const std::string_view name = full.starts_with("blocks.") ? full.substr(full.find('.', 7) + 1) : full;
    if (p.role == Role::kNorm) {
      std::fill(values.begin(), values.end(), static_cast<float>(NormValue(p, name)));
    } else if (p.role == Role::kVector) {
      FillVector(p, name, values);
    } else if (p.role == Role::kEmbedding) {
      FillUniform(SeedOf(seed_, full), kEmbeddingRange, values);
    } else if (const double gain = MatrixGain(shape_.generation, p, name); gain == 0) {
      std::fill(values.begin(), values.end(), 0.0f);
    } else {
      FillOrthogonal(products_, SeedOf(seed_, full), gain, static_cast<int64_t>(p.shape[0]),
                     static_cast<int64_t>(p.shape[1]), values);
    }
  }

 private:
  double NormValue(const Parameter& p, std::string_view name) const {
    if (!name.ends_with(".weight")) return 0;
    if (name != "att.ln_x.weight") return 1;
    return std::pow(static_cast<double>(1 + p.layer) / static_cast<double>(shape_.layers), 0.7);
  }

  void FillVector(const Parameter& p, std::string_view name, std::span<float> values) const {
    const auto value = shape_.generation == Generation::kRwkv4 ? Rwkv4Value : Rwkv7Value;
    for (int64_t n = 0; n < p.size; ++n)
      values[static_cast<size_t>(n)] =
          static_cast<float>(value(name, {n, p.size, p.layer, shape_.layers, shape_.head_size}));
  }

  const ModelShape& shape_;
  uint64_t seed_;
  Products<float> products_;
};

}  // namespace

void Initialise(const ParameterLayout& layout, uint64_t seed, std::span<float> parameters) {
  Initialiser initialiser(layout.shape(), seed);
  std::fill(parameters.begin(), parameters.end(), 0.0f);
  for (const Parameter& p : layout.parameters())
    initialiser.Fill(p, parameters.subspan(static_cast<size_t>(p.offset), static_cast<size_t>(p.size)));
}

}  // namespace tern::train
