// What the processes of a data-parallel run say to each other. Every process has the whole model and its own
// rows of each batch; gradients are summed over all, and each process keeps and applies the optimizer's
// moments of its own part.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"

namespace tern::train {

/// Elements [begin, end) of a flat array.
struct OwnedRange {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

/// Calls come from one thread of each process, in the same order with the same sizes. An error leaves the
/// communicator unusable: the run ends.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Begins to sum `values` over all processes; may return before that is done. Called for range after range
  /// while the backward pass goes on; the values are not touched before FinishSums.
  virtual Status BeginSum(std::span<float> values) = 0;
  /// Waits for every sum begun: all processes then hold the same bits.
  virtual Status FinishSums() = 0;
  /// Sums a few numbers over all processes at once.
  virtual Status Sum(std::span<double> values) = 0;
  /// Every process sends its range of `values` to all others; `ranges` has one for each process.
  virtual Status AllGather(std::span<float> values, std::span<const OwnedRange> ranges) = 0;
  /// `values` become those of process `root`.
  virtual Status Broadcast(std::span<float> values, int root) = 0;
  /// `values` of process `to` become those of process `from`. All processes call it; the others' `values` are not used.
  virtual Status Move(std::span<float> values, int from, int to) = 0;

  /// Threads that this process may compute with without taking the cores of others on its host; 0: all of them.
  virtual int threads() const { return 0; }
  /// The end of a run that went well, on all processes: none returns before all have called it. Nothing may follow.
  virtual Status Leave() { return OkStatus(); }
  /// The end of a run that did not, on this process at least: says why on standard error and ends all processes, this one
  /// too, with that exit code. Returns where there is one process alone, having said nothing.
  virtual void Abort(const Status& /*why*/, int /*exit_code*/) {}

  /// The part of a flat array of `total` elements that a process keeps moments for: nearly equal parts, each
  /// beginning on a 64-byte border.
  static OwnedRange Owned(int64_t total, int rank, int size);
  OwnedRange Owned(int64_t total) const { return Owned(total, rank(), size()); }
  /// The rows of a global batch that a process computes: nearly equal parts.
  static OwnedRange Rows(int64_t rows, int rank, int size);
};

/// A run of one process: everything is already where it should be.
class SingleProcess final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  Status BeginSum(std::span<float>) override { return OkStatus(); }
  Status FinishSums() override { return OkStatus(); }
  Status Sum(std::span<double>) override { return OkStatus(); }
  Status AllGather(std::span<float>, std::span<const OwnedRange>) override { return OkStatus(); }
  Status Broadcast(std::span<float>, int) override { return OkStatus(); }
  Status Move(std::span<float>, int, int) override { return OkStatus(); }
};

}  // namespace tern::train
