// The stack machine behind Pickle::Load. Only pickle*.cc and its tests have a use for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "formats/pickle.h"

namespace tern {

/// Runs one pickle. Memory stays linear in its length: every opcode adds at most one value, one stack slot or
/// one memo slot, and items move into containers instead of being copied.
class PickleMachine {
 public:
  explicit PickleMachine(std::span<const std::byte> bytes) : in_(bytes), length_(bytes.size()) {}
  Result<Pickle> Run(size_t* length);

 private:
  // pickle_machine.cc: the opcodes
  Status Step(uint8_t opcode);
  Status StepScalar(uint8_t opcode, bool* known);
  Status StepText(uint8_t opcode, bool* known);
  Status StepContainer(uint8_t opcode, bool* known);
  Status StepStack(uint8_t opcode, bool* known);
  Status ReadLong(uint64_t size);
  Status ReadText(PickleKind kind, uint64_t size);
  Status PushText(PickleKind kind, std::string_view text);
  Status AppendItems(PickleKind kind, size_t count);
  Status MakeContainer(PickleKind kind, size_t count);
  Status StoreMemo(uint64_t index);
  Status LoadMemo(uint64_t index);

  // pickle_lines.cc: protocol 0
  Status StepLine(uint8_t opcode, bool* known);
  Status PushOwnText(std::string text);
  Status PushDecimal(std::string_view line);
  Status PushQuoted(std::string_view line);
  Status StorageFromLine(std::string_view line);

  // pickle_objects.cc: names, calls, storages, tensors
  Status StepObject(uint8_t opcode, bool* known);
  Status Global(std::string_view module, std::string_view name);
  bool ReadLine(std::string_view* line, size_t longest = kMaxLine);
  Status GlobalFromLines();
  Status GlobalFromStack();
  Status Inst();
  Status Obj();
  Status Call(PickleId callee, PickleId arguments);
  Status CallDict(const PickleGlobal& global, std::span<const PickleId> arguments);
  Status CallSequence(std::span<const PickleId> arguments);
  Status PushOpaque(const PickleGlobal& maker);
  Status Build();
  Status PersistentId();
  Status RefusePersistentId() const;
  Status PushStorage(const PickleGlobal* type, PickleStorage storage);
  Status RebuildTensor(const PickleGlobal& global, std::span<const PickleId> arguments);
  Status RebuildParameter(const PickleGlobal& global, std::span<const PickleId> arguments);
  Status RebuildFromType(const PickleGlobal& global, std::span<const PickleId> arguments);

  // The stack. Slots below the last mark cannot be reached.
  size_t Available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  Status Need(size_t slots) const;
  PickleId Pop();
  Status PopMark(size_t* items);
  Status Push(PickleKind kind, int64_t number);
  Status PushContainer(PickleKind kind, std::vector<PickleId> items, bool of_class = false);
  Status CountCopies(size_t items);

  Status Bad(std::string_view what) const;     ///< kCorrupt, with the position
  Status Refuse(std::string_view what) const;  ///< kUnsupported, with the position

  static constexpr PickleId kNoValue = 0xffffffff;
  static constexpr size_t kMaxLine = 4096;  ///< of a name: what is longer is not a name

  ByteReader in_;
  size_t length_;
  size_t position_ = 0;  ///< of the opcode being run
  Pickle pickle_;
  std::vector<PickleId> stack_;
  std::vector<size_t> marks_;
  std::vector<PickleId> memo_;
  size_t copied_ = 0;  ///< items that calls copied out of other containers
  bool stopped_ = false;
};

/// The opcodes that are run, by Python's names (pickletools documents each).
namespace pickle_op {
inline constexpr uint8_t kProto = 0x80, kFrame = 0x95, kStop = '.', kMark = '(', kPop = '0', kPopMark = '1',
                         kDup = '2', kNone = 'N', kNewTrue = 0x88, kNewFalse = 0x89, kBinInt = 'J',
                         kBinInt1 = 'K', kBinInt2 = 'M', kLong1 = 0x8a, kLong4 = 0x8b, kBinFloat = 'G',
                         kBinUnicode = 'X', kShortBinUnicode = 0x8c, kBinUnicode8 = 0x8d, kBinString = 'T',
                         kShortBinString = 'U', kBinBytes = 'B', kShortBinBytes = 'C', kBinBytes8 = 0x8e,
                         kEmptyTuple = ')', kTuple = 't', kTuple1 = 0x85, kTuple2 = 0x86, kTuple3 = 0x87,
                         kEmptyList = ']', kList = 'l', kAppend = 'a', kAppends = 'e', kEmptyDict = '}',
                         kDict = 'd', kSetItem = 's', kSetItems = 'u', kEmptySet = 0x8f, kAddItems = 0x90,
                         kFrozenSet = 0x91, kBinGet = 'h', kLongBinGet = 'j', kBinPut = 'q',
                         kLongBinPut = 'r', kMemoize = 0x94, kGlobal = 'c', kStackGlobal = 0x93,
                         kReduce = 'R', kNewObj = 0x81, kNewObjEx = 0x92, kBuild = 'b', kBinPersId = 'Q',
                         kInst = 'i', kObj = 'o', kByteArray8 = 0x96, kPersId = 'P',
                         // protocol 0: arguments are lines of text
    kIntLine = 'I', kLongLine = 'L', kFloatLine = 'F', kStringLine = 'S', kUnicodeLine = 'V', kGetLine = 'g',
                         kPutLine = 'p';
}  // namespace pickle_op

}  // namespace tern
