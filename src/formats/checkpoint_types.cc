#include "formats/checkpoint_types.h"

#include <fmt/format.h>

#include "tensor/quant.h"

namespace tern {
namespace {

bool IsQuantised(DType type) { return Traits(type).quantised; }
bool IsVector(Part part) { return part == Part::kVector || part == Part::kPerHead || part == Part::kState; }

DType FitRow(DType type, int64_t row_length) {
  if (row_length % Traits(type).block == 0) return type;
  DType smaller = DType::kF16;
  if (type == DType::kQ4_K) smaller = DType::kQ5_0;
  if (type == DType::kQ5_K) smaller = DType::kQ5_1;
  if (type == DType::kQ6_K) smaller = DType::kQ8_0;
  return row_length % Traits(smaller).block == 0 ? smaller : DType::kF16;
}

// Tensors that a quantised file keeps in a plain type.
DType PlainWithin(FileFormat format, DType own) {
  if (own == DType::kBF16 && !CanHold(format, own)) return DType::kF16;
  return CanHold(format, own) ? own : DType::kF16;
}

DType RwkvBinType(int major, Part part, DType own, std::optional<DType> requested, int64_t row_length) {
  constexpr FileFormat kFormat = FileFormat::kRwkvBin;
  if (IsVector(part)) return DType::kF32;
  if (IsLowRank(part) && major == 6 && (requested || !IsQuantised(own))) return DType::kF32;
  if (!requested) return CanHold(kFormat, own) ? own : DType::kF32;
  if (IsQuantised(*requested) && part != Part::kMatrix) return PlainWithin(kFormat, own);
  return FitRow(*requested, row_length);
}

DType TypeInGguf(int major, Part part, DType own, std::optional<DType> requested, int64_t row_length) {
  if (IsVector(part)) return DType::kF32;
  if (IsLowRank(part) && major == 6 && (requested || !IsQuantised(own))) return DType::kF32;
  if (!requested) return own;
  if (!IsQuantised(*requested)) return *requested;
  if (IsLowRank(part)) return own;
  if (part == Part::kHead && *requested != DType::kQ8_0) return FitRow(DType::kQ6_K, row_length);
  return FitRow(*requested, row_length);
}

}  // namespace

bool CanHold(FileFormat format, DType type) {
  switch (format) {
    case FileFormat::kPth:
    case FileFormat::kSafetensors:
      return Traits(type).is_float && !IsQuantised(type);
    case FileFormat::kGguf:
      return Traits(type).is_float;
    case FileFormat::kRwkvBin:
      return Traits(type).is_float && type != DType::kBF16 && Traits(type).block <= 32;
  }
  return false;
}

Status CheckRequestedType(FileFormat format, DType type) {
  if (CanHold(format, type) && CanQuantizeTo(type)) return OkStatus();
  std::string possible;
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto candidate = static_cast<DType>(i);
    if (!CanHold(format, candidate) || !CanQuantizeTo(candidate)) continue;
    possible += fmt::format("{}{}", possible.empty() ? "" : ", ", Name(candidate));
  }
  return Unsupported(fmt::format("Tern writes no {} weights to the format {}; it writes {}", Name(type),
                                 Name(format), possible));
}

DType WrittenType(FileFormat format, int major, Part part, DType own, std::optional<DType> requested,
                  int64_t row_length) {
  switch (format) {
    case FileFormat::kPth:
    case FileFormat::kSafetensors:
      if (requested) return *requested;
      return IsQuantised(own) ? DType::kF32 : own;
    case FileFormat::kGguf:
      return TypeInGguf(major, part, own, requested, row_length);
    case FileFormat::kRwkvBin:
      return RwkvBinType(major, part, own, requested, row_length);
  }
  return own;
}

}  // namespace tern
