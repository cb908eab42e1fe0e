// What streams of text carry from one batch to the next.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/state.h"
#include "train/shape.h"

namespace tern::train {

/// Per stream and layer, the two token-shift rows and the WKV state: laid out as inference's State (model/state.h), so
/// that what training leaves can be used there. A value: copies are independent.
template <typename T>
class StreamStates {
 public:
  StreamStates(const ModelShape& shape, int64_t streams)
      : generation_(shape.generation),
        streams_(streams),
        layers_(shape.layers),
        width_(shape.width),
        att_width_(shape.att_width),
        layer_size_(StateLayout(shape).LayerFloats()),
        values_(static_cast<size_t>(streams * layers_ * layer_size_)) {
    for (int64_t s = 0; s < streams; ++s) Reset(s);
  }

  /// To the start of a text: zeros, and RWKV-4's running maximum p = −1e38.
  void Reset(int64_t stream) {
    for (int64_t layer = 0; layer < layers_; ++layer) {
      T* at = shift_att(stream, layer);
      for (int64_t i = 0; i < layer_size_; ++i) at[i] = T(0);
      if (generation_ != Generation::kRwkv4) continue;
      for (int64_t i = 2 * att_width_; i < 3 * att_width_; ++i) wkv(stream, layer)[i] = T(-1e38);
    }
  }

  std::span<T> values() { return values_; }
  std::span<const T> values() const { return values_; }
  int64_t streams() const { return streams_; }
  T* shift_att(int64_t stream, int64_t layer) {  ///< [C]
    return values_.data() + (stream * layers_ + layer) * layer_size_;
  }
  T* shift_ffn(int64_t stream, int64_t layer) { return shift_att(stream, layer) + width_; }  ///< [C]
  /// RWKV-4: a, b, p, [A] each; RWKV-7: [H, N, N].
  T* wkv(int64_t stream, int64_t layer) { return shift_att(stream, layer) + 2 * width_; }

 private:
  Generation generation_;
  int64_t streams_, layers_, width_, att_width_, layer_size_;
  std::vector<T> values_;
};

}  // namespace tern::train
