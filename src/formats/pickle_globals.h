// The Python names that a checkpoint's pickle may use. Each stands for a fixed meaning inside Tern: nothing
// is ever looked up or called by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tensor/dtype.h"

namespace tern {

enum class PickleGlobalKind : uint8_t {
  kOrderedDict,       ///< collections.OrderedDict
  kRebuildTensor,     ///< torch._utils._rebuild_tensor{,_v2}: the type is the storage's
  kRebuildTensorV3,   ///< torch._utils._rebuild_tensor_v3: the type is an argument, the storage has none
  kRebuildParameter,  ///< torch._utils._rebuild_parameter
  kSize,              ///< torch.Size
  kDevice,            ///< torch.device
  kStorage,           ///< torch.FloatStorage and so on: a storage of one type
  kUntypedStorage,    ///< torch.storage.UntypedStorage: bytes
  kDType,             ///< torch.float32 and so on
};

struct PickleGlobal {
  std::string_view module, name;
  PickleGlobalKind kind;
  DType dtype = DType::kU8;  ///< of kStorage and kDType
};

/// The allowed global of that name, or nullptr. The result lives for ever.
const PickleGlobal* FindPickleGlobal(std::string_view module, std::string_view name);

/// The name in module `torch` of the storage class that holds `type` ("FloatStorage"); nothing when torch has
/// none.
std::optional<std::string_view> TorchStorageName(DType type);

}  // namespace tern
