// Which tokens each step sees.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/random.h"
#include "train/dataset.h"

namespace tern::train {
namespace {

/// Mix64 for small numbers, of which 0 is one.
uint64_t Scramble(uint64_t x) { return Mix64(x + kGoldenStep); }

/// A random permutation of [0, n) that needs no memory: a Feistel network over the next even number of bits,
/// walked along its cycle until the result is below n (fewer than four rounds of it on average, but for small
/// n).
uint64_t Permute(uint64_t index, uint64_t n, uint64_t key) {
  constexpr int kRounds = 8;
  int half = 4;  // not fewer than 256 values: a network on a bit or two has few permutations to offer
  while (half < 32 && (uint64_t{1} << (2 * half)) < n) ++half;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  do {
    uint64_t left = index >> half, right = index & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = left ^ (Scramble(key + Scramble(right << 8 | round)) & mask);
      left = right;
      right = mixed;
    }
    index = left << half | right;
  } while (index >= n);
  return index;
}

}  // namespace

Result<Windows> Windows::Create(std::shared_ptr<const TokenData> data, const WindowOptions& options) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (options.context < 1 || options.context > kMost || options.rows < 1 || options.rows > kMost) {
    return InvalidArgument(fmt::format("windows of {} tokens in {} rows: both must be 1 to 2^31",
                                       options.context, options.rows));
  }
  if (data->tokens() < 2) {
    return InvalidArgument(fmt::format(
        "a corpus of {} tokens: at least 2 are needed, one to predict the other", data->tokens()));
  }
  Windows windows;
  windows.data_ = std::move(data);
  windows.options_ = options;
  windows.positions_ = windows.data_->tokens() - 1;
  if (options.order == WindowOrder::kStreams) {
    windows.row_positions_ = std::max<int64_t>(1, windows.positions_ / options.rows);
    windows.length_ = std::min(options.context, windows.row_positions_);
    windows.windows_ = windows.row_positions_ / windows.length_ * options.rows;
  } else {
    windows.length_ = std::min(options.context, windows.positions_);
    windows.windows_ = windows.positions_ / windows.length_;
  }
  return windows;
}

double Windows::Epoch(int64_t step) const {
  return static_cast<double>(step) * static_cast<double>(options_.rows) / static_cast<double>(windows_);
}

int64_t Windows::Offset(int64_t epoch) const {
  if (options_.order == WindowOrder::kShuffled && length_ == positions_) return 0;  // the whole corpus, uncut
  Random random(Scramble(options_.seed) ^ Scramble(~static_cast<uint64_t>(epoch)));
  return static_cast<int64_t>(random.Below(static_cast<uint64_t>(positions_)));
}

Windows::Arc Windows::ArcOf(int64_t step, int64_t row) const {
  if (options_.order == WindowOrder::kStreams) {
    const int64_t per_row = windows_ / options_.rows;
    const int64_t epoch = step / per_row, window = step % per_row;
    const int64_t start = row % positions_ * row_positions_ % positions_;
    return {(Offset(epoch) + start + window * length_) % positions_, length_, window == 0};
  }
  const int64_t index = step * options_.rows + row;
  const int64_t epoch = index / windows_;
  const uint64_t key = Scramble(options_.seed + Scramble(static_cast<uint64_t>(epoch)));
  const auto window = static_cast<int64_t>(
      Permute(static_cast<uint64_t>(index % windows_), static_cast<uint64_t>(windows_), key));
  return {(Offset(epoch) + window * length_) % positions_, length_, true};
}

/// Where positions [begin, end), already in the batch's last rows, are cut; takes targets that belong to
/// another document away.
std::vector<int64_t> Windows::DocumentCuts(int64_t begin, int64_t end, TrainBatch* batch) const {
  std::vector<int64_t> cuts;
  const int64_t first = batch->tokens() - (end - begin);  // of `begin` in the batch
  const auto documents = data_->documents();
  for (auto it = std::lower_bound(documents.begin(), documents.end(), std::max<int64_t>(begin, 1));
       it != documents.end() && *it <= end; ++it) {
    int32_t last = -1;
    data_->Read(*it - 1, {&last, 1});
    const bool ended = data_->document_end() >= 0 && last == data_->document_end();
    const int64_t cut = ended ? *it - 1 : *it;
    if (!ended && *it > begin) batch->targets[static_cast<size_t>(first + *it - 1 - begin)] = -1;
    if (cut >= begin && cut < end && (cuts.empty() || cut > cuts.back())) cuts.push_back(cut);
  }
  return cuts;
}

/// Positions [begin, end) of the line, as one segment or several.
void Windows::AppendLine(int64_t begin, int64_t end, int64_t stream, bool fresh, TrainBatch* batch) const {
  std::vector<int32_t> tokens(static_cast<size_t>(end - begin + 1));
  data_->Read(begin, tokens);
  const int64_t first = batch->tokens();
  batch->inputs.insert(batch->inputs.end(), tokens.begin(), tokens.end() - 1);
  batch->targets.insert(batch->targets.end(), tokens.begin() + 1, tokens.end());
  Segment segment{first, first, stream, fresh || begin == 0};
  if (options_.reset_at_documents) {
    for (const int64_t cut : DocumentCuts(begin, end, batch)) {
      segment.end = first + cut - begin;
      if (segment.end > segment.begin) batch->segments.push_back(segment);
      segment = {segment.end, segment.end, stream, true};
    }
  }
  segment.end = batch->tokens();
  batch->segments.push_back(segment);
}

TrainBatch Windows::Get(int64_t step, int64_t row0, int64_t row1) const {
  TrainBatch batch;
  batch.inputs.reserve(static_cast<size_t>((row1 - row0) * length_));
  batch.targets.reserve(static_cast<size_t>((row1 - row0) * length_));
  for (int64_t row = row0; row < row1; ++row) {
    const Arc arc = ArcOf(step, row);
    const int64_t end = std::min(arc.begin + arc.length, positions_);
    AppendLine(arc.begin, end, row - row0, arc.fresh, &batch);
    const int64_t rest = arc.length - (end - arc.begin);
    if (rest > 0) AppendLine(0, rest, row - row0, true, &batch);
  }
  return batch;
}

}  // namespace tern::train
