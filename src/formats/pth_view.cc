#include "formats/pth_view.h"

#include <fmt/format.h>

#include <cstring>

namespace tern {
namespace {

uint64_t ElementBytes(const StridedView& view) {
  return static_cast<uint64_t>(Traits(view.dtype).block_bytes);
}

}  // namespace

Status CheckView(const StridedView& view) {
  if (view.strides.size() != view.shape.size()) {
    return Corrupt(fmt::format("{} dimensions and {} strides", view.shape.size(), view.strides.size()));
  }
  const auto elements = NumElements(view.shape);
  if (!elements || !NumBytes(view.dtype, view.shape)) {
    return Corrupt(fmt::format("its shape {} is not possible", ToString(view.shape)));
  }
  const auto available = static_cast<int64_t>(view.storage.size() / ElementBytes(view));
  int64_t last = view.offset;  // the largest index of any element
  bool inside = view.offset >= 0 && view.offset <= available;
  for (size_t i = 0; i < view.shape.size() && inside; ++i) {
    int64_t reach;
    inside = view.strides[i] >= 0;
    if (*elements == 0 || !inside) continue;
    inside = !__builtin_mul_overflow(view.shape[i] - 1, view.strides[i], &reach) &&
             !__builtin_add_overflow(last, reach, &last);
  }
  if (!inside || (*elements > 0 && last >= available)) {
    return Corrupt(
        fmt::format("its shape {} with strides {} at offset {} goes beyond its storage of {} elements",
                    ToString(view.shape), ToString(view.strides), view.offset, available));
  }
  return OkStatus();
}

bool IsContiguous(const StridedView& view) {
  if (*NumElements(view.shape) == 0) return true;
  int64_t expected = 1;  // at most the number of elements, which fits
  for (size_t i = view.shape.size(); i-- > 0;) {
    if (view.shape[i] == 1) continue;
    if (view.strides[i] != expected) return false;
    expected *= view.shape[i];
  }
  return true;
}

std::span<const std::byte> ContiguousBytes(const StridedView& view) {
  return view.storage.subspan(static_cast<uint64_t>(view.offset) * ElementBytes(view),
                              *NumBytes(view.dtype, view.shape));
}

std::vector<std::byte> MakeContiguous(const StridedView& view) {
  const size_t size = ElementBytes(view);
  std::vector<std::byte> out(*NumBytes(view.dtype, view.shape));
  std::vector<int64_t> index(view.shape.size(), 0);
  // Nothing bounds the stride of a dimension of size 1, and nothing ever steps along it.
  std::vector<int64_t> strides = view.strides;
  for (size_t d = 0; d < strides.size(); ++d) strides[d] = view.shape[d] == 1 ? 0 : strides[d];
  int64_t element = view.offset;
  for (size_t done = 0; done < out.size(); done += size) {
    std::memcpy(out.data() + done, view.storage.data() + static_cast<size_t>(element) * size, size);
    // The next index, as an odometer counts.
    for (size_t d = view.shape.size(); d-- > 0;) {
      element += strides[d];
      if (++index[d] < view.shape[d]) break;
      element -= strides[d] * view.shape[d];
      index[d] = 0;
    }
  }
  return out;
}

}  // namespace tern
