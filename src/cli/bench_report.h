// What tern bench measured, for programs and for people.
#pragma once

#include <nlohmann/json.hpp>

#include "cli/bench_infer.h"

namespace tern {

/// Every number, with the value of each round. docs/bench.md describes the fields.
nlohmann::ordered_json InferReport(const InferBenchOptions& options, const InferMeasured& measured);

/// Medians with the lowest and highest round, on standard output.
void PrintInferTable(const InferBenchOptions& options, const InferMeasured& measured);

}  // namespace tern
