#include "model/architecture.h"

namespace tern {

void Architecture::Layer(Pass& pass, int64_t layer, float* x) const {
  const BlockWeights& block = Block(layer);
  Workspace::Scope scope(pass.workspace);
  float* normalised = pass.Rows(pass.config.width);
  Normalise(pass, block.ln1, x, normalised);
  TimeMix(pass, layer, normalised, x);
  Normalise(pass, block.ln2, x, normalised);
  ChannelMix(pass, block.ffn, layer, normalised, x);
}

std::unique_ptr<Architecture> MakeArchitecture(const ModelConfig& config) {
  switch (config.generation) {
    case Generation::kRwkv4: return MakeRwkv4(config);
    case Generation::kRwkv5_0:
    case Generation::kRwkv5_1:
    case Generation::kRwkv5_2: return MakeRwkv5(config);
    case Generation::kRwkv6: return MakeRwkv6(config);
    case Generation::kRwkv7: return MakeRwkv7(config);
  }
  return nullptr;
}

}  // namespace tern
