// Reading untrusted bytes: every length and offset is checked before it is used.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

static_assert(std::endian::native == std::endian::little, "every format that Tern reads is little-endian");

namespace tern {

/// A cursor over bytes from a file. Each read says whether there were enough; after a failed read the cursor stands
/// where it stood.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }
  bool Seek(uint64_t position) {
    if (position > bytes_.size()) return false;
    position_ = static_cast<size_t>(position);
    return true;
  }

  template <typename T>
  bool Read(T* value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (remaining() < sizeof(T)) return false;
    std::memcpy(value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return true;
  }

  bool ReadBytes(uint64_t size, std::span<const std::byte>* value) {
    if (size > remaining()) return false;
    *value = bytes_.subspan(position_, static_cast<size_t>(size));
    position_ += static_cast<size_t>(size);
    return true;
  }

  bool ReadString(uint64_t size, std::string_view* value) {
    std::span<const std::byte> bytes;
    if (!ReadBytes(size, &bytes)) return false;
    *value = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

/// a·b and a+b, or nothing when they do not fit: for sizes that come from a file.
inline std::optional<uint64_t> CheckedMul(uint64_t a, uint64_t b) {
  uint64_t result;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}
inline std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t result;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

/// Reads a T from an address of any alignment (file formats align little).
template <typename T>
inline T LoadUnaligned(const void* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

}  // namespace tern
