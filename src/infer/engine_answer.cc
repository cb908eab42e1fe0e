#include "infer/engine_answer.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <string>
#include <utility>

namespace tern {
namespace {

/// Whether the token ends the text and is not part of it. It is reported only behind a prompt whose tokens are
/// reported as well: clients that score a prompt expect exactly one entry per generated token.
bool EndsWithoutText(const TextStep& step) {
  return step.end == StopReason::kEndOfDocument || step.end == StopReason::kStopToken;
}

}  // namespace

Result<std::unique_ptr<AnswerWriter>> AnswerWriter::Make(std::shared_ptr<EngineTask> task, int choice,
                                                         State state, const Tokenizer& tokenizer,
                                                         SharedTokens uncounted) {
  const EngineRequest& request = task->request;
  std::unique_ptr<AnswerWriter> writer(new AnswerWriter(task, choice, std::move(state)));
  SamplingOptions sampling = request.sampling;
  sampling.seed += static_cast<uint64_t>(choice);
  writer->sampler_.emplace(std::move(sampling), std::move(uncounted));
  TERN_ASSIGN_OR_RETURN(writer->continuation_, Continuation::Make(*writer->sampler_, tokenizer,
                                                                  request.generate, task->wants_end_place()));
  return writer;
}

int64_t AnswerWriter::AddTo(Batch* batch) {
  const bool wanted = !finishing_ || task_->request.keep_states;
  batch->Add(unread_, &state_, wanted ? Logits::kLast : Logits::kNone);
  in_batch_ = true;
  return wanted ? 1 : 0;
}

void AnswerWriter::Step(std::span<const float> logits) {
  if (in_batch_ && task_->wants_end_place()) read_.insert(read_.end(), unread_.begin(), unread_.end());
  in_batch_ = chose_ = false;
  unread_.clear();
  if (finishing_) {
    if (task_->request.keep_states) end_logits_.assign(logits.begin(), logits.end());
    ended_ = true;
    return;
  }
  try {
    const Status status = Choose(logits);
    if (!status.ok()) Fail(status);
  } catch (const std::exception& error) {
    Fail(Exhausted(std::string("writing an answer: ") + error.what()));
  }
}

Status AnswerWriter::Choose(std::span<const float> logits) {
  if (const auto over = continuation_->Over()) {  // before any token
    Finish(*over);
    ReadToTheEnd({}, logits);
    return OkStatus();
  }
  const auto take = [&]() -> Snapshot {
    Snapshot place{state_, {}, read_.size()};
    if (task_->request.keep_states) place.logits.assign(logits.begin(), logits.end());
    return place;
  };
  Result<TextStep> step = continuation_->Step(logits, take);
  if (!step.ok()) {
    const bool finite = std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); });
    return finite ? step.status() : Corrupt("the model's logits are not numbers");
  }
  chose_ = true;
  piece_.text += step->text;
  const int top = task_->request.top_logprobs;
  if (top >= 0 && (!EndsWithoutText(*step) || task_->request.prompt_logprobs)) {
    held_reports_.push_back({continuation_->written(), ReportToken(logits, step->token, top)});
  }
  if (step->back) {
    state_ = std::move(step->back->state);
    read_.resize(step->back->tokens);
    logits = step->back->logits;
  }
  if (step->end) {
    Finish(*step->end);
    ReadToTheEnd(std::move(step->read), logits);
  } else if (const auto over = continuation_->Over()) {
    Finish(*over);
    ReadToTheEnd(std::move(step->read), {});
  } else {
    unread_ = std::move(step->read);
  }
  return OkStatus();
}

void AnswerWriter::Finish(StopReason reason) {
  end_.reason = reason;
  piece_.text += continuation_->Finish();
  if (!task_->request.prompt_logprobs) return;
  for (HeldReport& held : held_reports_) held.end = 0;  // tokens of a stop text are reported as well
}

/// The text is over. `rest`: what leads to the place that has read just what was shown; `logits`: those of
/// the place before it.
void AnswerWriter::ReadToTheEnd(std::vector<int32_t> rest, std::span<const float> logits) {
  if (task_->request.keep_states && rest.empty()) end_logits_.assign(logits.begin(), logits.end());
  finishing_ = task_->wants_end_place() && !rest.empty();
  ended_ = !finishing_;
  unread_ = std::move(rest);
}

bool AnswerWriter::Cancel() {
  if (ended_ || finishing_) return false;
  Finish(StopReason::kCancelled);
  finishing_ = task_->request.keep_states && !unread_.empty();
  ended_ = !finishing_;
  return true;
}

void AnswerWriter::Fail(Status status) {
  end_.status = std::move(status);
  end_.reason = StopReason::kCancelled;
  ended_ = true;
}

std::optional<AnswerPiece> AnswerWriter::TakePiece() {
  while (!held_reports_.empty() && held_reports_.front().end <= continuation_->certain()) {
    piece_.tokens.push_back(std::move(held_reports_.front().report));
    held_reports_.pop_front();
  }
  if (piece_.text.empty() && piece_.tokens.empty()) return std::nullopt;
  piece_.choice = choice_;
  piece_.generated = generated();
  return std::exchange(piece_, AnswerPiece());
}

AnswerEnd AnswerWriter::TakeEnd() {
  end_.choice = choice_;
  end_.generated = generated();
  const bool whole = end_.status.ok() && unread_.empty();
  if (!whole || !task_->wants_end_place()) return std::move(end_);
  auto place = std::make_shared<KeptState>();
  place->tokens = task_->text;
  place->tokens.insert(place->tokens.end(), read_.begin(), read_.end());
  place->state = std::move(state_);
  place->logits = std::move(end_logits_);
  end_.state = std::move(place);
  return std::move(end_);
}

}  // namespace tern
