// What a checkpoint's pickle describes. A pickle is a program for a stack machine; this one runs the opcodes
// of every protocol, and knows a fixed list of names that lead to tensors (pickle_globals.h). What any other
// class or function would make is an opaque value that knows its name: nothing is imported, nothing is
// called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/pickle_globals.h"
#include "tensor/dtype.h"

namespace tern {

enum class PickleKind : uint8_t {
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kBytes,
  kTuple,
  kList,
  kDict,
  kSet,
  kGlobal,
  kStorage,
  kTensor,
  kOpaque,  ///< a value without use here: an integer beyond 64 bits, what a class or function outside the
            ///< list makes
};

/// Refers to a value of a Pickle. Values may refer to each other in circles: whoever walks them bounds the
/// walk.
using PickleId = uint32_t;

/// torch's persistent id ('storage', type, key, location, numel[, view]).
struct PickleStorage {
  std::string_view key;        ///< names its bytes: in an archive, of the entry data/KEY
  int64_t numel = 0;           ///< not negative
  std::optional<DType> dtype;  ///< nothing: bytes without a type
};

/// A tensor as torch rebuilds it: a strided view of a storage. None of its numbers is checked against the
/// storage.
struct PickleTensor {
  PickleStorage storage;
  DType dtype = DType::kF32;
  int64_t offset = 0;               ///< in elements
  PickleId shape = 0, strides = 0;  ///< tuples, to be read with Pickle::Ints
};

/// The values that a pickle makes. Immutable; views into the pickle's bytes, which must outlive it.
class Pickle {
 public:
  Pickle() = default;
  Pickle(Pickle&&) = default;
  Pickle& operator=(Pickle&&) = default;
  Pickle(const Pickle&) = delete;  // views into its own texts
  Pickle& operator=(const Pickle&) = delete;

  /// Longer pickles are refused (kUnsupported). The largest RWKV needs less than a megabyte.
  static constexpr size_t kMaxBytes = size_t{16} << 20;
  /// So are those that make more values.
  static constexpr size_t kMaxValues = size_t{2} << 20;

  /// Runs the program in time and memory linear in its length. kUnsupported for an opcode or a name that is
  /// not allowed, kCorrupt for a program that makes no sense; messages give the byte position. Bytes may
  /// follow the program's end; `length` is told where that is.
  static Result<Pickle> Load(std::span<const std::byte> bytes, size_t* length = nullptr);

  PickleId root() const { return root_; }
  PickleKind kind(PickleId id) const { return nodes_[id].kind; }
  int64_t Int(PickleId id) const { return nodes_[id].number; }  ///< of kInt and kBool
  double Float(PickleId id) const;                              ///< of kFloat
  std::string_view String(PickleId id) const;                   ///< of kString and kBytes
  /// Of kTuple, kList and kSet; of kDict, keys and values in turn.
  std::span<const PickleId> Items(PickleId id) const { return containers_[Index(id)]; }
  const PickleTensor& Tensor(PickleId id) const { return tensors_[Index(id)]; }     ///< of kTensor
  const PickleStorage& Storage(PickleId id) const { return storages_[Index(id)]; }  ///< of kStorage
  const PickleGlobal& Global(PickleId id) const { return *globals_[Index(id)]; }    ///< of kGlobal
  /// Of kOpaque: "module.name" of the class or function that would make the value, printable; empty where
  /// there is none.
  std::string MakerOf(PickleId id) const;
  /// Every storage that the pickle refers to, in order.
  std::span<const PickleStorage> storages() const { return storages_; }

  /// The integers of a tuple or list; nothing when it is neither, holds anything else or more than `limit`.
  std::optional<std::vector<int64_t>> Ints(PickleId id, size_t limit) const;

 private:
  friend class PickleMachine;
  struct Node {
    PickleKind kind = PickleKind::kNone;
    bool of_class = false;  ///< made by a class: it may be given attributes (BUILD)
    int64_t number = 0;     ///< the value; for others an index into the vectors below
  };
  size_t Index(PickleId id) const { return static_cast<size_t>(nodes_[id].number); }

  std::vector<Node> nodes_;
  std::vector<std::vector<PickleId>> containers_;
  std::vector<std::string_view> strings_;
  std::vector<PickleTensor> tensors_;
  std::vector<PickleStorage> storages_;
  std::vector<const PickleGlobal*> globals_;  ///< of the fixed list, or in foreign_
  std::deque<PickleGlobal> foreign_;
  std::deque<std::string> texts_;  ///< those that the pickle writes with escapes
  PickleId root_ = 0;
};

}  // namespace tern
