#include "serve/answer_parts.h"

#include <algorithm>
#include <utility>

namespace tern::serve {
namespace {

constexpr std::string_view kWhiteSpace = " \t\n\v\f\r";

/// How many bytes at the end of `text` the mark may begin with.
size_t BeginningOfMark(std::string_view text, std::string_view mark) {
  for (size_t n = std::min(text.size(), mark.size() - 1); n > 0; --n) {
    if (text.ends_with(mark.substr(0, n))) return n;
  }
  return 0;
}

/// Appends `text` to `out`, white space at its ends kept back: the first is dropped, the last waits.
void AppendStripped(std::string_view text, bool* begun, std::string* white_space, std::string* out) {
  if (!*begun) text.remove_prefix(std::min(text.find_first_not_of(kWhiteSpace), text.size()));
  const size_t last = text.find_last_not_of(kWhiteSpace);
  if (last == std::string_view::npos) {
    *white_space += text;
    return;
  }
  *begun = true;
  *out += *white_space;
  *out += text.substr(0, last + 1);
  *white_space = text.substr(last + 1);
}

}  // namespace

AnswerParts::AnswerParts(const ChatTemplate& chat, std::string_view opening)
    : think_end_(chat.think_end), clean_(chat.clean) {
  if (think_end_.empty() || opening.find(chat.think_begin) == std::string_view::npos) return;
  const std::string_view unclosed = std::string_view(think_end_).substr(0, think_end_.size() - 1);
  state_ = opening.ends_with(unclosed) ? State::kAnswer : State::kThinking;
  bracket_ = true;
}

AnswerParts::Text AnswerParts::Push(std::string_view text) {
  if (bracket_ && !text.empty()) {
    if (text[0] == '>') text.remove_prefix(1);
    bracket_ = false;
  }
  Text parts;
  if (state_ == State::kThinking) {
    pending_ += text;
    TakeThinking(/*last=*/false, &parts.thinking);
    if (state_ == State::kAnswer) TakeAnswer(std::exchange(pending_, {}), &parts.answer);
  } else {
    TakeAnswer(text, &parts.answer);
  }
  return parts;
}

AnswerParts::Text AnswerParts::Finish() {
  Text parts;
  if (state_ == State::kThinking) TakeThinking(/*last=*/true, &parts.thinking);
  return parts;
}

void AnswerParts::TakeAnswer(std::string_view text, std::string* answer) {
  if (clean_) {
    AppendStripped(text, &begun_, &white_space_, answer);
  } else {
    *answer += text;
  }
}

void AnswerParts::TakeThinking(bool last, std::string* thinking) {
  const size_t end = pending_.find(think_end_);
  const size_t ready = end != std::string::npos ? end
                       : last                   ? pending_.size()
                                                : pending_.size() - BeginningOfMark(pending_, think_end_);
  AppendStripped(std::string_view(pending_).substr(0, ready), &begun_, &white_space_, thinking);
  pending_.erase(0, end != std::string::npos ? end + think_end_.size() : ready);
  if (end == std::string::npos) return;
  state_ = State::kAnswer;
  begun_ = false;
  white_space_.clear();
}

}  // namespace tern::serve
