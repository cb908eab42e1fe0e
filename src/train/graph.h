// The training graph of a model: loss and gradients of a batch.
//
// T is float for training, double or std::complex<double> for the proofs of its gradients: the same code runs in all
// three. Only float knows Precision::kBf16.
#pragma once

#include <complex>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "train/batch.h"
#include "train/products.h"
#include "train/shape.h"
#include "train/stream_states.h"

namespace tern::train {

struct GraphOptions {
  Precision precision = Precision::kBf16;
  bool recompute = false;   ///< keep a layer's input alone and compute the layer again in the backward pass
  double dropout = 0;       ///< on the output of every TimeMix and ChannelMix, as the reference training code's
  double l2wrap = 1e-4;     ///< see kernels::TrainingTable::cross_entropy; 0: off
  int64_t head_rows = 1024; ///< logits of so many positions stand in memory at once
};

template <typename T>
struct GraphCall {
  const TrainBatch* batch = nullptr;
  StreamStates<T>* states = nullptr;     ///< read and updated; may be nullptr when every segment resets
  std::span<const T> parameters;         ///< [layout.total()]
  const uint16_t* parameters_bf16 = nullptr;  ///< the same, rounded: needed for kBf16 (RoundParameters)
  std::span<T> gradients;                ///< +=; empty: loss alone
  T loss_scale = T(1);                   ///< the gradients are those of loss_scale · Σ losses (1 / counted targets for a mean)
  uint64_t dropout_seed = 0;             ///< another for every step and micro-batch
  std::span<T> token_losses;             ///< [T] where given, −1 targets give 0
  /// Called when the gradient of layer L (ln_out, head), L−1, … 0, −1 is complete.
  std::function<void(int64_t layer)> on_layer_gradient;
};

struct LossSum {
  double sum = 0;       ///< nats
  int64_t count = 0;    ///< targets counted
};

template <typename T>
class Graph {
 public:
  Graph(const ModelShape& shape, const GraphOptions& options);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  const ParameterLayout& layout() const;
  const GraphOptions& options() const;

  /// Forward, and backward where gradients are asked for. Sum of losses over counted targets, as a number of type T
  /// (complex: its derivative along the step). Deterministic: the same call gives the same bits, at any thread count.
  T Run(const GraphCall<T>& call, int64_t* counted = nullptr);

  /// Bytes that the largest Run so far has used beside parameters and gradients.
  size_t workspace_bytes() const;
  /// What Run on `tokens` tokens in `segments` segments will use (`tern train --dry-run`).
  size_t PredictWorkspace(int64_t tokens, int64_t segments, bool backward) const;
  /// The seconds and FLOP that matrix products took so far.
  Products<T>& products();
  /// The first layer whose output holds NaN or infinity in the last Run ("blocks.3.att"), or empty. For explaining
  /// losses that aren't numbers; runs the forward pass again.
  std::string FindNonFinite(const GraphCall<T>& call);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// bf16 copies of the ranges of all matrices; the rest is left as it is.
void RoundParameters(const ParameterLayout& layout, std::span<const float> parameters, std::span<uint16_t> bf16);

extern template class Graph<float>;
extern template class Graph<double>;
extern template class Graph<std::complex<double>>;

}  // namespace tern::train
