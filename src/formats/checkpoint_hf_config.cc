// What Hugging Face's loaders want to know before they look at a tensor.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

#include "formats/checkpoint_plan.h"

namespace tern {
namespace {

class ConfigMaker {
 public:
  ConfigMaker(const Checkpoint& checkpoint, const SavePlan& plan) : checkpoint_(checkpoint), plan_(plan) {}

  nlohmann::ordered_json Rwkv4() const {
    nlohmann::ordered_json json = Common("rwkv", "RwkvForCausalLM");
    json.update({{"context_length", 1024},  // what its models say; the weights know none
                 {"attention_hidden_size", Size("blocks.0.att.key.weight", 0)},
                 {"intermediate_size", Size("blocks.0.ffn.key.weight", 0)},
                 {"layer_norm_epsilon", Epsilon()},
                 {"rescale_every", 6}});
    return json;
  }

  nlohmann::ordered_json Rwkv7() const {
    nlohmann::ordered_json json = Common("rwkv7", "RWKV7ForCausalLM");
    const int64_t head_size = plan_.context.head_size;
    // Layer 0 has no value mixing that is used.
    const int64_t value_rank = plan_.layers > 1 ? Size("blocks.1.att.v1", 1) : Size("blocks.0.att.v1", 1);
    json.update({{"attn_mode", "chunk"},
                 {"intermediate_size", Size("blocks.0.ffn.key.weight", 0)},
                 {"hidden_act", "sqrelu"},
                 {"head_dim", head_size},
                 {"num_heads", head_size > 0 ? plan_.context.channels / head_size : 0},
                 {"decay_low_rank_dim", Size("blocks.0.att.w1", 1)},
                 {"gate_low_rank_dim", Size("blocks.0.att.g1", 1)},
                 {"a_low_rank_dim", Size("blocks.0.att.a1", 1)},
                 {"norm_first", true},
                 {"norm_bias", true},
                 {"norm_eps", Epsilon()}});
    if (value_rank > 0) json["v_low_rank_dim"] = value_rank;
    return json;
  }

 private:
  nlohmann::ordered_json Common(const char* type, const char* architecture) const {
    return {{"architectures", {architecture}},
            {"model_type", type},
            {"vocab_size", plan_.vocabulary},
            {"hidden_size", plan_.context.channels},
            {"num_hidden_layers", plan_.layers},
            {"bos_token_id", 0},
            {"eos_token_id", 0},
            {"tie_word_embeddings", false},
            {"use_cache", true},
            {"torch_dtype", TorchType()}};
  }

  /// 0 where there is no such tensor.
  int64_t Size(const char* name, size_t dimension) const {
    const CheckpointTensor* tensor = checkpoint_.Find(name);
    return tensor == nullptr || dimension >= tensor->shape.size() ? 0 : tensor->shape[dimension];
  }

  /// As the shortest decimal number that is this float.
  nlohmann::ordered_json Epsilon() const {
    return nlohmann::ordered_json::parse(fmt::format("{}", checkpoint_.layer_norm_eps()), nullptr, false);
  }

  std::string TorchType() const {
    for (const StoredForm& form : plan_.forms) {
      if (form.part != Part::kMatrix) continue;
      if (form.dtype == DType::kBF16) return "bfloat16";
      if (form.dtype == DType::kF16) return "float16";
      break;
    }
    return "float32";
  }

  const Checkpoint& checkpoint_;
  const SavePlan& plan_;
};

}  // namespace

std::string HuggingFaceConfig(const Checkpoint& checkpoint, const SavePlan& plan) {
  const ConfigMaker maker(checkpoint, plan);
  switch (Major(checkpoint.generation())) {
    case 4:
      return maker.Rwkv4().dump(2) + "\n";
    case 7:
      return maker.Rwkv7().dump(2) + "\n";
    default:
      return "";
  }
}

}  // namespace tern
