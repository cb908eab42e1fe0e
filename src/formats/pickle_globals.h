// The Python names in a checkpoint's pickle. Those that lead to tensors have a fixed meaning inside Tern; all
// others stand for values that Tern does not make. Nothing is ever looked up, imported or called by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tensor/dtype.h"

namespace tern {

enum class PickleGlobalKind : uint8_t {
  kDict,              ///< dict, collections.OrderedDict, defaultdict, Counter
  kSequence,          ///< set, frozenset, list, tuple
  kRebuildTensor,     ///< torch._utils._rebuild_tensor{,_v2}: the type is the storage's
  kRebuildTensorV3,   ///< torch._utils._rebuild_tensor_v3: the type is an argument, the storage has none
  kRebuildParameter,  ///< torch._utils._rebuild_parameter{,_with_state}
  kRebuildFromType,   ///< torch._tensor._rebuild_from_type_v2: a call inside a call
  kTensorClass,       ///< torch.Tensor, torch.nn.parameter.Parameter: classes whose values are plain tensors
  kSize,              ///< torch.Size
  kStorage,           ///< torch.FloatStorage and so on: a storage of one type
  kUntypedStorage,    ///< torch.storage.UntypedStorage: bytes
  kDType,             ///< torch.float32 and so on
  kForeign,           ///< any other: what is made with it is an opaque value
};

struct PickleGlobal {
  std::string_view module, name;
  PickleGlobalKind kind;
  DType dtype = DType::kU8;  ///< of kStorage and kDType
};

/// "module.name" for messages: printable, cut where it is very long.
std::string FullName(const PickleGlobal& global);

/// The global of that name that has a meaning, or nullptr. The result lives for ever.
const PickleGlobal* FindPickleGlobal(std::string_view module, std::string_view name);

/// Whether the name is one that only a pickle made to run commands uses (os.system, builtins.eval). Such a
/// file is refused, though Tern would not call it: it is no file of weights, and other programs must be
/// warned of it.
bool RunsCode(std::string_view module, std::string_view name);

/// The name in module `torch` of the storage class that holds `type` ("FloatStorage"); nothing when torch has
/// none.
std::optional<std::string_view> TorchStorageName(DType type);

}  // namespace tern
