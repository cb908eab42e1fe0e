// Where a model's tokenizer may lie.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "text/tokenizer.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKnownNames[] = {"rwkv_vocab_v20230424.txt", "rwkv_vocab_v20230424.json", "20B_tokenizer.json", "tokenizer.json",
                                       "vocab.txt"};

/// The fewest ids of a vocabulary for so many logits.
int64_t FewestIds(int64_t symbols) { return std::max<int64_t>(1, symbols - symbols / 8 - 256); }

/// Every place to look at, the nearest first.
std::vector<std::string> Places(const std::string& model_path) {
  std::vector<std::string> places;
  const auto add = [&places](const fs::path& folder) {
    for (const char* name : kKnownNames) places.push_back((folder / name).string());
  };
  std::error_code ignored;
  const fs::path model(model_path);
  if (fs::is_directory(model, ignored)) {
    add(model);
  } else {
    const fs::path folder = model.has_parent_path() ? model.parent_path() : fs::path(".");
    for (const char* ending : {".vocab.txt", ".tokenizer.json"}) {
      places.push_back((folder / (model.stem().string() + ending)).string());
    }
    add(folder);
  }
  if (const char* folder = std::getenv("TERN_TOKENIZERS"); folder != nullptr && *folder != '\0') add(folder);
  add(".");
  return places;
}

}  // namespace

bool VocabularyFits(const Tokenizer& tokenizer, int64_t symbols) {
  return tokenizer.vocab_size() <= symbols && tokenizer.vocab_size() >= FewestIds(symbols);
}

Status CheckVocabulary(const Tokenizer& tokenizer, const std::string& tokenizer_path, int64_t symbols,
                       const std::string& model_path) {
  if (VocabularyFits(tokenizer, symbols)) return OkStatus();
  return InvalidArgument(
      fmt::format("the vocabulary '{}' has {} tokens, but '{}' has {} symbols: {} to {} tokens fit",
                  tokenizer_path, tokenizer.vocab_size(), model_path, symbols, FewestIds(symbols), symbols));
}

Result<std::shared_ptr<const Tokenizer>> FindTokenizer(const std::string& model_path, int64_t vocab_size) {
  if (vocab_size == 256) return MakeByteTokenizer();
  std::string refused;
  for (const std::string& place : Places(model_path)) {
    std::error_code ignored;
    if (!fs::exists(place, ignored)) continue;
    auto tokenizer = LoadTokenizer(place);
    if (!tokenizer.ok()) {
      refused += fmt::format("; {}", tokenizer.status().message());
    } else if (!VocabularyFits(**tokenizer, vocab_size)) {
      refused += fmt::format("; '{}' has {} tokens", place, (*tokenizer)->vocab_size());
    } else {
      return tokenizer;
    }
  }
  std::string names;
  for (const char* name : kKnownNames) names += std::string(names.empty() ? "" : ", ") + name;
  return NotFound(
      fmt::format("no tokenizer for the {} symbols of '{}': looked beside the model, in $TERN_TOKENIZERS and "
                  "in the working folder for {}{}; name one with --tokenizer",
                  vocab_size, model_path, names, refused));
}

}  // namespace tern
