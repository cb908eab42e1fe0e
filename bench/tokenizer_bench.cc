// Speed of encoding, in bytes of text per second on one core. $TERN_TESTDATA (else ../shared/data from the
// working folder) names the folder with the vocabularies and texts.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "base/file.h"
#include "text/tokenizer.h"

namespace {

constexpr const char* kWorld = "/tokenizer/rwkv_vocab_v20230424.txt";
constexpr const char* kNeox = "/tokenizer/20B_tokenizer.json";

std::string Data() {
  const char* folder = std::getenv("TERN_TESTDATA");
  return folder != nullptr && *folder != '\0' ? folder : "../shared/data";
}

void Encode(benchmark::State& state, const char* vocabulary, const std::string& text) {
  auto tokenizer = tern::LoadTokenizer(Data() + vocabulary);
  if (!tokenizer.ok()) {
    state.SkipWithError(tokenizer.status().message().c_str());
    return;
  }
  size_t tokens = 0;
  for (auto _ : state) {
    tokens = (*tokenizer)->Encode(text).size();
    benchmark::DoNotOptimize(tokens);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(text.size()));
  state.counters["bytes/token"] = static_cast<double>(text.size()) / static_cast<double>(tokens);
}

void EncodeFile(benchmark::State& state, const char* vocabulary, const char* file) {
  auto text = tern::ReadFileToString(Data() + file);
  if (!text.ok()) {
    state.SkipWithError(text.status().message().c_str());
    return;
  }
  Encode(state, vocabulary, *text);
}

/// Ten million bytes of one pattern: a tokenizer whose time grows faster than the text shows here.
void EncodePattern(benchmark::State& state, const char* vocabulary, const char* pattern) {
  std::string text;
  while (text.size() < 10'000'000) text += pattern;
  Encode(state, vocabulary, text);
}

void EncodeRandom(benchmark::State& state, const char* vocabulary) {
  std::string text(10'000'000, '\0');
  uint64_t x = 88172645463325252u;
  for (char& c : text) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    c = static_cast<char>(x >> 32);
  }
  Encode(state, vocabulary, text);
}

void Load(benchmark::State& state, const char* vocabulary) {
  for (auto _ : state) {
    auto tokenizer = tern::LoadTokenizer(Data() + vocabulary);
    if (!tokenizer.ok()) {
      state.SkipWithError(tokenizer.status().message().c_str());
      return;
    }
  }
}

void EncodeShort(benchmark::State& state, const char* vocabulary) {
  Encode(state, vocabulary, "User: What is the tallest mountain of the world?\n\nAssistant:");
}

#define TERN_BOTH(function, name, ...)                                                             \
  BENCHMARK_CAPTURE(function, world_##name, kWorld, ##__VA_ARGS__)->Unit(benchmark::kMillisecond); \
  BENCHMARK_CAPTURE(function, neox_##name, kNeox, ##__VA_ARGS__)->Unit(benchmark::kMillisecond)

TERN_BOTH(EncodeFile, stories, "/text/stories.txt");
TERN_BOTH(EncodeFile, shakespeare, "/text/tinyshakespeare.txt");
TERN_BOTH(EncodeFile, wikitext, "/text/wikitext2-test.txt");
TERN_BOTH(EncodeFile, languages, "/tokenizer/neox_test-string.txt");
TERN_BOTH(EncodePattern, one_letter, "a");
TERN_BOTH(EncodePattern, spaces, " ");
TERN_BOTH(EncodePattern, newlines, "\n");
TERN_BOTH(EncodePattern, emoji, "\xF0\x9F\x99\x82");
TERN_BOTH(EncodePattern, marks, "\xCC\x81\xCC\x96");
BENCHMARK_CAPTURE(EncodeRandom, world_random_bytes, kWorld)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(EncodeRandom, neox_random_bytes, kNeox)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(EncodeShort, world_prompt, kWorld)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(EncodeShort, neox_prompt, kNeox)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(Load, world, kWorld)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Load, neox, kNeox)->Unit(benchmark::kMillisecond);

}  // namespace
