// The log of a run: one JSON document a line, appended as it goes.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/status.h"
#include "train/loss_chart.h"

namespace tern::train {

/// Lines are {"step":…,"loss":…,…} after steps and {"step":…,"validation_loss":…} after evaluations. While it
/// is open no other run can open the same file.
class RunLog {
 public:
  /// Opens `path` for appending. Lines of steps after `step` (what a killed run did after its last
  /// checkpoint) are cut, the rest is read into `chart`. Fails when another process has it open.
  static Result<std::unique_ptr<RunLog>> Open(const std::string& path, int64_t step, LossChart* chart);
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  /// Writes the line at once. A disk that is full must not end the run: the first failure is returned, and
  /// later lines are tried again.
  Status Append(const nlohmann::json& line);

 private:
  explicit RunLog(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_;
};

}  // namespace tern::train
