// The time to choose one token of the World vocabulary.
#include <benchmark/benchmark.h>

#include <vector>

#include "base/random.h"
#include "infer/sampler.h"

namespace tern {
namespace {

/// Normal logits. Trained models lie between the two shapes: at scale 1 a nucleus of 0.85 has 34,000 tokens,
/// at scale 4 some hundred.
std::vector<float> Logits(double scale) {
  Random random(1);
  std::vector<float> logits(65536);
  for (float& logit : logits) logit = static_cast<float>(scale * random.Normal());
  return logits;
}

void Run(benchmark::State& state, const SamplingOptions& options) {
  const auto logits = Logits(static_cast<double>(state.range(0)));
  Sampler sampler(options);
  for (int32_t i = 0; i < 500; ++i) sampler.Accept(i * 131);
  for (auto _ : state) {
    auto token = sampler.Sample(logits);
    if (!token.ok()) return state.SkipWithError(token.status().message().c_str());
    benchmark::DoNotOptimize(*token);
  }
}

template <typename Change>
void Register(const char* name, Change change) {
  SamplingOptions options;
  options.top_p = 1;
  change(options);
  benchmark::RegisterBenchmark(name, [options](benchmark::State& state) { Run(state, options); })
      ->ArgName("scale")
      ->Arg(1)
      ->Arg(4)
      ->Unit(benchmark::kMicrosecond);
}

const bool kRegistered = [] {
  using O = SamplingOptions;
  Register("greedy", [](O& o) { o.temperature = 0; });
  Register("softmax", [](O&) {});
  Register("temperature_0.8", [](O& o) { o.temperature = 0.8f; });
  Register("top_p_0.5", [](O& o) { o.top_p = 0.5f; });
  Register("top_p_0.85", [](O& o) { o.top_p = 0.85f; });
  Register("top_p_0.85_temperature_1.2", [](O& o) { o.top_p = 0.85f, o.temperature = 1.2f; });
  Register("top_k_50", [](O& o) { o.top_k = 50; });
  Register("min_p_0.05", [](O& o) { o.min_p = 0.05f; });
  Register("typical_p_0.9", [](O& o) { o.typical_p = 0.9f; });
  Register("mirostat_2", [](O& o) { o.mirostat = 2; });
  return true;
}();

}  // namespace
}  // namespace tern
