#include "formats/checkpoint_convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <mutex>

#include "base/bytes.h"
#include "base/parallel.h"
#include "formats/checkpoint_encoding.h"
#include "formats/checkpoint_values.h"
#include "tensor/quant.h"

namespace tern {
namespace {

constexpr int64_t kChunk = 1 << 16;  // elements that a thread takes at a time

size_t BytesOf(DType type, int64_t elements) {
  return static_cast<size_t>(*RowBytes(type, static_cast<uint64_t>(elements)));
}

// Where a block keeps the fp16 numbers that all of its values are proportional to; −1: none.
std::array<int, 2> ScaleOffsets(DType type) {
  switch (type) {
    case DType::kQ8_0:
    case DType::kQ5_0:
    case DType::kQ4_0:
      return {0, -1};
    case DType::kQ5_1:
    case DType::kQ4_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108, -1};
    case DType::kQ6_K:
      return {208, -1};
    default:
      return {-1, -1};
  }
}

// Multiplies an fp16 number by a power of two; false when digits are lost.
bool ScaleFp16(float factor, std::byte* at) {
  const auto bits = LoadUnaligned<uint16_t>(at);
  const float exact = Fp16ToFloat(bits) * factor;
  const uint16_t scaled = FloatToFp16(exact);
  std::memcpy(at, &scaled, sizeof(scaled));
  return std::isnan(exact) || Fp16ToFloat(scaled) == exact;
}

// Which values a type cannot hold: those whose magnitude's bits lie strictly between the two.
struct Misfit {
  uint32_t above, below;
  bool operator()(float value) const {
    const uint32_t magnitude = std::bit_cast<uint32_t>(value) & 0x7fffffffu;
    return (magnitude > above) & (magnitude < below);
  }
};

Misfit MisfitOf(DType type) {
  constexpr uint32_t kLargestF16 = std::bit_cast<uint32_t>(65504.0f);
  constexpr uint32_t kInfinity = 0x7f800000u;
  switch (type) {
    case DType::kF32:
      return {kInfinity, kInfinity};
    case DType::kF16:
      return {kLargestF16, kInfinity};
    case DType::kBF16:
      return {0x7f7f7fffu, kInfinity};  // the next float rounds to infinity
    default:
      return {kLargestF16, 0xffffffffu};  // blocks: infinity and NaN neither
  }
}

class Conversion {
 public:
  Conversion(const StoredForm& form, const CheckpointTensor& source)
      : form_(form),
        source_(source),
        factor_(source.scale / form.storage.scale),
        same_orientation_(source.shape.size() < 2 || source.transposed == form.storage.transposed),
        same_encoding_(source.encoding == form.storage.encoding) {}

  Result<TensorBytes> Run() {
    const bool same_layout =
        source_.dtype == form_.dtype && same_orientation_ && same_encoding_ && form_.repeat == 1;
    if (same_layout && factor_ == 1.0f) return TensorBytes{source_.bytes, {}};
    if (same_layout && Traits(form_.dtype).quantised) {
      if (auto scaled = ScaleBlocks()) return TensorBytes{{}, std::move(*scaled)};
    }
    const int64_t n = NumElements(source_.shape).value_or(0);
    out_.resize(BytesOf(form_.dtype, n * form_.repeat));
    if (same_orientation_ && form_.repeat == 1 && RowsAgree()) {
      Stream(n);
    } else {
      ConvertWhole(n);
    }
    TERN_RETURN_IF_ERROR(Verdict());
    return TensorBytes{{}, std::move(out_)};
  }

 private:
  std::optional<std::vector<std::byte>> ScaleBlocks() const {
    std::vector<std::byte> blocks(source_.bytes.begin(), source_.bytes.end());
    const auto size = static_cast<size_t>(Traits(form_.dtype).block_bytes);
    const auto offsets = ScaleOffsets(form_.dtype);
    std::atomic<bool> exact = true;
    ParallelFor(static_cast<int64_t>(blocks.size() / size), 4096, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        for (int offset : offsets) {
          if (offset < 0) continue;
          std::byte* at = blocks.data() + static_cast<size_t>(block) * size + static_cast<size_t>(offset);
          if (!ScaleFp16(factor_, at)) exact = false;
        }
      }
    });
    if (!exact) return std::nullopt;
    return blocks;
  }

  int64_t SourceRow() const {
    return Traits(source_.dtype).quantised ? RowsOf(source_.StoredShape()).length : 1;
  }
  int64_t OutputRow() const { return Traits(form_.dtype).quantised ? RowsOf(form_.shape).length : 1; }
  bool RowsAgree() const { return SourceRow() == OutputRow() || SourceRow() == 1 || OutputRow() == 1; }

  /// Calls fn(begin, end) on ranges of elements that cut no row of a quantised type.
  void ForChunks(int64_t n, int64_t row, FunctionRef<void(int64_t, int64_t)> fn) {
    if (n == 0) return;
    ParallelFor(n / row, std::max<int64_t>(1, kChunk / row),
                [&](int64_t begin, int64_t end) { fn(begin * row, end * row); });
  }

  void Stream(int64_t n) {
    ForChunks(n, std::max(SourceRow(), OutputRow()), [&](int64_t begin, int64_t end) {
      std::vector<float> values(static_cast<size_t>(end - begin));
      DequantizeRow(source_.dtype, source_.bytes.data() + BytesOf(source_.dtype, begin), values.data(),
                    end - begin);
      Emit(values.data(), begin, end);
    });
  }

  void ConvertWhole(int64_t n) {
    std::vector<float> values(static_cast<size_t>(n));
    ReadStoredValues(source_, form_.storage.transposed, values.data());
    if (form_.repeat > 1) {
      std::vector<float> repeated;
      repeated.reserve(values.size() * static_cast<size_t>(form_.repeat));
      for (float value : values) repeated.insert(repeated.end(), static_cast<size_t>(form_.repeat), value);
      values = std::move(repeated);
    }
    ForChunks(n * form_.repeat, OutputRow(),
              [&](int64_t begin, int64_t end) { Emit(values.data() + begin, begin, end); });
  }

  /// Stores the elements [begin, end), whose values as stored in the source are at `values`.
  void Emit(float* values, int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    if (!same_encoding_) {
      for (int64_t i = 0; i < n; ++i) {
        const float p = Decode(source_.encoding, values[i] * source_.scale);
        values[i] = Encode(form_.storage.encoding, p) / form_.storage.scale;
      }
    } else if (factor_ != 1.0f) {
      for (int64_t i = 0; i < n; ++i) values[i] *= factor_;
    }
    Check(values, begin, n);
    QuantizeRow(form_.dtype, values, out_.data() + BytesOf(form_.dtype, begin), n);
  }

  void Check(const float* values, int64_t begin, int64_t n) {
    const Misfit misfit = MisfitOf(form_.dtype);
    bool any = false;  // no early exit: a loop without branches is several times faster
    for (int64_t i = 0; i < n; ++i) any |= misfit(values[i]);
    if (!any) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    const int64_t i = std::find_if(values, values + n, misfit) - values;
    if (bad_index_ >= 0 && bad_index_ <= begin + i) return;
    bad_index_ = begin + i;  // the first one, however many threads there are
    bad_value_ = values[i];
  }

  Status Verdict() const {
    if (bad_index_ < 0) return OkStatus();
    return Unsupported(fmt::format("tensor '{}' has the value {} at index {}, which {} cannot hold",
                                   source_.name, bad_value_, bad_index_, Name(form_.dtype)));
  }

  const StoredForm& form_;
  const CheckpointTensor& source_;
  const float factor_;
  const bool same_orientation_, same_encoding_;
  std::vector<std::byte> out_;
  std::mutex mutex_;
  int64_t bad_index_ = -1;
  float bad_value_ = 0;
};

}  // namespace

Result<TensorBytes> Convert(const StoredForm& form) {
  if (form.sources.size() == 1) return Conversion(form, *form.sources.front()).Run();
  TensorBytes fused;
  for (const CheckpointTensor* source : form.sources) {
    TERN_ASSIGN_OR_RETURN(const TensorBytes slice, Conversion(form, *source).Run());
    fused.owned.insert(fused.owned.end(), slice.bytes().begin(), slice.bytes().end());
  }
  return fused;
}

}  // namespace tern
