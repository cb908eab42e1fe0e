#include "kernels/ref/wkv.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "kernels/ref/elementwise.h"
#include "kernels/training.h"
#include "tests/kernels/kernel_testing.h"

namespace tern::kernels {
namespace {

class Wkv : public EachLevel {};
TERN_FOR_EACH_LEVEL(Wkv);

// Wkv6Args over another number type. (The others' are TrainWkv4Args and TrainWkv7Args.)
template <typename Number>
struct Wkv6ArgsOf {
  int64_t T, N;
  const Number *r, *k, *v, *w;
  int64_t stride, w_stride;
  const Number* u;
  Number *y, *S;
};
template <typename Number>
std::vector<Number> Widen(const Row& row) {
  return std::vector<Number>(row.data(), row.data() + row.size());
}

/// Largest difference, relative to the largest exact value (at least 1e-3: everything here is of order 1).
template <typename Container>
double Difference(const Row& got, const Container& exact) {
  double most = 1e-3, difference = 0;
  for (int64_t i = 0; i < got.size(); ++i) {
    const double e = static_cast<double>(exact[static_cast<size_t>(i)]);
    most = std::max(most, std::abs(e));
    const double d = std::abs(static_cast<double>(got[i]) - e);
    difference = std::isnan(d) ? INFINITY : std::max(difference, d);
  }
  return difference / most;
}

// --- RWKV-4
// -------------------------------------------------------------------------------------------------------------

struct Wkv4Case {
  int64_t T, C;
  Row w, u, k, v, y, a, b, p;

  Wkv4Case(Random& random, int64_t T_, int64_t C_)
      : T(T_),
        C(C_),
        w(Row::Uniform(random, C, -5, -0.001)),
        u(Row::Normal(random, C)),
        k(Row::Normal(random, T * C, 3)),
        v(Row::Normal(random, T * C)),
        y(T * C),
        a(Row::Filled(C, 0)),
        b(Row::Filled(C, 0)),
        p(Row::Filled(C, -1e38f)) {}

  Wkv4Args Args() {
    return {T, 0, C, w.data(), u.data(), k.data(), v.data(), y.data(), C, a.data(), b.data(), p.data()};
  }
};

TEST_P(Wkv, Generation4EqualsDouble) {
  Random random(31);
  SCOPED_TRACE("seed 31");
  for (int64_t C : kOddSizes) {
    Wkv4Case c(random, 9, C);
    std::vector<double> w = Widen<double>(c.w), u = Widen<double>(c.u), k = Widen<double>(c.k),
                        v = Widen<double>(c.v);
    std::vector<double> a = Widen<double>(c.a), b = Widen<double>(c.b), p = Widen<double>(c.p), y(k.size());
    ref::Wkv4(TrainWkv4Args<double>{9, 0, C, w.data(), u.data(), k.data(), v.data(), y.data(), C, a.data(),
                                    b.data(), p.data()});
    table().wkv4(c.Args());
    ASSERT_TRUE(c.y.Intact() && c.a.Intact() && c.b.Intact() && c.p.Intact());
    // Exponents of up to about 15 in size, rounded at every one of nine tokens: 9·15·2^-24.
    EXPECT_LT(Difference(c.y, y), 8e-6) << C;
    EXPECT_LT(Difference(c.a, a), 8e-6) << C;
    EXPECT_LT(Difference(c.b, b), 8e-6) << C;
    EXPECT_LT(Difference(c.p, p), 1e-6) << C;
  }
}

TEST_P(Wkv, Generation4SurvivesHugeKeys) {
  Random random(32);
  SCOPED_TRACE("seed 32");
  Wkv4Case c(random, 6, 37);
  for (int64_t i = 0; i < c.k.size(); ++i) c.k[i] *= 1000;  // e^3000 would overflow
  table().wkv4(c.Args());
  // Weighted means of values lie between the values.
  const auto [low, high] = std::minmax_element(c.v.data(), c.v.data() + c.v.size());
  for (int64_t i = 0; i < c.y.size(); ++i) {
    ASSERT_GE(c.y[i], *low * 1.00001f - 1e-5f);
    ASSERT_LE(c.y[i], *high * 1.00001f + 1e-5f);
  }
}

TEST_P(Wkv, Generation4GivesTheSameBitsInAnyPiecesAndPlaces) {
  Random random(33);
  SCOPED_TRACE("seed 33");
  for (int64_t C : {5, 33, 80}) {
    const int64_t T = 7;
    const Wkv4Case start(random, T, C);
    Wkv4Case whole = start;
    table().wkv4(whole.Args());
    for (int64_t split : {int64_t{1}, C / 2, C - 1}) {
      Wkv4Case pieces = start;  // channels in two ranges, tokens one by one, y over k and then over v
      for (auto [c0, c1] : {std::pair{int64_t{0}, split}, std::pair{split, C}}) {
        for (int64_t t = 0; t < T; ++t) {
          Wkv4Args args = pieces.Args();
          args.T = 1;
          args.c0 = c0;
          args.c1 = c1;
          args.k += t * C;
          args.v += t * C;
          args.y = const_cast<float*>(c0 == 0 ? args.k : args.v);
          table().wkv4(args);
          std::copy(args.y + c0, args.y + c1, pieces.y.data() + t * C + c0);
        }
      }
      EXPECT_TRUE(pieces.y == whole.y && pieces.a == whole.a && pieces.b == whole.b && pieces.p == whole.p)
          << C << " at " << split;
    }
  }
}

// --- RWKV-5 and -6
// ------------------------------------------------------------------------------------------------------

const std::vector<int64_t> kHeadSizes = {1, 7, 8, 15, 16, 17, 31, 32, 40, 63, 64, 65, 100, 127, 128};

struct Wkv6Case {
  int64_t T, N, stride;
  bool one_decay;
  Row r, k, v, w, u, y, S;

  Wkv6Case(Random& random, int64_t T_, int64_t N_, bool one_decay_)
      : T(T_),
        N(N_),
        stride(N_ + 5),
        one_decay(one_decay_),
        r(Row::Normal(random, T * stride)),
        k(Row::Normal(random, T * stride)),
        v(Row::Normal(random, T * stride)),
        w(Row::Uniform(random, T * stride, 0.01, 0.9999)),
        u(Row::Normal(random, N)),
        y(Row::Filled(T * stride, 0)),
        S(Row::Normal(random, N * N)) {}

  Wkv6Args Args() {
    return {T,        N,        r.data(), k.data(), v.data(), w.data(), stride, one_decay ? 0 : stride,
            u.data(), y.data(), S.data()};
  }
};

TEST_P(Wkv, Generation6EqualsDouble) {
  Random random(41);
  SCOPED_TRACE("seed 41");
  for (int64_t N : kHeadSizes) {
    for (bool one_decay : {false, true}) {
      Wkv6Case c(random, 5, N, one_decay);
      auto r = Widen<double>(c.r), k = Widen<double>(c.k), v = Widen<double>(c.v), w = Widen<double>(c.w);
      auto u = Widen<double>(c.u), y = Widen<double>(c.y), S = Widen<double>(c.S);
      const Wkv6Args args = c.Args();
      ref::Wkv6(Wkv6ArgsOf<double>{5, N, r.data(), k.data(), v.data(), w.data(), args.stride, args.w_stride,
                                   u.data(), y.data(), S.data()});
      table().wkv6(args);
      ASSERT_TRUE(c.y.Intact() && c.S.Intact());
      EXPECT_LT(Difference(c.S, S), 1e-6) << N;  // five steps of two roundings
      EXPECT_LT(Difference(c.y, y), 3e-6) << N;  // and a sum over N
    }
  }
}

TEST_P(Wkv, Generation6GivesTheSameBitsInAnyPiecesAndPlaces) {
  Random random(42);
  SCOPED_TRACE("seed 42");
  for (int64_t N : {16, 33, 64}) {
    const int64_t T = 6;
    const Wkv6Case start(random, T, N, false);
    Wkv6Case whole = start;
    table().wkv6(whole.Args());
    for (int over : {0, 1, 2}) {
      Wkv6Case pieces = start;
      for (int64_t t = 0, n = 1; t < T; t += n, n = 2) {
        Wkv6Args args = pieces.Args();
        args.T = std::min(n, T - t);
        for (const float** p : {&args.r, &args.k, &args.v, &args.w}) *p += t * args.stride;
        args.y = const_cast<float*>(over == 0 ? args.r : over == 1 ? args.k : args.v);
        table().wkv6(args);
      }
      const Row& y = over == 0 ? pieces.r : over == 1 ? pieces.k : pieces.v;
      for (int64_t t = 0; t < T; ++t) {
        ASSERT_EQ(0, std::memcmp(y.data() + t * start.stride, whole.y.data() + t * start.stride,
                                 static_cast<size_t>(N) * 4));
      }
      EXPECT_TRUE(pieces.S == whole.S) << N;
    }
  }
}

// --- RWKV-7
// -------------------------------------------------------------------------------------------------------------

struct Wkv7Case {
  int64_t T, N, stride;
  Row r, w, k, v, kk, a, y, S;

  Wkv7Case(Random& random, int64_t T_, int64_t N_)
      : T(T_),
        N(N_),
        stride(N_ + 3),
        r(Row::Normal(random, T * stride)),
        w(Row::Uniform(random, T * stride, 0.546, 0.9999)),
        k(Row::Normal(random, T * stride)),
        v(Row::Normal(random, T * stride)),
        kk(Row::Normal(random, T * stride)),
        a(Row::Uniform(random, T * stride, 0, 1)),
        y(Row::Filled(T * stride, 0)),
        S(Row::Normal(random, N * N)) {
    for (int64_t t = 0; t < T; ++t) {
      double square = 1e-12;
      for (int64_t i = 0; i < N; ++i)
        square += static_cast<double>(kk[t * stride + i]) * static_cast<double>(kk[t * stride + i]);
      for (int64_t i = 0; i < N; ++i) kk[t * stride + i] /= static_cast<float>(std::sqrt(square));
    }
  }

  Wkv7Args Args() {
    return {T, N, r.data(), w.data(), k.data(), v.data(), kk.data(), a.data(), stride, y.data(), S.data()};
  }
};

TEST_P(Wkv, Generation7EqualsDouble) {
  Random random(51);
  SCOPED_TRACE("seed 51");
  for (int64_t N : kHeadSizes) {
    Wkv7Case c(random, 5, N);
    auto r = Widen<double>(c.r), w = Widen<double>(c.w), k = Widen<double>(c.k), v = Widen<double>(c.v);
    auto kk = Widen<double>(c.kk), a = Widen<double>(c.a), y = Widen<double>(c.y), S = Widen<double>(c.S);
    ref::Wkv7(TrainWkv7Args<double>{5, N, r.data(), w.data(), k.data(), v.data(), kk.data(), a.data(),
                                    c.stride, y.data(), S.data(), nullptr});
    table().wkv7(c.Args());
    ASSERT_TRUE(c.y.Intact() && c.S.Intact());
    EXPECT_LT(Difference(c.S, S), 2e-6) << N;  // five steps of four roundings and a short sum
    EXPECT_LT(Difference(c.y, y), 4e-6) << N;
  }
}

TEST_P(Wkv, Generation7GivesTheSameBitsInAnyPiecesAndOverItsOwnR) {
  Random random(52);
  SCOPED_TRACE("seed 52");
  for (int64_t N : {16, 33, 64}) {
    const int64_t T = 6;
    const Wkv7Case start(random, T, N);
    Wkv7Case whole = start, pieces = start;
    table().wkv7(whole.Args());
    for (int64_t t = 0, n = 1; t < T; t += n, n = 2) {
      Wkv7Args args = pieces.Args();
      args.T = std::min(n, T - t);
      for (const float** p : {&args.r, &args.w, &args.k, &args.v, &args.kk, &args.a}) *p += t * args.stride;
      args.y = const_cast<float*>(args.r);
      table().wkv7(args);
    }
    for (int64_t t = 0; t < T; ++t) {
      ASSERT_EQ(0, std::memcmp(pieces.r.data() + t * start.stride, whole.y.data() + t * start.stride,
                               static_cast<size_t>(N) * 4));
    }
    EXPECT_TRUE(pieces.S == whole.S) << N;
  }
}

TEST_P(Wkv, HeadsWiderThanAnyKnownAreRightToo) {
  Random random(53);
  SCOPED_TRACE("seed 53");
  Wkv7Case c7(random, 2, 515), oracle7 = c7;
  table().wkv7(c7.Args());
  oracle().wkv7(oracle7.Args());
  EXPECT_LT(Difference(c7.y, oracle7.y), 1e-5);
  Wkv6Case c6(random, 2, 515, false), oracle6 = c6;
  table().wkv6(c6.Args());
  oracle().wkv6(oracle6.Args());
  EXPECT_LT(Difference(c6.y, oracle6.y), 1e-5);
}

// --- the reference templates over complex numbers
// -----------------------------------------------------------------------

using Complex = std::complex<double>;

/// d f / d x by complex step: Im f(x + ih) / h, with h so small that its square vanishes.
template <typename F>
double ComplexStep(F f, double x) {
  constexpr double kStep = 1e-100;
  return f(Complex(x, kStep)).imag() / kStep;
}

TEST(ReferenceKernels, ComplexStepGivesKnownDerivatives) {
  for (double x : {-2.0, -0.3, 0.7, 3.0}) {
    const double sigmoid = 1 / (1 + std::exp(-x)), tanh = std::tanh(x);
    EXPECT_NEAR(ComplexStep(ref::Sigmoid<Complex>, x), sigmoid * (1 - sigmoid), 1e-15);
    EXPECT_NEAR(ComplexStep(ref::Tanh<Complex>, x), 1 - tanh * tanh, 1e-15);
    EXPECT_NEAR(ComplexStep(ref::ReluSquared<Complex>, x), x > 0 ? 2 * x : 0, 1e-15);
    EXPECT_NEAR(ComplexStep(ref::ExpNegExp<Complex>, x), -std::exp(x - std::exp(x)), 1e-15);
  }
}

TEST(ReferenceKernels, ComplexStepThroughGeneration7EqualsADifferenceQuotient) {
  Random random(54);
  SCOPED_TRACE("seed 54");
  constexpr int64_t kN = 4, kT = 3;
  std::vector<double> in(static_cast<size_t>(6 * kT * kN));
  for (double& x : in) x = random.Uniform(0.1, 0.9);
  const auto last_output = [&]<typename Number>(Number bump) {
    std::vector<Number> x(in.begin(), in.end()), y(static_cast<size_t>(kT * kN)),
        S(static_cast<size_t>(kN * kN));
    x[1] += bump;  // of the decay (the first of six) at token 0
    const auto row = [&](int64_t i) { return x.data() + i * kT * kN; };
    ref::Wkv7(TrainWkv7Args<Number>{kT, kN, row(1), row(0), row(2), row(3), row(4), row(5), kN, y.data(),
                                    S.data(), nullptr});
    x = std::vector<Number>(in.begin(), in.end());
    x[kN + 1] += bump;  // and at token 1, when the state is no longer zero
    ref::Wkv7(TrainWkv7Args<Number>{kT, kN, row(1), row(0), row(2), row(3), row(4), row(5), kN, y.data(),
                                    S.data(), nullptr});
    return y.back();
  };
  const double h = 1e-5;
  const double quotient = (last_output(h) - last_output(-h)) / (2 * h);
  EXPECT_NEAR(last_output(Complex(0, 1e-100)).imag() / 1e-100, quotient, 1e-8 * std::abs(quotient) + 1e-9);
  EXPECT_NE(quotient, 0.0);
}

}  // namespace
}  // namespace tern::kernels
