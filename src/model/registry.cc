#include "model/architecture.h"

namespace tern {

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
