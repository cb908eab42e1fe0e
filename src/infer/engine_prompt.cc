#include "infer/engine_prompt.h"

#include <algorithm>
#include <utility>

namespace tern {

PromptReader::PromptReader(std::shared_ptr<EngineTask> task, std::shared_ptr<const KeptState> start,
                           const Model& model, int64_t piece)
    : task_(std::move(task)),
      start_(std::move(start)),
      piece_(piece),
      vocab_(model.config().vocab),
      state_(start_ ? start_->state : model.NewState()) {
  if (task_->embeds()) pool_.emplace(model.config().width);
  if (!start_) return;
  position_ = cached_ = static_cast<int64_t>(start_->tokens.size());
  if (done()) last_logits_ = start_->logits;
}

int64_t PromptReader::CommonWith(const PromptReader& other) const {
  const auto shares = [](const EngineTask& task) { return task.request.cache && !task.embeds(); };
  if (!shares(*task_) || !shares(*other.task_) || task_->request.owner != other.task_->request.owner)
    return 0;
  const std::vector<int32_t>&a = task_->text, &b = other.task_->text;
  if (a == b) return static_cast<int64_t>(a.size());
  const auto parting = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
  return parting / piece_ * piece_;
}

void PromptReader::Follow(const PromptReader& leader, int64_t until) {
  leader_ = leader.task_->ticket;
  until_ = until;
}

void PromptReader::StopFollowing(const PromptReader* leader) {
  leader_ = 0;
  if (leader == nullptr) return;
  state_ = leader->state_;
  position_ = cached_ = leader->position_;
  if (done()) last_logits_ = leader->last_logits_;
}

std::span<const int32_t> PromptReader::NextPiece() const {
  const auto size = static_cast<int64_t>(task_->text.size());
  const int64_t end = std::min(size, (position_ / piece_ + 1) * piece_);
  return std::span(task_->text).subspan(static_cast<size_t>(position_), static_cast<size_t>(end - position_));
}

/// How many of the tokens before `end` make the embedding; not positive: none.
int64_t PromptReader::Pooled(int64_t end) const {
  return end - (static_cast<int64_t>(task_->text.size()) - task_->pooled);
}

PromptReader::Rows PromptReader::AddTo(Batch* batch) {
  const std::span<const int32_t> piece = NextPiece();
  const auto size = static_cast<int64_t>(piece.size());
  const bool last = position_ + size == static_cast<int64_t>(task_->text.size());
  Rows rows;
  Logits wanted = Logits::kNone;
  if (task_->embeds()) {
    rows.hidden = Pooled(position_ + size) > 0 ? size : 0;
  } else if (task_->request.prompt_logprobs) {
    wanted = Logits::kAll;
    rows.logits = size;
  } else if (last) {
    wanted = Logits::kLast;
    rows.logits = 1;
  }
  batch->Add(piece, &state_, wanted, rows.hidden > 0);
  return rows;
}

void PromptReader::Took(std::span<const float> logits, std::span<const float> hidden) {
  if (!hidden.empty()) {
    const auto size = static_cast<int64_t>(NextPiece().size());
    const int64_t pooled = std::min(size, Pooled(position_ + size));
    pool_->Add(hidden.last(hidden.size() / static_cast<size_t>(size) * static_cast<size_t>(pooled)));
  }
  if (task_->request.prompt_logprobs) Report(logits);
  position_ += static_cast<int64_t>(NextPiece().size());
  if (done() && !logits.empty()) last_logits_ = logits.last(static_cast<size_t>(vocab_));
}

/// Row i of the piece tells what it expected after token i.
void PromptReader::Report(std::span<const float> rows) {
  const auto vocab = static_cast<size_t>(vocab_);
  const int top = std::max(0, task_->request.top_logprobs);
  size_t next = static_cast<size_t>(position_) + 1;
  for (size_t row = 0; row < rows.size() && next < task_->text.size(); row += vocab, ++next) {
    reports_.push_back(ReportToken(rows.subspan(row, vocab), task_->text[next], top));
  }
}

std::shared_ptr<const KeptState> PromptReader::Place() const {
  auto place = std::make_shared<KeptState>();
  place->tokens.assign(task_->text.begin(), task_->text.begin() + position_);
  place->state = state_;
  if (done()) place->logits.assign(last_logits_.begin(), last_logits_.end());
  return place;
}

}  // namespace tern
