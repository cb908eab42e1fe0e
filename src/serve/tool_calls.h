// Calls of functions: the grammar that makes the model write one, and finding them in what it wrote.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "serve/chat_prompt.h"

namespace tern::serve {

/// A JSON Schema whose texts are calls of one of these functions, as WriteToolCall writes them. With `name`
/// only of that one.
std::string ToolCallSchema(const std::vector<ChatTool>& tools, std::string_view name);

/// What became known of the calls in an answer.
struct ToolCallDelta {
  size_t index = 0;     ///< of the call
  std::string id = {};  ///< with the first delta of a call, and its name
  std::string name = {};
  std::string arguments = {};  ///< the next piece of the JSON text
};

/// Tells calls from text while an answer grows. A call is a JSON object with a known function's "name" and,
/// after it, "arguments" (or "parameters"), at the very beginning of the answer; alone, in an array, in a
/// fenced block or between <tool_call> marks. Arguments are handed out as they come; members after them are
/// passed over. Whatever turns out to be no call is text. Not thread-safe.
class ToolCallReader {
 public:
  /// `id_seed`: ids of calls are made from it ("call_…").
  ToolCallReader(const std::vector<ChatTool>& tools, uint64_t id_seed);

  struct Found {
    std::string text;
    std::vector<ToolCallDelta> calls;
  };
  Found Push(std::string_view text);
  Found Finish();
  size_t calls() const { return calls_; }

 private:
  enum class State {
    kOpening,    ///< nothing is decided yet: all waits
    kArguments,  ///< within the arguments of a call
    kAfter,      ///< after them: further members of the call, or none
    kMembers,    ///< within those
    kBetween,    ///< after the call: what closes what it stands in, or another call
    kText,       ///< it is text from here on
  };

  void Advance(bool last, Found* found);
  bool TryOpening(bool last, Found* found);
  size_t ScanObject(bool* closed);
  void TakeArguments(Found* found);
  bool TryAfter(bool last);
  void TakeMembers();
  bool TryBetween(bool last);
  std::string NewId() const;

  std::vector<std::string> names_;
  uint64_t id_seed_;
  State state_ = State::kOpening;
  std::string pending_;
  size_t calls_ = 0;
  // Within arguments and further members:
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
};

}  // namespace tern::serve
