// Golden answers of the public reference implementations (tests/golden/README.md).
#pragma once

#include <cstdint>
#include <map>
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

/// The paths of all files of tests/golden that hold logits (rwkv*.json), sorted.
std::vector<std::string> GoldenFiles();

/// One step of training: rows of a batch (all of a length), the rate it ran at, what it found before it
/// moved.
struct GoldenStep {
  std::vector<std::vector<int32_t>> tokens;  ///< [rows][T + 1]
  double rate;
  double loss;           ///< mean over rows and positions, nats
  double gradient_norm;  ///< of all parameters' gradients, before clipping
};

/// What the reference training code makes of a model (train-*.json).
struct GoldenTraining {
  RandomModel model;                                     ///< the parameters at the start
  std::vector<std::vector<int32_t>> tokens;              ///< [rows][T + 1]
  double loss = 0;                                       ///< of `tokens`: mean, nats
  std::map<std::string, std::vector<double>> gradients;  ///< of that mean (and L2Wrap), by .pth name
  std::string schedule;                                  ///< "cosine", "exponential"
  double initial_rate = 0, final_rate = 0;
  int64_t warmup = 0;
  double beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0, clip = 0;
  std::vector<GoldenStep> steps;  ///< from the start
  std::map<std::string, double>
      moved;  ///< by .pth name: how far the last step has left the start behind, Euclidean
};
Result<GoldenTraining> LoadGoldenTraining(const std::string& path);

/// What the reference training code starts a model with (init-*.json): tensors that no random number is in.
struct GoldenInitial {
  int64_t vocab = 0, layers = 0, width = 0, head_size = 0;
  std::map<std::string, std::vector<double>> values;  ///< by .pth name
  /// Orthogonal matrices by .pth name: every singular value is this. 0 is a matrix of zeros.
  std::map<std::string, double> singular_values;
  std::map<std::string, double> uniform;  ///< matrices drawn from U(−x, x), by .pth name
};
Result<GoldenInitial> LoadGoldenInitial(const std::string& path);

}  // namespace tern::testing
