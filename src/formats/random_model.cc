#include "formats/random_model.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <utility>

#include "base/random.h"

namespace tern {
namespace {

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

// --- names and shapes
// -----------------------------------------------------------------------------------------------

class TensorList {
 public:
  explicit TensorList(const RandomModel& model) : m_(model), C_(model.width) {
    if (m_.head_size > 0) H_ = C_ / m_.head_size;
    Add("emb.weight", {m_.vocab, C_});
    for (int64_t i = 0; i < m_.layers; ++i) AddBlock(i);
    AddNorm("ln_out");
    Add("head.weight", {m_.vocab, C_});
  }
  std::vector<RandomTensor> Take() { return std::move(tensors_); }

 private:
  void Add(std::string name, Shape shape) {
    tensors_.push_back(MakeRandomTensor(m_, std::move(name), std::move(shape)));
  }
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
  std::vector<RandomTensor> tensors_;
};

}  // namespace

RandomTensor MakeRandomTensor(const RandomModel& model, std::string name, Shape shape) {
  const Range range = RangeOf(model.generation, name, shape);
  const std::string_view suffix = Suffix(name);
  const bool matrix = suffix == "emb.weight" || Gain(suffix) != 0.0;
  const uint64_t start = model.seed + Fnv1a64(name);
  return {std::move(name), std::move(shape), matrix, range.offset, range.scale, start};
}

std::vector<RandomTensor> ListTensors(const RandomModel& model) { return TensorList(model).Take(); }

void FillRandom(const RandomTensor& tensor, int64_t begin, int64_t end, float* dst) {
  for (int64_t i = begin; i < end; ++i) {
    const uint64_t z = Mix64(tensor.start + (static_cast<uint64_t>(i) + 1) * kGoldenStep);
    // 2u − 1 = (z >> 40) · 2^-23 − 1, exact in double.
    const double centred = static_cast<double>(static_cast<int32_t>(z >> 40)) * 0x1p-23 - 1.0;
    *dst++ = static_cast<float>(tensor.offset + tensor.scale * centred);
  }
}

int64_t CountParameters(const RandomModel& model) {
  int64_t count = 0;
  for (const RandomTensor& tensor : ListTensors(model)) count += *NumElements(tensor.shape);
  return count;
}

}  // namespace tern
