// A picture of a run: its losses over its steps, as SVG.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tern::train {

/// A value: cheap to copy. Points come in the order of their steps; NaN and infinity are left out.
class LossChart {
 public:
  void AddTraining(int64_t step, double smoothed_loss);
  void AddValidation(int64_t step, double loss);
  /// The drawing, with axes, for `total_steps` steps; light or dark as its viewer likes. Works for any number
  /// of points.
  std::string Svg(const std::string& title, int64_t total_steps) const;

 private:
  using Points = std::vector<std::pair<int64_t, double>>;
  void Thin();
  Points training_, validation_;
  int64_t every_ = 1;  ///< of the training points, every so many-th step is kept
};

}  // namespace tern::train
