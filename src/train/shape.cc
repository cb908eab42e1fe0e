#include "train/shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tern::train {
namespace {

/// max(32, 32·round(x/32)), with Python's rounding of halves to even, as the reference.
int64_t Rank(double x) { return std::max<int64_t>(32, 32 * static_cast<int64_t>(std::nearbyint(x / 32))); }

/// Cache lines and vectors: every tensor starts on a 64-byte border of an aligned flat array.
constexpr int64_t kAlignment = 16;

}  // namespace

Result<ModelShape> MakeShape(Generation generation, int64_t vocab, int64_t layers, int64_t width, int64_t head_size) {
  if (generation != Generation::kRwkv4 && generation != Generation::kRwkv7)
    return Unsupported(fmt::format("{} cannot be trained; RWKV-4 and RWKV-7 can", Name(generation)));
  if (vocab < 2 || layers < 1 || width < 1 || head_size < 1)
    return InvalidArgument(fmt::format("a model of {} layers, width {}, heads of {} and {} tokens is not possible", layers,
                                       width, head_size, vocab));
  constexpr int64_t kMostLayers = 4096, kMostWidth = 1 << 17, kMostVocab = 1 << 24;
  if (layers > kMostLayers || width > kMostWidth || vocab > kMostVocab)
    return InvalidArgument(fmt::format("{} layers, width {}, {} tokens: a model has at most {}, {} and {}", layers, width, vocab,
                                       kMostLayers, kMostWidth, kMostVocab));
  ModelShape shape;
  shape.generation = generation;
  shape.vocab = vocab;
  shape.layers = layers;
  shape.width = shape.att_width = width;
  shape.ffn_width = 4 * width;
  if (generation == Generation::kRwkv4) return shape;
  if (width % head_size != 0)
    return InvalidArgument(fmt::format("width {} is not a multiple of the head size {}", width, head_size));
  shape.head_size = head_size;
  shape.heads = width / head_size;
  const double root = std::sqrt(static_cast<double>(width));
  shape.rank_w = shape.rank_a = Rank(2.5 * root);
  shape.rank_v = Rank(1.7 * root);
  shape.rank_g = Rank(5 * root);
  return shape;
}

Result<ModelShape> ReadShape(const Checkpoint& checkpoint) {
  TERN_ASSIGN_OR_RETURN(const ModelConfig config, ReadConfig(checkpoint));
  if (config.generation != Generation::kRwkv4 && config.generation != Generation::kRwkv7)
    return Unsupported(fmt::format("{} cannot be trained; RWKV-4 and RWKV-7 can", Name(config.generation)));
  ModelShape shape;
  static_cast<ModelConfig&>(shape) = config;
  if (config.generation == Generation::kRwkv4) return shape;
  const auto rank = [&](const char* name, int64_t* to) -> Status {
    // A model of one layer has no v1: its rank is then never used.
    const CheckpointTensor* tensor = checkpoint.Find(name);
    if (tensor == nullptr) return OkStatus();
    if (tensor->shape.size() != 2) return InvalidArgument(fmt::format("{}: expected two dimensions", name));
    *to = static_cast<int64_t>(tensor->shape[1]);
    return OkStatus();
  };
  TERN_RETURN_IF_ERROR(rank("blocks.0.att.w1", &shape.rank_w));
  TERN_RETURN_IF_ERROR(rank("blocks.0.att.a1", &shape.rank_a));
  TERN_RETURN_IF_ERROR(rank("blocks.0.att.g1", &shape.rank_g));
  shape.rank_v = shape.rank_a;
  TERN_RETURN_IF_ERROR(rank("blocks.1.att.v1", &shape.rank_v));
  return shape;
}

ParameterLayout::ParameterLayout(const ModelShape& shape) : shape_(shape) {
  const int64_t V = shape.vocab, C = shape.width, L = shape.layers;
  Add("emb.weight", {V, C}, Role::kEmbedding, -1);
  Add("blocks.0.ln0.weight", {C}, Role::kNorm, -1);
  Add("blocks.0.ln0.bias", {C}, Role::kNorm, -1);
  for (int64_t layer = 0; layer < L; ++layer) {
    if (shape.generation == Generation::kRwkv4) {
      AddRwkv4(layer);
    } else {
      AddRwkv7(layer);
    }
  }
  Add("ln_out.weight", {C}, Role::kNorm, L);
  Add("ln_out.bias", {C}, Role::kNorm, L);
  Add("head.weight", {V, C}, Role::kHead, L);
  PlaceAll();
}

void ParameterLayout::Add(std::string name, Shape shape, Role role, int64_t layer) {
  Parameter p{.name = std::move(name), .shape = shape, .role = role, .size = 1, .layer = layer};
  for (const auto dim : shape) p.size *= static_cast<int64_t>(dim);
  parameters_.push_back(std::move(p));
}

void ParameterLayout::PlaceAll() {
  std::stable_sort(parameters_.begin(), parameters_.end(), [](const Parameter& a, const Parameter& b) {
    return a.layer != b.layer ? a.layer < b.layer : a.is_matrix() < b.is_matrix();
  });
  for (Parameter& p : parameters_) {
    p.offset = total_;
    total_ += (p.size + kAlignment - 1) / kAlignment * kAlignment;
    count_ += p.size;
    if (p.is_matrix() && p.role != Role::kEmbedding) matrix_count_ += p.size;
  }
}

void ParameterLayout::AddRwkv4(int64_t layer) {
  const int64_t C = shape_.width, A = shape_.att_width, F = shape_.ffn_width;
  const std::string block = fmt::format("blocks.{}.", layer), att = block + "att.", ffn = block + "ffn.";
  for (const char* norm : {"ln1", "ln2"}) {
    Add(block + norm + ".weight", {C}, Role::kNorm, layer);
    Add(block + norm + ".bias", {C}, Role::kNorm, layer);
  }
  Add(att + "time_decay", {A}, Role::kVector, layer);
  Add(att + "time_first", {A}, Role::kVector, layer);
  for (const char* mix : {"time_mix_k", "time_mix_v", "time_mix_r"}) Add(att + mix, {C}, Role::kVector, layer);
  for (const char* matrix : {"key.weight", "value.weight", "receptance.weight"})
    Add(att + matrix, {A, C}, Role::kMatrix, layer);
  Add(att + "output.weight", {C, A}, Role::kMatrix, layer);
  Add(ffn + "time_mix_k", {C}, Role::kVector, layer);
  Add(ffn + "time_mix_r", {C}, Role::kVector, layer);
  Add(ffn + "key.weight", {F, C}, Role::kMatrix, layer);
  Add(ffn + "receptance.weight", {C, C}, Role::kMatrix, layer);
  Add(ffn + "value.weight", {C, F}, Role::kMatrix, layer);
}

void ParameterLayout::AddRwkv7(int64_t layer) {
  const int64_t C = shape_.width, A = shape_.att_width, F = shape_.ffn_width, H = shape_.heads, N = shape_.head_size;
  const std::string block = fmt::format("blocks.{}.", layer), att = block + "att.", ffn = block + "ffn.";
  const auto low_rank = [&](const char* letter, int64_t rank) {
    Add(att + letter + "0", {A}, Role::kVector, layer);
    Add(att + letter + "1", {C, rank}, Role::kLowRank, layer);
    Add(att + letter + "2", {rank, A}, Role::kLowRank, layer);
  };
  for (const char* norm : {"ln1", "ln2"}) {
    Add(block + norm + ".weight", {C}, Role::kNorm, layer);
    Add(block + norm + ".bias", {C}, Role::kNorm, layer);
  }
  for (const char* mix : {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"}) Add(att + mix, {C}, Role::kVector, layer);
  low_rank("w", shape_.rank_w);
  low_rank("a", shape_.rank_a);
  if (layer > 0) low_rank("v", shape_.rank_v);
  Add(att + "g1", {C, shape_.rank_g}, Role::kLowRank, layer);
  Add(att + "g2", {shape_.rank_g, A}, Role::kLowRank, layer);
  Add(att + "k_k", {A}, Role::kVector, layer);
  Add(att + "k_a", {A}, Role::kVector, layer);
  Add(att + "r_k", {H, N}, Role::kVector, layer);
  for (const char* matrix : {"receptance.weight", "key.weight", "value.weight"})
    Add(att + matrix, {A, C}, Role::kMatrix, layer);
  Add(att + "output.weight", {C, A}, Role::kMatrix, layer);
  Add(att + "ln_x.weight", {A}, Role::kNorm, layer);
  Add(att + "ln_x.bias", {A}, Role::kNorm, layer);
  Add(ffn + "x_k", {C}, Role::kVector, layer);
  Add(ffn + "key.weight", {F, C}, Role::kMatrix, layer);
  Add(ffn + "value.weight", {C, F}, Role::kMatrix, layer);
}

const Parameter* ParameterLayout::Find(const std::string& name) const {
  const auto at = std::find_if(parameters_.begin(), parameters_.end(), [&](const Parameter& p) { return p.name == name; });
  return at == parameters_.end() ? nullptr : &*at;
}

const Parameter& ParameterLayout::Get(const std::string& name) const { return *Find(name); }

ParameterLayout::Range ParameterLayout::LayerRange(int64_t layer) const {
  Range range{total_, total_};
  for (const Parameter& p : parameters_) {
    if (p.layer == layer) range.begin = std::min(range.begin, p.offset);
    if (p.layer > layer) {
      range.end = p.offset;
      break;
    }
  }
  return range;
}

ParameterLayout::Range ParameterLayout::VectorRange(int64_t layer) const {
  Range range = LayerRange(layer);
  for (const Parameter& p : parameters_) {
    if (p.layer != layer || !p.is_matrix()) continue;
    range.end = p.offset;
    break;
  }
  return range;
}

}  // namespace tern::train
