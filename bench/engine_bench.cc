// What the engine costs over the bare batched passes: tokens per second of both, of many streams. Run it from
// the project's folder (it looks for models/tern-stories.gguf).
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "formats/random_model.h"
#include "infer/engine.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace tern {
namespace {

constexpr int64_t kPasses = 32;  // timed at once

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
  const std::vector<std::string>& vocabulary = (*model)->checkpoint().vocabulary();
  auto tokenizer = MakeWorldTokenizer(vocabulary);
  loaded = {*model, tokenizer.ok() && !vocabulary.empty() ? *tokenizer : MakeByteTokenizer()};
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

class Deaf : public EngineListener {
 public:
  void OnPrompt(PromptRead) override {}
  void OnPiece(AnswerPiece) override {}
  void OnEnd(AnswerEnd) override {}
};

void WaitForPasses(const Engine& engine, int64_t passes) {
  while (engine.stats().steps < passes) std::this_thread::sleep_for(std::chrono::microseconds(500));
}

void Engines(benchmark::State& state, const std::string& name, float temperature) {
  const Loaded loaded = Load(name);
  if (!loaded.model) return state.SkipWithError("no model");
  const int streams = static_cast<int>(state.range(0));
  Engine engine(loaded.model, loaded.tokenizer, nullptr, {.max_batch = streams});
  for (int s = 0; s < streams; ++s) {
    EngineRequest request{.prompt = {1 + s % 200}, .cache = false};
    request.sampling = {.temperature = temperature, .top_p = 1, .presence = 0, .frequency = 0};
    request.sampling.seed = static_cast<uint64_t>(s);
    request.generate = {.max_tokens = 1 << 30, .ignore_end_of_document = true};
    if (!engine.Submit(std::move(request), std::make_shared<Deaf>()).ok())
      return state.SkipWithError("refused");
  }
  WaitForPasses(engine, streams / engine.options().prompt_chunk + 3);  // all prompts are read
  int64_t passes = engine.stats().steps;
  for (auto _ : state) WaitForPasses(engine, ++passes);
  state.SetItemsProcessed(state.iterations() * streams);
}

void Register(const std::string& model, int64_t streams) {
  const auto add = [&](const std::string& what, auto run) {
    benchmark::RegisterBenchmark((what + " " + model).c_str(), run)
        ->ArgName("streams")
        ->Arg(streams)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime()
        ->Iterations(kPasses)
        ->Repetitions(3);
  };
  add("passes", [model](benchmark::State& state) { Passes(state, model); });
  add("engine, greedy", [model](benchmark::State& state) { Engines(state, model, 0); });
  add("engine, sampling", [model](benchmark::State& state) { Engines(state, model, 1); });
}

const bool kRegistered = [] {
  Register("rwkv7:0.1B", 32);
  Register("models/tern-stories.gguf", 256);
  return true;
}();

}  // namespace
}  // namespace tern
