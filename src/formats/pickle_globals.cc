#include "formats/pickle_globals.h"

#include <algorithm>

namespace tern {
namespace {

using Kind = PickleGlobalKind;

constexpr PickleGlobal kGlobals[] = {
    {"collections", "OrderedDict", Kind::kDict},
    {"collections", "defaultdict", Kind::kDict},
    {"collections", "Counter", Kind::kDict},
    // Protocols 0 to 2 name the builtins as Python 2 did.
    {"builtins", "dict", Kind::kDict},
    {"__builtin__", "dict", Kind::kDict},
    {"builtins", "set", Kind::kSequence},
    {"__builtin__", "set", Kind::kSequence},
    {"builtins", "frozenset", Kind::kSequence},
    {"__builtin__", "frozenset", Kind::kSequence},
    {"builtins", "list", Kind::kSequence},
    {"__builtin__", "list", Kind::kSequence},
    {"builtins", "tuple", Kind::kSequence},
    {"__builtin__", "tuple", Kind::kSequence},
    {"torch._utils", "_rebuild_tensor", Kind::kRebuildTensor},
    {"torch._utils", "_rebuild_tensor_v2", Kind::kRebuildTensor},
    {"torch._utils", "_rebuild_tensor_v3", Kind::kRebuildTensorV3},
    {"torch._utils", "_rebuild_parameter", Kind::kRebuildParameter},
    {"torch._utils", "_rebuild_parameter_with_state", Kind::kRebuildParameter},
    {"torch._tensor", "_rebuild_from_type_v2", Kind::kRebuildFromType},
    {"torch", "Tensor", Kind::kTensorClass},
    {"torch.nn.parameter", "Parameter", Kind::kTensorClass},
    {"torch.nn.parameter", "Buffer", Kind::kTensorClass},
    {"torch", "Size", Kind::kSize},

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

// Of `builtins`: what reads files or code, or changes objects. (Python pickles nested classes by `getattr`.)
constexpr std::string_view kCodeBuiltins[] = {
    "eval",      "exec",       "execfile", "compile", "open",   "file",       "input",
    "raw_input", "setattr",    "delattr",  "globals", "locals", "__import__", "apply",
    "vars",      "breakpoint", "map",      "filter",  "exit",   "quit",       "help"};

// Modules, with what lies below them, that no data comes from.
constexpr std::string_view kCodeModules[] = {
    "os",      "posix",   "nt",      "sys",    "subprocess", "popen2", "importlib",  "imp",
    "runpy",   "pty",     "shutil",  "socket", "ctypes",     "codeop", "webbrowser", "pickle",
    "_pickle", "cPickle", "marshal", "timeit", "pdb",        "bdb",    "torch.hub"};

struct CodeName {
  std::string_view module, name;
};
constexpr CodeName kCodeNames[] = {{"torch", "load"},
                                   {"torch.serialization", "load"},
                                   {"numpy", "load"},
                                   {"operator", "attrgetter"},
                                   {"operator", "methodcaller"},
                                   {"_operator", "attrgetter"},
                                   {"_operator", "methodcaller"}};

}  // namespace

bool RunsCode(std::string_view module, std::string_view name) {
  if (module == "builtins" || module == "__builtin__") {
    const std::string_view first = name.substr(0, name.find('.'));
    return std::find(std::begin(kCodeBuiltins), std::end(kCodeBuiltins), first) != std::end(kCodeBuiltins);
  }
  const bool of_module =
      std::any_of(std::begin(kCodeModules), std::end(kCodeModules), [&](std::string_view m) {
        return module.starts_with(m) && (module.size() == m.size() || module[m.size()] == '.');
      });
  return of_module || std::any_of(std::begin(kCodeNames), std::end(kCodeNames),
                                  [&](const CodeName& n) { return n.module == module && n.name == name; });
}

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
