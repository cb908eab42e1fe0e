// Every backward function of training against the derivative of its forward by complex step.
#include "tests/kernels/kernel_testing.h"
#include "tests/kernels/training_testing.h"

namespace tern::kernels {
namespace {

/// Σ dy·y, where y = forward(inputs) and starts at 0.5 (some functions add to it).
Complex UpstreamLoss(const RowOp& op, RowSize size, const std::vector<double>& dy,
                     std::vector<std::vector<Complex>> in) {
  std::vector<Complex> y(static_cast<size_t>(size.n), 0.5);
  RowCall<Complex> call{{}, {}, y.data(), nullptr, size.n, size.N};
  for (auto& row : in) call.in.push_back(row.data());
  op.forward_c(Training<Complex>(), call);
  Complex loss = 0;
  for (size_t i = 0; i < y.size(); ++i) loss += dy[i] * y[i];
  return loss;
}

/// The gradients that the backward gives in double, from arrays that hold something before.
std::vector<std::vector<double>> GradientsOf(const RowOp& op, RowSize size, const std::vector<double>& dy,
                                             std::vector<std::vector<double>> in) {
  constexpr double kBefore = 0.25;
  std::vector<double> y(static_cast<size_t>(size.n), 0.5);
  std::vector<std::vector<double>> d(in.size(), std::vector<double>(y.size(), kBefore));
  RowCall<double> call{{}, {}, y.data(), dy.data(), size.n, size.N};
  for (auto& row : in) call.in.push_back(row.data());
  for (auto& row : d) call.d.push_back(row.data());
  op.forward_d(Training<double>(), call);
  op.backward_d(Training<double>(), call);
  for (size_t i = 0; i < d.size(); ++i) {
    for (double& x : d[i]) x -= op.inputs[i].added ? kBefore : 0;
  }
  return d;
}

TEST(TrainingGradient, EveryRowFunctionEqualsTheComplexStep) {
  Random random(61);
  SCOPED_TRACE("seed 61");
  for (const RowOp& op : RowOps()) {
    for (RowSize size : RowSizes(op)) {
      if (size.n > 300) continue;
      SCOPED_TRACE(op.name + " of " + std::to_string(size.n));
      std::vector<std::vector<double>> in;
      for (const RowInput& input : op.inputs) in.push_back(RandomValues(random, input.values, size.n));
      const std::vector<double> dy = RandomValues(random, RowInput::kNormal, size.n);
      const auto loss = [&](const std::vector<std::vector<Complex>>& x) {
        return UpstreamLoss(op, size, dy, x);
      };
      ExpectGradients(random, loss, in, GradientsOf(op, size, dy, in));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(TrainingGradient, RemovalKeyOfNothingIsNothingAndItsGradientThatOfTheConstantLength) {
  const std::vector<double> k(5, 0.0), k_k(5, 2.0), dkk = {1, -2, 3, 0, 0.5};
  std::vector<double> kk(5, 7), dk(5, 0), dk_k(5, 0);
  Training<double>().removal_key(kk.data(), k.data(), k_k.data(), 5, 5);
  Training<double>().removal_key_backward(dk.data(), dk_k.data(), dkk.data(), k.data(), k_k.data(), 5, 5);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(kk[i], 0);
    EXPECT_NEAR(dk[i], dkk[i] * 2e12, 1e-3);  // 1e-15 of it
    EXPECT_EQ(dk_k[i], 0);
  }
}

TEST(TrainingGradient, CrossEntropyWithL2WrapEqualsTheComplexStep) {
  Random random(62);
  SCOPED_TRACE("seed 62");
  const double scale = 0.7, l2wrap = 0.3;
  for (int64_t V : {1, 2, 17, 65, 1001}) {
    const std::vector<double> logits = RandomValues(random, RowInput::kNormal, V);
    const auto target = static_cast<int64_t>(random.Below(static_cast<uint64_t>(V)));
    std::vector<double> gradient(logits.size());
    Training<double>().cross_entropy(gradient.data(), logits.data(), V, target, scale, l2wrap);
    const auto loss = [&](const std::vector<std::vector<Complex>>& x) {
      Complex top = x[0][0];
      for (const Complex& value : x[0]) top = value.real() > top.real() ? value : top;
      return scale * (Training<Complex>().cross_entropy(nullptr, x[0].data(), V, target, 1, 0) +
                      0.5 * l2wrap * top * top);
    };
    ExpectGradients(random, loss, {logits}, {gradient});
  }
}

TEST(TrainingGradient, CrossEntropyIsTheNegativeLogarithmOfTheTargetsShare) {
  const std::vector<double> logits = {std::log(1.0), std::log(2.0), std::log(5.0)};
  EXPECT_NEAR(Training<double>().cross_entropy(nullptr, logits.data(), 3, 1, 1, 0), -std::log(0.25), 1e-15);
}

// --- RWKV-4 ---

/// w, u, k, v as inputs, over channels [1, C − 1) of rows that lie C + 2 apart; a start state as constants.
struct Wkv4Problem {
  int64_t T, C, stride;
  std::vector<std::vector<double>> in;  // w, u: [C]; k, v: [T, stride]
  std::vector<double> a, b, p, dy;

  Wkv4Problem(Random& random, int64_t T_, int64_t C_, bool fresh, double key_scale)
      : T(T_), C(C_), stride(C_ + 2) {
    in = {RandomValues(random, RowInput::kUnit, C), RandomValues(random, RowInput::kNormal, C),
          RandomValues(random, RowInput::kNormal, T * stride),
          RandomValues(random, RowInput::kNormal, T * stride)};
    for (double& w : in[0]) w = -5 * w * w;  // near 0 as well
    for (double& k : in[2]) k *= key_scale;
    dy = RandomValues(random, RowInput::kNormal, T * stride);
    a.assign(static_cast<size_t>(C), 0);
    b = a;
    p.assign(static_cast<size_t>(C), -1e38);
    if (fresh) return;
    a = RandomValues(random, RowInput::kNormal, C);
    b = RandomValues(random, RowInput::kUnit, C);
    p = RandomValues(random, RowInput::kNormal, C);
  }

  template <typename Number>
  std::vector<Number> Forward(const std::vector<std::vector<Number>>& x) const {
    std::vector<Number> y(x[2].size(), Number(0)), sa(a.begin(), a.end()), sb(b.begin(), b.end()),
        sp(p.begin(), p.end());
    Training<Number>().wkv4({T, 1, C - 1, x[0].data(), x[1].data(), x[2].data(), x[3].data(), y.data(),
                             stride, sa.data(), sb.data(), sp.data()});
    return y;
  }
  Complex Loss(const std::vector<std::vector<Complex>>& x) const {
    const std::vector<Complex> y = Forward(x);
    Complex loss = 0;
    for (size_t i = 0; i < y.size(); ++i) loss += dy[i] * y[i];
    return loss;
  }
  /// dw, du, dk, dv; those that the backward doesn't touch stay 0.
  std::vector<std::vector<double>> Gradients() const {
    const std::vector<double> y = Forward(in);
    std::vector<std::vector<double>> d;
    for (const auto& x : in) d.emplace_back(x.size(), 0.0);
    for (int64_t c = 1; c < C - 1; ++c) d[0][static_cast<size_t>(c)] = d[1][static_cast<size_t>(c)] = 0.25;
    Training<double>().wkv4_backward({T, 1, C - 1, in[0].data(), in[1].data(), in[2].data(), in[3].data(),
                                      a.data(), b.data(), p.data(), y.data(), dy.data(), stride, d[2].data(),
                                      d[3].data(), d[0].data(), d[1].data()});
    for (int64_t c = 1; c < C - 1; ++c) {  // added to what was there
      d[0][static_cast<size_t>(c)] -= 0.25;
      d[1][static_cast<size_t>(c)] -= 0.25;
    }
    return d;
  }
};

TEST(TrainingGradient, Wkv4EqualsTheComplexStepFromAnyStartState) {
  Random random(63);
  SCOPED_TRACE("seed 63");
  for (bool fresh : {true, false}) {
    for (int64_t T : {1, 2, 7, 40, 300}) {
      for (double key_scale : {1.0, 6.0}) {
        SCOPED_TRACE("tokens " + std::to_string(T) + (fresh ? ", fresh" : ", continued"));
        const Wkv4Problem problem(random, T, 5, fresh, key_scale);
        ExpectGradients(
            random, [&](const auto& x) { return problem.Loss(x); }, problem.in, problem.Gradients());
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(TrainingGradient, Wkv4SurvivesHugeKeys) {
  Random random(64);
  SCOPED_TRACE("seed 64");
  const Wkv4Problem problem(random, 50, 5, true, 3000);
  for (const auto& row : problem.Gradients()) {
    for (double x : row) ASSERT_TRUE(std::isfinite(x));
  }
  ExpectGradients(
      random, [&](const auto& x) { return problem.Loss(x); }, problem.in, problem.Gradients());
}

// --- RWKV-7 ---

/// r, w, k, v, kk, a as inputs of one head, rows N + 3 apart.
struct Wkv7Problem {
  int64_t T, N, stride;
  std::vector<std::vector<double>> in;
  std::vector<double> S, dy;

  Wkv7Problem(Random& random, int64_t T_, int64_t N_, double least_decay, double most_decay)
      : T(T_), N(N_), stride(N_ + 3) {
    for (int i = 0; i < 6; ++i) in.push_back(RandomValues(random, RowInput::kNormal, T * stride));
    for (double& w : in[1]) w = random.Uniform(least_decay, most_decay);
    for (double& a : in[5]) a = random.Uniform();
    for (int64_t t = 0; t < T; ++t) {
      double* kk = in[4].data() + t * stride;
      double square = 0;
      for (int64_t j = 0; j < N; ++j) square += kk[j] * kk[j];
      for (int64_t j = 0; j < N; ++j) kk[j] /= std::sqrt(square);
    }
    S = RandomValues(random, RowInput::kNormal, N * N);
    dy = RandomValues(random, RowInput::kNormal, T * stride);
  }

  template <typename Number>
  std::vector<Number> Forward(const std::vector<std::vector<Number>>& x,
                              std::vector<Number>* checkpoints) const {
    std::vector<Number> y(x[0].size(), Number(0)), state(S.begin(), S.end());
    if (checkpoints != nullptr) checkpoints->resize(static_cast<size_t>(Wkv7Checkpoints(T) * N * N));
    Training<Number>().wkv7({T, N, x[0].data(), x[1].data(), x[2].data(), x[3].data(), x[4].data(),
                             x[5].data(), stride, y.data(), state.data(),
                             checkpoints != nullptr ? checkpoints->data() : nullptr});
    return y;
  }
  Complex Loss(const std::vector<std::vector<Complex>>& x) const {
    const std::vector<Complex> y = Forward<Complex>(x, nullptr);
    Complex loss = 0;
    for (size_t i = 0; i < y.size(); ++i) loss += dy[i] * y[i];
    return loss;
  }
  std::vector<std::vector<double>> Gradients() const {
    std::vector<double> checkpoints;
    Forward(in, &checkpoints);
    std::vector<std::vector<double>> d(6, std::vector<double>(in[0].size(), 0));
    for (auto& row : d) {  // they are set: what stands there before does not matter
      for (int64_t t = 0; t < T; ++t) std::fill_n(row.data() + t * stride, N, 99.0);
    }
    Training<double>().wkv7_backward({T, N, in[0].data(), in[1].data(), in[2].data(), in[3].data(),
                                      in[4].data(), in[5].data(), dy.data(), stride, checkpoints.data(),
                                      d[0].data(), d[1].data(), d[2].data(), d[3].data(), d[4].data(),
                                      d[5].data()});
    return d;
  }
};

TEST(TrainingGradient, Wkv7EqualsTheComplexStepAtAnyLengthAndHeadSize) {
  Random random(65);
  SCOPED_TRACE("seed 65");
  for (int64_t N : {5, 16, 64}) {
    for (int64_t T : {1, 15, 16, 17, 40}) {
      SCOPED_TRACE("tokens " + std::to_string(T) + ", channels " + std::to_string(N));
      const Wkv7Problem problem(random, T, N, 0.545, 1);
      ExpectGradients(
          random, [&](const auto& x) { return problem.Loss(x); }, problem.in, problem.Gradients());
      if (HasFatalFailure()) return;
    }
  }
}

TEST(TrainingGradient, Wkv7IsExactOverLongWindowsAtTheSmallestDecay) {
  Random random(66);
  SCOPED_TRACE("seed 66");
  for (int64_t T : {16, 256, 4096}) {
    for (double decay : {0.545, 0.999}) {
      SCOPED_TRACE("tokens " + std::to_string(T) + ", decay " + std::to_string(decay));
      const Wkv7Problem problem(random, T, 16, decay, decay);
      ExpectGradients(
          random, [&](const auto& x) { return problem.Loss(x); }, problem.in, problem.Gradients());
      if (HasFatalFailure()) return;
    }
  }
}

TEST(TrainingGradient, Wkv7IsTheForwardOfInference) {
  Random random(67);
  SCOPED_TRACE("seed 67");
  const Wkv7Problem problem(random, 37, 5, 0.545, 1);
  std::vector<double> checkpoints;
  const std::vector<double> y = problem.Forward(problem.in, &checkpoints);
  ASSERT_EQ(y, problem.Forward<double>(problem.in, nullptr));
  std::vector<std::vector<float>> in;
  for (const auto& x : problem.in) in.emplace_back(x.begin(), x.end());
  std::vector<float> S(problem.S.begin(), problem.S.end()), out(y.size(), 0);
  KernelsOf(Level::kRef)
      ->wkv7({37, 5, in[0].data(), in[1].data(), in[2].data(), in[3].data(), in[4].data(), in[5].data(),
              problem.stride, out.data(), S.data()});
  for (size_t i = 0; i < y.size(); ++i)
    ASSERT_NEAR(out[i], y[i], 1e-4);  // sums of about 20, rounded 37 times
}

}  // namespace
}  // namespace tern::kernels
