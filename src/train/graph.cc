// The whole model: embedding, layers, head and loss, forward and backward.
#include "train/graph.h"

#include <algorithm>
#include <type_traits>

#include <fmt/format.h>

#include "train/layers.h"

namespace tern::train {
namespace {

/// Sums of many losses: float's own would lose digits.
template <typename T>
using LossTotal = std::conditional_t<std::is_same_v<T, float>, double, T>;

/// The residual stream at a layer's ends and what its sub-blocks keep.
template <typename T>
struct LayerKept {
  T *x_in = nullptr, *x_mid = nullptr;
  std::unique_ptr<Kept> time_mix, channel_mix;
};

}  // namespace

template <typename T>
struct Graph<T>::Impl {
  Impl(const ModelShape& shape, const GraphOptions& graph_options)
      : layout(shape), options(graph_options), emb(&layout.Get("emb.weight")), ln0_weight(&layout.Get("blocks.0.ln0.weight")),
        ln0_bias(&layout.Get("blocks.0.ln0.bias")), ln_out_weight(&layout.Get("ln_out.weight")),
        ln_out_bias(&layout.Get("ln_out.bias")), head(&layout.Get("head.weight")) {
    for (int64_t layer = 0; layer < shape.layers; ++layer) {
      time_mix.push_back(shape.generation == Generation::kRwkv4 ? MakeTimeMix4<T>(layout, layer)
                                                                : MakeTimeMix7<T>(layout, layer));
      channel_mix.push_back(MakeChannelMix<T>(layout, layer));
    }
  }

  // --- embedding and ln0 ---

  void Embed(Pass<T>& pass, T* x) const {
    const int64_t C = pass.shape.width;
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t token = pass.call.batch->inputs[static_cast<size_t>(t)];
        pass.kernel.layer_norm(x + t * C, pass.Value(emb) + token * C, pass.Value(ln0_weight), pass.Value(ln0_bias), C,
                               pass.shape.ln_eps);
      }
    });
  }

  /// Adds the gradients of the embedding and of ln0, from dx [T, C]. A token may stand at many positions: each task has
  /// some of the channels to itself and walks all positions.
  void EmbedBackward(Pass<T>& pass, const T* dx) const {
    Arena::Scope scope(pass.arena);
    const int64_t C = pass.shape.width;
    VectorGradients<T> gradients(pass, -1);
    T* drows = pass.TakeRows(C);
    pass.ForRows([&](int64_t chunk, int64_t begin, int64_t end) {
      std::fill(drows + begin * C, drows + end * C, T(0));
      for (int64_t t = begin; t < end; ++t) {
        const int64_t token = pass.call.batch->inputs[static_cast<size_t>(t)];
        pass.kernel.layer_norm_backward(drows + t * C, gradients.At(chunk, ln0_weight), gradients.At(chunk, ln0_bias),
                                        dx + t * C, pass.Value(emb) + token * C, pass.Value(ln0_weight), C,
                                        pass.shape.ln_eps);
      }
    });
    gradients.Flush();
    if (pass.counting) return;
    constexpr int64_t kChannels = 64;
    ParallelFor(C, kChannels, [&](int64_t c0, int64_t c1) {
      for (int64_t t = 0; t < pass.tokens; ++t) {
        T* row = pass.Gradient(emb) + pass.call.batch->inputs[static_cast<size_t>(t)] * C;
        pass.kernel.add(row + c0, drows + t * C + c0, c1 - c0);
      }
    });
  }

  // --- one layer ---

  LayerKept<T> LayerForward(Pass<T>& pass, int64_t layer, T* x_in, T* x_out) const {
    const auto l = static_cast<size_t>(layer);
    LayerKept<T> kept;
    kept.x_in = x_in;
    kept.x_mid = pass.TakeRows(pass.shape.width);
    kept.time_mix = time_mix[l]->Forward(pass, x_in, kept.x_mid);
    pass.CheckFinite(kept.x_mid, pass.shape.width, fmt::format("blocks.{}.att", layer));
    kept.channel_mix = channel_mix[l]->Forward(pass, kept.x_mid, x_out);
    pass.CheckFinite(x_out, pass.shape.width, fmt::format("blocks.{}.ffn", layer));
    return kept;
  }

  void LayerBackward(Pass<T>& pass, int64_t layer, const LayerKept<T>& kept, T* dx) const {
    Arena::Scope scope(pass.arena);
    const auto l = static_cast<size_t>(layer);
    VectorGradients<T> gradients(pass, layer);
    channel_mix[l]->Backward(pass, *kept.channel_mix, gradients, dx);
    time_mix[l]->Backward(pass, *kept.time_mix, gradients, dx);
    gradients.Flush();
  }

  // --- ln_out, head, loss ---

  /// Sums the losses; where gradients are wanted, sets dx [T, C] and adds those of head and ln_out. Logits stand in
  /// memory for head_rows positions at a time.
  LossTotal<T> HeadLoss(Pass<T>& pass, const T* x, T* dx) const {
    Arena::Scope scope(pass.arena);
    const int64_t C = pass.shape.width, V = pass.shape.vocab, rows = std::min(pass.tokens, options.head_rows);
    const bool backward = pass.backward();
    const Rows<T> normal = pass.TakeOperand(C);
    T* losses = pass.Take(pass.tokens);
    T* logits = pass.Take(rows * V);
    const Rows<T> dlogits = backward ? pass.TakeOperand(V, rows) : Rows<T>();
    T* dnormal = backward ? pass.TakeRows(C) : nullptr;
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      std::vector<T> scratch(static_cast<size_t>(C));
      for (int64_t t = begin; t < end; ++t) {
        T* row = normal.Stage(t, scratch.data());
        pass.kernel.layer_norm(row, x + t * C, pass.Value(ln_out_weight), pass.Value(ln_out_bias), C, pass.shape.ln_eps);
        normal.Commit(t, row);
      }
    });
    for (int64_t t0 = 0; t0 < pass.tokens && !pass.counting; t0 += rows) {
      const int64_t n = std::min(rows, pass.tokens - t0);
      pass.products.Run({.m = n, .n = V, .k = C, .a = normal.operand(t0), .b = pass.Matrix(head), .transpose_b = true,
                         .c = logits});
      RowLosses(pass, t0, n, logits, dlogits, losses);
      if (!backward) continue;
      pass.products.Run({.m = n, .n = C, .k = V, .a = dlogits.operand(), .b = pass.Matrix(head), .c = dnormal + t0 * C});
      pass.products.Run({.m = V, .n = C, .k = n, .a = dlogits.operand(), .b = normal.operand(t0), .transpose_a = true,
                         .c = pass.Gradient(head), .accumulate = true});
    }
    if (backward) NormBackward(pass, x, dnormal, dx);
    LossTotal<T> sum = 0;
    for (int64_t t = 0; t < pass.tokens && !pass.counting; ++t) {
      sum += losses[t];
      if (!pass.call.token_losses.empty()) pass.call.token_losses[static_cast<size_t>(t)] = losses[t];
    }
    return sum;
  }

  void RowLosses(Pass<T>& pass, int64_t t0, int64_t n, T* logits, const Rows<T>& dlogits, T* losses) const {
    const int64_t V = pass.shape.vocab;
    ParallelFor(n, 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t target = pass.call.batch->targets[static_cast<size_t>(t0 + i)];
        T* row = logits + i * V;
        T* gradient = !pass.backward() ? nullptr : dlogits.wide != nullptr ? dlogits.wide + i * V : row;
        if (target < 0) {
          losses[t0 + i] = T(0);
          if (gradient != nullptr) std::fill(gradient, gradient + V, T(0));
        } else {
          losses[t0 + i] = pass.kernel.cross_entropy(gradient, row, V, target, pass.call.loss_scale,
                                                     T(options.l2wrap));
        }
        if (gradient != nullptr) dlogits.Commit(i, gradient);
      }
    });
  }

  void NormBackward(Pass<T>& pass, const T* x, const T* dnormal, T* dx) const {
    Arena::Scope scope(pass.arena);
    const int64_t C = pass.shape.width;
    VectorGradients<T> gradients(pass, pass.shape.layers);
    pass.ForRows([&](int64_t chunk, int64_t begin, int64_t end) {
      std::fill(dx + begin * C, dx + end * C, T(0));
      for (int64_t t = begin; t < end; ++t)
        pass.kernel.layer_norm_backward(dx + t * C, gradients.At(chunk, ln_out_weight), gradients.At(chunk, ln_out_bias),
                                        dnormal + t * C, x + t * C, pass.Value(ln_out_weight), C, pass.shape.ln_eps);
    });
    gradients.Flush();
  }

  // --- the whole ---

  LossTotal<T> RunPass(Pass<T>& pass) const {
    const int64_t L = pass.shape.layers, C = pass.shape.width;
    if (pass.shape.generation == Generation::kRwkv7) {
      pass.v_first = pass.TakeRows(pass.shape.att_width);
      if (pass.backward()) {
        T* dv = pass.dv_first = pass.TakeRows(pass.shape.att_width);
        pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
          std::fill(dv + begin * pass.shape.att_width, dv + end * pass.shape.att_width, T(0));
        });
      }
    }
    std::vector<LayerKept<T>> kept(static_cast<size_t>(L));
    T* x = pass.TakeRows(C);
    Embed(pass, x);
    pass.CheckFinite(x, C, "emb");
    pass.forward_again = pass.backward() && options.recompute;
    T* spare = pass.backward() ? nullptr : pass.TakeRows(C);  // without a backward two rows of x take turns
    for (int64_t layer = 0; layer < L; ++layer) {
      LayerKept<T>& own = kept[static_cast<size_t>(layer)];
      T* x_out = pass.backward() ? pass.TakeRows(C) : spare;
      if (pass.keeps()) {
        own = LayerForward(pass, layer, x, x_out);
      } else {
        Arena::Scope scope(pass.arena);
        own = LayerForward(pass, layer, x, x_out);
      }
      spare = x;
      x = x_out;
    }
    T* dx = pass.backward() ? pass.TakeRows(C) : nullptr;
    const LossTotal<T> loss = HeadLoss(pass, x, dx);
    if (!pass.backward()) return loss;
    pass.forward_again = false;
    Done(pass, L);
    for (int64_t layer = L - 1; layer >= 0; --layer) {
      Arena::Scope scope(pass.arena);
      LayerKept<T>& own = kept[static_cast<size_t>(layer)];
      if (options.recompute) own = LayerForward(pass, layer, own.x_in, pass.TakeRows(C));
      LayerBackward(pass, layer, own, dx);
      Done(pass, layer);
    }
    EmbedBackward(pass, dx);
    Done(pass, -1);
    return loss;
  }

  static void Done(const Pass<T>& pass, int64_t layer) {
    if (!pass.counting && pass.call.on_layer_gradient) pass.call.on_layer_gradient(layer);
  }

  Pass<T> MakePass(const GraphCall<T>& call, Arena& own_arena, int64_t tokens) {
    return {.shape = layout.shape(), .layout = layout, .options = options, .kernel = kernels::Training<T>(),
            .products = products, .arena = own_arena, .call = call, .counting = false, .tokens = tokens,
            .segments = {}, .starts_segment = {}, .last_of_stream = {}};
  }

  /// Where segments start, and which are their streams' last.
  static void PlaceSegments(Pass<T>& pass) {
    pass.segments = pass.call.batch->segments;
    pass.starts_segment.assign(static_cast<size_t>(pass.tokens), -1);
    pass.last_of_stream.assign(pass.segments.size(), true);
    std::vector<int64_t> last;  // segment by stream
    for (size_t s = 0; s < pass.segments.size(); ++s) {
      const Segment& segment = pass.segments[s];
      pass.starts_segment[static_cast<size_t>(segment.begin)] = static_cast<int32_t>(s);
      const auto stream = static_cast<size_t>(segment.stream);
      if (last.size() <= stream) last.resize(stream + 1, -1);
      if (last[stream] >= 0) pass.last_of_stream[static_cast<size_t>(last[stream])] = false;
      last[stream] = static_cast<int64_t>(s);
    }
  }

  size_t Predict(const TrainBatch& batch, bool backward) {
    Arena counting;
    GraphCall<T> call;
    call.batch = &batch;
    static T something{};
    if (backward) call.gradients = std::span<T>(&something, 1);
    Pass<T> pass = MakePass(call, counting, batch.tokens());
    pass.counting = true;
    PlaceSegments(pass);
    RunPass(pass);
    return counting.peak();
  }

  T Run(const GraphCall<T>& call, std::string* non_finite) {
    const TrainBatch& batch = *call.batch;
    const size_t needed = Predict(batch, !call.gradients.empty());
    if (arena.size() < needed) {
      arena = Arena();
      arena = Arena(needed);
    }
    Arena::Scope scope(arena);
    Pass<T> pass = MakePass(call, arena, batch.tokens());
    pass.non_finite = non_finite;
    PlaceSegments(pass);
    const auto goes_on = [](const Segment& s) { return !s.reset; };
    std::unique_ptr<StreamStates<T>> before;
    if (std::any_of(batch.segments.begin(), batch.segments.end(), goes_on)) {
      before = std::make_unique<StreamStates<T>>(*call.states);
      pass.before = before.get();
    }
    return T(RunPass(pass));
  }

  const ParameterLayout layout;
  const GraphOptions options;
  const Parameter *emb, *ln0_weight, *ln0_bias, *ln_out_weight, *ln_out_bias, *head;
  std::vector<std::unique_ptr<Residual<T>>> time_mix, channel_mix;
  Products<T> products;
  Arena arena;
};

template <typename T>
Graph<T>::Graph(const ModelShape& shape, const GraphOptions& options) : impl_(std::make_unique<Impl>(shape, options)) {}
template <typename T>
Graph<T>::~Graph() = default;
template <typename T>
const ParameterLayout& Graph<T>::layout() const {
  return impl_->layout;
}
template <typename T>
const GraphOptions& Graph<T>::options() const {
  return impl_->options;
}

template <typename T>
T Graph<T>::Run(const GraphCall<T>& call, int64_t* counted) {
  if (counted != nullptr) {
    const auto& targets = call.batch->targets;
    *counted = std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target >= 0; });
  }
  return impl_->Run(call, nullptr);
}

template <typename T>
size_t Graph<T>::workspace_bytes() const {
  return impl_->arena.size();
}

template <typename T>
size_t Graph<T>::PredictWorkspace(int64_t tokens, int64_t segments, bool backward) const {
  TrainBatch batch;
  batch.inputs.resize(static_cast<size_t>(tokens));
  batch.targets = batch.inputs;
  for (int64_t s = 0; s < segments; ++s)
    batch.segments.push_back({.begin = tokens * s / segments, .end = tokens * (s + 1) / segments, .stream = s});
  return impl_->Predict(batch, backward);
}

template <typename T>
Products<T>& Graph<T>::products() {
  return impl_->products;
}

template <typename T>
std::string Graph<T>::FindNonFinite(const GraphCall<T>& call) {
  GraphCall<T> forward = call;
  forward.gradients = {};
  forward.token_losses = {};
  std::unique_ptr<StreamStates<T>> states;  // the real ones must not move on
  if (call.states != nullptr) states = std::make_unique<StreamStates<T>>(*call.states);
  forward.states = states.get();
  std::string where;
  impl_->Run(forward, &where);
  return where;
}

void RoundParameters(const ParameterLayout& layout, std::span<const float> parameters, std::span<uint16_t> bf16) {
  constexpr int64_t kPiece = 1 << 16;
  struct Piece {
    int64_t begin, end;
  };
  std::vector<Piece> pieces;
  for (const Parameter& p : layout.parameters()) {
    if (!p.is_matrix() || p.role == Role::kEmbedding) continue;  // the embedding is looked up, not multiplied
    for (int64_t at = 0; at < p.size; at += kPiece)
      pieces.push_back({p.offset + at, p.offset + std::min(p.size, at + kPiece)});
  }
  ParallelFor(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Piece& piece = pieces[static_cast<size_t>(i)];
      kernels::Optimizer().to_bf16(bf16.data() + piece.begin, parameters.data() + piece.begin, piece.end - piece.begin);
    }
  });
}

template class Graph<float>;
template class Graph<double>;
template class Graph<std::complex<double>>;

}  // namespace tern::train
