#include "infer/continuation.h"

#include <algorithm>
#include <utility>

#include "infer/truncation.h"

namespace tern {

Result<Continuation> Continuation::Make(Sampler& sampler, const Tokenizer& tokenizer,
                                        const GenerateOptions& options, bool exact_end) {
  TERN_RETURN_IF_ERROR(Validate(sampler.options()));
  TERN_ASSIGN_OR_RETURN(StopStrings stops, StopStrings::Make(options.stop));
  return Continuation(sampler, tokenizer, options, exact_end, std::move(stops));
}

Continuation::Continuation(Sampler& sampler, const Tokenizer& tokenizer, const GenerateOptions& options,
                           bool exact_end, StopStrings stops)
    : sampler_(&sampler),
      tokenizer_(&tokenizer),
      options_(&options),
      exact_end_(exact_end),
      stops_(std::move(stops)) {
  if (!options.constraint) return;
  constraint_ = *options.constraint;
  ends_ = options.stop_tokens;
  if (!options.ignore_end_of_document) ends_.push_back(tokenizer.end_of_document());
}

std::optional<StopReason> Continuation::Over() const {
  if (generated_ >= options_->max_tokens) return StopReason::kLength;
  if (constraint_ && constraint_->finished()) return StopReason::kComplete;
  return std::nullopt;
}

Result<TextStep> Continuation::Step(std::span<const float> logits, TakePlace take) {
  TextStep step;
  TERN_ASSIGN_OR_RETURN(step.token, Sample(logits));
  ++generated_;
  step.end = EndedBy(step.token);
  if (step.end) return step;
  sampler_->Accept(step.token);
  if (constraint_) TERN_RETURN_IF_ERROR(constraint_->Accept(step.token));

  const std::string_view piece = tokenizer_->TokenBytes(step.token);
  const size_t start = written();
  window_ += piece;
  const std::string ready = stops_.Push(piece);
  shown_ += ready.size();
  step.text = utf8_.Push(ready);
  if (stops_.stopped()) {
    step.end = StopReason::kStopString;
    if (exact_end_) GoBackToShown(start, &step);
    return step;
  }
  if (exact_end_ && stops_.held() > 0) marks_.push_back({start, take()});
  ForgetShown();
  step.read = {step.token};
  return step;
}

std::string Continuation::Finish() {
  std::string rest = utf8_.Push(stops_.Finish());
  rest += utf8_.Finish();
  if (!stops_.stopped()) shown_ = written();
  return rest;
}

Result<int32_t> Continuation::Sample(std::span<const float> logits) {
  if (!constraint_) return sampler_->Sample(logits);
  const std::span<float> allowed = Take(&SamplerScratch::OfThisThread().allowed, logits.size());
  std::copy(logits.begin(), logits.end(), allowed.begin());
  TERN_RETURN_IF_ERROR(constraint_->Apply(allowed, ends_));
  return sampler_->Sample(allowed);
}

std::optional<StopReason> Continuation::EndedBy(int32_t token) const {
  if (token == tokenizer_->end_of_document() && !options_->ignore_end_of_document)
    return StopReason::kEndOfDocument;
  const auto& stops = options_->stop_tokens;
  if (std::find(stops.begin(), stops.end(), token) != stops.end()) return StopReason::kStopToken;
  return std::nullopt;
}

/// Drops what a later stop text can no longer reach.
void Continuation::ForgetShown() {
  if (stops_.held() == 0) marks_.clear();
  while (marks_.size() >= 2 && marks_[1].start <= shown_) marks_.pop_front();
  const size_t keep_from = marks_.empty() ? written() : marks_.front().start;
  window_.erase(0, keep_from - window_start_);
  window_start_ = keep_from;
}

/// A stop text was found: the reader shall have read just what was shown. `start`: where the bytes of the
/// last token begin, which it has not read.
void Continuation::GoBackToShown(size_t start, TextStep* step) {
  while (!marks_.empty() && marks_.back().start > shown_) marks_.pop_back();
  size_t from = start;
  if (shown_ < start && !marks_.empty()) {
    step->back = std::move(marks_.back().before);
    from = marks_.back().start;
  }
  step->read = tokenizer_->Encode(std::string_view(window_).substr(from - window_start_, shown_ - from));
}

}  // namespace tern
