#include "model/blocks.h"

#include <algorithm>
#include <cstring>

#include "kernels/ops.h"

namespace tern {
namespace {

/// Floats of row-wise work that are worth handing to another thread (a few µs of it): one token never is, eight of a wide
/// model are.
constexpr int64_t kFloatsPerChunk = 4096;

}  // namespace

void ForEachRow(const Pass& pass, FunctionRef<void(int64_t)> fn) {
  const int64_t rows = std::max<int64_t>(1, kFloatsPerChunk / std::max<int64_t>(1, pass.config.width));
  ParallelFor(pass.T, rows, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) fn(t);
  });
}

void ForEachHead(const Pass& pass, FunctionRef<void(int64_t, int64_t)> fn) {
  const int64_t heads = pass.config.heads;
  // One token is little work for a chunk; many are enough to share out head by head.
  ParallelFor(pass.sequences() * heads, pass.T > pass.sequences() ? 1 : 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) fn(i / heads, i % heads);
  });
}

void Normalise(const Pass& pass, const LayerNormParam& norm, const float* x, float* y) {
  const int64_t C = norm.weight.size();
  const auto layer_norm = kernels::Kernels().layer_norm;
  ForEachRow(pass, [&](int64_t t) {
    layer_norm(y + t * C, x + t * C, norm.weight.data(), norm.bias.data(), C, pass.config.ln_eps);
  });
}

ShiftedRows::ShiftedRows(const Pass& pass, const float* x, int64_t layer, Which which)
    : pass_(pass), x_(x), width_(pass.config.width), layer_(layer), which_(which), previous_(static_cast<size_t>(pass.T)) {
  for (int64_t t = 1; t < pass.T; ++t) previous_[static_cast<size_t>(t)] = row(t - 1);
  for (size_t s = 0; s < pass.states.size(); ++s) {
    if (pass.starts[s] < pass.starts[s + 1]) previous_[static_cast<size_t>(pass.starts[s])] = Kept(s);
  }
}

float* ShiftedRows::Kept(size_t sequence) const {
  State& state = *pass_.states[sequence];
  return which_ == Which::kAtt ? state.att_shift(layer_) : state.ffn_shift(layer_);
}

void ShiftedRows::Save() const {
  for (size_t s = 0; s < pass_.states.size(); ++s) {
    if (pass_.starts[s] == pass_.starts[s + 1]) continue;
    std::memcpy(Kept(s), row(pass_.starts[s + 1] - 1), static_cast<size_t>(width_) * sizeof(float));
  }
}

void ShiftMix(const Pass& pass, const ShiftedRows& x, std::initializer_list<Mix> mixes) {
  const int64_t C = pass.config.width;
  const auto shift_mix = kernels::Kernels().shift_mix;
  ForEachRow(pass, [&](int64_t t) {
    for (const Mix& mix : mixes) shift_mix(mix.y + t * C, x.row(t), x.previous(t), mix.mu.data(), C);
  });
}

void Multiply(const Pass& pass, std::initializer_list<Product> products) {
  std::vector<kernels::MatMulJob> jobs;
  jobs.reserve(products.size());
  for (const Product& p : products) {
    jobs.push_back({.w = p.w.view,
                    .x = p.x,
                    .x_stride = p.x_stride != 0 ? p.x_stride : p.w.cols(),
                    .y = p.y,
                    .y_stride = p.w.rows(),
                    .T = pass.T,
                    .scale = p.w.scale,
                    .reads = pass.workspace.sparse_reads(),
                    .many = pass.many});
  }
  kernels::MatMul(jobs);
}

void ComplementMix(VectorParam& mu) {
  for (float& value : mu.values) value = 1.0f - value;
}

void ChannelMix(Pass& pass, const ChannelMixParam& p, int64_t layer, const float* x, float* residual) {
  const kernels::KernelTable& k = kernels::Kernels();
  Workspace::Scope scope(pass.workspace);
  const int64_t C = pass.config.width, F = pass.config.ffn_width;
  const bool gated = !p.receptance.empty();
  const ShiftedRows shifted(pass, x, layer, ShiftedRows::Which::kFfn);
  float* hidden = pass.Rows(F);
  float* out = pass.Rows(C);
  float* x_k = pass.Rows(C);
  float* r = nullptr;
  if (gated) {
    float* x_r = pass.Rows(C);
    r = pass.Rows(C);
    ShiftMix(pass, shifted, {{p.mu_k, x_k}, {p.mu_r, x_r}});
    Multiply(pass, {{p.key, x_k, hidden}, {p.receptance, x_r, r}});
  } else {
    ShiftMix(pass, shifted, {{p.mu_k, x_k}});
    Multiply(pass, {{p.key, x_k, hidden}});
  }
  shifted.Save();
  ForEachRow(pass, [&](int64_t t) { k.relu_squared(hidden + t * F, hidden + t * F, F); });
  Multiply(pass, {{p.value, hidden, out}});
  ForEachRow(pass, [&](int64_t t) {
    if (gated) {
      k.sigmoid(r + t * C, r + t * C, C);
      k.mul(out + t * C, r + t * C, C);
    }
    k.add(residual + t * C, out + t * C, C);
  });
}

void MatrixStateWkv(const Pass& pass, int64_t layer, const float* r, const float* k, const float* v, const float* w,
                    int64_t w_stride, const VectorParam& u, float* y) {
  const int64_t N = pass.config.head_size, A = pass.config.att_width;
  ForEachHead(pass, [&](int64_t sequence, int64_t head) {
    const auto s = static_cast<size_t>(sequence);
    const int64_t channel = head * N, at = pass.starts[s] * A + channel;
    kernels::Kernels().wkv6({.T = pass.starts[s + 1] - pass.starts[s], .N = N, .r = r + at, .k = k + at, .v = v + at,
                             .w = w + (w_stride == 0 ? channel : at), .stride = A, .w_stride = w_stride,
                             .u = u.data() + channel, .y = y + at, .S = pass.states[s]->wkv(layer) + channel * N});
  });
}

void GatedOutput(Pass& pass, const LayerNormParam& ln_x, const MatrixParam& output, float* wkv, float* g,
                 float* residual) {
  const kernels::KernelTable& k = kernels::Kernels();
  const ModelConfig& c = pass.config;
  const int64_t C = c.width, A = c.att_width;
  Workspace::Scope scope(pass.workspace);
  float* out = pass.Rows(C);
  ForEachRow(pass, [&](int64_t t) {
    float* y = wkv + t * A;
    k.group_norm(y, y, ln_x.weight.data(), ln_x.bias.data(), A, c.heads, c.gn_eps);
    if (g == nullptr) return;
    k.silu(g + t * A, g + t * A, A);
    k.mul(y, g + t * A, A);
  });
  Multiply(pass, {{output, wkv, out}});
  ForEachRow(pass, [&](int64_t t) { k.add(residual + t * C, out + t * C, C); });
}

}  // namespace tern
