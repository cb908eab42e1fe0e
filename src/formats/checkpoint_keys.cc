#include "formats/checkpoint_keys.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "formats/checkpoint_names.h"

namespace tern {
namespace {

Status MissingKey(const TensorSource& source, const std::string& key, std::string_view why) {
  return Corrupt(fmt::format("'{}' has no key {}{}{}", source.path(), key, why.empty() ? "" : ", ", why));
}

bool HasHubConfig(const Metadata& metadata) {
  const auto first = metadata.lower_bound("config.");
  return first != metadata.end() && first->first.starts_with("config.");
}

/// Compares keys with sizes, and keeps the first that differs.
class KeyComparer {
 public:
  explicit KeyComparer(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  /// The size of a dimension of a canonical tensor, divided by `share`; nothing where there is no such
  /// tensor.
  std::optional<int64_t> Size(const char* name, size_t dimension, int64_t share = 1) const {
    const CheckpointTensor* tensor = checkpoint_.Find(name);
    if (tensor == nullptr || dimension >= tensor->shape.size()) return std::nullopt;
    return tensor->shape[dimension] / share;
  }

  int64_t Layers() const {
    int64_t layers = 0;
    for (const CheckpointTensor& tensor : checkpoint_.tensors()) {
      layers = std::max(layers, SplitLayer(tensor.name).layer + 1);
    }
    return layers;
  }

  void Compare(const std::string& key, std::optional<int64_t> size) {
    const auto stated = MetaNumber(checkpoint_.source().metadata(), key);
    if (!stated || !size || *stated == static_cast<double>(*size) || !status_.ok()) return;
    status_ = Corrupt(fmt::format("'{}': {} is {}, but by its tensors it is {}", checkpoint_.source().path(),
                                  key, *stated, *size));
  }

  /// A key that must have this value: Tern computes no other variant of the architecture.
  void Require(const std::string& key, const MetaValue& expected, std::string_view shown) {
    const Metadata& metadata = checkpoint_.source().metadata();
    const auto found = metadata.find(key);
    if (found == metadata.end() || found->second == expected || !status_.ok()) return;
    status_ =
        Unsupported(fmt::format("'{}': only {} = {} is supported", checkpoint_.source().path(), key, shown));
  }

  const Status& status() const { return status_; }

 private:
  const Checkpoint& checkpoint_;
  Status status_;
};

void CompareGgufKeys(int major, KeyComparer* keys) {
  const std::string arch = GgufArchitecture(major) + ".";
  keys->Compare(arch + "block_count", keys->Layers());
  keys->Compare(arch + "embedding_length", keys->Size("emb.weight", 1));
  keys->Compare(arch + "vocab_size", keys->Size("emb.weight", 0));
  keys->Compare(arch + "feed_forward_length", keys->Size("blocks.0.ffn.key.weight", 0));
  keys->Compare(arch + "token_shift_count", 2);  // one before the time mix, one before the channel mix
  if (major == 6) {
    keys->Compare(arch + "wkv.head_size", keys->Size("blocks.0.att.time_faaaa", 1));
    keys->Compare(arch + "time_mix_extra_dim", keys->Size("blocks.0.att.time_maa_w1", 1, 5));
    keys->Compare(arch + "time_decay_extra_dim", keys->Size("blocks.0.att.time_decay_w1", 1));
  }
  if (major == 7) {
    keys->Compare(arch + "wkv.head_size", keys->Size("blocks.0.att.r_k", 1));
    keys->Compare(arch + "attention.decay_lora_rank", keys->Size("blocks.0.att.w1", 1));
    keys->Compare(arch + "attention.iclr_lora_rank", keys->Size("blocks.0.att.a1", 1));
    keys->Compare(arch + "attention.value_residual_mix_lora_rank", keys->Size("blocks.1.att.v1", 1));
    keys->Compare(arch + "attention.gate_lora_rank", keys->Size("blocks.0.att.g1", 1));
  }
}

void CompareHubKeys(int major, KeyComparer* keys) {
  keys->Compare("config.num_hidden_layers", keys->Layers());
  keys->Compare("config.hidden_size", keys->Size("emb.weight", 1));
  keys->Compare("config.vocab_size", keys->Size("emb.weight", 0));
  keys->Compare("config.intermediate_size", keys->Size("blocks.0.ffn.key.weight", 0));
  if (major != 7) {
    keys->Compare("config.attention_hidden_size", keys->Size("blocks.0.att.key.weight", 0));
    return;
  }
  // Not num_heads: the program computes with head_dim alone.
  keys->Compare("config.head_dim", keys->Size("blocks.0.att.r_k", 1));
  keys->Compare("config.decay_low_rank_dim", keys->Size("blocks.0.att.w1", 1));
  keys->Compare("config.a_low_rank_dim", keys->Size("blocks.0.att.a1", 1));
  keys->Compare("config.gate_low_rank_dim", keys->Size("blocks.0.att.g1", 1));
  keys->Compare("config.v_low_rank_dim", keys->Size("blocks.1.att.v1", 1));
  keys->Require("config.hidden_act", std::string("sqrelu"), "sqrelu");
  keys->Require("config.norm_first", true, "true");
}

/// The header of rwkv.cpp's format.
void CompareBinKeys(KeyComparer* keys) {
  keys->Compare("rwkv.n_layer", keys->Layers());
  keys->Compare("rwkv.n_embed", keys->Size("emb.weight", 1));
  keys->Compare("rwkv.n_vocab", keys->Size("emb.weight", 0));
}

}  // namespace

Result<int64_t> ReadHeadSizeKey(const TensorSource& source, int major, int64_t channels,
                                const std::optional<Shape>& per_head) {
  const std::string key = GgufArchitecture(major) + ".wkv.head_size";
  const auto stated = MetaNumber(source.metadata(), key);
  if (stated) {
    if (!(*stated >= 1 && *stated <= static_cast<double>(channels)) ||
        std::fmod(static_cast<double>(channels), *stated) != 0) {
      return Corrupt(fmt::format("'{}': {} is {}, which does not divide {} channels", source.path(), key,
                                 *stated, channels));
    }
    return static_cast<int64_t>(*stated);
  }
  if (per_head && per_head->size() == 2) return per_head->back();
  if (per_head && major == 5 && per_head->size() == 1 && per_head->front() > 0)
    return channels / per_head->front();
  return MissingKey(source, key, "and no shape of its tensors tells the size of a head");
}

Result<int64_t> ReadRescaleKey(const TensorSource& source, int64_t layers) {
  const std::string key = "rwkv6.rescale_every_n_layers";
  const auto every = MetaNumber(source.metadata(), key);
  if (!every) return MissingKey(source, key, "which says how its output and value matrices are scaled");
  if (*every == 0) return 0;
  constexpr double kMostHalvings = 64;
  if (!(*every >= 1 && *every <= 1e6) ||
      std::floor(static_cast<double>(layers - 1) / *every) > kMostHalvings) {
    return Corrupt(fmt::format("'{}': {} is {} in a model of {} layers", source.path(), key, *every, layers));
  }
  return static_cast<int64_t>(*every);
}

Result<std::optional<float>> ReadEpsilonKey(const TensorSource& source, int major) {
  const bool gguf = source.format() == FileFormat::kGguf;
  const std::string gguf_key = GgufArchitecture(major) + ".attention.layer_norm_epsilon";
  const std::vector<std::string> keys =
      gguf ? std::vector<std::string>{gguf_key}
           : std::vector<std::string>{"config.layer_norm_epsilon", "config.norm_eps"};
  for (const std::string& key : keys) {
    const auto eps = MetaNumber(source.metadata(), key);
    if (!eps) continue;
    if (!(*eps > 0 && *eps < 1)) {
      return Corrupt(
          fmt::format("'{}': {} is {}, expected a small positive number", source.path(), key, *eps));
    }
    return std::optional<float>(static_cast<float>(*eps));
  }
  if (gguf) return MissingKey(source, gguf_key, "");
  if (HasHubConfig(source.metadata())) return MissingKey(source, major == 7 ? keys[1] : keys[0], "");
  return std::optional<float>();
}

Status CheckSizeKeys(const Checkpoint& checkpoint) {
  const int major = Major(checkpoint.generation());
  KeyComparer keys(checkpoint);
  if (checkpoint.source().format() == FileFormat::kGguf) CompareGgufKeys(major, &keys);
  if (checkpoint.source().format() == FileFormat::kRwkvBin) CompareBinKeys(&keys);
  if (HasHubConfig(checkpoint.source().metadata())) CompareHubKeys(major, &keys);
  return keys.status();
}

}  // namespace tern
