// What one forward and backward pass reads: packed segments of text.
#pragma once

#include <cstdint>
#include <vector>

namespace tern::train {

/// Tokens [begin, end) of a batch, one piece of one document. A segment that resets starts from the zero state, another
/// one from what its stream's previous segment (of an earlier batch) left. Within one batch only a stream's first
/// segment may go on; the state after a stream's last segment is kept.
struct Segment {
  int64_t begin = 0, end = 0;
  int64_t stream = 0;
  bool reset = true;
};

/// A micro-batch. Position i predicts targets[i] from inputs[i] and what came before it in its segment; a target of −1
/// is not counted. Segments cover [0, inputs.size()) in order.
struct TrainBatch {
  std::vector<int32_t> inputs;   ///< [T]
  std::vector<int32_t> targets;  ///< [T]
  std::vector<Segment> segments;
  int64_t tokens() const { return static_cast<int64_t>(inputs.size()); }
};

}  // namespace tern::train
