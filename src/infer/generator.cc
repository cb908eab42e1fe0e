#include "infer/generator.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/clock.h"
#include "infer/continuation.h"

namespace tern {
namespace {

/// The logits may be the reason why there was no choosing from them.
Status Explain(const Status& status, const Session& session) {
  const auto& logits = session.logits();
  if (std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) return status;
  const std::string why = session.model().FindNonFinite();
  return why.empty() ? status : Corrupt("the model's logits are not numbers: " + why);
}

/// Shows a text and gathers the result.
class Output {
 public:
  Output(const GenerateOptions& options, OnText on_text) : options_(options), on_text_(on_text) {}

  bool Show(const std::string& text) {
    if (options_.keep_output) result_.text += text;
    return on_text_(text);
  }
  /// False when its reader wants no more.
  bool Add(const TextStep& step) {
    if (options_.keep_output) result_.tokens.push_back(step.token);
    const bool has_text = step.end != StopReason::kEndOfDocument && step.end != StopReason::kStopToken;
    return has_text ? Show(step.text) : true;
  }
  GenerateResult Take() { return std::move(result_); }

 private:
  const GenerateOptions& options_;
  OnText on_text_;
  GenerateResult result_;
};

Result<StopReason> Write(Session& session, Continuation& continuation, Output& output) {
  for (;;) {
    if (const auto over = continuation.Over()) return *over;
    Result<TextStep> step = continuation.Step(session.logits(), [&] { return session.Take(); });
    if (!step.ok()) return Explain(step.status(), session);
    const bool wanted = output.Add(*step);
    if (step->back) session.Restore(*step->back);
    TERN_RETURN_IF_ERROR(session.Feed(step->read));
    if (step->end) return *step->end;
    if (!wanted) return StopReason::kCancelled;
  }
}

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
  TERN_ASSIGN_OR_RETURN(Continuation continuation,
                        Continuation::Make(sampler, tokenizer, options, /*exact_end=*/true));
  const auto begin = Clock::now();
  Output output(options, on_text);
  TERN_ASSIGN_OR_RETURN(const StopReason reason, Write(session, continuation, output));
  const std::string rest = continuation.Finish();
  if (!rest.empty()) output.Show(rest);
  GenerateResult result = output.Take();
  result.generated = continuation.generated();
  result.reason = reason;
  result.seconds = SecondsSince(begin);
  return result;
}

int32_t FirstToken(const Tokenizer& tokenizer) {
  const int32_t end = tokenizer.end_of_document();
  if (end >= 0) return end;
  const std::vector<int32_t> line = tokenizer.Encode("\n");
  return line.empty() ? 0 : line.front();
}

}  // namespace tern
