#include "formats/partial_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace tern {
namespace {

bool IsTunedState(std::string_view name) { return name.ends_with(".time_state"); }

bool IsEmbedding(std::string_view name) {
  return name == "emb.weight" || name == "token_embd.weight" || name.ends_with(".embeddings.weight");
}

/// RWKV-LM-LoRA's and PEFT's names, and those of web-rwkv. (flash-linear-attention's X_lora.lora.0.weight are
/// weights.)
bool IsLora(std::string_view name) {
  if (name.find(".lora_A") != std::string_view::npos || name.find(".lora_B") != std::string_view::npos)
    return true;
  return name.ends_with(".lora.0") || name.ends_with(".lora.1");
}

}  // namespace

Status CheckIsModel(const TensorSource& source) {
  const auto& tensors = source.tensors();
  const auto find = [&](bool (*is)(std::string_view)) {
    return std::find_if(tensors.begin(), tensors.end(),
                        [&](const TensorInfo& tensor) { return is(tensor.name); });
  };
  const auto lora = find(IsLora);
  const bool has_embedding = find(IsEmbedding) != tensors.end();
  if (lora != tensors.end()) {
    return Unsupported(fmt::format(
        "'{}' holds {} (tensor '{}'): merge it into its model with the program that trained it, "
        "and give the merged model",
        source.path(), has_embedding ? "a LoRA beside its weights" : "only a LoRA, not a model", lora->name));
  }
  const bool all_states =
      !tensors.empty() && std::all_of(tensors.begin(), tensors.end(),
                                      [](const TensorInfo& tensor) { return IsTunedState(tensor.name); });
  if (!all_states) return OkStatus();
  return Unsupported(
      fmt::format("'{}' holds only tuned initial states (tensor '{}'), not a model: give its model with "
                  "--model, and this file with --state-in",
                  source.path(), tensors.front().name));
}

}  // namespace tern
