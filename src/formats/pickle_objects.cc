// The half of the pickle machine that deals with names and what they may be used for.
#include <fmt/format.h>

#include "formats/pickle_machine.h"

namespace tern {

using namespace pickle_op;  // NOLINT: the opcodes' own names

Status PickleMachine::StepObject(uint8_t opcode, bool* known) {
  switch (opcode) {
    case kGlobal:
      return GlobalFromLines();
    case kStackGlobal:
      return GlobalFromStack();
    case kBinPersId:
      return PersistentId();
    case kBuild:
      return Build();
    case kInst:
      return Inst();
    case kObj:
      return Obj();
    case kNewObjEx:  // class, arguments, arguments by name
    case kReduce:
    case kNewObj: {
      const size_t slots = opcode == kNewObjEx ? 3 : 2;
      TERN_RETURN_IF_ERROR(Need(slots));
      if (opcode == kNewObjEx) stack_.pop_back();
      const PickleId arguments = Pop();
      const PickleId callee = Pop();
      return Call(callee, arguments);
    }
    default:
      *known = false;
      return OkStatus();
  }
}

/// A class by two lines, made with what stands above the mark.
Status PickleMachine::Inst() {
  size_t arguments = 0;
  TERN_RETURN_IF_ERROR(GlobalFromLines());
  const PickleId callee = Pop();
  TERN_RETURN_IF_ERROR(PopMark(&arguments));
  TERN_RETURN_IF_ERROR(MakeContainer(PickleKind::kTuple, arguments));
  return Call(callee, Pop());
}

/// A class that stands above the mark, made with what stands above it.
Status PickleMachine::Obj() {
  size_t items = 0;
  TERN_RETURN_IF_ERROR(PopMark(&items));
  if (items == 0) return Bad("an object without a class");
  TERN_RETURN_IF_ERROR(MakeContainer(PickleKind::kTuple, items - 1));
  const PickleId arguments = Pop();
  return Call(Pop(), arguments);
}

bool PickleMachine::ReadLine(std::string_view* line, size_t longest) {
  ByteReader ahead = in_;
  std::string_view rest;
  if (!ahead.ReadString(ahead.remaining(), &rest)) return false;
  const size_t end = rest.substr(0, longest).find('\n');
  if (end == std::string_view::npos) return false;
  *line = rest.substr(0, end);
  return in_.Seek(in_.position() + end + 1);
}

Status PickleMachine::GlobalFromLines() {
  std::string_view module, name;
  if (!ReadLine(&module) || !ReadLine(&name)) return Bad("a name without an end");
  return Global(module, name);
}

Status PickleMachine::GlobalFromStack() {
  TERN_RETURN_IF_ERROR(Need(2));
  const PickleId name = Pop();
  const PickleId module = Pop();
  if (pickle_.kind(name) != PickleKind::kString || pickle_.kind(module) != PickleKind::kString) {
    return Bad("a name that is not a text");
  }
  return Global(pickle_.String(module), pickle_.String(name));
}

Status PickleMachine::Global(std::string_view module, std::string_view name) {
  const PickleGlobal* global = FindPickleGlobal(module, name);
  if (global == nullptr) {
    pickle_.foreign_.push_back({module, name, PickleGlobalKind::kForeign});
    global = &pickle_.foreign_.back();
    if (RunsCode(module, name)) {
      return Refuse(fmt::format(
          "it asks for '{}', which a file of weights has no use for: it may be made to run commands "
          "in programs that load it; Tern runs no code from files",
          FullName(*global)));
    }
  }
  TERN_RETURN_IF_ERROR(Push(PickleKind::kGlobal, static_cast<int64_t>(pickle_.globals_.size())));
  pickle_.globals_.push_back(global);
  return OkStatus();
}

Status PickleMachine::PushOpaque(const PickleGlobal& maker) {
  TERN_RETURN_IF_ERROR(Push(PickleKind::kOpaque, static_cast<int64_t>(pickle_.globals_.size())));
  pickle_.globals_.push_back(&maker);
  return OkStatus();
}

Status PickleMachine::Call(PickleId callee, PickleId arguments) {
  if (pickle_.kind(callee) == PickleKind::kOpaque) {  // the result of a function that Tern does not call
    stack_.push_back(callee);
    return OkStatus();
  }
  if (pickle_.kind(callee) != PickleKind::kGlobal) return Refuse("it calls something that is not a name");
  if (pickle_.kind(arguments) != PickleKind::kTuple) return Bad("the arguments of a call are not a tuple");
  const PickleGlobal& global = pickle_.Global(callee);
  const std::span<const PickleId> items = pickle_.Items(arguments);
  switch (global.kind) {
    case PickleGlobalKind::kDict:
      return CallDict(global, items);
    case PickleGlobalKind::kSequence:
      return CallSequence(items);
    case PickleGlobalKind::kSize:
      if (items.size() != 1 || pickle_.kind(items[0]) != PickleKind::kTuple)
        return Bad("a torch.Size that is not made of one tuple");
      stack_.push_back(items[0]);
      return OkStatus();
    case PickleGlobalKind::kRebuildTensor:
    case PickleGlobalKind::kRebuildTensorV3:
      return RebuildTensor(global, items);
    case PickleGlobalKind::kRebuildParameter:
      return RebuildParameter(global, items);
    case PickleGlobalKind::kRebuildFromType:
      return RebuildFromType(global, items);
    case PickleGlobalKind::kForeign:
      // copyreg makes objects of old protocols: the class is its first argument.
      if (global.name == "_reconstructor" && !items.empty() &&
          pickle_.kind(items[0]) == PickleKind::kGlobal) {
        return PushOpaque(pickle_.Global(items[0]));
      }
      return PushOpaque(global);
    case PickleGlobalKind::kTensorClass:
    case PickleGlobalKind::kStorage:
    case PickleGlobalKind::kUntypedStorage:
    case PickleGlobalKind::kDType:
      break;
  }
  return PushOpaque(global);
}

Status PickleMachine::CountCopies(size_t items) {
  copied_ += items;
  // Each item that a call copies was written once: more copies than bytes are an attempt to use up memory.
  return copied_ <= length_ ? OkStatus() : Refuse("its calls copy more values than it has bytes");
}

/// A dict from nothing, from a dict, or from a list of pairs. A defaultdict's argument is a function, which
/// is not used.
Status PickleMachine::CallDict(const PickleGlobal& global, std::span<const PickleId> arguments) {
  const bool plain = arguments.empty() || (global.name == "defaultdict" && arguments.size() == 1);
  if (plain) return PushContainer(PickleKind::kDict, {}, /*of_class=*/true);
  const PickleId from = arguments.back();
  const PickleKind kind = pickle_.kind(from);
  std::vector<PickleId> items;
  if (kind == PickleKind::kDict) {
    items.assign(pickle_.Items(from).begin(), pickle_.Items(from).end());
  } else if (kind == PickleKind::kList || kind == PickleKind::kTuple) {
    for (const PickleId pair : pickle_.Items(from)) {
      const bool two =
          (pickle_.kind(pair) == PickleKind::kList || pickle_.kind(pair) == PickleKind::kTuple) &&
          pickle_.Items(pair).size() == 2;
      if (!two) return Bad(fmt::format("a '{}' of something that is not a list of pairs", FullName(global)));
      TERN_RETURN_IF_ERROR(CountCopies(2));
      items.insert(items.end(), pickle_.Items(pair).begin(), pickle_.Items(pair).end());
    }
  } else {
    return PushOpaque(global);  // of an opaque value
  }
  TERN_RETURN_IF_ERROR(CountCopies(items.size()));
  return PushContainer(PickleKind::kDict, std::move(items), /*of_class=*/true);
}

/// set([…]) and the like: the values are those of the argument. Only a list may get more of them.
Status PickleMachine::CallSequence(std::span<const PickleId> arguments) {
  if (arguments.empty()) return PushContainer(PickleKind::kList, {}, /*of_class=*/true);
  const PickleKind kind = pickle_.kind(arguments[0]);
  const bool sequence = kind == PickleKind::kList || kind == PickleKind::kTuple || kind == PickleKind::kSet;
  if (!sequence) return Push(PickleKind::kOpaque, -1);
  const auto from = pickle_.Items(arguments[0]);
  TERN_RETURN_IF_ERROR(CountCopies(from.size()));
  return PushContainer(PickleKind::kList, {from.begin(), from.end()}, /*of_class=*/true);
}

/// Attributes of an object (a module's state_dict carries _metadata). They are dropped.
Status PickleMachine::Build() {
  TERN_RETURN_IF_ERROR(Need(2));
  stack_.pop_back();
  const PickleId object = stack_.back();
  const PickleKind kind = pickle_.kind(object);
  const bool may_have =
      pickle_.nodes_[object].of_class || kind == PickleKind::kOpaque || kind == PickleKind::kTensor;
  return may_have ? OkStatus() : Refuse("BUILD: it sets the attributes of something that has none");
}

Status PickleMachine::RefusePersistentId() const {
  return Refuse("a persistent id that is not ('storage', type, key, location, number of elements)");
}

Status PickleMachine::PersistentId() {
  TERN_RETURN_IF_ERROR(Need(1));
  const PickleId id = Pop();
  if (pickle_.kind(id) != PickleKind::kTuple) return RefusePersistentId();
  const std::span<const PickleId> items = pickle_.Items(id);
  if (items.empty() || pickle_.kind(items[0]) != PickleKind::kString) return RefusePersistentId();
  // Before torch 1.6: ('module', class, file, source) stands for the class of a module.
  if (pickle_.String(items[0]) == "module" && items.size() == 4 &&
      pickle_.kind(items[1]) == PickleKind::kGlobal) {
    stack_.push_back(items[1]);
    return OkStatus();
  }
  if ((items.size() != 5 && items.size() != 6) || pickle_.String(items[0]) != "storage" ||
      pickle_.kind(items[1]) != PickleKind::kGlobal || pickle_.kind(items[2]) != PickleKind::kString ||
      pickle_.kind(items[3]) != PickleKind::kString || pickle_.kind(items[4]) != PickleKind::kInt) {
    return RefusePersistentId();
  }
  if (items.size() == 6 && pickle_.kind(items[5]) != PickleKind::kNone) {
    return Refuse("a storage that is a part of another, as torch before 0.4 wrote");
  }
  return PushStorage(&pickle_.Global(items[1]),
                     {pickle_.String(items[2]), pickle_.Int(items[4]), std::nullopt});
}

/// A storage of a type that is not read (complex and quantised ones) is an opaque value.
Status PickleMachine::PushStorage(const PickleGlobal* type, PickleStorage storage) {
  if (type == nullptr) return Push(PickleKind::kOpaque, -1);
  if (type->kind == PickleGlobalKind::kForeign) return PushOpaque(*type);
  if (type->kind == PickleGlobalKind::kStorage) {
    storage.dtype = type->dtype;
  } else if (type->kind != PickleGlobalKind::kUntypedStorage) {
    return RefusePersistentId();
  }
  if (storage.numel < 0) return Bad(fmt::format("a storage of {} elements", storage.numel));
  TERN_RETURN_IF_ERROR(Push(PickleKind::kStorage, static_cast<int64_t>(pickle_.storages_.size())));
  pickle_.storages_.push_back(storage);
  return OkStatus();
}

/// (storage, offset, size, stride, requires_grad, hooks[, metadata]); version 3 has the dtype after the
/// hooks.
Status PickleMachine::RebuildTensor(const PickleGlobal& global, std::span<const PickleId> arguments) {
  const bool v3 = global.kind == PickleGlobalKind::kRebuildTensorV3;
  if (!arguments.empty() && pickle_.kind(arguments[0]) == PickleKind::kOpaque) {
    stack_.push_back(arguments[0]);  // known by what would have to make its storage
    return OkStatus();
  }
  if (arguments.size() < (v3 ? 7 : 4) || arguments.size() > (v3 ? 8 : 7) ||
      pickle_.kind(arguments[0]) != PickleKind::kStorage || pickle_.kind(arguments[1]) != PickleKind::kInt ||
      pickle_.kind(arguments[2]) != PickleKind::kTuple || pickle_.kind(arguments[3]) != PickleKind::kTuple) {
    return Bad(fmt::format("bad arguments for '{}'", FullName(global)));
  }
  PickleTensor tensor{pickle_.Storage(arguments[0]), DType::kF32, pickle_.Int(arguments[1]), arguments[2],
                      arguments[3]};
  if (v3) {
    if (pickle_.kind(arguments[6]) != PickleKind::kGlobal) {
      return Bad(fmt::format("bad arguments for '{}': no dtype", FullName(global)));
    }
    if (pickle_.Global(arguments[6]).kind == PickleGlobalKind::kForeign) {
      return PushOpaque(
          pickle_.Global(arguments[6]));  // a type that is not read, such as torch.float8_e4m3fn
    }
    if (pickle_.Global(arguments[6]).kind != PickleGlobalKind::kDType) {
      return Bad(fmt::format("bad arguments for '{}': no dtype", FullName(global)));
    }
    tensor.dtype = pickle_.Global(arguments[6]).dtype;
  } else if (tensor.storage.dtype) {
    tensor.dtype = *tensor.storage.dtype;
  } else {
    return Refuse("a tensor in a storage without a type");
  }
  TERN_RETURN_IF_ERROR(Push(PickleKind::kTensor, static_cast<int64_t>(pickle_.tensors_.size())));
  pickle_.tensors_.push_back(tensor);
  return OkStatus();
}

/// (tensor, requires_grad, hooks[, attributes]): a parameter is its tensor.
Status PickleMachine::RebuildParameter(const PickleGlobal& global, std::span<const PickleId> arguments) {
  const PickleKind kind = arguments.empty() ? PickleKind::kNone : pickle_.kind(arguments[0]);
  if (arguments.size() < 3 || arguments.size() > 4 ||
      (kind != PickleKind::kTensor && kind != PickleKind::kOpaque)) {
    return Bad(fmt::format("bad arguments for '{}'", FullName(global)));
  }
  stack_.push_back(arguments[0]);
  return OkStatus();
}

/// (function, class, arguments of the function, attributes): a tensor where the class is one of plain
/// tensors. The values of other classes may be quantised, sparse or made on demand.
Status PickleMachine::RebuildFromType(const PickleGlobal& global, std::span<const PickleId> arguments) {
  if (arguments.size() != 4 || pickle_.kind(arguments[0]) != PickleKind::kGlobal ||
      pickle_.kind(arguments[1]) != PickleKind::kGlobal || pickle_.kind(arguments[2]) != PickleKind::kTuple) {
    return Bad(fmt::format("bad arguments for '{}'", FullName(global)));
  }
  const PickleGlobal& type = pickle_.Global(arguments[1]);
  if (type.kind != PickleGlobalKind::kTensorClass) return PushOpaque(type);
  const PickleGlobal& function = pickle_.Global(arguments[0]);
  const std::span<const PickleId> inner = pickle_.Items(arguments[2]);
  switch (function.kind) {
    case PickleGlobalKind::kRebuildTensor:
    case PickleGlobalKind::kRebuildTensorV3:
      return RebuildTensor(function, inner);
    case PickleGlobalKind::kRebuildParameter:
      return RebuildParameter(function, inner);
    default:
      return PushOpaque(function);
  }
}

}  // namespace tern
