// What the format safetensors fixes: its names of number types and its limit. Private to src/formats.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tensor/dtype.h"

namespace tern {

/// Bytes of JSON that a file may have; the limit of the format's own library.
inline constexpr uint64_t kSafetensorsLongestHeader = 100'000'000;

inline constexpr std::array<std::pair<std::string_view, DType>, 10> kSafetensorsTypes = {{
    {"F32", DType::kF32},
    {"F16", DType::kF16},
    {"BF16", DType::kBF16},
    {"F64", DType::kF64},
    {"I64", DType::kI64},
    {"I32", DType::kI32},
    {"I16", DType::kI16},
    {"I8", DType::kI8},
    {"U8", DType::kU8},
    {"BOOL", DType::kBool},
}};

inline std::optional<DType> SafetensorsType(std::string_view name) {
  for (const auto& row : kSafetensorsTypes) {
    if (row.first == name) return row.second;
  }
  return std::nullopt;
}

/// Nothing for types that the format cannot hold (the quantised ones).
inline std::optional<std::string_view> SafetensorsName(DType type) {
  for (const auto& row : kSafetensorsTypes) {
    if (row.second == type) return row.first;
  }
  return std::nullopt;
}

/// "F32, F16, …": for messages.
inline std::string SafetensorsTypeNames() {
  std::string names;
  for (const auto& row : kSafetensorsTypes) {
    if (!names.empty()) names += ", ";
    names += row.first;
  }
  return names;
}

}  // namespace tern
