// Speed of the training kernels, level by level, on one thread. Build with -DTERN_BENCH=ON and the release
// preset:
//   training_kernels_bench --benchmark_filter='wkv7.*/avx512'
// FLOPS counts the multiplications and additions that the formulas ask for; bytes are those read and written
// once.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/training.h"

namespace tern::kernels {
namespace {

using benchmark::Counter;
using benchmark::State;
using Floats = std::vector<float>;

Floats Uniform(int64_t n, double low, double high, uint64_t seed = 1) {
  Random random(seed);
  Floats values(static_cast<size_t>(n));
  for (float& x : values) x = static_cast<float>(random.Uniform(low, high));
  return values;
}

void SetFlops(State& state, double flops) {
  state.counters["FLOPS"] = Counter(flops * static_cast<double>(state.iterations()), Counter::kIsRate);
}

struct Wkv4Data {
  int64_t T, C;
  Floats w, u, k, v, y, dy, dk, dv, dw, du, a, b, p;
  Wkv4Data(int64_t T_, int64_t C_)
      : T(T_),
        C(C_),
        w(Uniform(C, -3, -0.01)),
        u(Uniform(C, -1, 1)),
        k(Uniform(T * C, -1, 1)),
        v(Uniform(T * C, -1, 1)),
        y(v),
        dy(v),
        dk(v),
        dv(v),
        dw(u),
        du(u),
        a(Uniform(C, 0, 0)),
        b(a),
        p(Uniform(C, -1e38, -1e38)) {}
};

void Wkv4Forward(State& state, const TrainingTable<float>& table) {
  Wkv4Data d(state.range(0), 768);
  for (auto _ : state)
    table.wkv4({d.T, 0, d.C, d.w.data(), d.u.data(), d.k.data(), d.v.data(), d.y.data(), d.C, d.a.data(),
                d.b.data(), d.p.data()});
  state.SetItemsProcessed(state.iterations() * d.T * d.C);
}

void Wkv4Backward(State& state, const TrainingTable<float>& table) {
  Wkv4Data d(state.range(0), 768);
  for (auto _ : state)
    table.wkv4_backward({d.T, 0, d.C, d.w.data(), d.u.data(), d.k.data(), d.v.data(), d.a.data(), d.b.data(),
                         d.p.data(), d.y.data(), d.dy.data(), d.C, d.dk.data(), d.dv.data(), d.dw.data(),
                         d.du.data()});
  state.SetItemsProcessed(state.iterations() * d.T * d.C);
}

/// One head of a model of 768 channels: rows lie that far apart.
struct Wkv7Data {
  int64_t T, N = 64, stride = 768;
  Floats r, w, k, v, kk, a, y, S, checkpoints, dy, dr, dw, dk, dv, dkk, da;
  explicit Wkv7Data(int64_t T_)
      : T(T_),
        r(Uniform(T * stride, -1, 1)),
        w(Uniform(T * stride, 0.6, 1)),
        k(r),
        v(r),
        kk(Uniform(T * stride, -0.2, 0.2)),
        a(Uniform(T * stride, 0, 1)),
        y(r),
        S(Uniform(N * N, -1, 1)),
        checkpoints(Uniform(Wkv7Checkpoints(T) * N * N, -1, 1)),
        dy(r),
        dr(r),
        dw(r),
        dk(r),
        dv(r),
        dkk(r),
        da(r) {}
};

/// Five multiply-adds for each element of the state.
void Wkv7Forward(State& state, const TrainingTable<float>& table) {
  Wkv7Data d(state.range(0));
  for (auto _ : state)
    table.wkv7({d.T, d.N, d.r.data(), d.w.data(), d.k.data(), d.v.data(), d.kk.data(), d.a.data(), d.stride,
                d.y.data(), d.S.data(), d.checkpoints.data()});
  SetFlops(state, 10.0 * static_cast<double>(d.T * d.N * d.N));
}

/// Four to recompute, ten back.
void Wkv7Backward(State& state, const TrainingTable<float>& table) {
  Wkv7Data d(state.range(0));
  for (auto _ : state)
    table.wkv7_backward({d.T, d.N, d.r.data(), d.w.data(), d.k.data(), d.v.data(), d.kk.data(), d.a.data(),
                         d.dy.data(), d.stride, d.checkpoints.data(), d.dr.data(), d.dw.data(), d.dk.data(),
                         d.dv.data(), d.dkk.data(), d.da.data()});
  SetFlops(state, 28.0 * static_cast<double>(d.T * d.N * d.N));
}

constexpr int64_t kRow = 768;

void LayerNormForward(State& state, const TrainingTable<float>& table) {
  const Floats x = Uniform(kRow, -1, 1), weight = x, bias = x;
  Floats y = x;
  for (auto _ : state) {
    table.layer_norm(y.data(), x.data(), weight.data(), bias.data(), kRow, 1e-5);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kRow);
}

void LayerNormBackward(State& state, const TrainingTable<float>& table) {
  const Floats x = Uniform(kRow, -1, 1), weight = x, dy = x;
  Floats dx = x, dweight = x, dbias = x;
  for (auto _ : state) {
    table.layer_norm_backward(dx.data(), dweight.data(), dbias.data(), dy.data(), x.data(), weight.data(),
                              kRow, 1e-5);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kRow);
}

void GroupNormBackward(State& state, const TrainingTable<float>& table) {
  const Floats x = Uniform(kRow, -1, 1), weight = x, dy = x;
  Floats dx = x, dweight = x, dbias = x;
  for (auto _ : state) {
    table.group_norm_backward(dx.data(), dweight.data(), dbias.data(), dy.data(), x.data(), weight.data(),
                              kRow, kRow / 64, 64e-5);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kRow);
}

void ShiftMixBackward(State& state, const TrainingTable<float>& table) {
  const Floats x = Uniform(kRow, -1, 1), prev = x, mu = x, dy = x;
  Floats dx = x, dprev = x, dmu = x;
  for (auto _ : state) {
    table.shift_mix_backward(dx.data(), dprev.data(), dmu.data(), dy.data(), x.data(), prev.data(), mu.data(),
                             kRow);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kRow);
}

void BonusBackward(State& state, const TrainingTable<float>& table) {
  const Floats r = Uniform(kRow, -1, 1), k = r, v = r, r_k = r, dy = r;
  Floats dr = r, dk = r, dv = r, dr_k = r;
  for (auto _ : state) {
    table.bonus_backward(dr.data(), dk.data(), dv.data(), dr_k.data(), dy.data(), r.data(), k.data(),
                         v.data(), r_k.data(), kRow, 64);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kRow);
}

void CrossEntropy(State& state, const TrainingTable<float>& table) {
  const int64_t V = state.range(0);
  const Floats logits = Uniform(V, -5, 5);
  Floats gradient = logits;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.cross_entropy(gradient.data(), logits.data(), V, 17, 0.5f, 1e-4f));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * V);
}

constexpr int64_t kParameters = 4 << 20;  // more than the caches hold

void Adam(State& state, const OptimizerTable& table) {
  Floats p = Uniform(kParameters, -1, 1), m = p, v = Uniform(kParameters, 0, 1);
  const Floats g = p;
  for (auto _ : state)
    table.adam({kParameters, p.data(), m.data(), v.data(), g.data(), 1.0f, 1e-4f, 0.9f, 0.99f, 1e-8f, 1.1f,
                1.2f, 0.1f});
  state.SetBytesProcessed(state.iterations() * kParameters * 28);
}

void SumSquares(State& state, const OptimizerTable& table) {
  const Floats x = Uniform(kParameters, -1, 1);
  for (auto _ : state) benchmark::DoNotOptimize(table.sum_squares(x.data(), kParameters));
  state.SetBytesProcessed(state.iterations() * kParameters * 4);
}

void ToBf16(State& state, const OptimizerTable& table) {
  const Floats x = Uniform(kParameters, -1, 1);
  std::vector<uint16_t> y(x.size());
  for (auto _ : state) {
    table.to_bf16(y.data(), x.data(), kParameters);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * kParameters * 6);
}

void RegisterLevel(Level level) {
  const TrainingTable<float>* table = TrainingOf(level);
  const OptimizerTable* optimizer = OptimizerOf(level);
  if (table == nullptr || optimizer == nullptr) return;
  const auto add = [&](const std::string& name, auto* function, const auto& of) {
    return benchmark::RegisterBenchmark((name + "/" + std::string(Name(level))).c_str(),
                                        [function, &of](State& state) { function(state, of); });
  };
  add("wkv4", Wkv4Forward, *table)->Arg(256)->Arg(1024);
  add("wkv4_backward", Wkv4Backward, *table)->Arg(256)->Arg(1024);
  add("wkv7", Wkv7Forward, *table)->Arg(256)->Arg(1024);
  add("wkv7_backward", Wkv7Backward, *table)->Arg(256)->Arg(1024);
  add("layer_norm", LayerNormForward, *table);
  add("layer_norm_backward", LayerNormBackward, *table);
  add("group_norm_backward", GroupNormBackward, *table);
  add("shift_mix_backward", ShiftMixBackward, *table);
  add("bonus_backward", BonusBackward, *table);
  add("cross_entropy", CrossEntropy, *table)->Arg(50277)->Arg(65536);
  add("adam", Adam, *optimizer);
  add("sum_squares", SumSquares, *optimizer);
  add("to_bf16", ToBf16, *optimizer);
}

const bool g_registered = [] {
  for (Level level : {Level::kRef, Level::kAvx2, Level::kAvx512}) RegisterLevel(level);
  return true;
}();

}  // namespace
}  // namespace tern::kernels
