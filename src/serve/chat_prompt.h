// From messages to the tokens that a model reads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tern::serve {

/// A function that the model asks to be called.
struct ToolCall {
  std::string id = {};
  std::string name = {};
  std::string arguments = {};  ///< JSON text
};

struct ChatMessage {
  enum class Role { kSystem, kUser, kAssistant, kTool } role = Role::kUser;
  std::string text = {};
  std::vector<ToolCall> calls = {};  ///< of the assistant
};

/// A function that may be called.
struct ChatTool {
  std::string name = {}, description = {};
  std::string parameters = {};  ///< a JSON Schema, or empty: no parameters
};

struct ToolChoice {
  enum class Kind { kAuto, kNone, kRequired, kNamed } kind = Kind::kAuto;
  std::string name = {};  ///< kNamed
};

/// How the conversation is to be read.
struct ChatLayout {
  const std::vector<ChatTool>* tools = nullptr;  ///< listed in the system message; may be null
  /// The conversation goes on after a text that ends so; null: it begins here. An answer that was not closed
  /// is closed first.
  const std::string* before = nullptr;
  /// End where the assistant writes; otherwise after the last message (to keep the place).
  bool answer = true;
};

/// The pieces of the text that are tokenised one by one: system, each user's turn up to where the model
/// writes, each answer, its end, and the opening of the new answer. So the tokens of a longer conversation
/// begin as those of the shorter one did, and kept states fit.
///
/// A last message of the assistant is continued. Tools and their results are written as the G1 models were
/// trained: listed in the system message, results as `Function output:` of the user.
std::vector<std::string> ChatPieces(const ChatTemplate& chat, const std::vector<ChatMessage>& messages,
                                    const ChatLayout& layout);
std::vector<int32_t> EncodePieces(const Tokenizer& tokenizer, const std::vector<std::string>& pieces);

/// "Tools:\n- f(a: string): what it does\nReturn only a JSON function call."; empty without tools.
std::string DescribeTools(const std::vector<ChatTool>& tools);
/// `{"name": "f", "arguments": {…}}`, as the model shall write it.
std::string WriteToolCall(const ToolCall& call);

}  // namespace tern::serve
