// Random models as files.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "formats/checkpoint_plan.h"
#include "formats/checkpoint_values.h"
#include "formats/random_model.h"
#include "tensor/quant.h"

namespace tern {
namespace {

/// The model as a file would show it. Vectors have their values; matrices are zeros that take no memory, for
/// the plan asks for their shapes alone.
class RandomSource final : public TensorSource {
 public:
  static Result<std::shared_ptr<const TensorSource>> Make(const RandomModel& model, DType matrix_type) {
    std::shared_ptr<RandomSource> source(new RandomSource(model));
    const std::vector<RandomTensor> tensors = ListTensors(model);
    uint64_t largest = 1;
    for (const RandomTensor& tensor : tensors) {
      largest = std::max(largest, NumBytes(matrix_type, tensor.shape).value_or(0));
    }
    source->zeros_ = PageBuffer(largest);
    if (source->zeros_.data() == nullptr) {
      return Exhausted(fmt::format("no {} bytes of address space for a random model", largest));
    }
    for (const RandomTensor& tensor : tensors) {
      TERN_RETURN_IF_ERROR(source->AddTensor(tensor, matrix_type));
    }
    return std::shared_ptr<const TensorSource>(std::move(source));
  }

 private:
  explicit RandomSource(const RandomModel& model)
      : TensorSource(FileFormat::kPth, fmt::format("random-{}x{}", model.layers, model.width)) {}

  Status AddTensor(const RandomTensor& tensor, DType matrix_type) {
    if (tensor.matrix) {
      const std::span<const std::byte> zeros(zeros_.data(), NumBytes(matrix_type, tensor.shape).value_or(0));
      return Add({tensor.name, matrix_type, tensor.shape, zeros});
    }
    const int64_t elements = NumElements(tensor.shape).value_or(0);
    std::vector<float> values(static_cast<size_t>(elements));
    FillRandom(tensor, 0, elements, values.data());
    auto bytes = std::make_unique<std::vector<std::byte>>(values.size() * sizeof(float));
    std::memcpy(bytes->data(), values.data(), bytes->size());
    owned_.push_back(std::move(bytes));
    return Add({tensor.name, DType::kF32, tensor.shape, *owned_.back()});
  }

  PageBuffer zeros_;
};

/// Random weights of one range, quantised: what rows of matrices are cut from.
class Pool {
 public:
  static constexpr int64_t kSmallest = int64_t{1} << 14, kLargest = int64_t{1} << 18;

  Pool(DType type, int64_t elements, double scale, uint64_t seed) : type_(type), elements_(elements) {
    const RandomTensor tensor{.name = "", .shape = {elements}, .matrix = true, .scale = scale, .start = seed};
    constexpr int64_t kPiece = 4096;
    static_assert(kPiece % 256 == 0);  // whole blocks of every type
    bytes_.resize(NumBytes(type, tensor.shape).value_or(0));
    ParallelFor(elements, kPiece, [&](int64_t begin, int64_t end) {
      float values[kPiece];
      FillRandom(tensor, begin, end, values);
      QuantizeRow(type, values, bytes_.data() + BytesOf(begin), end - begin);
    });
  }

  /// A row of `length` elements, whole blocks, from the place that `number` stands for. Rows that are longer
  /// than the pool go round.
  void CopyRow(uint64_t number, int64_t length, std::byte* dst) const {
    const int64_t block = Traits(type_).block;
    auto at = static_cast<int64_t>(Mix64(number) % static_cast<uint64_t>(elements_ / block)) * block;
    for (int64_t done = 0; done < length;) {
      const int64_t count = std::min(length - done, elements_ - at);
      std::memcpy(dst + BytesOf(done), bytes_.data() + BytesOf(at), BytesOf(count));
      done += count;
      at = 0;
    }
  }

 private:
  size_t BytesOf(int64_t elements) const {
    return static_cast<size_t>(elements / Traits(type_).block * Traits(type_).block_bytes);
  }

  DType type_;
  int64_t elements_;
  std::vector<std::byte> bytes_;
};

/// Makes the bytes of a planned file's tensors.
class RandomBytes {
 public:
  explicit RandomBytes(const RandomModel& model) : seed_(model.seed) {
    for (RandomTensor& tensor : ListTensors(model)) {
      if (!tensor.matrix) continue;
      const int64_t elements = NumElements(tensor.shape).value_or(0);
      while (pool_elements_ < std::min(elements, Pool::kLargest)) pool_elements_ *= 2;
      matrices_.emplace(tensor.name, std::move(tensor));
    }
  }

  Result<TensorBytes> operator()(const StoredForm& form) {
    const auto matrix = matrices_.find(form.sources.front()->name);
    if (matrix == matrices_.end()) return Convert(form);
    const Pool& pool = PoolOf(form.dtype, matrix->second.scale / static_cast<double>(form.storage.scale));
    const Rows rows = RowsOf(form.shape);
    const size_t row_bytes = RowBytes(form.dtype, static_cast<uint64_t>(rows.length)).value_or(0);
    TensorBytes made;
    made.owned.resize(static_cast<size_t>(rows.count) * row_bytes);
    ParallelFor(rows.count, 256, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const uint64_t number = matrix->second.start + (static_cast<uint64_t>(row) + 1) * kGoldenStep;
        pool.CopyRow(number, rows.length, made.owned.data() + static_cast<size_t>(row) * row_bytes);
      }
    });
    return made;
  }

 private:
  const Pool& PoolOf(DType type, double scale) {
    const auto key = std::pair(type, scale);
    auto it = pools_.find(key);
    if (it == pools_.end()) {
      it = pools_.emplace(key, Pool(type, pool_elements_, scale, Mix64(seed_ + pools_.size() + 1))).first;
    }
    return it->second;
  }

  uint64_t seed_;
  int64_t pool_elements_ = Pool::kSmallest;  ///< as many as the largest matrix has, a power of two
  std::map<std::string, RandomTensor> matrices_;
  std::map<std::pair<DType, double>, Pool> pools_;
};

Result<std::shared_ptr<const Checkpoint>> Describe(const RandomModel& model, const SaveOptions& options) {
  // What a format keeps plain within a quantised file is fp16 in the published ones.
  const bool f32 = !options.type || *options.type == DType::kF32;
  TERN_ASSIGN_OR_RETURN(auto source, RandomSource::Make(model, f32 ? DType::kF32 : DType::kF16));
  return Checkpoint::FromSource(std::move(source));
}

}  // namespace

Status SaveRandomModel(const RandomModel& model, const std::string& path, const SaveOptions& options) {
  TERN_ASSIGN_OR_RETURN(const auto checkpoint, Describe(model, options));
  RandomBytes bytes(model);
  return SaveCheckpointWith(*checkpoint, path, options, [&](const StoredForm& form) { return bytes(form); });
}

Result<uint64_t> RandomModelBytes(const RandomModel& model, const SaveOptions& options) {
  TERN_ASSIGN_OR_RETURN(const auto checkpoint, Describe(model, options));
  TERN_ASSIGN_OR_RETURN(const SavePlan plan, PlanSave(*checkpoint, options));
  uint64_t total = 0;
  for (const StoredForm& form : plan.forms) total += NumBytes(form.dtype, form.shape).value_or(0);
  return total;
}

}  // namespace tern
