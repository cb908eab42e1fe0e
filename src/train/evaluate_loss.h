// The loss of a model over a text that it does not learn from.
#pragma once

#include <functional>
#include <span>

#include "base/status.h"
#include "train/communicator.h"
#include "train/dataset.h"
#include "train/graph.h"

namespace tern::train {

struct EvaluationOptions {
  int64_t context = 0;      ///< tokens of a window
  int64_t rows = 1;         ///< windows at once
  int64_t most_tokens = 0;  ///< about so many, in windows spread evenly over the text; 0: all
  /// false: every window starts from the zero state. true: the text is cut into `rows` parts, each read on
  /// from window to window.
  bool carried = false;
};

/// Sum of the losses of all targets of the chosen windows, over all processes. `call` gives the weights;
/// `stop`, asked between passes, ends it with kCancelled.
Result<LossSum> EvaluateLoss(Graph<float>& graph, const GraphCall<float>& weights, const TokenData& data,
                             const EvaluationOptions& options, Communicator& communicator,
                             const std::function<bool()>& stop);

}  // namespace tern::train
