#include "tensor/dtype.h"

#include <array>
#include <cctype>
#include <string>

namespace tern {
namespace {

// Block sizes of ggml; tensor/quant.cc asserts that its structs have just these.
constexpr std::array<DTypeTraits, kDTypeCount> kTraits = {{
    {"f32", 1, 4, false, true},
    {"f16", 1, 2, false, true},
    {"bf16", 1, 2, false, true},
    {"q8_0", 32, 34, true, true},
    {"q5_1", 32, 24, true, true},
    {"q5_0", 32, 22, true, true},
    {"q4_1", 32, 20, true, true},
    {"q4_0", 32, 18, true, true},
    {"q2_k", 256, 84, true, true},
    {"q3_k", 256, 110, true, true},
    {"q4_k", 256, 144, true, true},
    {"q5_k", 256, 176, true, true},
    {"q6_k", 256, 210, true, true},
    {"f64", 1, 8, false, false},
    {"i64", 1, 8, false, false},
    {"i32", 1, 4, false, false},
    {"i16", 1, 2, false, false},
    {"i8", 1, 1, false, false},
    {"u8", 1, 1, false, false},
    {"bool", 1, 1, false, false},
}};

}  // namespace

const DTypeTraits& Traits(DType type) { return kTraits[static_cast<size_t>(type)]; }

std::optional<DType> DTypeFromName(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (int i = 0; i < kDTypeCount; ++i) {
    if (kTraits[static_cast<size_t>(i)].name == lower) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::optional<uint64_t> RowBytes(DType type, uint64_t columns) {
  const DTypeTraits& t = Traits(type);
  if (columns % static_cast<uint64_t>(t.block) != 0) return std::nullopt;
  return columns / static_cast<uint64_t>(t.block) * static_cast<uint64_t>(t.block_bytes);
}

}  // namespace tern
