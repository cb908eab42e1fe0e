// The half of the pickle machine that deals with names and what they may be used for.
#include <fmt/format.h>

#include "formats/pickle_machine.h"

namespace tern {

using namespace pickle_op;  // NOLINT: the opcodes' own names

namespace {

constexpr size_t kMaxNameLength = 200;  // longer names are cut in messages; none of the allowed is as long

std::string Printable(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, kMaxNameLength)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return out;
}

std::string FullName(const PickleGlobal& global) { return fmt::format("{}.{}", global.module, global.name); }

}  // namespace

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
    case kReduce:
    case kNewObj: {
      TERN_RETURN_IF_ERROR(Need(2));
      const PickleId arguments = Pop();
      const PickleId callee = Pop();
      if (pickle_.kind(callee) == PickleKind::kGlobal && opcode == kNewObj &&
          pickle_.Global(callee).kind != PickleGlobalKind::kOrderedDict) {
        return Refuse(fmt::format("it makes an object of class '{}'", FullName(pickle_.Global(callee))));
      }
      return Call(callee, arguments);
    }
    case 'i': {  // INST: its class is named so that the message can name it
      std::string_view module, name;
      return ReadLine(&module) && ReadLine(&name) ? Refuse(fmt::format("it makes an object of class '{}.{}'",
                                                                       Printable(module), Printable(name)))
                                                  : Bad("it is cut short");
    }
    default:
      *known = false;
      return OkStatus();
  }
}

bool PickleMachine::ReadLine(std::string_view* line) {
  ByteReader ahead = in_;
  std::string_view rest;
  if (!ahead.ReadString(ahead.remaining(), &rest)) return false;
  const size_t end = rest.substr(0, kMaxLine).find('\n');
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
    return Bad("a name that is no text");
  }
  return Global(pickle_.String(module), pickle_.String(name));
}

Status PickleMachine::Global(std::string_view module, std::string_view name) {
  const PickleGlobal* global = FindPickleGlobal(module, name);
  if (global == nullptr) {
    return Refuse(
        fmt::format("it wants '{}.{}', which is not among the names that a file of tensors needs; Tern runs "
                    "no code from files",
                    Printable(module), Printable(name)));
  }
  TERN_RETURN_IF_ERROR(Push(PickleKind::kGlobal, static_cast<int64_t>(pickle_.globals_.size())));
  pickle_.globals_.push_back(global);
  return OkStatus();
}

Status PickleMachine::Call(PickleId callee, PickleId arguments) {
  if (pickle_.kind(callee) != PickleKind::kGlobal) return Refuse("it calls something that is not a name");
  if (pickle_.kind(arguments) != PickleKind::kTuple) return Bad("the arguments of a call are no tuple");
  const PickleGlobal& global = pickle_.Global(callee);
  const std::span<const PickleId> items = pickle_.Items(arguments);
  switch (global.kind) {
    case PickleGlobalKind::kOrderedDict:
      if (!items.empty()) return Refuse("a collections.OrderedDict made from arguments");
      return PushContainer(PickleKind::kDict, {}, /*ordered_dict=*/true);
    case PickleGlobalKind::kSize:
      if (items.size() != 1 || pickle_.kind(items[0]) != PickleKind::kTuple)
        return Bad("a torch.Size of no tuple");
      stack_.push_back(items[0]);
      return OkStatus();
    case PickleGlobalKind::kDevice:
      return Push(PickleKind::kOpaque, 0);
    case PickleGlobalKind::kRebuildTensor:
    case PickleGlobalKind::kRebuildTensorV3:
      return RebuildTensor(global, items);
    case PickleGlobalKind::kRebuildParameter:
      return RebuildParameter(items);
    case PickleGlobalKind::kStorage:
    case PickleGlobalKind::kUntypedStorage:
    case PickleGlobalKind::kDType:
      break;
  }
  return Refuse(fmt::format("it calls '{}'", FullName(global)));
}

/// Attributes: the only object that may have some is an OrderedDict (a module's state_dict carries
/// _metadata). They are dropped.
Status PickleMachine::Build() {
  TERN_RETURN_IF_ERROR(Need(2));
  const PickleId state = Pop();
  const PickleId object = stack_.back();
  if (!pickle_.nodes_[object].ordered_dict) return Refuse("BUILD: it sets the state of an object");
  if (pickle_.kind(state) != PickleKind::kDict)
    return Bad("BUILD: the attributes of an OrderedDict are no dict");
  return OkStatus();
}

Status PickleMachine::PersistentId() {
  TERN_RETURN_IF_ERROR(Need(1));
  const PickleId id = Pop();
  const auto refused = [this] {
    return Refuse("a persistent id that is not ('storage', type, key, location, number of elements)");
  };
  if (pickle_.kind(id) != PickleKind::kTuple) return refused();
  const std::span<const PickleId> items = pickle_.Items(id);
  if (items.size() != 5 || pickle_.kind(items[0]) != PickleKind::kString ||
      pickle_.String(items[0]) != "storage" || pickle_.kind(items[1]) != PickleKind::kGlobal ||
      pickle_.kind(items[2]) != PickleKind::kString || pickle_.kind(items[3]) != PickleKind::kString ||
      pickle_.kind(items[4]) != PickleKind::kInt) {
    return refused();
  }
  const PickleGlobal& type = pickle_.Global(items[1]);
  PickleStorage storage{pickle_.String(items[2]), pickle_.Int(items[4]), std::nullopt};
  if (type.kind == PickleGlobalKind::kStorage) {
    storage.dtype = type.dtype;
  } else if (type.kind != PickleGlobalKind::kUntypedStorage) {
    return refused();
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
  if (arguments.size() < (v3 ? 7 : 4) || arguments.size() > (v3 ? 8 : 7) ||
      pickle_.kind(arguments[0]) != PickleKind::kStorage || pickle_.kind(arguments[1]) != PickleKind::kInt ||
      pickle_.kind(arguments[2]) != PickleKind::kTuple || pickle_.kind(arguments[3]) != PickleKind::kTuple) {
    return Bad(fmt::format("bad arguments for '{}'", FullName(global)));
  }
  PickleTensor tensor{pickle_.Storage(arguments[0]), DType::kF32, pickle_.Int(arguments[1]), arguments[2],
                      arguments[3]};
  if (v3) {
    if (pickle_.kind(arguments[6]) != PickleKind::kGlobal ||
        pickle_.Global(arguments[6]).kind != PickleGlobalKind::kDType) {
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

/// (tensor, requires_grad, hooks): a parameter is its tensor.
Status PickleMachine::RebuildParameter(std::span<const PickleId> arguments) {
  if (arguments.size() != 3 || pickle_.kind(arguments[0]) != PickleKind::kTensor) {
    return Bad("bad arguments for 'torch._utils._rebuild_parameter'");
  }
  stack_.push_back(arguments[0]);
  return OkStatus();
}

}  // namespace tern
