// Pickles put together opcode by opcode, good and evil, for the tests of the pickle machine and of .pth
// files.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "formats/pickle_machine.h"

namespace tern::testing {

/// Appends opcodes with their arguments; nothing checks that they make sense.
class PickleAssembler {
 public:
  PickleAssembler& Op(uint8_t opcode) {
    text_.push_back(static_cast<char>(opcode));
    return *this;
  }
  template <typename T>
  PickleAssembler& Op(uint8_t opcode, T argument) {
    Op(opcode);
    char bytes[sizeof(T)];
    std::memcpy(bytes, &argument, sizeof(T));
    text_.append(bytes, sizeof(T));
    return *this;
  }
  PickleAssembler& Raw(std::string_view text) {
    text_ += text;
    return *this;
  }
  PickleAssembler& Proto(uint8_t version = 2) { return Op(pickle_op::kProto, version); }
  PickleAssembler& Text(std::string_view text) {
    return Op(pickle_op::kBinUnicode, static_cast<uint32_t>(text.size())).Raw(text);
  }
  PickleAssembler& Int(int64_t value) { return Op(pickle_op::kLong1, uint8_t{8}).RawInt(value); }
  PickleAssembler& Global(std::string_view module, std::string_view name) {
    return Op(pickle_op::kGlobal).Raw(module).Raw("\n").Raw(name).Raw("\n");
  }
  PickleAssembler& Ints(std::initializer_list<int64_t> values) {
    Op(pickle_op::kMark);
    for (int64_t value : values) Int(value);
    return Op(pickle_op::kTuple);
  }
  PickleAssembler& Storage(std::string_view type, std::string_view key, int64_t numel) {
    Op(pickle_op::kMark).Text("storage").Global("torch", type).Text(key).Text("cpu").Int(numel);
    return Op(pickle_op::kTuple).Op(pickle_op::kBinPersId);
  }
  PickleAssembler& Tensor(std::string_view type, std::string_view key, int64_t numel, int64_t offset,
                          std::initializer_list<int64_t> shape, std::initializer_list<int64_t> strides) {
    Global("torch._utils", "_rebuild_tensor_v2").Op(pickle_op::kMark).Storage(type, key, numel).Int(offset);
    Ints(shape).Ints(strides).Op(pickle_op::kNewFalse);
    Global("collections", "OrderedDict").Op(pickle_op::kEmptyTuple).Op(pickle_op::kReduce);
    return Op(pickle_op::kTuple).Op(pickle_op::kReduce);
  }
  /// Ends the program.
  std::string Stop() { return Op(pickle_op::kStop).text_; }

 private:
  PickleAssembler& RawInt(int64_t value) {
    char bytes[8];
    std::memcpy(bytes, &value, 8);
    text_.append(bytes, 8);
    return *this;
  }
  std::string text_;
};

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace tern::testing
