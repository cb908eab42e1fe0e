// What turns gradients into a trained model: initial values, learning-rate schedules, parameter groups, the
// optimizer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "train/shape.h"

namespace tern::train {

/// The reference training code's initial values, from `seed` and a parameter's name alone: not from the
/// number of threads. Between processors of different vector lengths, orthogonal matrices may differ in the
/// last bits. `parameters` has layout.total() elements.
void Initialise(const ParameterLayout& layout, uint64_t seed, std::span<float> parameters);

/// Learning rate over steps 0 … total−1. Warm-up comes first and counts as no part of the fall. The fall
/// reaches `final` in the last step (linear, exponential, wsd), or would in the step after it (cosine), as
/// the reference's do.
struct Schedule {
  enum class Shape { kConstant, kLinear, kCosine, kExponential, kWarmupStableDecay };
  Shape shape = Shape::kCosine;
  double initial = 6e-4, final = 6e-5;
  int64_t total = 0;   ///< steps
  int64_t warmup = 0;  ///< the first `warmup` steps s run at initial·(0.01 + 0.99·s/warmup)
  double decay_fraction =
      0.2;  ///< kWarmupStableDecay: the last part of the run that falls (linearly) to `final`
  double Rate(int64_t step) const;
};
Result<Schedule::Shape> ParseSchedule(
    std::string_view name);  ///< "constant", "linear", "cosine", "exponential", "wsd"

/// Which rate factor and weight decay a parameter has. RWKV-4: time_decay ×2, time_first ×3. RWKV-7: `w0` ×2.
/// In both, weight decay (where it is asked for) is on matrices alone, low-rank ones excepted.
struct ParameterGroup {
  double rate_factor = 1;
  bool decays = false;
};
ParameterGroup GroupOf(const ModelShape& shape, const Parameter& parameter);

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.99, eps = 1e-8, weight_decay = 0;
};
/// The generation's own eps: RWKV-4 1e-8, RWKV-7 1e-18.
AdamOptions DefaultAdam(Generation generation);

/// Adam over flat elements [begin, end): a process of a sharded run owns a part, one process all of them.
class AdamOptimizer {
 public:
  AdamOptimizer(const ParameterLayout& layout, const AdamOptions& options, int64_t begin, int64_t end);
  /// One step; `gradient_scale` multiplies every gradient first. Parameters and gradients are the whole flat
  /// arrays; only [begin, end) is read and written. Uses all threads; bits don't depend on their number.
  void Step(std::span<float> parameters, std::span<const float> gradients, double learning_rate,
            double gradient_scale);
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  std::span<float> m() { return m_; }  ///< [end − begin]
  std::span<float> v() { return v_; }

 private:
  struct Piece {
    int64_t begin, end;
    ParameterGroup group;
  };
  std::vector<Piece> pieces_;
  AdamOptions options_;
  int64_t begin_, steps_ = 0;
  std::vector<float> m_, v_;
};

/// Σ g², in an order that does not depend on the number of threads.
double SquaredNorm(std::span<const float> values);
/// The first parameter for which `values` (gradients or the parameters themselves) hold NaN or infinity, or
/// nullptr.
const Parameter* FindNonFinite(const ParameterLayout& layout, std::span<const float> values);

/// A model's sizes and the recipe it is published with (or a tiny one of ours), by name: `tern train
/// --preset`.
struct Preset {
  std::string_view name, what;  ///< "rwkv7:0.1B"; one line of help
  Generation generation;
  int64_t layers, width, head_size,
      vocab;  ///< vocab: of the tokenizer it is published with; 0: the tokenizer's in use
  int64_t context, batch;
  double initial_rate, final_rate;
};
std::span<const Preset> Presets();
const Preset* FindPreset(std::string_view name);

}  // namespace tern::train
