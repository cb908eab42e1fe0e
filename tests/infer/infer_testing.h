// Small models with small vocabularies, and what the tests of sessions, generators and conversations share.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "infer/generator.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "tests/model/model_testing.h"
#include "text/tokenizer.h"

namespace tern::testing {

/// One model of each generation; with 256 symbols a token is a byte.
inline RandomModel TinyModel(Generation generation, int64_t vocab = 256, uint64_t seed = 5) {
  RandomModel model{
      .generation = generation, .vocab = vocab, .width = 32, .layers = 2, .ffn = 64, .seed = seed};
  if (generation != Generation::kRwkv4) model.head_size = 16;
  if (generation == Generation::kRwkv6) model.mix_rank = 4, model.decay_rank = 4;
  if (generation == Generation::kRwkv7) {
    model.decay_rank = model.iclr_rank = model.value_rank = model.gate_rank = 4;
  }
  return model;
}

inline std::vector<Generation> AllGenerations() {
  return {Generation::kRwkv4,   Generation::kRwkv5_0, Generation::kRwkv5_1,
          Generation::kRwkv5_2, Generation::kRwkv6,   Generation::kRwkv7};
}

/// Logits of a session that has read nothing but these tokens.
inline std::vector<float> LogitsAfter(std::shared_ptr<const Model> model, std::span<const int32_t> tokens) {
  Session session(std::move(model));
  const Status status = session.Feed(tokens);
  EXPECT_TRUE(status.ok()) << status.message();
  return session.logits();
}

/// The ids from 128 on: banned, a model of 256 bytes writes ASCII only, so that its text is its tokens.
inline std::vector<int32_t> BytesBeyondAscii() {
  std::vector<int32_t> ids;
  for (int32_t id = 128; id < 256; ++id) ids.push_back(id);
  return ids;
}

/// What Generate gave, and the pieces as they were shown.
struct Shown {
  GenerateResult result;
  std::vector<std::string> pieces;
  std::string text;  ///< the pieces joined
};

inline Shown RunGenerate(Session& session, Sampler& sampler, const Tokenizer& tokenizer,
                         const GenerateOptions& options) {
  Shown shown;
  auto result = Generate(session, sampler, tokenizer, options, [&](std::string_view piece) {
    shown.pieces.emplace_back(piece);
    shown.text += piece;
    return true;
  });
  EXPECT_TRUE(result.ok()) << result.status().message();
  if (result.ok()) shown.result = *result;
  return shown;
}

}  // namespace tern::testing
