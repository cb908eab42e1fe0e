// What the engine costs over the bare batched passes: tokens per second of both, of many streams. Run it from
// the project's folder (it looks for models/tern-stories.gguf).
#include <benchmark/benchmark.h>

#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "formats/random_model.h"
#include "infer/engine.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace tern {
namespace {

constexpr int64_t kSteps = 32;  // timed at once

struct Loaded {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
};

/// A file, or a random model of that size in Q8_0.
Loaded Load(const std::string& name) {
  static std::string loaded_name;
  static Loaded loaded;
  if (name == loaded_name) return loaded;
  std::string path = name;
  if (auto size = RandomModelOfSize(name); size.ok()) {
    path = std::filesystem::temp_directory_path() / "tern-engine-bench.gguf";
    SaveOptions options;
    options.format = FileFormat::kGguf;
    options.type = DType::kQ8_0;
    if (!SaveRandomModel(*size, path, options).ok()) return {};
  }
  auto model = Model::Load(path);
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", model.status().message().c_str());
    return {};
  }
  auto tokenizer = FindTokenizer(path, (*model)->config().vocab);
  loaded = {*model, tokenizer.ok() ? *tokenizer : MakeByteTokenizer()};
  loaded_name = name;
  return loaded;
}

void Passes(benchmark::State& state, const std::string& name) {
  const Loaded loaded = Load(name);
  if (!loaded.model) return state.SkipWithError("no model");
  const auto streams = static_cast<size_t>(state.range(0));
  const auto text =
      loaded.tokenizer->Encode("Once upon a time there was a little girl who lived in a forest.");
  std::vector<State> states(streams, loaded.model->NewState());
  Workspace workspace;
  std::vector<float> logits;
  size_t step = 0;
  for (auto _ : state) {
    Batch batch;
    for (size_t s = 0; s < streams; ++s)
      batch.Add({&text[(step + s) % text.size()], 1}, &states[s], Logits::kLast);
    if (!loaded.model->Forward(batch, workspace, &logits).ok()) return state.SkipWithError("a pass failed");
    ++step;
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

/// Tells when its answer has a number of tokens.
class Counter : public EngineListener {
 public:
  void OnPrompt(PromptRead) override {}
  void OnPiece(AnswerPiece piece) override {
    const std::lock_guard lock(mutex_);
    generated_ = piece.generated;
    changed_.notify_all();
  }
  void OnEnd(AnswerEnd) override {}
  int64_t WaitFor(int64_t tokens) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return generated_ >= tokens; });
    return generated_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t generated_ = 0;
};

void Engines(benchmark::State& state, const std::string& name, float temperature) {
  const Loaded loaded = Load(name);
  if (!loaded.model) return state.SkipWithError("no model");
  const int streams = static_cast<int>(state.range(0));
  Engine engine(loaded.model, loaded.tokenizer, nullptr, {.max_batch = streams});
  std::shared_ptr<Counter> last;
  for (int s = 0; s < streams; ++s) {
    EngineRequest request{.prompt = {1 + s % 200}, .cache = false};
    request.sampling = {.temperature = temperature, .top_p = 1, .presence = 0, .frequency = 0};
    request.sampling.seed = static_cast<uint64_t>(s);
    request.generate = {.max_tokens = 1 << 30, .ignore_end_of_document = true};
    if (!engine.Submit(std::move(request), last = std::make_shared<Counter>()).ok())
      return state.SkipWithError("refused");
  }
  int64_t tokens = last->WaitFor(4);
  const int64_t before = tokens;
  for (auto _ : state) tokens = last->WaitFor(tokens + 1);
  state.SetItemsProcessed((tokens - before) * streams);
}

void Register(const std::string& model, int64_t streams) {
  const auto add = [&](const std::string& what, auto run) {
    benchmark::RegisterBenchmark((what + " " + model).c_str(), run)
        ->ArgName("streams")
        ->Arg(streams)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime()
        ->Iterations(kSteps)
        ->Repetitions(3);
  };
  add("passes", [model](benchmark::State& state) { Passes(state, model); });
  add("engine, greedy", [model](benchmark::State& state) { Engines(state, model, 0); });
  add("engine, sampling", [model](benchmark::State& state) { Engines(state, model, 1); });
}

const bool kRegistered = [] {
  Register("rwkv7:0.1B", 1);
  Register("rwkv7:0.1B", 32);
  Register("models/tern-stories.gguf", 32);
  Register("models/tern-stories.gguf", 256);
  return true;
}();

}  // namespace
}  // namespace tern
