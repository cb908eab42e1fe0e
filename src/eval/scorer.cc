#include "eval/scorer.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "base/parallel.h"

namespace tern::eval {
namespace {

constexpr int64_t kLogitBytes = int64_t{64} << 20;
constexpr int64_t kStateBytes = int64_t{256} << 20;

/// One sequence on its way through the model.
struct Reading {
  size_t task = 0;
  std::optional<size_t> continuation;  ///< which one is read; none: the prefix
  std::span<const int32_t> tokens;
  size_t done = 0;
  State state;

  size_t left() const { return tokens.size() - done; }
};

/// A continuation that waits for a free place. The prefix's state is shared until then: what waits costs
/// nothing.
struct Fork {
  size_t task, continuation;
  std::shared_ptr<const State> state;
};

/// A row of logits and the token whose score it gives.
struct Wanted {
  size_t row;
  int32_t target;
  size_t task, continuation, position;
};

/// The last token of a continuation predicts nothing that is asked for.
std::span<const int32_t> Read(std::span<const int32_t> continuation) {
  return continuation.first(continuation.size() - 1);
}

class Scorer {
 public:
  Scorer(const Model& model, std::span<const Task> tasks, const ScoreOptions& options);
  Status Run();
  std::vector<std::vector<Score>> TakeScores() { return std::move(scores_); }

 private:
  void Fill();
  void Start(const Fork& fork);
  void Schedule(Batch* batch, std::vector<size_t>* shares);
  void Advance(Reading& reading, size_t share, size_t* row);
  void EndPrefix(Reading& reading, size_t row);
  Status ScoreRows();

  const Model& model_;
  std::span<const Task> tasks_;
  const ScoreOptions& options_;
  size_t vocab_, places_, pass_tokens_;
  std::vector<size_t> order_;  ///< tasks, the longest first: the last ones to run are short, and end together
  size_t next_ = 0;            ///< in order_
  std::vector<Fork> forks_;
  std::vector<std::unique_ptr<Reading>> readings_;
  std::vector<Wanted> wanted_;
  std::vector<float> logits_;
  std::vector<std::vector<Score>> scores_;
  uint64_t total_ = 0, done_ = 0;
};

Scorer::Scorer(const Model& model, std::span<const Task> tasks, const ScoreOptions& options)
    : model_(model), tasks_(tasks), options_(options), vocab_(static_cast<size_t>(model.config().vocab)) {
  const auto state_bytes = static_cast<int64_t>(model.footprint().state_bytes);
  places_ = static_cast<size_t>(
      std::max<int64_t>(1, std::min(options.sequences, kStateBytes / std::max<int64_t>(1, state_bytes))));
  const int64_t rows = kLogitBytes / (model.config().vocab * static_cast<int64_t>(sizeof(float)));
  pass_tokens_ = static_cast<size_t>(std::max<int64_t>(1, std::min(options.pass_tokens, rows)));
  places_ = std::min(places_, pass_tokens_);  // every sequence in a pass moves by one token at least

  std::vector<uint64_t> length(tasks.size());
  scores_.resize(tasks.size());
  for (size_t t = 0; t < tasks.size(); ++t) {
    length[t] = tasks[t].prefix.size();
    for (const auto& continuation : tasks[t].continuations) {
      length[t] += continuation.empty() ? 0 : continuation.size() - 1;
      scores_[t].push_back({.log_probabilities = std::vector<double>(continuation.size())});
    }
    total_ += length[t];
  }
  order_.resize(tasks.size());
  std::iota(order_.begin(), order_.end(), size_t{0});
  std::stable_sort(order_.begin(), order_.end(), [&](size_t a, size_t b) { return length[a] > length[b]; });
}

void Scorer::Start(const Fork& fork) {
  auto reading = std::make_unique<Reading>();
  reading->task = fork.task;
  reading->continuation = fork.continuation;
  reading->tokens = Read(tasks_[fork.task].continuations[fork.continuation]);
  reading->state = *fork.state;
  readings_.push_back(std::move(reading));
}

/// Gives free places to forks first, so that few prefixes' states wait.
void Scorer::Fill() {
  while (readings_.size() < places_ && !forks_.empty()) {
    Start(forks_.back());
    forks_.pop_back();
  }
  while (readings_.size() < places_ && next_ < order_.size()) {
    auto reading = std::make_unique<Reading>();
    reading->task = order_[next_++];
    reading->tokens = tasks_[reading->task].prefix;
    reading->state = options_.start != nullptr ? *options_.start : model_.NewState();
    readings_.push_back(std::move(reading));
  }
}

/// Shares the pass's tokens out evenly; what a short sequence leaves goes to the longer ones.
void Scorer::Schedule(Batch* batch, std::vector<size_t>* shares) {
  std::sort(readings_.begin(), readings_.end(),
            [](const auto& a, const auto& b) { return a->left() < b->left(); });
  size_t tokens = pass_tokens_;
  for (size_t i = 0; i < readings_.size(); ++i) {
    Reading& reading = *readings_[i];
    const size_t share = std::min(reading.left(), tokens / (readings_.size() - i));
    const bool ends_prefix = !reading.continuation && share == reading.left();
    batch->Add(reading.tokens.subspan(reading.done, share), &reading.state,
               reading.continuation ? Logits::kAll
               : ends_prefix        ? Logits::kLast
                                    : Logits::kNone);
    shares->push_back(share);
    tokens -= share;
  }
}

/// Notes what the rows of this reading's `share` tokens score; `row` is the first of them.
void Scorer::Advance(Reading& reading, size_t share, size_t* row) {
  if (reading.continuation) {
    const auto continuation = tasks_[reading.task].continuations[*reading.continuation];
    for (size_t i = 0; i < share; ++i) {
      const size_t position = reading.done + i + 1;
      wanted_.push_back({(*row)++, continuation[position], reading.task, *reading.continuation, position});
    }
  }
  reading.done += share;
  if (!reading.continuation && reading.left() == 0) EndPrefix(reading, (*row)++);
}

/// The row after a prefix scores the first token of every continuation; those that have more are forked.
void Scorer::EndPrefix(Reading& reading, size_t row) {
  const Task& task = tasks_[reading.task];
  const auto state = std::make_shared<const State>(std::move(reading.state));
  for (size_t c = 0; c < task.continuations.size(); ++c) {
    if (task.continuations[c].empty()) continue;
    wanted_.push_back({row, task.continuations[c].front(), reading.task, c, 0});
    if (task.continuations[c].size() > 1) forks_.push_back({reading.task, c, state});
  }
}

Status Scorer::ScoreRows() {
  std::vector<TokenScore> scores(wanted_.size());
  ParallelFor(static_cast<int64_t>(wanted_.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      scores[i] = ScoreToken(std::span(logits_).subspan(wanted_[i].row * vocab_, vocab_), wanted_[i].target);
    }
  });
  for (size_t i = 0; i < wanted_.size(); ++i) {
    if (!std::isfinite(scores[i].log_probability)) {
      const std::string why = model_.FindNonFinite();
      return Corrupt("the logits are not numbers" + (why.empty() ? std::string() : ": " + why));
    }
    Score& score = scores_[wanted_[i].task][wanted_[i].continuation];
    score.log_probabilities[wanted_[i].position] = scores[i].log_probability;
    score.greedy = score.greedy && scores[i].best;
  }
  return OkStatus();
}

Status Scorer::Run() {
  Workspace workspace;
  Batch batch;
  std::vector<size_t> shares;
  for (Fill(); !readings_.empty(); Fill()) {
    batch.Clear();
    shares.clear();
    wanted_.clear();
    Schedule(&batch, &shares);
    TERN_RETURN_IF_ERROR(model_.Forward(batch, workspace, &logits_));
    size_t row = 0;
    for (size_t i = 0; i < readings_.size(); ++i) Advance(*readings_[i], shares[i], &row);
    TERN_RETURN_IF_ERROR(ScoreRows());
    std::erase_if(readings_, [](const auto& reading) { return reading->left() == 0; });
    done_ += batch.tokens().size();
    if (options_.progress && !options_.progress(done_, total_)) return Cancelled("interrupted");
  }
  return OkStatus();
}

}  // namespace

double Score::Sum() const { return std::accumulate(log_probabilities.begin(), log_probabilities.end(), 0.0); }

Result<std::vector<std::vector<Score>>> ScoreTasks(const Model& model, std::span<const Task> tasks,
                                                   const ScoreOptions& options) {
  for (const Task& task : tasks) {
    if (task.prefix.empty()) return InvalidArgument("nothing stands before the text to be scored");
    for (const auto& continuation : task.continuations) {
      const bool known = std::all_of(continuation.begin(), continuation.end(), [&](int32_t token) {
        return token >= 0 && token < model.config().vocab;
      });
      if (!known) return InvalidArgument("a token of the text is outside the model's vocabulary");
    }
  }
  Scorer scorer(model, tasks, options);
  TERN_RETURN_IF_ERROR(scorer.Run());
  return scorer.TakeScores();
}

TokenScore ScoreToken(std::span<const float> logits, int32_t target) {
  const auto largest = std::max_element(logits.begin(), logits.end());
  const double top = *largest;
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return {static_cast<double>(logits[static_cast<size_t>(target)]) - top - std::log(sum),
          largest - logits.begin() == target};
}

int32_t DefaultStart(const Tokenizer& tokenizer) {
  if (tokenizer.end_of_document() >= 0) return tokenizer.end_of_document();
  const std::vector<int32_t> line = tokenizer.Encode("\n");
  return line.empty() ? 0 : line.front();
}

std::vector<std::vector<int32_t>> EncodeAll(const Tokenizer& tokenizer, std::span<const std::string> texts,
                                            std::optional<int32_t> start) {
  std::vector<std::vector<int32_t>> encoded(texts.size());
  ParallelFor(static_cast<int64_t>(texts.size()), 16, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      if (start) encoded[i].push_back(*start);
      const std::vector<int32_t> tokens = tokenizer.Encode(texts[i]);
      encoded[i].insert(encoded[i].end(), tokens.begin(), tokens.end());
    }
  });
  return encoded;
}

}  // namespace tern::eval
