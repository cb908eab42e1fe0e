#include "text/vocab_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_set>
#include <utility>

#include "text/merge_candidates.h"
#include "text/token_worth.h"
#include "text/training_words.h"

namespace tern {
namespace {

constexpr size_t kBytes = 256;

std::vector<std::string> ByteTokens() {
  std::vector<std::string> tokens;
  for (size_t byte = 0; byte < kBytes; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  return tokens;
}

std::vector<CountedText> CountWords(const std::vector<CountedText>& chunks) {
  std::map<std::string, int64_t, std::less<>> counts;
  std::vector<WordRange> words;
  for (const CountedText& chunk : chunks) {
    FindWords(chunk.text, &words);
    for (const WordRange& word : words)
      counts[chunk.text.substr(word.begin, word.end - word.begin)] += chunk.count;
  }
  std::vector<CountedText> list;
  for (auto& [word, count] : counts) list.push_back({word, count});
  return list;
}

Status Report(const VocabOptions& options, double done) {
  if (options.progress && !options.progress(done)) return Cancelled("stopped while learning the vocabulary");
  return OkStatus();
}

/// Drops tokens of several bytes until `wanted` are left. What one token is worth depends on the others, so
/// only a part of the surplus goes at a time.
Status Prune(const std::vector<CountedText>& chunks, size_t wanted, const VocabOptions& options,
             std::vector<std::string>* tokens) {
  constexpr size_t kParts = 10;
  const size_t first_surplus = tokens->size() - wanted;
  while (tokens->size() > wanted) {
    const size_t surplus = tokens->size() - wanted;
    TERN_RETURN_IF_ERROR(
        Report(options, 1 - 0.8 * static_cast<double>(surplus) / static_cast<double>(first_surplus)));
    const std::vector<int64_t> worth = WorthOfTokens(chunks, *tokens);
    std::vector<size_t> order;
    for (size_t i = kBytes; i < tokens->size(); ++i) order.push_back(i);
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return worth[a] != worth[b] ? worth[a] < worth[b] : (*tokens)[a] < (*tokens)[b];
    });
    order.resize(std::min(surplus, surplus / kParts + 1));
    for (const size_t i : order) (*tokens)[i].clear();
    std::erase_if(*tokens, [](const std::string& token) { return token.empty(); });
  }
  return OkStatus();
}

void AddNew(std::vector<std::string> more, std::vector<std::string>* tokens) {
  std::unordered_set<std::string> known(tokens->begin(), tokens->end());
  for (std::string& token : more) {
    if (known.insert(token).second) tokens->push_back(std::move(token));
  }
}

void SortTokens(std::vector<std::string>* tokens) {
  std::sort(tokens->begin() + kBytes, tokens->end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
}

}  // namespace

void VocabTrainer::Add(std::string_view text) {
  bytes_ += static_cast<int64_t>(text.size());
  while (!text.empty()) {
    const std::string_view chunk = text.substr(0, NextChunk(text));
    const auto found = chunks_.find(chunk);
    if (found != chunks_.end()) {
      ++found->second;
    } else {
      chunks_.emplace(chunk, 1);
    }
    text.remove_prefix(chunk.size());
  }
}

Result<std::vector<std::string>> VocabTrainer::Train(const VocabOptions& options) const {
  constexpr int32_t kLeast = kBytes + 1, kMost = 1 << 20;
  if (options.vocab_size < kLeast || options.vocab_size > kMost) {
    return InvalidArgument(
        fmt::format("a vocabulary of {}: expected {} to {} (257 are the bytes and the end of a document)",
                    options.vocab_size, kLeast, kMost));
  }
  std::vector<CountedText> chunks;
  for (const auto& [bytes, count] : chunks_) chunks.push_back({bytes, count});
  std::sort(chunks.begin(), chunks.end(), [](const auto& a, const auto& b) { return a.text < b.text; });
  TERN_RETURN_IF_ERROR(Report(options, 0));
  const auto wanted = static_cast<size_t>(options.vocab_size) - 1;
  std::vector<std::string> tokens = ByteTokens();
  const auto candidates =
      static_cast<size_t>(static_cast<double>(wanted - kBytes) * std::max(1.0, options.candidates));
  AddNew(FindMergeCandidates(CountWords(chunks), candidates, options.min_count), &tokens);
  if (tokens.size() < wanted) {
    return InvalidArgument(
        fmt::format("{} bytes of text offer only {} tokens that occur {} times: ask for a vocabulary of {} "
                    "or less, or give more text",
                    bytes_, tokens.size() + 1, options.min_count, tokens.size() + 1));
  }
  TERN_RETURN_IF_ERROR(Prune(chunks, wanted, options, &tokens));
  SortTokens(&tokens);
  tokens.insert(tokens.begin(), std::string());
  return tokens;
}

}  // namespace tern
