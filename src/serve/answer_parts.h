// An answer as it grows, told apart into what the model thinks and what it says.
#pragma once

#include <string>
#include <string_view>

#include "text/chat_template.h"

namespace tern::serve {

/// SplitAnswer (text/chat_template.h) for a text that comes in pieces: what it hands out, joined, is the
/// same. White space at the ends is left out, the marks of thinking too; what may be one of them waits.
/// Where the opening has ended the thinking already, all is answer. Not thread-safe.
class AnswerParts {
 public:
  struct Text {
    std::string thinking, answer;
  };

  /// `opening`: the template's answer_opening, or empty where the prompt did not end in it.
  AnswerParts(const ChatTemplate& chat, std::string_view opening);

  Text Push(std::string_view text);
  /// What waited.
  Text Finish();

 private:
  enum class State { kThinking, kAnswer };

  void TakeAnswer(std::string_view text, std::string* answer);
  void TakeThinking(bool last, std::string* thinking);

  std::string think_end_;
  bool clean_;
  State state_ = State::kAnswer;
  bool bracket_ = false;     // the model's first character may close the opening's mark
  std::string pending_;      // of thinking: what may become its end
  std::string white_space_;  // that more text may follow
  bool begun_ = false;       // the part that is being written has text
};

}  // namespace tern::serve
