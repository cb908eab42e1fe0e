#include "infer/generator.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <optional>

#include "infer/stop_strings.h"

namespace tern {
namespace {

/// A token that may turn out to be part of a stop text: where its bytes begin, and the session before it was
/// read.
struct Mark {
  size_t start;
  Snapshot before;
};

/// The loop's bookkeeping: which bytes were sampled, which were shown, and how to get back between them.
class Loop {
 public:
  Loop(Session& session, Sampler& sampler, const Tokenizer& tokenizer, const GenerateOptions& options,
       StopStrings stops, OnText on_text)
      : session_(session),
        sampler_(sampler),
        tokenizer_(tokenizer),
        options_(options),
        stops_(std::move(stops)),
        on_text_(on_text) {
    if (options.constraint) constraint_ = *options.constraint;
    if (constraint_) FindEnds();
  }

  Result<GenerateResult> Run() {
    const auto begin = std::chrono::steady_clock::now();
    while (result_.generated < options_.max_tokens) {
      if (constraint_ && constraint_->finished()) {
        result_.reason = StopReason::kComplete;
        break;
      }
      TERN_ASSIGN_OR_RETURN(const bool more, Step());
      if (!more) break;
    }
    std::string rest = utf8_.Push(stops_.Finish());
    rest += utf8_.Finish();
    if (!rest.empty()) Show(rest);
    result_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return std::move(result_);
  }

 private:
  /// One token. False when the text has ended; result_.reason says why.
  Result<bool> Step() {
    TERN_ASSIGN_OR_RETURN(const int32_t token, Sample());
    ++result_.generated;
    if (options_.keep_output) result_.tokens.push_back(token);
    if (token == tokenizer_.end_of_document() && !options_.ignore_end_of_document)
      return End(StopReason::kEndOfDocument);
    if (std::find(options_.stop_tokens.begin(), options_.stop_tokens.end(), token) !=
        options_.stop_tokens.end()) {
      return End(StopReason::kStopToken);
    }
    sampler_.Accept(token);
    if (constraint_) TERN_RETURN_IF_ERROR(constraint_->Accept(token));
    const std::string_view piece = tokenizer_.TokenBytes(token);
    const size_t start = window_start_ + window_.size();
    window_ += piece;
    const std::string ready = stops_.Push(piece);
    shown_ += ready.size();
    const bool wanted = Show(utf8_.Push(ready));
    if (stops_.stopped()) {
      TERN_RETURN_IF_ERROR(GoBackToShown(start));
      return End(StopReason::kStopString);
    }
    if (stops_.held() > 0) marks_.push_back({start, session_.Take()});
    ForgetShown();
    TERN_RETURN_IF_ERROR(session_.Feed(token));
    return wanted ? true : End(StopReason::kCancelled);
  }

  /// The tokens that end a text, which a constraint holds back until it is complete.
  void FindEnds() {
    ends_ = options_.stop_tokens;
    if (!options_.ignore_end_of_document) ends_.push_back(tokenizer_.end_of_document());
  }

  /// The session's logits, or a copy of them in which only what may follow is possible.
  Result<std::span<const float>> Logits() {
    if (!constraint_) return std::span<const float>(session_.logits());
    allowed_ = session_.logits();
    TERN_RETURN_IF_ERROR(constraint_->Apply(allowed_, ends_));
    return std::span<const float>(allowed_);
  }

  Result<int32_t> Sample() {
    TERN_ASSIGN_OR_RETURN(const std::span<const float> allowed, Logits());
    auto token = sampler_.Sample(allowed);
    if (token.ok()) return token;
    const auto& logits = session_.logits();
    if (std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) return token;
    const std::string why = session_.model().FindNonFinite();
    return why.empty() ? token : Result<int32_t>(Corrupt("the model's logits are not numbers: " + why));
  }

  bool End(StopReason reason) {
    result_.reason = reason;
    return false;
  }

  bool Show(const std::string& text) {
    if (options_.keep_output) result_.text += text;
    return on_text_(text);
  }

  /// Drops what a later stop text can no longer reach.
  void ForgetShown() {
    if (stops_.held() == 0) marks_.clear();
    while (marks_.size() >= 2 && marks_[1].start <= shown_) marks_.pop_front();
    const size_t keep_from = marks_.empty() ? window_start_ + window_.size() : marks_.front().start;
    window_.erase(0, keep_from - window_start_);
    window_start_ = keep_from;
  }

  /// A stop text was found: the session shall have read just what was shown. `start`: where the bytes of the
  /// last token begin, which the session has not read.
  Status GoBackToShown(size_t start) {
    while (!marks_.empty() && marks_.back().start > shown_) marks_.pop_back();
    size_t from = start;
    if (shown_ < start && !marks_.empty()) {
      session_.Restore(marks_.back().before);
      from = marks_.back().start;
    }
    const std::vector<int32_t> rest =
        tokenizer_.Encode(std::string_view(window_).substr(from - window_start_, shown_ - from));
    return session_.Feed(rest);
  }

  Session& session_;
  Sampler& sampler_;
  const Tokenizer& tokenizer_;
  const GenerateOptions& options_;
  StopStrings stops_;
  OnText on_text_;
  Utf8Stream utf8_;
  GenerateResult result_;
  std::deque<Mark> marks_;
  std::string window_;       ///< sampled bytes that a stop text may still reach
  size_t window_start_ = 0;  ///< their place in the whole text
  size_t shown_ = 0;         ///< bytes of the text that have passed the stop strings
  std::optional<TokenConstraint> constraint_;
  std::vector<int32_t> ends_;   ///< with a constraint: the tokens that end the text
  std::vector<float> allowed_;  ///< with a constraint: the logits of what may follow
};

}  // namespace

std::string_view Name(StopReason reason) {
  switch (reason) {
    case StopReason::kLength:
      return "length";
    case StopReason::kEndOfDocument:
      return "end of document";
    case StopReason::kStopString:
      return "stop string";
    case StopReason::kStopToken:
      return "stop token";
    case StopReason::kCancelled:
      return "cancelled";
    case StopReason::kComplete:
      return "complete";
  }
  return "?";
}

Result<GenerateResult> Generate(Session& session, Sampler& sampler, const Tokenizer& tokenizer,
                                const GenerateOptions& options, OnText on_text) {
  if (session.logits().empty())
    return InvalidArgument("a session must have read a token before it can go on");
  TERN_RETURN_IF_ERROR(Validate(sampler.options()));
  TERN_ASSIGN_OR_RETURN(StopStrings stops, StopStrings::Make(options.stop));
  return Loop(session, sampler, tokenizer, options, std::move(stops), on_text).Run();
}

int32_t FirstToken(const Tokenizer& tokenizer) {
  const int32_t end = tokenizer.end_of_document();
  if (end >= 0) return end;
  const std::vector<int32_t> line = tokenizer.Encode("\n");
  return line.empty() ? 0 : line.front();
}

}  // namespace tern
