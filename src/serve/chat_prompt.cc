#include "serve/chat_prompt.h"

#include <nlohmann/json.hpp>

#include "serve/openai_fields.h"

namespace tern::serve {
namespace {

using nlohmann::ordered_json;

std::string TypeOfParameter(const ordered_json& schema) {
  if (!schema.is_object()) return "any";
  if (schema.contains("enum") && schema["enum"].is_array()) {
    std::string values;
    for (const auto& value : schema["enum"]) values += (values.empty() ? "" : "|") + value.dump();
    return values;
  }
  const auto type = schema.find("type");
  if (type == schema.end() || !type->is_string()) return "any";
  if (*type == "array" && schema.contains("items")) return TypeOfParameter(schema["items"]) + "[]";
  return type->get<std::string>();
}

bool IsRequired(const ordered_json& schema, const std::string& name) {
  const auto required = schema.find("required");
  if (required == schema.end() || !required->is_array()) return false;
  for (const auto& entry : *required) {
    if (entry == name) return true;
  }
  return false;
}

/// "a: string, b?: number".
std::string ParameterList(const std::string& parameters) {
  const auto schema = ordered_json::parse(parameters, nullptr, /*allow_exceptions=*/false);
  if (!schema.is_object() || !schema.contains("properties")) return "";
  std::string list;
  for (const auto& [name, property] : schema["properties"].items()) {
    list += (list.empty() ? "" : ", ") + name + (IsRequired(schema, name) ? ": " : "?: ") +
            TypeOfParameter(property);
  }
  return list;
}

/// Writes a conversation, message by message.
class Writer {
 public:
  Writer(const ChatTemplate& chat, const ChatLayout& layout) : chat_(chat), layout_(layout) {}

  std::vector<std::string> Write(const std::vector<ChatMessage>& messages) {
    if (layout_.before != nullptr && !layout_.before->empty() && !layout_.before->ends_with(chat_.turn_end)) {
      Add(chat_.turn_end);
    }
    size_t next = AddSystem(messages);
    while (next < messages.size()) next = AddMessage(messages, next);
    if (layout_.answer && !continues_) {
      if (!asked_) Add(chat_.assistant_prefix);
      Add(chat_.answer_opening);
    }
    return std::move(pieces_);
  }

 private:
  using Role = ChatMessage::Role;

  void Add(std::string text) {
    if (!text.empty()) pieces_.push_back(std::move(text));
  }

  /// The messages of the system in front, as one, with the tools. Returns how many they were.
  size_t AddSystem(const std::vector<ChatMessage>& messages) {
    size_t count = 0;
    std::string text;
    for (; count < messages.size() && messages[count].role == Role::kSystem; ++count) {
      text += (text.empty() ? "" : "\n") + messages[count].text;
    }
    // A conversation that goes on has read its tools, unless it is told anew who it is.
    if (layout_.tools != nullptr && !layout_.tools->empty() && (layout_.before == nullptr || count > 0)) {
      text += (text.empty() ? "" : "\n") + DescribeTools(*layout_.tools);
    }
    Add(FormatSystem(chat_, text));
    return count;
  }

  size_t AddMessage(const std::vector<ChatMessage>& messages, size_t at) {
    switch (messages[at].role) {
      case Role::kSystem:
        Add(FormatSystem(chat_, messages[at].text));
        return at + 1;
      case Role::kAssistant:
        AddAnswer(messages[at], at + 1 == messages.size());
        return at + 1;
      case Role::kTool:
        return AddToolResults(messages, at);
      default:
        AddUser(messages[at].text, Answered(messages, at + 1));
        return at + 1;
    }
  }

  /// Whether the assistant speaks next.
  bool Answered(const std::vector<ChatMessage>& messages, size_t next) const {
    return next < messages.size() ? messages[next].role == Role::kAssistant : layout_.answer;
  }

  void AddUser(std::string_view text, bool answered) {
    ChatTemplate turn = chat_;
    turn.answer_opening.clear();  // a piece of its own: earlier answers stand without it
    if (!answered) turn.assistant_prefix.clear();
    Add(FormatUserTurn(turn, text));
    asked_ = answered;
  }

  size_t AddToolResults(const std::vector<ChatMessage>& messages, size_t at) {
    std::string text = "Function output:";
    for (; at < messages.size() && messages[at].role == Role::kTool; ++at) text += "\n" + messages[at].text;
    AddUser(text, Answered(messages, at));
    return at;
  }

  void AddAnswer(const ChatMessage& message, bool last) {
    if (!asked_) Add(chat_.assistant_prefix);
    asked_ = false;
    std::string text = message.text;
    for (const ToolCall& call : message.calls) text += (text.empty() ? "" : "\n") + WriteToolCall(call);
    ChatTemplate open = chat_;
    open.turn_end.clear();  // a piece of its own: the model's answer ended before it
    continues_ = last && layout_.answer;
    Add(FormatAnswer(open, text));
    if (!continues_) Add(chat_.turn_end);
  }

  const ChatTemplate& chat_;
  const ChatLayout& layout_;
  std::vector<std::string> pieces_;
  bool asked_ = false;      // the text ends in assistant_prefix
  bool continues_ = false;  // and the answer has begun
};

}  // namespace

std::string DescribeTools(const std::vector<ChatTool>& tools) {
  if (tools.empty()) return "";
  std::string text = "Tools:\n";
  for (const ChatTool& tool : tools) {
    text += "- " + tool.name + "(" + ParameterList(tool.parameters) + ")";
    if (!tool.description.empty()) text += ": " + tool.description;
    text += "\n";
  }
  return text + "Return only a JSON function call.";
}

std::string WriteToolCall(const ToolCall& call) {
  // It is whatever a client says that the model wrote: nested without end, perhaps.
  auto arguments = ParseJson(call.arguments);
  ordered_json json;
  json["name"] = call.name;
  json["arguments"] = arguments.ok() ? *std::move(arguments) : ordered_json(call.arguments);
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::vector<std::string> ChatPieces(const ChatTemplate& chat, const std::vector<ChatMessage>& messages,
                                    const ChatLayout& layout) {
  return Writer(chat, layout).Write(messages);
}

std::vector<int32_t> EncodePieces(const Tokenizer& tokenizer, const std::vector<std::string>& pieces) {
  std::vector<int32_t> tokens;
  for (const std::string& piece : pieces) {
    const std::vector<int32_t> more = tokenizer.Encode(piece);
    tokens.insert(tokens.end(), more.begin(), more.end());
  }
  return tokens;
}

}  // namespace tern::serve
