// One training step after the other: the weights, their optimizer, and what streams carry from step to step.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/status.h"
#include "train/communicator.h"
#include "train/dataset.h"
#include "train/evaluate_loss.h"
#include "train/graph.h"
#include "train/recipe.h"
#include "train/train_options.h"

namespace tern::train {

struct StepReport {
  int64_t step = 0;          ///< steps done, this one included
  double loss = 0;           ///< nats per target, mean over the global batch
  int64_t targets = 0;       ///< that the global batch counted
  double gradient_norm = 0;  ///< before clipping
  double learning_rate = 0;
  double seconds = 0;
  double gradient_seconds = 0;  ///< of these: forward and backward of all micro-batches
  std::string trouble;  ///< where NaN or infinity appeared: the weights then are as before the step
};

/// Deterministic: weights after n steps depend on options, data and the number of processes, never on threads
/// or time. Not thread-safe.
class Trainer {
 public:
  /// Weights as `Initialise` makes them from the options' seed. `communicator` outlives the trainer.
  /// Exhausted when memory is not to be had.
  static Result<std::unique_ptr<Trainer>> Create(const TrainOptions& options, const ModelShape& shape,
                                                 std::shared_ptr<const TokenData> data,
                                                 Communicator* communicator);

  /// One step. NaN or infinity in losses or gradients: InvalidArgument that names where, or, with
  /// skip_bad_steps, a report with `trouble` (an error nevertheless after kMostBadSteps in a row).
  Result<StepReport> Step();
  static constexpr int kMostBadSteps = 20;

  /// Loss over other data with the present weights; `stop` as in EvaluateLoss. Dropout is off.
  Result<LossSum> Evaluate(const TokenData& data, const std::function<bool()>& stop);

  const TrainOptions& options() const { return options_; }
  const ParameterLayout& layout() const { return graph_->layout(); }
  const Windows& windows() const { return *windows_; }
  Graph<float>& graph() { return *graph_; }
  Communicator& communicator() const { return *communicator_; }
  int64_t step() const { return step_; }

  std::span<const float> parameters() const { return parameters_span_; }
  AdamOptimizer& optimizer() { return *optimizer_; }
  /// Of this process's rows; nothing where rows start from zero.
  StreamStates<float>* states() { return states_ ? &*states_ : nullptr; }
  OwnedRange rows() const { return rows_; }

  /// Replaces the weights (layout().total() elements, by `write`), for going on from stored ones.
  Status SetParameters(const std::function<Status(std::span<float>)>& write);
  /// Says that weights, moments and states are those after `step` steps.
  void SetStep(int64_t step);

 private:
  Trainer() = default;
  Status Allocate();
  /// The micro-batches of the present step that are this process's, streams numbered over all its rows.
  std::vector<TrainBatch> FetchBatches() const;
  GraphCall<float> CallFor(const TrainBatch& batch, size_t micro) const;
  /// Forward and backward over all micro-batches; losses[i] is the sum of micro-batch i.
  Status Accumulate(const std::vector<TrainBatch>& batches, float loss_scale, std::vector<double>* losses);
  /// Where NaN or infinity is, for a message; empty when there is none.
  std::string FindTrouble(const std::vector<TrainBatch>& batches, const std::vector<double>& losses,
                          double norm);
  Status Update(double norm, double learning_rate);
  void KeepStates();
  void RestoreStates();

  TrainOptions options_;
  Communicator* communicator_ = nullptr;
  std::optional<Windows> windows_;
  std::unique_ptr<Graph<float>> graph_;
  std::unique_ptr<Graph<float>> evaluation_graph_;  ///< without dropout, where the other has some
  std::optional<AdamOptimizer> optimizer_;
  std::optional<StreamStates<float>> states_;
  std::vector<float> states_before_;  ///< of this step: to look for NaN from there, and to skip a step
  PageBuffer parameters_, gradients_, bf16_;
  std::span<float> parameters_span_, gradients_span_;
  std::span<uint16_t> bf16_span_;
  Schedule schedule_;
  OwnedRange rows_;
  int64_t step_ = 0;
  int bad_in_a_row_ = 0;
};

}  // namespace tern::train
