#include "formats/pickle_globals.h"

namespace tern {
namespace {

using Kind = PickleGlobalKind;

constexpr PickleGlobal kGlobals[] = {
    {"collections", "OrderedDict", Kind::kOrderedDict},
    {"torch._utils", "_rebuild_tensor", Kind::kRebuildTensor},
    {"torch._utils", "_rebuild_tensor_v2", Kind::kRebuildTensor},
    {"torch._utils", "_rebuild_tensor_v3", Kind::kRebuildTensorV3},
    {"torch._utils", "_rebuild_parameter", Kind::kRebuildParameter},
    {"torch", "Size", Kind::kSize},
    {"torch", "device", Kind::kDevice},

    {"torch", "FloatStorage", Kind::kStorage, DType::kF32},
    {"torch", "HalfStorage", Kind::kStorage, DType::kF16},
    {"torch", "BFloat16Storage", Kind::kStorage, DType::kBF16},
    {"torch", "DoubleStorage", Kind::kStorage, DType::kF64},
    {"torch", "LongStorage", Kind::kStorage, DType::kI64},
    {"torch", "IntStorage", Kind::kStorage, DType::kI32},
    {"torch", "ShortStorage", Kind::kStorage, DType::kI16},
    {"torch", "CharStorage", Kind::kStorage, DType::kI8},
    {"torch", "ByteStorage", Kind::kStorage, DType::kU8},
    {"torch", "BoolStorage", Kind::kStorage, DType::kBool},
    {"torch", "UntypedStorage", Kind::kUntypedStorage},
    {"torch.storage", "UntypedStorage", Kind::kUntypedStorage},
    {"torch.storage", "_UntypedStorage", Kind::kUntypedStorage},

    {"torch", "float32", Kind::kDType, DType::kF32},
    {"torch", "float16", Kind::kDType, DType::kF16},
    {"torch", "bfloat16", Kind::kDType, DType::kBF16},
    {"torch", "float64", Kind::kDType, DType::kF64},
    {"torch", "int64", Kind::kDType, DType::kI64},
    {"torch", "int32", Kind::kDType, DType::kI32},
    {"torch", "int16", Kind::kDType, DType::kI16},
    {"torch", "int8", Kind::kDType, DType::kI8},
    {"torch", "uint8", Kind::kDType, DType::kU8},
    {"torch", "bool", Kind::kDType, DType::kBool},
};

}  // namespace

const PickleGlobal* FindPickleGlobal(std::string_view module, std::string_view name) {
  for (const PickleGlobal& global : kGlobals) {
    if (global.module == module && global.name == name) return &global;
  }
  return nullptr;
}

std::optional<std::string_view> TorchStorageName(DType type) {
  for (const PickleGlobal& global : kGlobals) {
    if (global.kind == Kind::kStorage && global.dtype == type) return global.name;
  }
  return std::nullopt;
}

}  // namespace tern
