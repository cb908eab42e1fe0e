// What a generation must provide. One file each (rwkv4.cc …), one line each in registry.cc.
#pragma once

#include <memory>

#include "model/blocks.h"
#include "model/config.h"
#include "model/weights.h"

namespace tern {

/// What a layer has in every generation, around its TimeMix.
struct BlockWeights {
  LayerNormParam ln1, ln2;  ///< [C]
  ChannelMixParam ffn;
};

/// The layers of one model. Everything around them (embedding, ln0, ln_out, head) is the same in all generations and
/// lives in model.cc.
class Architecture {
 public:
  virtual ~Architecture() = default;
  /// Shows every tensor of layer `layer` to the visitor, under its canonical name, once.
  virtual void Visit(int64_t layer, TensorVisitor& visitor) = 0;
  /// Called once after the weights are filled: values that are derived from them.
  virtual void Prepare() {}
  /// x [T, C] ← x + TimeMix(ln1(x)), then x ← x + ChannelMix(ln2(x)); updates the states. Thread-safe.
  void Layer(Pass& pass, int64_t layer, float* x) const;

 protected:
  virtual const BlockWeights& Block(int64_t layer) const = 0;
  /// residual [T, C] += TimeMix(x), for the normalised x [T, C].
  virtual void TimeMix(Pass& pass, int64_t layer, const float* x, float* residual) const = 0;
};

std::unique_ptr<Architecture> MakeRwkv4(const ModelConfig& config);
std::unique_ptr<Architecture> MakeRwkv5(const ModelConfig& config);
std::unique_ptr<Architecture> MakeRwkv6(const ModelConfig& config);
std::unique_ptr<Architecture> MakeRwkv7(const ModelConfig& config);

/// The implementation of config.generation.
std::unique_ptr<Architecture> MakeArchitecture(const ModelConfig& config);

}  // namespace tern
