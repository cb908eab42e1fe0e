#include "train/evaluate_loss.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace tern::train {
namespace {

/// Which windows of the text are read, pass after pass: `columns` windows of `rows` rows each.
struct Plan {
  int64_t windows = 0;  ///< in the text
  int64_t chosen = 0;   ///< of those, read
  int64_t rows = 0, columns = 0;
  bool carried = false;

  /// The window of `row` in pass `column`, or −1.
  int64_t WindowOf(int64_t row, int64_t column) const {
    if (carried) {
      const int64_t begin = windows * row / rows, end = windows * (row + 1) / rows;
      return begin + column < end ? begin + column : -1;
    }
    const int64_t index = column * rows + row;
    return index < chosen ? static_cast<int64_t>(static_cast<double>(index) * static_cast<double>(windows) /
                                                 static_cast<double>(chosen))
                          : -1;
  }
};

Plan MakePlan(int64_t tokens, const EvaluationOptions& options) {
  Plan plan;
  plan.windows = std::max<int64_t>(0, tokens - 1 + options.context - 1) / options.context;
  plan.chosen = plan.windows;
  if (options.most_tokens > 0)
    plan.chosen = std::clamp<int64_t>(options.most_tokens / options.context, 1, plan.windows);
  plan.rows = std::max<int64_t>(1, std::min(options.rows, plan.chosen));
  plan.columns = (plan.chosen + plan.rows - 1) / plan.rows;
  plan.carried = options.carried;
  if (options.carried && plan.chosen == plan.windows)
    plan.columns = (plan.windows + plan.rows - 1) / plan.rows;
  return plan;
}

/// Appends a window as one segment of `stream`.
void AddWindow(const TokenData& data, int64_t begin, int64_t context, int64_t stream, bool reset,
               TrainBatch* batch) {
  const int64_t length = std::min(context, data.tokens() - 1 - begin);
  std::vector<int32_t> tokens(static_cast<size_t>(length + 1));
  data.Read(begin, tokens);
  batch->segments.push_back({batch->tokens(), batch->tokens() + length, stream, reset});
  batch->inputs.insert(batch->inputs.end(), tokens.begin(), tokens.end() - 1);
  batch->targets.insert(batch->targets.end(), tokens.begin() + 1, tokens.end());
}

}  // namespace

Result<LossSum> EvaluateLoss(Graph<float>& graph, const GraphCall<float>& weights, const TokenData& data,
                             const EvaluationOptions& options, Communicator& communicator,
                             const std::function<bool()>& stop) {
  const Plan plan = MakePlan(data.tokens(), options);
  if (plan.windows == 0) return InvalidArgument("the validation text has fewer than two tokens");
  std::optional<StreamStates<float>> states;
  if (options.carried) states.emplace(graph.layout().shape(), plan.rows);
  double sums[2] = {0, 0};
  const OwnedRange mine = options.carried
                              ? OwnedRange{communicator.rank() == 0 ? 0 : plan.columns, plan.columns}
                              : Communicator::Rows(plan.columns, communicator.rank(), communicator.size());
  for (int64_t column = mine.begin; column < mine.end; ++column) {
    if (stop && stop()) return Cancelled("stopped");
    TrainBatch batch;
    for (int64_t row = 0; row < plan.rows; ++row) {
      const int64_t window = plan.WindowOf(row, column);
      if (window < 0) continue;
      AddWindow(data, window * options.context, options.context, row, !options.carried || column == 0,
                &batch);
    }
    GraphCall<float> call = weights;
    call.batch = &batch;
    call.states = states ? &*states : nullptr;
    int64_t counted = 0;
    sums[0] += static_cast<double>(graph.Run(call, &counted));
    sums[1] += static_cast<double>(counted);
  }
  TERN_RETURN_IF_ERROR(communicator.Sum(sums));
  return LossSum{sums[0], static_cast<int64_t>(sums[1])};
}

}  // namespace tern::train
