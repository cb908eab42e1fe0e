#include "eval/perplexity.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

namespace tern::eval {
namespace {

double Ratio(double a, int64_t b) { return b > 0 ? a / static_cast<double>(b) : 0; }

/// Index of the bucket of a position: 0, 1, 2–3, 4–7, …
size_t BucketOf(size_t position) { return static_cast<size_t>(std::bit_width(position)); }

PositionBucket& Bucket(std::vector<PositionBucket>& buckets, size_t index) {
  while (buckets.size() <= index) {
    const size_t i = buckets.size();
    const int64_t from = i == 0 ? 0 : int64_t{1} << (i - 1);
    buckets.push_back({.from = from, .to = i == 0 ? 0 : 2 * from - 1});
  }
  return buckets[index];
}

/// Cuts a document into windows of `context` predictions.
void AddTasks(std::span<const int32_t> document, size_t context, std::vector<Task>* tasks) {
  for (size_t begin = 0; begin + 1 < document.size(); begin += context) {
    const size_t predictions = std::min(context, document.size() - begin - 1);
    tasks->push_back({document.subspan(begin, 1), {document.subspan(begin + 1, predictions)}});
  }
}

void Count(const Tokenizer* tokenizer, std::span<const int32_t> tokens, const Score& score,
           Perplexity* sums) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    PositionBucket& bucket = Bucket(sums->positions, BucketOf(i));
    ++bucket.tokens;
    bucket.nats -= score.log_probabilities[i];
    if (tokenizer != nullptr) sums->bytes += static_cast<int64_t>(tokenizer->TokenBytes(tokens[i]).size());
  }
  sums->tokens += static_cast<int64_t>(tokens.size());
  sums->nats -= score.Sum();
}

}  // namespace

double Perplexity::NatsPerToken() const { return Ratio(nats, tokens); }
double Perplexity::BitsPerToken() const { return NatsPerToken() / std::numbers::ln2; }
double Perplexity::BitsPerByte() const { return Ratio(nats / std::numbers::ln2, bytes); }
double Perplexity::PerToken() const { return std::exp(NatsPerToken()); }

void Perplexity::Add(const Perplexity& other) {
  documents += other.documents;
  tokens += other.tokens;
  bytes += other.bytes;
  nats += other.nats;
  for (size_t i = 0; i < other.positions.size(); ++i) {
    PositionBucket& bucket = Bucket(positions, i);
    bucket.tokens += other.positions[i].tokens;
    bucket.nats += other.positions[i].nats;
  }
}

Result<Perplexity> MeasurePerplexity(const Model& model, const Tokenizer* tokenizer,
                                     std::span<const std::vector<int32_t>> documents,
                                     const PerplexityOptions& options) {
  constexpr size_t kAll = std::numeric_limits<size_t>::max();
  size_t left = options.limit > 0 ? static_cast<size_t>(options.limit) : kAll;
  const size_t context = options.context > 0 ? static_cast<size_t>(options.context) : kAll / 2;
  Perplexity sums;
  std::vector<Task> tasks;
  for (const std::vector<int32_t>& document : documents) {
    if (document.size() < 2 || left == 0) continue;
    const size_t predictions = std::min(left, document.size() - 1);
    AddTasks(std::span(document).first(predictions + 1), context, &tasks);
    left -= predictions;
    ++sums.documents;
  }
  if (tasks.empty()) return Corrupt("there is nothing to predict in the text");
  TERN_ASSIGN_OR_RETURN(const auto scores, ScoreTasks(model, tasks, options.score));
  for (size_t t = 0; t < tasks.size(); ++t) {
    Count(tokenizer, tasks[t].continuations.front(), scores[t].front(), &sums);
  }
  return sums;
}

}  // namespace tern::eval
