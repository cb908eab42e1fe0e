#include "formats/checkpoint.h"

#include <algorithm>

namespace tern {

std::string_view Name(Generation generation) {
  switch (generation) {
    case Generation::kRwkv4: return "RWKV-4";
    case Generation::kRwkv5_0: return "RWKV-5.0";
    case Generation::kRwkv5_1: return "RWKV-5.1";
    case Generation::kRwkv5_2: return "RWKV-5.2";
    case Generation::kRwkv6: return "RWKV-6";
    case Generation::kRwkv7: return "RWKV-7";
  }
  return "?";
}

Shape CheckpointTensor::StoredShape() const {
  Shape stored = shape;
  if (transposed && stored.size() >= 2) std::swap(stored[stored.size() - 1], stored[stored.size() - 2]);
  return stored;
}

const CheckpointTensor* Checkpoint::Find(std::string_view name) const {
  const auto it = index_.find(std::string(name));
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

}  // namespace tern
