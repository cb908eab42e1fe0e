// What one text does with its logits: choose a token, show what became certain, tell what to read next. The
// model's passes are its owner's (Generate runs one text, the engine many).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/parallel.h"
#include "base/status.h"
#include "infer/generator.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "infer/stop_strings.h"
#include "infer/token_mask.h"
#include "text/tokenizer.h"

namespace tern {

/// One token's consequences.
struct TextStep {
  int32_t token = 0;
  std::string text = {};               ///< that became certain: whole characters, never part of a stop text
  std::optional<StopReason> end = {};  ///< the text is over: no further Step
  std::optional<Snapshot> back = {};   ///< first, the reader returns to this place
  std::vector<int32_t> read = {};      ///< then it reads these, and has read just what was shown
};

/// The text of one sequence from its prompt on. Holds references to sampler, tokenizer and options, which
/// must outlive it. Not thread-safe; distinct ones may step at once.
class Continuation {
 public:
  /// What Step calls to keep the place before the chosen token: state, logits (where they are wanted later)
  /// and number of tokens read.
  using TakePlace = FunctionRef<Snapshot()>;

  /// `exact_end`: whether `back` and `read` are wanted at a stop text (places are kept while text is held
  /// back); without it a text that has ended tells nothing more to read.
  static Result<Continuation> Make(Sampler& sampler, const Tokenizer& tokenizer,
                                   const GenerateOptions& options, bool exact_end);

  /// Whether the text is over without another token: it has all it may have, or its constraint is complete.
  std::optional<StopReason> Over() const;

  /// Chooses the next token from the logits [V] after what was read. An error leaves nothing to go on with.
  Result<TextStep> Step(std::span<const float> logits, TakePlace take);

  /// The text ends here: what was held back.
  std::string Finish();

  int64_t generated() const { return generated_; }
  /// Bytes of the tokens so far, and how many of them are certain (shown as whole characters).
  size_t written() const { return window_start_ + window_.size(); }
  size_t certain() const { return shown_ - utf8_.held(); }

 private:
  /// A token that may turn out to be part of a stop text: where its bytes begin, and the place before it was
  /// read.
  struct Mark {
    size_t start;
    Snapshot before;
  };

  Continuation(Sampler& sampler, const Tokenizer& tokenizer, const GenerateOptions& options, bool exact_end,
               StopStrings stops);
  Result<int32_t> Sample(std::span<const float> logits);
  std::optional<StopReason> EndedBy(int32_t token) const;
  void ForgetShown();
  void GoBackToShown(size_t start, TextStep* step);

  Sampler* sampler_;
  const Tokenizer* tokenizer_;
  const GenerateOptions* options_;
  bool exact_end_;
  StopStrings stops_;
  Utf8Stream utf8_;
  int64_t generated_ = 0;
  std::deque<Mark> marks_;
  std::string window_;       ///< sampled bytes that a stop text may still reach
  size_t window_start_ = 0;  ///< their place in the whole text
  size_t shown_ = 0;         ///< bytes of the text that have passed the stop strings
  std::optional<TokenConstraint> constraint_;
  std::vector<int32_t> ends_;  ///< with a constraint: the tokens that end the text
};

}  // namespace tern
