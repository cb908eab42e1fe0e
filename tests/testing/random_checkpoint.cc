#include "tests/testing/random_checkpoint.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "tensor/quant.h"

namespace tern::testing {
namespace {

// --- values
// ---------------------------------------------------------------------------------------------------------

uint64_t Fnv1a64(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

/// Values lie in [offset − scale, offset + scale).
struct Range {
  double offset, scale;
};

/// A name without its "blocks.N.".
std::string_view Suffix(std::string_view name) {
  if (name.substr(0, 7) != "blocks.") return name;
  return name.substr(name.find('.', 7) + 1);
}

/// Standard deviation of the product with inputs of variance 1; 0 for tensors that are no matrices.
double Gain(std::string_view suffix) {
  static const std::map<std::string_view, double> gains = {
      {"head.weight", 3.0},
      {"att.receptance.weight", 1.0},
      {"att.key.weight", 1.0},
      {"att.value.weight", 1.0},
      {"att.gate.weight", 1.0},
      {"att.output.weight", 0.7},
      {"ffn.key.weight", 1.2},
      {"ffn.receptance.weight", 1.0},
      {"ffn.value.weight", 0.5},
      // RWKV-6
      {"att.time_maa_w1", 1.0},
      {"att.time_maa_w2", 0.3},
      {"att.time_decay_w1", 1.0},
      {"att.time_decay_w2", 0.7},
      // RWKV-7
      {"att.w1", 1.0},
      {"att.w2", 0.7},
      {"att.a1", 1.0},
      {"att.a2", 1.0},
      {"att.v1", 1.0},
      {"att.v2", 1.0},
      {"att.g1", 1.0},
      {"att.g2", 2.0},
  };
  const auto it = gains.find(suffix);
  return it == gains.end() ? 0.0 : it->second;
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

Range RangeOf(Generation generation, std::string_view name, const Shape& shape) {
  const std::string_view suffix = Suffix(name);
  if (const double gain = Gain(suffix); gain != 0.0) {
    const bool low_rank = !EndsWith(suffix, ".weight");  // stored [in, out]
    const int64_t fan_in = low_rank ? shape[shape.size() - 2] : shape.back();
    return {0.0, std::sqrt(3.0 / static_cast<double>(fan_in)) * gain};
  }
  if (suffix == "emb.weight") return {0.0, 0.05};  // small, so that ln0's eps shows
  // Decays from a token to hundreds of tokens.
  if (suffix == "att.time_decay") return Major(generation) == 4 ? Range{-1.0, 4.0} : Range{-2.5, 3.5};
  if (suffix == "att.w0") return {-2.5, 4.0};
  if (suffix == "att.time_first") return {-0.5, 1.0};
  if (suffix == "att.time_faaaa") return {0.3, 0.5};
  if (suffix == "att.a0") return {0.0, 1.5};
  if (suffix == "att.v0") return {0.5, 1.0};
  if (suffix == "att.k_k") return {0.8, 0.4};
  if (suffix == "att.k_a") return {1.0, 0.3};
  if (suffix == "att.r_k") return {0.0, 0.4};
  if (EndsWith(suffix, ".weight")) return {1.0, 0.3};  // LayerNorm and GroupNorm
  if (EndsWith(suffix, ".bias")) return {0.0, 0.2};
  return {0.5, 0.5};  // token shift
}

/// Elements [begin, end) of a tensor whose generator starts at `start` = seed + fnv1a64(name).
void Fill(uint64_t start, Range range, int64_t begin, int64_t end, float* dst) {
  for (int64_t i = begin; i < end; ++i) {
    const uint64_t z = Mix64(start + (static_cast<uint64_t>(i) + 1) * kGoldenStep);
    // 2u − 1 = (z >> 40) · 2^-23 − 1, exact in double.
    const double centred = static_cast<double>(static_cast<int32_t>(z >> 40)) * 0x1p-23 - 1.0;
    *dst++ = static_cast<float>(range.offset + range.scale * centred);
  }
}

/// The bytes of a tensor stored as `type`, made in parallel. Pieces are whole blocks of every type.
std::vector<std::byte> MakeBytes(uint64_t start, Range range, DType type, int64_t elements, uint64_t size) {
  constexpr int64_t kPiece = 4096;
  static_assert(kPiece % 256 == 0);
  std::vector<std::byte> bytes(size);
  const DTypeTraits& traits = Traits(type);
  ParallelFor((elements + kPiece - 1) / kPiece, 16, [&](int64_t first, int64_t last) {
    float values[kPiece];
    for (int64_t piece = first; piece < last; ++piece) {
      const int64_t begin = piece * kPiece;
      const int64_t end = std::min(elements, begin + kPiece);
      Fill(start, range, begin, end, values);
      QuantizeRow(type, values, bytes.data() + begin / traits.block * traits.block_bytes, end - begin);
    }
  });
  return bytes;
}

// --- names and shapes
// -----------------------------------------------------------------------------------------------

using Shapes = std::vector<std::pair<std::string, Shape>>;

class ShapeList {
 public:
  explicit ShapeList(const RandomModel& model) : m_(model), C_(model.width) {
    if (m_.head_size > 0) H_ = C_ / m_.head_size;
    Add("emb.weight", {m_.vocab, C_});
    for (int64_t i = 0; i < m_.layers; ++i) AddBlock(i);
    AddNorm("ln_out");
    Add("head.weight", {m_.vocab, C_});
  }
  Shapes Take() { return std::move(shapes_); }

 private:
  void Add(std::string name, Shape shape) { shapes_.emplace_back(std::move(name), std::move(shape)); }
  void AddVectors(const std::string& prefix, std::initializer_list<const char*> names) {
    for (const char* name : names) Add(prefix + name, {1, 1, C_});
  }
  void AddSquares(const std::string& prefix, std::initializer_list<const char*> names) {
    for (const char* name : names) Add(prefix + name + ".weight", {C_, C_});
  }
  void AddNorm(const std::string& name) {
    Add(name + ".weight", {C_});
    Add(name + ".bias", {C_});
  }

  void AddBlock(int64_t layer) {
    const std::string block = fmt::format("blocks.{}.", layer);
    if (layer == 0) AddNorm(block + "ln0");
    AddNorm(block + "ln1");
    AddNorm(block + "ln2");
    switch (Major(m_.generation)) {
      case 4:
        AddTimeMix4(block + "att.");
        break;
      case 5:
        AddTimeMix5(block + "att.");
        break;
      case 6:
        AddTimeMix6(block + "att.");
        break;
      default:
        AddTimeMix7(block + "att.", layer);
        break;
    }
    AddChannelMix(block + "ffn.");
  }

  void AddTimeMix4(const std::string& att) {
    const int64_t A = m_.attention_width > 0 ? m_.attention_width : C_;
    Add(att + "time_decay", {A});
    Add(att + "time_first", {A});
    AddVectors(att, {"time_mix_k", "time_mix_v", "time_mix_r"});
    for (const char* name : {"key", "value", "receptance"}) Add(att + name + ".weight", {A, C_});
    Add(att + "output.weight", {C_, A});
  }

  void AddTimeMix5(const std::string& att) {
    const bool gated = m_.generation != Generation::kRwkv5_0;
    AddVectors(att, {"time_mix_k", "time_mix_v", "time_mix_r"});
    if (gated) AddVectors(att, {"time_mix_g"});
    const Shape decay = m_.generation == Generation::kRwkv5_2 ? Shape{H_, m_.head_size} : Shape{H_};
    Add(att + "time_decay", decay);
    Add(att + (m_.log_time_first ? "time_first" : "time_faaaa"), decay);
    AddSquares(att, {"receptance", "key", "value", "output"});
    if (gated) AddSquares(att, {"gate"});
    AddNorm(att + "ln_x");
  }

  void AddTimeMix6(const std::string& att) {
    AddVectors(att, {"time_maa_x", "time_maa_w", "time_maa_k", "time_maa_v", "time_maa_r", "time_maa_g"});
    Add(att + "time_maa_w1", {C_, 5 * m_.mix_rank});
    Add(att + "time_maa_w2", {5, m_.mix_rank, C_});
    AddVectors(att, {"time_decay"});
    Add(att + "time_decay_w1", {C_, m_.decay_rank});
    Add(att + "time_decay_w2", {m_.decay_rank, C_});
    Add(att + "time_faaaa", {H_, m_.head_size});
    AddSquares(att, {"receptance", "key", "value", "output", "gate"});
    AddNorm(att + "ln_x");
  }

  void AddTimeMix7(const std::string& att, int64_t layer) {
    AddVectors(att, {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"});
    AddLowRank(att + "w", m_.decay_rank, true);
    AddLowRank(att + "a", m_.iclr_rank, true);
    if (layer > 0 || m_.block0_value_mix) AddLowRank(att + "v", m_.value_rank, true);
    AddLowRank(att + "g", m_.gate_rank, false);
    AddVectors(att, {"k_k", "k_a"});
    Add(att + "r_k", {H_, m_.head_size});
    AddSquares(att, {"receptance", "key", "value", "output"});
    AddNorm(att + "ln_x");
  }

  void AddLowRank(const std::string& name, int64_t rank, bool bias) {
    if (bias) Add(name + "0", {1, 1, C_});
    Add(name + "1", {C_, rank});
    Add(name + "2", {rank, C_});
  }

  void AddChannelMix(const std::string& ffn) {
    const int major = Major(m_.generation);
    if (major <= 5) AddVectors(ffn, {"time_mix_k", "time_mix_r"});
    if (major == 6) AddVectors(ffn, {"time_maa_k", "time_maa_r"});
    if (major == 7) AddVectors(ffn, {"x_k"});
    Add(ffn + "key.weight", {m_.ffn, C_});
    if (major != 7) AddSquares(ffn, {"receptance"});
    Add(ffn + "value.weight", {C_, m_.ffn});
  }

  const RandomModel& m_;
  int64_t C_, H_ = 0;
  Shapes shapes_;
};

DType StorageType(std::string_view name, const Shape& shape, DType matrix_type) {
  const std::string_view suffix = Suffix(name);
  if (suffix != "emb.weight" && Gain(suffix) == 0.0) return DType::kF32;
  return NumBytes(matrix_type, shape) ? matrix_type : DType::kF16;
}

// --- published sizes
// ------------------------------------------------------------------------------------------------

RandomModel Rwkv4(int64_t layers, int64_t width) {
  return {
      .generation = Generation::kRwkv4, .vocab = 50277, .width = width, .layers = layers, .ffn = 4 * width};
}

RandomModel Rwkv5(int64_t layers, int64_t width) {
  return {.generation = Generation::kRwkv5_2,
          .vocab = 65536,
          .width = width,
          .layers = layers,
          .ffn = width * 7 / 2 / 32 * 32,
          .head_size = 64};
}

RandomModel Rwkv6(int64_t layers, int64_t width) {
  const int64_t factor = width >= 4096 ? 2 : 1;
  return {.generation = Generation::kRwkv6,
          .vocab = 65536,
          .width = width,
          .layers = layers,
          .ffn = width * 7 / 2 / 32 * 32,
          .head_size = 64,
          .mix_rank = 32 * factor,
          .decay_rank = 64 * factor};
}

/// Ranks as in the published files, in multiples of 32: 1.8√C (decay, rate), 1.3√C (value), 0.6·C^0.8 (gate).
RandomModel Rwkv7(int64_t layers, int64_t width) {
  const double C = static_cast<double>(width);
  const auto rank = [](double x) { return std::max<int64_t>(32, 32 * std::llround(x / 32)); };
  return {.generation = Generation::kRwkv7,
          .vocab = 65536,
          .width = width,
          .layers = layers,
          .ffn = 4 * width,
          .head_size = 64,
          .decay_rank = rank(1.8 * std::sqrt(C)),
          .iclr_rank = rank(1.8 * std::sqrt(C)),
          .value_rank = rank(1.3 * std::sqrt(C)),
          .gate_rank = rank(0.6 * std::pow(C, 0.8))};
}

}  // namespace

Result<RandomModel> PublishedModel(std::string_view name) {
  static const std::vector<std::pair<std::string_view, RandomModel>> models = {
      {"rwkv4:169M", Rwkv4(12, 768)},  {"rwkv4:430M", Rwkv4(24, 1024)}, {"rwkv4:1.5B", Rwkv4(24, 2048)},
      {"rwkv4:3B", Rwkv4(32, 2560)},   {"rwkv4:7B", Rwkv4(32, 4096)},   {"rwkv4:14B", Rwkv4(40, 5120)},
      {"rwkv5:0.4B", Rwkv5(24, 1024)}, {"rwkv5:1.5B", Rwkv5(24, 2048)}, {"rwkv5:3B", Rwkv5(32, 2560)},
      {"rwkv5:7B", Rwkv5(32, 4096)},   {"rwkv6:1.6B", Rwkv6(24, 2048)}, {"rwkv6:3B", Rwkv6(32, 2560)},
      {"rwkv6:7B", Rwkv6(32, 4096)},   {"rwkv7:0.1B", Rwkv7(12, 768)},  {"rwkv7:0.4B", Rwkv7(24, 1024)},
      {"rwkv7:1.5B", Rwkv7(24, 2048)}, {"rwkv7:2.9B", Rwkv7(32, 2560)}, {"rwkv7:7.2B", Rwkv7(32, 4096)},
  };
  std::string known;
  for (const auto& [model_name, model] : models) {
    if (model_name == name) return model;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", model_name);
  }
  return NotFound(fmt::format("no published model is called '{}'; there are {}", name, known));
}

std::vector<OutputTensor> RandomTensors(const RandomModel& model, DType matrix_type) {
  std::vector<OutputTensor> tensors;
  for (auto& [name, shape] : ShapeList(model).Take()) {
    const DType type = StorageType(name, shape, matrix_type);
    const Range range = RangeOf(model.generation, name, shape);
    const uint64_t start = model.seed + Fnv1a64(name);
    const auto produce = [=, shape = shape]() -> Result<TensorBytes> {
      return TensorBytes{.view = {},
                         .owned = MakeBytes(start, range, type, *NumElements(shape), *NumBytes(type, shape))};
    };
    tensors.push_back({std::move(name), type, std::move(shape), produce});
  }
  return tensors;
}

std::vector<float> RandomValues(const RandomModel& model, const std::string& name, const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(*NumElements(shape)));
  Fill(model.seed + Fnv1a64(name), RangeOf(model.generation, name, shape), 0,
       static_cast<int64_t>(values.size()), values.data());
  return values;
}

int64_t CountParameters(const RandomModel& model) {
  int64_t count = 0;
  for (const auto& [name, shape] : ShapeList(model).Take()) count += *NumElements(shape);
  return count;
}

}  // namespace tern::testing
