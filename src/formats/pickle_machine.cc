#include "formats/pickle_machine.h"

#include <fmt/format.h>

#include <bit>

namespace tern {

using namespace pickle_op;  // NOLINT: the opcodes' own names

Status PickleMachine::Bad(std::string_view what) const {
  return Corrupt(fmt::format("the pickle makes no sense at byte {}: {}", position_, what));
}

Status PickleMachine::Refuse(std::string_view what) const {
  return Unsupported(fmt::format("the pickle is refused at byte {}: {}", position_, what));
}

Status PickleMachine::Need(size_t slots) const {
  if (Available() < slots) return Bad("its stack is empty");
  return OkStatus();
}

PickleId PickleMachine::Pop() {
  const PickleId id = stack_.back();
  stack_.pop_back();
  return id;
}

Status PickleMachine::PopMark(size_t* items) {
  if (marks_.empty()) return Bad("no mark on its stack");
  *items = Available();
  marks_.pop_back();
  return OkStatus();
}

Status PickleMachine::Push(PickleKind kind, int64_t number) {
  if (pickle_.nodes_.size() >= Pickle::kMaxValues) {
    return Refuse(fmt::format("it makes more than {} values", Pickle::kMaxValues));
  }
  stack_.push_back(static_cast<PickleId>(pickle_.nodes_.size()));
  pickle_.nodes_.push_back({kind, false, number});
  return OkStatus();
}

Status PickleMachine::PushContainer(PickleKind kind, std::vector<PickleId> items, bool of_class) {
  TERN_RETURN_IF_ERROR(Push(kind, static_cast<int64_t>(pickle_.containers_.size())));
  pickle_.containers_.push_back(std::move(items));
  pickle_.nodes_.back().of_class = of_class;
  return OkStatus();
}

Result<Pickle> PickleMachine::Run(size_t* length) {
  uint8_t opcode;
  while (!stopped_) {
    position_ = in_.position();
    if (!in_.Read(&opcode)) return Bad("it ends without STOP");
    TERN_RETURN_IF_ERROR(Step(opcode));
  }
  if (stack_.size() != 1 || !marks_.empty()) return Bad("its stack does not hold one value at STOP");
  pickle_.root_ = stack_.back();
  if (length != nullptr) *length = in_.position();
  return std::move(pickle_);
}

Status PickleMachine::Step(uint8_t opcode) {
  bool known = true;
  // Each group says whether the opcode is one of its own.
  for (const auto group :
       {&PickleMachine::StepScalar, &PickleMachine::StepText, &PickleMachine::StepContainer,
        &PickleMachine::StepStack, &PickleMachine::StepObject, &PickleMachine::StepLine}) {
    known = true;
    Status status = (this->*group)(opcode, &known);
    if (known) return status;
  }
  const bool printable = opcode > 0x20 && opcode < 0x7f;
  return Refuse(fmt::format("opcode 0x{:02x}{} is not allowed", opcode,
                            printable ? fmt::format(" ('{}')", static_cast<char>(opcode)) : ""));
}

Status PickleMachine::StepScalar(uint8_t opcode, bool* known) {
  uint8_t u8;
  uint16_t u16;
  int32_t i32;
  uint64_t u64;
  switch (opcode) {
    case kNone:
      return Push(PickleKind::kNone, 0);
    case kNewTrue:
      return Push(PickleKind::kBool, 1);
    case kNewFalse:
      return Push(PickleKind::kBool, 0);
    case kBinInt1:
      return in_.Read(&u8) ? Push(PickleKind::kInt, u8) : Bad("it is cut short");
    case kBinInt2:
      return in_.Read(&u16) ? Push(PickleKind::kInt, u16) : Bad("it is cut short");
    case kBinInt:
      return in_.Read(&i32) ? Push(PickleKind::kInt, i32) : Bad("it is cut short");
    case kLong1:
      return in_.Read(&u8) ? ReadLong(u8) : Bad("it is cut short");
    case kLong4:
      if (!in_.Read(&i32)) return Bad("it is cut short");
      return i32 < 0 ? Bad("an integer of negative length") : ReadLong(static_cast<uint64_t>(i32));
    case kBinFloat:  // big-endian, alone of all
      if (!in_.Read(&u64)) return Bad("it is cut short");
      return Push(PickleKind::kFloat, static_cast<int64_t>(__builtin_bswap64(u64)));
    default:
      *known = false;
      return OkStatus();
  }
}

/// An integer of any length, little-endian, two's complement.
Status PickleMachine::ReadLong(uint64_t size) {
  std::span<const std::byte> bytes;
  if (!in_.ReadBytes(size, &bytes)) return Bad("it is cut short");
  if (size > 8) return Push(PickleKind::kOpaque, -1);
  const bool negative = size > 0 && (static_cast<uint8_t>(bytes[size - 1]) & 0x80);
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (size_t i = size; i-- > 0;) value = (value << 8) | static_cast<uint8_t>(bytes[i]);
  return Push(PickleKind::kInt, static_cast<int64_t>(value));
}

Status PickleMachine::StepText(uint8_t opcode, bool* known) {
  uint8_t u8 = 0;
  uint32_t u32 = 0;
  uint64_t u64 = 0;
  const bool text = opcode == kShortBinUnicode || opcode == kBinUnicode || opcode == kBinUnicode8 ||
                    opcode == kShortBinString || opcode == kBinString;
  const PickleKind kind = text ? PickleKind::kString : PickleKind::kBytes;
  switch (opcode) {
    case kShortBinUnicode:
    case kShortBinString:
    case kShortBinBytes:
      return in_.Read(&u8) ? ReadText(kind, u8) : Bad("it is cut short");
    case kBinUnicode:
    case kBinString:
    case kBinBytes:
      return in_.Read(&u32) ? ReadText(kind, u32) : Bad("it is cut short");
    case kBinUnicode8:
    case kBinBytes8:
    case kByteArray8:
      return in_.Read(&u64) ? ReadText(kind, u64) : Bad("it is cut short");
    default:
      *known = false;
      return OkStatus();
  }
}

Status PickleMachine::ReadText(PickleKind kind, uint64_t size) {
  std::string_view text;
  if (!in_.ReadString(size, &text)) return Bad(fmt::format("a text of {} bytes goes beyond its end", size));
  return PushText(kind, text);
}

Status PickleMachine::PushText(PickleKind kind, std::string_view text) {
  TERN_RETURN_IF_ERROR(Push(kind, static_cast<int64_t>(pickle_.strings_.size())));
  pickle_.strings_.push_back(text);
  return OkStatus();
}

Status PickleMachine::StepContainer(uint8_t opcode, bool* known) {
  size_t items = 0;
  switch (opcode) {
    case kEmptyTuple:
      return PushContainer(PickleKind::kTuple, {});
    case kEmptyList:
      return PushContainer(PickleKind::kList, {});
    case kEmptyDict:
      return PushContainer(PickleKind::kDict, {});
    case kEmptySet:
      return PushContainer(PickleKind::kSet, {});
    case kTuple1:
      return MakeContainer(PickleKind::kTuple, 1);
    case kTuple2:
      return MakeContainer(PickleKind::kTuple, 2);
    case kTuple3:
      return MakeContainer(PickleKind::kTuple, 3);
    case kAppend:
      return AppendItems(PickleKind::kList, 1);
    case kSetItem:
      return AppendItems(PickleKind::kDict, 2);
    default:
      break;
  }
  switch (opcode) {
    case kTuple:
    case kList:
    case kDict:
    case kFrozenSet:
    case kAppends:
    case kSetItems:
    case kAddItems:
      TERN_RETURN_IF_ERROR(PopMark(&items));
      break;
    default:
      *known = false;
      return OkStatus();
  }
  switch (opcode) {
    case kTuple:
      return MakeContainer(PickleKind::kTuple, items);
    case kList:
      return MakeContainer(PickleKind::kList, items);
    case kFrozenSet:
      return MakeContainer(PickleKind::kSet, items);
    case kDict:
      return MakeContainer(PickleKind::kDict, items);
    case kAppends:
      return AppendItems(PickleKind::kList, items);
    case kSetItems:
      return AppendItems(PickleKind::kDict, items);
    default:
      return AppendItems(PickleKind::kSet, items);
  }
}

/// Moves the last `count` stack slots into a new container.
Status PickleMachine::MakeContainer(PickleKind kind, size_t count) {
  TERN_RETURN_IF_ERROR(Need(count));
  if (kind == PickleKind::kDict && count % 2 != 0) return Bad("a dict with a key that has no value");
  std::vector<PickleId> items(stack_.end() - static_cast<ptrdiff_t>(count), stack_.end());
  stack_.resize(stack_.size() - count);
  return PushContainer(kind, std::move(items));
}

/// Moves the last `count` stack slots into the container below them.
Status PickleMachine::AppendItems(PickleKind kind, size_t count) {
  TERN_RETURN_IF_ERROR(Need(count + 1));
  if (kind == PickleKind::kDict && count % 2 != 0) return Bad("a dict with a key that has no value");
  const auto first = stack_.end() - static_cast<ptrdiff_t>(count);
  const PickleId target = *(first - 1);
  if (pickle_.kind(target) ==
      PickleKind::kOpaque) {  // of a class that is a list or a dict: what it holds is opaque too
    stack_.resize(stack_.size() - count);
    return OkStatus();
  }
  if (pickle_.kind(target) != kind) return Bad("items are added to something that does not hold them");
  std::vector<PickleId>& items = pickle_.containers_[pickle_.Index(target)];
  items.insert(items.end(), first, stack_.end());
  stack_.resize(stack_.size() - count);
  return OkStatus();
}

Status PickleMachine::StepStack(uint8_t opcode, bool* known) {
  uint8_t u8;
  uint32_t u32;
  uint64_t u64;
  size_t items = 0;
  switch (opcode) {
    case kProto:
      if (!in_.Read(&u8)) return Bad("it is cut short");
      return u8 <= 5 ? OkStatus() : Refuse(fmt::format("protocol {}; 0 to 5 are read", u8));
    case kFrame:
      if (!in_.Read(&u64) || u64 > in_.remaining()) return Bad("a frame goes beyond its end");
      return OkStatus();
    case kStop:
      stopped_ = true;
      return OkStatus();
    case kMark:
      marks_.push_back(stack_.size());
      return OkStatus();
    case kPopMark:
      TERN_RETURN_IF_ERROR(PopMark(&items));
      stack_.resize(stack_.size() - items);
      return OkStatus();
    case kPop:
      TERN_RETURN_IF_ERROR(Need(1));
      stack_.pop_back();
      return OkStatus();
    case kDup:
      TERN_RETURN_IF_ERROR(Need(1));
      stack_.push_back(stack_.back());
      return OkStatus();
    case kBinGet:
      return in_.Read(&u8) ? LoadMemo(u8) : Bad("it is cut short");
    case kLongBinGet:
      return in_.Read(&u32) ? LoadMemo(u32) : Bad("it is cut short");
    case kBinPut:
      return in_.Read(&u8) ? StoreMemo(u8) : Bad("it is cut short");
    case kLongBinPut:
      return in_.Read(&u32) ? StoreMemo(u32) : Bad("it is cut short");
    case kMemoize:
      return StoreMemo(memo_.size());
    default:
      *known = false;
      return OkStatus();
  }
}

Status PickleMachine::StoreMemo(uint64_t index) {
  TERN_RETURN_IF_ERROR(Need(1));
  // Picklers count up from 0, one for each value: an index beyond the length is an attempt to use up memory.
  if (index >= length_) return Bad(fmt::format("memo slot {} in a pickle of {} bytes", index, length_));
  if (index >= memo_.size()) memo_.resize(index + 1, kNoValue);
  memo_[index] = stack_.back();
  return OkStatus();
}

Status PickleMachine::LoadMemo(uint64_t index) {
  if (index >= memo_.size() || memo_[index] == kNoValue)
    return Bad(fmt::format("memo slot {} is empty", index));
  stack_.push_back(memo_[index]);
  return OkStatus();
}

}  // namespace tern
