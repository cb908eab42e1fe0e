// Golden answers of the public reference implementation (tests/golden/README.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "tests/testing/random_checkpoint.h"

namespace tern::testing {

struct GoldenLogits {
  int64_t after;              ///< number of tokens read, from the start and the zero state
  std::vector<float> values;  ///< [vocab]
};

struct Golden {
  std::string name;  ///< of the file, without .json
  RandomModel model;
  std::vector<uint32_t> tokens;
  std::vector<GoldenLogits> logits;  ///< ascending `after`; the last is all tokens
};

/// Reads one file of tests/golden.
Result<Golden> LoadGolden(const std::string& path);

/// The paths of all files of tests/golden, sorted.
std::vector<std::string> GoldenFiles();

}  // namespace tern::testing
