// How much memory a run takes, known before it starts.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "train/dataset.h"
#include "train/shape.h"
#include "train/train_options.h"

namespace tern::train {

struct MemoryPlan {
  std::vector<std::pair<std::string, uint64_t>> parts;  ///< name, bytes
  uint64_t total = 0;
};

/// Of one process of `processes`. `data_bytes` is what the corpus holds in memory. Samples need the weights a
/// second time.
MemoryPlan PlanMemory(const TrainOptions& options, const ModelShape& shape, uint64_t data_bytes,
                      int processes);

}  // namespace tern::train
