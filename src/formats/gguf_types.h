// Numbers of the GGUF format that its reader and its writer share. Private to src/formats.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "tensor/dtype.h"

namespace tern {

inline constexpr uint32_t kGgufMagic = 0x46554747;  // "GGUF"
inline constexpr uint32_t kGgufVersion = 3;
inline constexpr uint64_t kGgufAlignment = 32;  // of tensor data, unless general.alignment says otherwise
inline constexpr uint32_t kGgufMaxDims = 4;
inline constexpr const char* kGgufAlignmentKey = "general.alignment";

/// Types of metadata values.
enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

/// ggml's numbers for tensor types.
inline constexpr std::array<std::pair<uint32_t, DType>, 13> kGgufTensorTypes = {{
    {0, DType::kF32},
    {1, DType::kF16},
    {2, DType::kQ4_0},
    {3, DType::kQ4_1},
    {6, DType::kQ5_0},
    {7, DType::kQ5_1},
    {8, DType::kQ8_0},
    {10, DType::kQ2_K},
    {11, DType::kQ3_K},
    {12, DType::kQ4_K},
    {13, DType::kQ5_K},
    {14, DType::kQ6_K},
    {30, DType::kBF16},
}};

inline std::optional<DType> GgufTensorType(uint32_t number) {
  for (const auto& row : kGgufTensorTypes) {
    if (row.first == number) return row.second;
  }
  return std::nullopt;
}

inline std::optional<uint32_t> GgufTensorNumber(DType type) {
  for (const auto& row : kGgufTensorTypes) {
    if (row.second == type) return row.first;
  }
  return std::nullopt;
}

/// "0 f32, 1 f16, …": for messages.
inline std::string GgufTensorTypeNames() {
  std::string names;
  for (const auto& row : kGgufTensorTypes) {
    names += fmt::format("{}{} {}", names.empty() ? "" : ", ", row.first, Name(row.second));
  }
  return names;
}

}  // namespace tern
