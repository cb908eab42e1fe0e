// The row functions of training in one list: how to call each forward and backward over any number type, so
// that every test (complex step, levels, overlaps) covers all of them.
#pragma once

#include <complex>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/training.h"

namespace tern::kernels {

using Complex = std::complex<double>;

/// The arrays of one call, each of n elements.
template <typename T>
struct RowCall {
  std::vector<T*> in;  ///< inputs, then parameters
  std::vector<T*> d;   ///< their gradients
  T* y = nullptr;
  const T* dy = nullptr;
  int64_t n = 0, N = 0;  ///< N: channels of a head or group
};

/// An input of a row function and what its backward does with the gradient.
struct RowInput {
  enum Values { kNormal, kUnit } values = kNormal;  ///< kUnit: in (0, 1)
  bool added = false;                               ///< the gradient is added to what is there; else set
  bool may_be_dy = false;
};

template <typename T>
using RowFunction = std::function<void(const TrainingTable<T>&, const RowCall<T>&)>;

struct RowOp {
  std::string name;
  std::vector<RowInput> inputs;
  bool heads = false;  ///< n is cut into parts of N
  double ulps = 8;     ///< error of any result in 2^−24 of the largest of its array (at least 1), see below
  std::function<void(const TrainingTable<float>&, const RowCall<float>&)> forward_f, backward_f;
  std::function<void(const TrainingTable<double>&, const RowCall<double>&)> forward_d, backward_d;
  std::function<void(const TrainingTable<Complex>&, const RowCall<Complex>&)> forward_c;
};

template <typename Forward, typename Backward>
RowOp MakeRowOp(std::string name, std::vector<RowInput> inputs, bool heads, double ulps, Forward forward,
                Backward backward) {
  RowOp op;
  op.name = std::move(name);
  op.inputs = std::move(inputs);
  op.heads = heads;
  op.ulps = ulps;
  op.forward_f = forward;
  op.forward_d = forward;
  op.forward_c = forward;
  op.backward_f = backward;
  op.backward_d = backward;
  return op;
}

/// All of them. Ulps: an elementwise function rounds a handful of times (8 covers the exponential's argument
/// as well); what is made of sums over a row of at most 1000 adds in lanes, where errors grow like the root
/// of the terms per lane, and is scaled by 1/√var, which is near 1 here: 64.
inline std::vector<RowOp> RowOps() {
  const RowInput set{}, add{RowInput::kNormal, true, false}, alias{RowInput::kNormal, false, true};
  const RowInput unit_set{RowInput::kUnit, false, false}, unit_add{RowInput::kUnit, true, false},
      unit_alias{RowInput::kUnit, false, true};
  std::vector<RowOp> ops;
  ops.push_back(MakeRowOp(
      "layer_norm", {add, add, add}, false, 64,
      [](const auto& t, const auto& c) { t.layer_norm(c.y, c.in[0], c.in[1], c.in[2], c.n, 1e-5); },
      [](const auto& t, const auto& c) {
        t.layer_norm_backward(c.d[0], c.d[1], c.d[2], c.dy, c.in[0], c.in[1], c.n, 1e-5);
      }));
  ops.push_back(MakeRowOp(
      "group_norm", {alias, add, add}, true, 64,
      [](const auto& t, const auto& c) {
        t.group_norm(c.y, c.in[0], c.in[1], c.in[2], c.n, c.n / c.N, 64e-5);
      },
      [](const auto& t, const auto& c) {
        t.group_norm_backward(c.d[0], c.d[1], c.d[2], c.dy, c.in[0], c.in[1], c.n, c.n / c.N, 64e-5);
      }));
  ops.push_back(MakeRowOp(
      "shift_mix", {add, add, unit_add}, false, 8,
      [](const auto& t, const auto& c) { t.shift_mix(c.y, c.in[0], c.in[1], c.in[2], c.n); },
      [](const auto& t, const auto& c) {
        t.shift_mix_backward(c.d[0], c.d[1], c.d[2], c.dy, c.in[0], c.in[1], c.in[2], c.n);
      }));
  ops.push_back(MakeRowOp(
      "sigmoid", {alias}, false, 8,
      [](const auto& t, const auto& c) { t.sigmoid(c.y, c.in[0], nullptr, c.n); },
      [](const auto& t, const auto& c) { t.sigmoid_backward(c.d[0], c.dy, c.y, c.n); }));
  ops.push_back(MakeRowOp(
      "biased sigmoid", {alias, set}, false, 8,
      [](const auto& t, const auto& c) { t.sigmoid(c.y, c.in[0], c.in[1], c.n); },
      [](const auto& t, const auto& c) {
        t.sigmoid_backward(c.d[1], c.dy, c.y, c.n);
        t.sigmoid_backward(c.d[0], c.dy, c.y, c.n);
      }));
  ops.push_back(MakeRowOp(
      "tanh", {alias}, false, 8, [](const auto& t, const auto& c) { t.tanh(c.y, c.in[0], c.n); },
      [](const auto& t, const auto& c) { t.tanh_backward(c.d[0], c.dy, c.y, c.n); }));
  ops.push_back(MakeRowOp(
      "relu_squared", {alias}, false, 8,
      [](const auto& t, const auto& c) { t.relu_squared(c.y, c.in[0], c.n); },
      [](const auto& t, const auto& c) { t.relu_squared_backward(c.d[0], c.dy, c.in[0], c.n); }));
  ops.push_back(MakeRowOp(
      "decay7", {unit_alias}, false, 8, [](const auto& t, const auto& c) { t.decay7(c.y, c.in[0], c.n); },
      [](const auto& t, const auto& c) { t.decay7_backward(c.d[0], c.dy, c.y, c.n); }));
  ops.push_back(MakeRowOp(
      "mul", {alias, set}, false, 8, [](const auto& t, const auto& c) { t.mul(c.y, c.in[0], c.in[1], c.n); },
      [](const auto& t, const auto& c) { t.mul_backward(c.d[0], c.d[1], c.dy, c.in[0], c.in[1], c.n); }));
  ops.push_back(MakeRowOp(
      "lerp", {alias, add, unit_set}, false, 8,
      [](const auto& t, const auto& c) { t.lerp(c.y, c.in[0], c.in[1], c.in[2], c.n); },
      [](const auto& t, const auto& c) {
        t.lerp_backward(c.d[0], c.d[1], c.d[2], c.dy, c.in[0], c.in[1], c.in[2], c.n);
      }));
  ops.push_back(MakeRowOp(
      "removal_key", {add, add}, true, 64,
      [](const auto& t, const auto& c) { t.removal_key(c.y, c.in[0], c.in[1], c.n, c.N); },
      [](const auto& t, const auto& c) {
        t.removal_key_backward(c.d[0], c.d[1], c.dy, c.in[0], c.in[1], c.n, c.N);
      }));
  ops.push_back(MakeRowOp(
      "replacement_key", {alias, unit_add, add}, false, 8,
      [](const auto& t, const auto& c) { t.replacement_key(c.y, c.in[0], c.in[1], c.in[2], c.n); },
      [](const auto& t, const auto& c) {
        t.replacement_key_backward(c.d[0], c.d[1], c.d[2], c.dy, c.in[0], c.in[1], c.in[2], c.n);
      }));
  ops.push_back(MakeRowOp(
      "bonus", {add, add, add, add}, true, 64,
      [](const auto& t, const auto& c) { t.bonus(c.y, c.in[0], c.in[1], c.in[2], c.in[3], c.n, c.N); },
      [](const auto& t, const auto& c) {
        t.bonus_backward(c.d[0], c.d[1], c.d[2], c.d[3], c.dy, c.in[0], c.in[1], c.in[2], c.in[3], c.n, c.N);
      }));
  return ops;
}

/// The size (n, N) pairs that an op is tried with.
struct RowSize {
  int64_t n, N;
};
inline std::vector<RowSize> RowSizes(const RowOp& op) {
  std::vector<RowSize> sizes;
  if (op.heads) {
    for (int64_t N : {3, 5, 16, 17, 31, 64, 65, 128}) sizes.push_back({3 * N, N});
  } else {
    for (int64_t n : {3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 127, 257, 1000}) sizes.push_back({n, n});
  }
  return sizes;
}

inline std::vector<double> RandomValues(Random& random, RowInput::Values values, int64_t n) {
  std::vector<double> row(static_cast<size_t>(n));
  for (double& x : row) x = values == RowInput::kUnit ? random.Uniform(0.02, 0.98) : random.Normal();
  return row;
}

/// Complex step: the derivative of `loss` along `direction` in input i, without cancellation.
using ComplexLoss = std::function<Complex(const std::vector<std::vector<Complex>>&)>;
inline double DerivativeAlong(const ComplexLoss& loss, const std::vector<std::vector<double>>& inputs,
                              size_t i, const std::vector<double>& direction) {
  constexpr double kStep = 1e-100;
  std::vector<std::vector<Complex>> moved;
  for (const auto& input : inputs) moved.emplace_back(input.begin(), input.end());
  for (size_t j = 0; j < direction.size(); ++j) moved[i][j] += Complex(0, kStep * direction[j]);
  return loss(moved).imag() / kStep;
}

/// Checks every gradient: each element where there are at most `each`, else along random directions, which a
/// wrong element cannot hide from. Error relative to the sizes that are added: below 1e-10.
inline void ExpectGradients(Random& random, const ComplexLoss& loss,
                            const std::vector<std::vector<double>>& inputs,
                            const std::vector<std::vector<double>>& gradients, size_t each = 100) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const size_t n = inputs[i].size(), tries = n <= each ? n : 3;
    for (size_t one = 0; one < tries; ++one) {
      std::vector<double> direction(n, 0);
      if (n <= each) {
        direction[one] = 1;
      } else {
        for (double& x : direction) x = random.Normal();
      }
      double got = 0, size = 1;
      for (size_t j = 0; j < n; ++j) {
        got += gradients[i][j] * direction[j];
        size += gradients[i][j] * gradients[i][j] * direction[j] * direction[j];
      }
      ASSERT_NEAR(got, DerivativeAlong(loss, inputs, i, direction), 1e-10 * std::sqrt(size))
          << "input " << i << (n <= each ? ", element " : ", direction ") << one << " of " << n;
    }
  }
}

}  // namespace tern::kernels
