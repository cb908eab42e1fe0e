// Every level's training functions against the same in double (which training_gradient_test.cc proves), at
// awkward sizes and addresses.
#include <algorithm>
#include <limits>

#include "tests/kernels/kernel_testing.h"
#include "tests/kernels/training_testing.h"

namespace tern::kernels {
namespace {

class TrainingLevels : public EachLevel {
 protected:
  const TrainingTable<float>& training() const { return *TrainingOf(table().level); }
  const TrainingTable<double>& exact() const { return Training<double>(); }
  const OptimizerTable& optimizer() const { return *OptimizerOf(table().level); }
};
TERN_FOR_EACH_LEVEL(TrainingLevels);

std::vector<double> Widen(const Row& row) { return {row.data(), row.data() + row.size()}; }

/// `ulps` of 2^−24 of the largest exact value, or of `least`.
void ExpectNear(const Row& got, const std::vector<double>& exact, double ulps, double least = 1) {
  double most = least;
  for (double x : exact) most = std::max(most, std::abs(x));
  ASSERT_TRUE(got.Intact());
  for (int64_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], exact[static_cast<size_t>(i)], ulps * 0x1p-24 * most)
        << "element " << i << " of " << got.size();
}

TEST_P(TrainingLevels, TableInUseFollowsTheLevel) {
  const Level before = Kernels().level;
  ASSERT_TRUE(UseLevel(table().level).ok());
  EXPECT_EQ(&Training<float>(), TrainingOf(table().level));
  EXPECT_EQ(&Optimizer(), OptimizerOf(table().level));
  ASSERT_TRUE(UseLevel(before).ok());
}

// --- row functions ---

/// Random arguments of one op, in float at odd addresses.
struct RowProblem {
  const RowOp& op;
  RowSize size;
  std::vector<Row> in, d;
  Row y, dy;

  RowProblem(Random& random, const RowOp& op_, RowSize size_)
      : op(op_), size(size_), y(Row::Filled(size_.n, 0.5f)), dy(Row::Normal(random, size_.n)) {
    for (const RowInput& input : op.inputs) {
      in.push_back(input.values == RowInput::kUnit ? Row::Uniform(random, size.n, 0.02, 0.98)
                                                   : Row::Normal(random, size.n));
      // What is set may hold anything before.
      d.push_back(Row::Filled(size.n, input.added ? 0.25f : std::numeric_limits<float>::quiet_NaN()));
    }
  }
  RowCall<float> Call() {
    RowCall<float> call{{}, {}, y.data(), dy.data(), size.n, size.N};
    for (Row& row : in) call.in.push_back(row.data());
    for (Row& row : d) call.d.push_back(row.data());
    return call;
  }
};

TEST_P(TrainingLevels, RowFunctionsEqualDouble) {
  Random random(71);
  SCOPED_TRACE("seed 71");
  for (const RowOp& op : RowOps()) {
    for (RowSize size : RowSizes(op)) {
      SCOPED_TRACE(op.name + " of " + std::to_string(size.n));
      RowProblem problem(random, op, size);
      std::vector<std::vector<double>> in, d;
      for (const Row& row : problem.in) in.push_back(Widen(row));
      for (const RowInput& input : op.inputs)
        d.emplace_back(static_cast<size_t>(size.n), input.added ? 0.25 : std::nan(""));
      std::vector<double> y(static_cast<size_t>(size.n), 0.5);
      const std::vector<double> dy = Widen(problem.dy);
      RowCall<double> call{{}, {}, y.data(), dy.data(), size.n, size.N};
      for (auto& row : in) call.in.push_back(row.data());
      for (auto& row : d) call.d.push_back(row.data());

      op.forward_f(training(), problem.Call());
      op.forward_d(exact(), call);
      ExpectNear(problem.y, y, op.ulps);
      std::copy_n(problem.y.data(), size.n, y.data());  // some backward functions read it
      op.backward_f(training(), problem.Call());
      op.backward_d(exact(), call);
      for (size_t i = 0; i < d.size(); ++i) {
        SCOPED_TRACE("gradient " + std::to_string(i));
        ExpectNear(problem.d[i], d[i], op.ulps);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(TrainingLevels, GradientsMayOverwriteTheUpstreamWhereTheContractSaysSo) {
  Random random(72);
  SCOPED_TRACE("seed 72");
  for (const RowOp& op : RowOps()) {
    for (size_t i = 0; i < op.inputs.size(); ++i) {
      if (!op.inputs[i].may_be_dy) continue;
      for (RowSize size : RowSizes(op)) {
        SCOPED_TRACE(op.name + " of " + std::to_string(size.n));
        RowProblem apart(random, op, size);
        op.forward_f(training(), apart.Call());
        RowProblem over = apart;
        op.backward_f(training(), apart.Call());
        RowCall<float> call = over.Call();
        call.d[i] = over.dy.data();
        op.backward_f(training(), call);
        ASSERT_TRUE(over.dy == apart.d[i]);
        for (size_t other = 0; other < op.inputs.size(); ++other)
          ASSERT_TRUE(other == i || over.d[other] == apart.d[other]) << "gradient " << other;
      }
    }
  }
}

TEST_P(TrainingLevels, ForwardsMayBeInPlaceWhereTheContractSaysSo) {
  Random random(73);
  SCOPED_TRACE("seed 73");
  for (int64_t n : kOddSizes) {
    const Row x = Row::Normal(random, n), z = Row::Normal(random, n), m = Row::Uniform(random, n, 0, 1);
    const auto check = [&](const auto& function) {
      Row y(n), over = x;
      function(y.data(), x.data());
      function(over.data(), over.data());
      ASSERT_TRUE(y.Intact() && over == y) << n;
    };
    check([&](float* to, const float* from) { training().sigmoid(to, from, nullptr, n); });
    check([&](float* to, const float* from) { training().sigmoid(to, from, z.data(), n); });
    check([&](float* to, const float* from) { training().tanh(to, from, n); });
    check([&](float* to, const float* from) { training().relu_squared(to, from, n); });
    check([&](float* to, const float* from) { training().lerp(to, from, z.data(), m.data(), n); });
  }
}

TEST_P(TrainingLevels, AddAdds) {
  Random random(74);
  SCOPED_TRACE("seed 74");
  for (int64_t n : kOddSizes) {
    const Row x = Row::Normal(random, n), before = Row::Normal(random, n);
    Row y = before;
    training().add(y.data(), x.data(), n);
    ASSERT_TRUE(y.Intact());
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], before[i] + x[i]);
  }
}

TEST_P(TrainingLevels, RemovalKeyOfNothingHasNoNaN) {
  const Row k = Row::Filled(20, 0), k_k = Row::Filled(20, 2), dkk = Row::Filled(20, 1e-3f);
  Row kk(20), dk = Row::Filled(20, 0), dk_k = Row::Filled(20, 0);
  training().removal_key(kk.data(), k.data(), k_k.data(), 20, 5);
  training().removal_key_backward(dk.data(), dk_k.data(), dkk.data(), k.data(), k_k.data(), 20, 5);
  for (int64_t i = 0; i < 20; ++i) {
    ASSERT_EQ(kk[i], 0);
    ASSERT_NEAR(dk[i], 2e9, 1e3);  // two roundings of 1e12's size
    ASSERT_EQ(dk_k[i], 0);
  }
}

// --- the loss ---

TEST_P(TrainingLevels, CrossEntropyEqualsDoubleAndOverwritesLogits) {
  Random random(75);
  SCOPED_TRACE("seed 75");
  for (int64_t V : {1, 2, 7, 16, 17, 31, 65, 1000, 2049, 5000, 50277}) {
    const Row logits = Row::Normal(random, V, 3, -5);
    const auto target = static_cast<int64_t>(random.Below(static_cast<uint64_t>(V)));
    const float scale = 0.625f, l2wrap = 0.125f;
    std::vector<double> gradient(static_cast<size_t>(V));
    const double loss =
        exact().cross_entropy(gradient.data(), Widen(logits).data(), V, target, scale, l2wrap);
    Row got(V), over = logits;
    const float apart = training().cross_entropy(got.data(), logits.data(), V, target, scale, l2wrap);
    // Of the sum, in double over blocks of 2048, a logarithm is taken: 2^−24·√128 at most, and a rounding of
    // the loss.
    ASSERT_NEAR(apart, loss, 8 * 0x1p-24 * std::max(1.0, loss)) << V;
    ExpectNear(got, gradient, 8);
    ASSERT_EQ(apart, training().cross_entropy(nullptr, logits.data(), V, target, scale, l2wrap)) << V;
    ASSERT_EQ(apart, training().cross_entropy(over.data(), over.data(), V, target, scale, l2wrap)) << V;
    ASSERT_TRUE(over == got) << V;
  }
}

TEST_P(TrainingLevels, L2WrapPullsTheFirstOfEqualMaximaAlone) {
  for (int64_t V : {40, 5000}) {
    Row logits = Row::Filled(V, 1), with(V), without(V);
    logits[V / 2] = logits[V / 2 + 3] = logits[V - 1] = 2;
    training().cross_entropy(with.data(), logits.data(), V, 0, 1, 0.25f);
    training().cross_entropy(without.data(), logits.data(), V, 0, 1, 0);
    for (int64_t i = 0; i < V; ++i) ASSERT_EQ(with[i] - without[i] > 0.4f, i == V / 2) << i;
    ASSERT_NEAR(with[V / 2] - without[V / 2], 0.5, 1e-6);  // 2·0.25, rounded
  }
}

TEST_P(TrainingLevels, CrossEntropyPassesNaNOnAndExcludesMinusInfinity) {
  for (int64_t at : {0, 5, 36}) {
    Row logits = Row::Filled(37, 0), gradient(37);
    logits[at] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(training().cross_entropy(nullptr, logits.data(), 37, 1, 1, 0))) << at;
    logits[at] = -std::numeric_limits<float>::infinity();
    // The sum of 36 ones is exact, its logarithm and the result are rounded.
    EXPECT_NEAR(training().cross_entropy(gradient.data(), logits.data(), 37, 1, 1, 0), std::log(36.0), 1e-6)
        << at;
    EXPECT_EQ(gradient[at], 0) << at;
  }
}

// --- RWKV-4 ---

struct Wkv4Rows {
  int64_t T, C;
  Row w, u, k, v, a, b, p, y, dy, dk, dv, dw, du;
  Wkv4Rows(Random& random, int64_t T_, int64_t C_, double key_scale)
      : T(T_),
        C(C_),
        w(Row::Uniform(random, C, -5, -0.001)),
        u(Row::Normal(random, C)),
        k(Row::Normal(random, T * C, key_scale)),
        v(Row::Normal(random, T * C)),
        a(Row::Normal(random, C)),
        b(Row::Uniform(random, C, 0.5, 1.5)),
        p(Row::Normal(random, C)),
        y(T * C),
        dy(Row::Normal(random, T * C)),
        dk(T * C),
        dv(T * C),
        dw(Row::Filled(C, 0.25f)),
        du(Row::Filled(C, 0.25f)) {
    for (int64_t c = 0; c < C; c += 2) {  // every other channel is at the start of a text
      a[c] = b[c] = 0;
      p[c] = -1e38f;
    }
  }
  void Forward(const TrainingTable<float>& table) {
    Row sa = a, sb = b, sp = p;
    table.wkv4(
        {T, 0, C, w.data(), u.data(), k.data(), v.data(), y.data(), C, sa.data(), sb.data(), sp.data()});
  }
  void Backward(const TrainingTable<float>& table, int64_t c0, int64_t c1) {
    table.wkv4_backward({T, c0, c1, w.data(), u.data(), k.data(), v.data(), a.data(), b.data(), p.data(),
                         y.data(), dy.data(), C, dk.data(), dv.data(), dw.data(), du.data()});
  }
};

/// Exponents of up to about 15 in size are rounded at each step; what they lead to forgets within some tens
/// of tokens for most decays, and sums over T tokens (dw, du) add errors that don't agree in sign.
constexpr double kWkv4Ulps = 256;

TEST_P(TrainingLevels, Wkv4AndItsBackwardEqualDouble) {
  Random random(76);
  SCOPED_TRACE("seed 76");
  for (int64_t C : {1, 7, 16, 33, 257, 300}) {
    for (int64_t T : {1, 2, 50}) {
      SCOPED_TRACE(std::to_string(T) + " tokens of " + std::to_string(C));
      Wkv4Rows rows(random, T, C, 3);
      const auto w = Widen(rows.w), u = Widen(rows.u), k = Widen(rows.k), v = Widen(rows.v),
                 dy = Widen(rows.dy);
      const auto a = Widen(rows.a), b = Widen(rows.b), p = Widen(rows.p);
      auto sa = a, sb = b, sp = p;
      std::vector<double> y(k.size()), dk(k.size()), dv(k.size()), dw(w.size(), 0.25), du(w.size(), 0.25);
      exact().wkv4(
          {T, 0, C, w.data(), u.data(), k.data(), v.data(), y.data(), C, sa.data(), sb.data(), sp.data()});
      exact().wkv4_backward({T, 0, C, w.data(), u.data(), k.data(), v.data(), a.data(), b.data(), p.data(),
                             y.data(), dy.data(), C, dk.data(), dv.data(), dw.data(), du.data()});
      rows.Forward(training());
      ExpectNear(rows.y, y, kWkv4Ulps);
      rows.Backward(training(), 0, C);
      ExpectNear(rows.dk, dk, kWkv4Ulps);
      ExpectNear(rows.dv, dv, kWkv4Ulps);
      ExpectNear(rows.dw, dw, kWkv4Ulps);
      ExpectNear(rows.du, du, kWkv4Ulps);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(TrainingLevels, Wkv4BackwardGivesTheSameBitsInAnyPieces) {
  Random random(77);
  SCOPED_TRACE("seed 77");
  Wkv4Rows whole(random, 20, 300, 3);
  whole.Forward(training());
  Wkv4Rows pieces = whole;
  whole.Backward(training(), 0, 300);
  pieces.Backward(training(), 0, 5);
  pieces.Backward(training(), 5, 70);
  pieces.Backward(training(), 70, 300);
  EXPECT_TRUE(whole.dk == pieces.dk && whole.dv == pieces.dv && whole.dw == pieces.dw &&
              whole.du == pieces.du);
}

TEST_P(TrainingLevels, Wkv4BackwardSurvivesHugeKeys) {
  Random random(78);
  SCOPED_TRACE("seed 78");
  Wkv4Rows rows(random, 30, 37, 3000);
  rows.Forward(training());
  rows.Backward(training(), 0, 37);
  for (const Row* row : {&rows.dk, &rows.dv, &rows.dw, &rows.du}) {
    for (int64_t i = 0; i < row->size(); ++i) ASSERT_TRUE(std::isfinite((*row)[i]));
  }
}

// --- RWKV-7 ---

struct Wkv7Rows {
  int64_t T, N, stride;
  std::vector<Row> in, d;  // r, w, k, v, kk, a
  Row S, y, dy, checkpoints;
  Wkv7Rows(Random& random, int64_t T_, int64_t N_, double least_decay, double most_decay)
      : T(T_),
        N(N_),
        stride(N_ + 3),
        S(Row::Normal(random, N * N)),
        y(Row::Filled(T * stride, 0)),
        dy(Row::Normal(random, T * stride)),
        checkpoints(Wkv7Checkpoints(T) * N * N) {
    for (int i = 0; i < 6; ++i) {
      in.push_back(i == 1   ? Row::Uniform(random, T * stride, least_decay, most_decay)
                   : i == 5 ? Row::Uniform(random, T * stride, 0, 1)
                            : Row::Normal(random, T * stride));
      d.push_back(Row::Filled(T * stride, 0));
    }
    for (int64_t t = 0; t < T; ++t) {
      float square = 0;
      for (int64_t j = 0; j < N; ++j) square += in[4][t * stride + j] * in[4][t * stride + j];
      for (int64_t j = 0; j < N; ++j) in[4][t * stride + j] /= std::sqrt(square);
    }
  }
  void Forward(const TrainingTable<float>& table, bool keep = true) {
    table.wkv7({T, N, in[0].data(), in[1].data(), in[2].data(), in[3].data(), in[4].data(), in[5].data(),
                stride, y.data(), S.data(), keep ? checkpoints.data() : nullptr});
  }
  void Backward(const TrainingTable<float>& table) {
    table.wkv7_backward({T, N, in[0].data(), in[1].data(), in[2].data(), in[3].data(), in[4].data(),
                         in[5].data(), dy.data(), stride, checkpoints.data(), d[0].data(), d[1].data(),
                         d[2].data(), d[3].data(), d[4].data(), d[5].data()});
  }
};

/// Sums of N products, and a state that is rounded at every token and forgets at the decay's rate (0.999:
/// over about 1000 tokens, errors adding up like their root, 30): 64 ulp of the largest for the sums, 256 for
/// the memory.
void ExpectWkv7EqualsDouble(const TrainingTable<float>& training, Wkv7Rows rows, double ulps) {
  const TrainingTable<double>& exact = Training<double>();
  std::vector<std::vector<double>> in, d;
  for (const Row& row : rows.in) {
    in.push_back(Widen(row));
    d.emplace_back(in.back().size(), 0.0);
  }
  std::vector<double> S = Widen(rows.S), y(in[0].size(), 0),
                      checkpoints(static_cast<size_t>(rows.checkpoints.size()));
  const std::vector<double> dy = Widen(rows.dy);
  exact.wkv7({rows.T, rows.N, in[0].data(), in[1].data(), in[2].data(), in[3].data(), in[4].data(),
              in[5].data(), rows.stride, y.data(), S.data(), checkpoints.data()});
  exact.wkv7_backward({rows.T, rows.N, in[0].data(), in[1].data(), in[2].data(), in[3].data(), in[4].data(),
                       in[5].data(), dy.data(), rows.stride, checkpoints.data(), d[0].data(), d[1].data(),
                       d[2].data(), d[3].data(), d[4].data(), d[5].data()});
  rows.Forward(training);
  rows.Backward(training);
  ExpectNear(rows.y, y, ulps);
  ExpectNear(rows.S, S, ulps);
  ExpectNear(rows.checkpoints, checkpoints, ulps);
  for (size_t i = 0; i < d.size(); ++i) {
    SCOPED_TRACE("gradient " + std::to_string(i));
    ExpectNear(rows.d[i], d[i], ulps);
  }
}

TEST_P(TrainingLevels, Wkv7AndItsBackwardEqualDoubleAtAnySize) {
  Random random(79);
  SCOPED_TRACE("seed 79");
  for (int64_t N : {1, 3, 5, 16, 17, 31, 32, 33, 64, 65, 127, 128, 130}) {
    for (int64_t T : {1, 15, 16, 17, 40}) {
      if (N > 64 && T > 17) continue;
      SCOPED_TRACE(std::to_string(T) + " tokens, " + std::to_string(N) + " channels");
      ExpectWkv7EqualsDouble(training(), Wkv7Rows(random, T, N, 0.545, 1), 64);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(TrainingLevels, Wkv7BackwardHoldsOverLongWindowsAtAnyDecay) {
  Random random(80);
  SCOPED_TRACE("seed 80");
  for (int64_t T : {256, 4096}) {
    for (double decay : {0.545, 0.999}) {
      SCOPED_TRACE(std::to_string(T) + " tokens, decay " + std::to_string(decay));
      ExpectWkv7EqualsDouble(training(), Wkv7Rows(random, T, 16, decay, decay), 256);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(TrainingLevels, Wkv7InPiecesOfChunksGivesTheSameBits) {
  Random random(81);
  SCOPED_TRACE("seed 81");
  Wkv7Rows whole(random, 48, 64, 0.545, 1), bare = whole, pieces = whole;
  whole.Forward(training());
  bare.Forward(training(), false);
  for (int64_t t = 0; t < 48; t += 16) {
    const auto at = [&](size_t i) { return pieces.in[i].data() + t * pieces.stride; };
    training().wkv7({16, 64, at(0), at(1), at(2), at(3), at(4), at(5), pieces.stride,
                     pieces.y.data() + t * pieces.stride, pieces.S.data(),
                     pieces.checkpoints.data() + t / 16 * 64 * 64});
  }
  EXPECT_TRUE(whole.y == pieces.y && whole.S == pieces.S && whole.checkpoints == pieces.checkpoints);
  EXPECT_TRUE(whole.y == bare.y && whole.S == bare.S);
}

// --- the optimizer ---

TEST_P(TrainingLevels, AdamEqualsDouble) {
  Random random(82);
  SCOPED_TRACE("seed 82");
  for (int64_t n : kOddSizes) {
    const Row g = Row::Normal(random, n), p = Row::Normal(random, n), m = Row::Normal(random, n),
              v = Row::Uniform(random, n, 0, 2);
    Row gp = p, gm = m, gv = v;
    const AdamArgs args{n,    gp.data(), gm.data(), gv.data(), g.data(), 0.5f, 0.01f,
                        0.9f, 0.99f,     1e-8f,     1.25f,     3.5f,     0.1f};
    optimizer().adam(args);
    ASSERT_TRUE(gp.Intact() && gm.Intact() && gv.Intact());
    for (int64_t i = 0; i < n; ++i) {
      const double scaled = g[i] * 0.5, beta1 = 0.9f, beta2 = 0.99f, rate = 0.01f;
      const double em = beta1 * m[i] + (1 - beta1) * scaled,
                   ev = beta2 * v[i] + (1 - beta2) * scaled * scaled;
      const double ep =
          p[i] * (1 - rate * static_cast<double>(0.1f)) - rate * (em * 1.25) / (std::sqrt(ev * 3.5) + 1e-8);
      // A handful of roundings; 1 − β is itself rounded, which is 2^−24 of 1 on a hundredth: 2^−17 of that
      // summand.
      ASSERT_NEAR(gm[i], em, 8 * 0x1p-24 * (1 + std::abs(em)));
      ASSERT_NEAR(gv[i], ev, 8 * 0x1p-24 * (1 + ev));
      const double step = rate * std::abs(em) * 1.25 / std::sqrt(ev * 3.5);
      ASSERT_NEAR(gp[i], ep, 8 * 0x1p-24 * (1 + std::abs(ep) + 16 * step)) << i << " of " << n;
    }
  }
}

TEST_P(TrainingLevels, AdamWithoutGradientOnlyDecays) {
  Row p = Row::Filled(19, 2), m = Row::Filled(19, 0), v = Row::Filled(19, 0);
  const Row g = Row::Filled(19, 0);
  optimizer().adam(
      {19, p.data(), m.data(), v.data(), g.data(), 1, 0.25f, 0.9f, 0.99f, 1e-18f, 10, 100, 0.5f});
  for (int64_t i = 0; i < 19; ++i) ASSERT_EQ(p[i], 2 * (1 - 0.125f));
}

TEST_P(TrainingLevels, SumOfSquaresIsThatOfDoublesAtAnyAddress) {
  Random random(83);
  SCOPED_TRACE("seed 83");
  for (int64_t n : kOddSizes) {
    const Row x = Row::Normal(random, n, 1e15);  // squares beyond float's range
    double exact_sum = 0;
    for (int64_t i = 0; i < n; ++i) exact_sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    const double got = optimizer().sum_squares(x.data(), n);
    ASSERT_NEAR(got, exact_sum, 1e-13 * exact_sum) << n;  // n·2^−53
    std::vector<float> moved(static_cast<size_t>(n) + 16);
    for (size_t offset = 0; offset < 16; offset += 5) {
      std::copy_n(x.data(), n, moved.data() + offset);
      ASSERT_EQ(optimizer().sum_squares(moved.data() + offset, n), got) << n;
    }
    Row bad = x;
    bad[n / 2] = std::numeric_limits<float>::quiet_NaN();
    ASSERT_TRUE(std::isnan(optimizer().sum_squares(bad.data(), n))) << n;
    bad[n / 2] = -std::numeric_limits<float>::infinity();
    ASSERT_TRUE(std::isinf(optimizer().sum_squares(bad.data(), n))) << n;
  }
}

TEST_P(TrainingLevels, Bf16RoundsAsTheStoredTypeDoesAndComesBackExactly) {
  std::vector<uint16_t> all(65536), back(65536);
  std::vector<float> wide(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  optimizer().from_bf16(wide.data(), all.data(), 65536);
  for (size_t i = 0; i < all.size(); ++i) {
    const float expected = Bf16ToFloat(all[i]);
    ASSERT_EQ(std::memcmp(&wide[i], &expected, 4), 0) << i;
  }
  // Every upper half with lower halves below, at and above the middle.
  for (uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
    for (size_t i = 0; i < all.size(); ++i) {
      const uint32_t bits = static_cast<uint32_t>(i) << 16 | low;
      std::memcpy(&wide[i], &bits, 4);
    }
    optimizer().to_bf16(back.data(), wide.data(), 65536);
    for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(back[i], FloatToBf16(wide[i])) << i << " with " << low;
  }
}

TEST_P(TrainingLevels, Bf16WritesNothingBeyondTheEnd) {
  Random random(84);
  SCOPED_TRACE("seed 84");
  for (int64_t n : kOddSizes) {
    const Row x = Row::Normal(random, n);
    std::vector<uint16_t> y(static_cast<size_t>(n) + 1, 0x1234);
    Row back(n);
    optimizer().to_bf16(y.data(), x.data(), n);
    optimizer().from_bf16(back.data(), y.data(), n);
    ASSERT_TRUE(y.back() == 0x1234 && back.Intact());
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(back[i], Bf16ToFloat(FloatToBf16(x[i])));
  }
}

}  // namespace
}  // namespace tern::kernels
