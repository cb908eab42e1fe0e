// How long a kept state of a 0.1B model takes to be found and copied, from memory and from disk.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "infer/state_cache.h"

namespace tern {
namespace {

using Tokens = std::vector<int32_t>;

/// RWKV-7 World 0.1B.
ModelConfig Config() {
  ModelConfig config;
  config.generation = Generation::kRwkv7;
  config.vocab = 65536, config.layers = 12, config.width = config.att_width = 768;
  config.heads = 12, config.head_size = 64;
  return config;
}

Tokens RandomTokens(Random& random, size_t n) {
  Tokens tokens(n);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.Below(65536));
  return tokens;
}

std::shared_ptr<const KeptState> Place(Tokens tokens) {
  auto kept = std::make_shared<KeptState>();
  kept->tokens = std::move(tokens);
  kept->state = State(StateLayout(Config()));
  Random random(1);
  for (float& value : kept->state.data()) value = static_cast<float>(random.Uniform());
  kept->logits.assign(65536, 0.5f);
  return kept;
}

/// A cache in a folder of its own, which goes with it.
class Setting {
 public:
  Setting(uint64_t memory_bytes, bool on_disk) {
    folder_ =
        (std::filesystem::temp_directory_path() / ("tern-states-" + std::to_string(::getpid()))).string();
    auto opened =
        StateCache::Open({.memory_bytes = memory_bytes, .folder = on_disk ? folder_ : ""}, Config(), "0");
    if (!opened.ok()) std::abort();
    cache_ = *opened;
  }
  ~Setting() {
    cache_.reset();
    std::filesystem::remove_all(folder_);
  }
  StateCache& cache() { return *cache_; }

 private:
  std::string folder_;
  std::shared_ptr<StateCache> cache_;
};

/// A prompt of 2,000 tokens whose first 1,999 are kept: what stands between the request and its one pass.
void FindAndCopy(benchmark::State& state, Setting& setting) {
  Random random(2);
  const Tokens prompt = RandomTokens(random, 2000);
  setting.cache().Keep("", Place(Tokens(prompt.begin(), prompt.end() - 1)));
  if (!setting.cache().Flush().ok()) return state.SkipWithError("cannot flush");
  for (auto _ : state) {
    const auto found = setting.cache().Find("", prompt);
    if (found == nullptr || found->tokens.size() != 1999) return state.SkipWithError("not found");
    State copy = found->state;
    benchmark::DoNotOptimize(copy.data().data());
  }
}

void FromMemory(benchmark::State& state) {
  Setting setting(uint64_t{1} << 30, false);
  FindAndCopy(state, setting);
}
BENCHMARK(FromMemory)->Unit(benchmark::kMillisecond);

/// The file is in the system's page cache.
void FromDisk(benchmark::State& state) {
  Setting setting(0, true);
  FindAndCopy(state, setting);
}
BENCHMARK(FromDisk)->Unit(benchmark::kMillisecond)->UseRealTime();

/// A prompt of 100,000 tokens of which nothing is kept but its first 1,024, among places of 300 lengths.
void LongPrompt(benchmark::State& state) {
  Setting setting(uint64_t{1} << 30, false);
  Random random(3);
  const Tokens prompt = RandomTokens(random, 100000);
  for (size_t i = 0; i < 300; ++i) setting.cache().Keep("", Place(RandomTokens(random, 300 * (i + 1))));
  setting.cache().Keep("", Place(Tokens(prompt.begin(), prompt.begin() + 1024)));
  for (auto _ : state) {
    const auto found = setting.cache().Find("", prompt);
    if (found == nullptr) return state.SkipWithError("not found");
  }
}
BENCHMARK(LongPrompt)->Unit(benchmark::kMillisecond);

/// To a name, on disk when it returns.
void Save(benchmark::State& state) {
  Setting setting(uint64_t{1} << 30, true);
  Random random(4);
  const auto place = Place(RandomTokens(random, 2000));
  for (auto _ : state) {
    const auto saved = setting.cache().Save("", place, "", "");
    if (!saved.ok()) return state.SkipWithError(saved.status().message().c_str());
  }
}
BENCHMARK(Save)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(50);

}  // namespace
}  // namespace tern
