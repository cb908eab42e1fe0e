#include "serve/openai_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "serve/answer_fields.h"
#include "serve/openai_fields.h"
#include "serve/request_values.h"
#include "serve/sampling_request.h"
#include "text/utf8.h"

namespace tern::serve {
namespace {

using nlohmann::ordered_json;  // schemas mean the order of their properties

constexpr int64_t kChatTokens = 4096, kCompletionTokens = 16;
constexpr size_t kMaxInputs = 2048;
constexpr size_t kMaxStops = 64;
constexpr size_t kMaxSessionName = 128;

ApiResult<std::vector<std::string>> ReadStop(const ordered_json& body) {
  std::vector<std::string> stop;
  const auto found = body.find("stop");
  if (found == body.end()) return stop;
  const ordered_json list = found->is_array() ? *found : ordered_json::array({*found});
  if (list.size() > kMaxStops) return BadRequest("stop", fmt::format("stop has at most {} texts", kMaxStops));
  for (const ordered_json& entry : list) {
    if (!entry.is_string()) return BadRequest("stop", "stop must be a text or an array of texts");
    // Clients append a model's end-of-document text, which may be empty: it ends nothing.
    if (!entry.get_ref<const std::string&>().empty()) stop.push_back(entry.get<std::string>());
  }
  return stop;
}

/// The fields that limit the tokens of an answer, the one that counts first: OpenAI lets the newer name win.
constexpr const char* kTokenLimits[] = {"max_completion_tokens", "max_tokens", "n_predict", "max_new_tokens"};

/// -1 is llama.cpp's "no limit". `least`: 1 where an answer must have a token.
ApiResult<int64_t> ReadMaxTokens(const ordered_json& body, int64_t least, int64_t otherwise) {
  const char* counts = nullptr;
  for (const char* name : kTokenLimits) {
    if (!body.contains(name)) continue;
    const int64_t limit = NumberOf<int64_t>(body, name, 0);
    if (limit != -1 && limit < least) {
      ApiError error = BadRequest(name, fmt::format("{} must be -1 (no limit) or at least {}", name, least));
      error.code = "invalid_value";
      return error;
    }
    const bool older = counts == kTokenLimits[0] && name == kTokenLimits[1];
    if (counts != nullptr && !older && limit != NumberOf<int64_t>(body, counts, 0))
      return BadRequest(name, fmt::format("{} and {} limit the same and have different values", counts, name));
    if (counts == nullptr) counts = name;
  }
  const int64_t limit = counts == nullptr ? otherwise : NumberOf<int64_t>(body, counts, 0);
  return limit == -1 ? static_cast<int64_t>(kMaxTokens) : limit;
}

ApiResult<std::vector<int32_t>> ReadStopTokens(const ordered_json& body) {
  std::vector<int32_t> tokens;
  const auto list = body.find("stop_token_ids");
  if (list == body.end()) return tokens;
  for (const ordered_json& entry : *list) {
    if (!entry.is_number_unsigned() || entry.get<uint64_t>() > INT32_MAX)
      return BadRequest("stop_token_ids", "stop_token_ids must hold token ids");
    tokens.push_back(entry.get<int32_t>());
  }
  return tokens;
}

Checked ReadSession(const HttpRequest& request, AnswerRequest* answer) {
  answer->session = std::string(request.Header("x-session"));
  if (answer->session.size() > kMaxSessionName) {
    return BadRequest("X-Session", fmt::format("X-Session has at most {} bytes", kMaxSessionName));
  }
  if (!IsUtf8(answer->session)) return BadRequest("X-Session", "X-Session must be UTF-8");
  if (!answer->session.empty() && !answer->state.empty()) {
    return BadRequest("state", "state and X-Session both say where to go on: give one of them");
  }
  return kFine;
}

/// true, false or "evictable".
Checked ReadKeepState(const ordered_json& body, AnswerRequest* answer) {
  const auto keep = body.find("keep_state");
  if (keep == body.end()) return kFine;
  answer->evictable = *keep == "evictable";
  if (keep->is_string() && !answer->evictable) {
    ApiError error = BadRequest("keep_state", "keep_state must be true, false or \"evictable\"");
    error.code = "invalid_value";
    return error;
  }
  answer->keep_state = answer->evictable || keep->get<bool>();
  if (!answer->evictable || answer->session.empty()) return kFine;
  return BadRequest("keep_state", "a session's state is never evicted: keep_state must be true or false");
}

Checked ReadStreaming(const ordered_json& body, AnswerRequest* answer) {
  answer->stream = FlagOf(body, "stream");
  const auto options = body.find("stream_options");
  if (options == body.end()) return kFine;
  if (!answer->stream)
    return BadRequest("stream_options", "stream_options is for requests with stream: true");
  if (options->value("continuous_usage_stats", ordered_json()) == true) {
    return BadRequest("stream_options",
                      "stream_options.continuous_usage_stats is not supported: give include_usage");
  }
  const auto usage = options->find("include_usage");
  if (usage == options->end() || usage->is_null()) return kFine;
  if (!usage->is_boolean()) {
    return BadRequest("stream_options", "stream_options.include_usage must be true or false");
  }
  answer->include_usage = usage->get<bool>();
  return kFine;
}

Checked ReadShared(const HttpRequest& request, const ordered_json& body, AnswerRequest* answer) {
  answer->model = TextOf(body, "model");
  TERN_ASSIGN_OR_RETURN(answer->stop, ReadStop(body));
  TERN_ASSIGN_OR_RETURN(answer->stop_tokens, ReadStopTokens(body));
  TERN_ASSIGN_OR_RETURN(answer->sampling, ReadSampling(body));
  TERN_ASSIGN_OR_RETURN(answer->constraint, ReadConstraint(body));
  answer->ignore_end = FlagOf(body, "ignore_eos");
  answer->has_seed = body.contains("seed");
  answer->choices = NumberOf(body, "n", 1);
  answer->state = TextOf(body, "state");
  if (Checked wrong = ReadStreaming(body, answer)) return wrong;
  if (Checked wrong = ReadSession(request, answer)) return wrong;
  if (Checked wrong = ReadKeepState(body, answer)) return wrong;
  if (!answer->session.empty() && answer->choices > 1) {
    return BadRequest("n", "a session goes on with one answer: n must be 1");
  }
  return kFine;
}

/// The texts of a message's parts, joined.
ApiResult<std::string> ReadContent(const ordered_json& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const ordered_json& part = content[i];
    const std::string name = fmt::format("{}content[{}]", where, i);
    const std::string type = part.is_object() ? TextOf(part, "type") : "";
    if (type == "refusal") continue;
    if (type != "text") {
      return BadRequest(name, type.empty()
                                  ? name + " must be an object with a type"
                                  : name + ": parts of this type are not supported; there is text only");
    }
    if (!part.contains("text") || !part["text"].is_string())
      return BadRequest(name, name + ".text must be a string");
    text += part["text"].get<std::string>();
  }
  return text;
}

/// OpenAI's are the text of an object; some clients send the object.
ApiResult<std::string> ReadArguments(const ordered_json& function, const std::string& where) {
  const auto arguments = function.find("arguments");
  if (arguments == function.end() || arguments->is_null()) return std::string();
  if (arguments->is_string()) return arguments->get<std::string>();
  if (arguments->is_object()) return arguments->dump();
  const std::string name = where + "function.arguments";
  return BadRequest(name, name + " must be a string of JSON or an object");
}

ApiResult<std::vector<ToolCall>> ReadCalls(const ordered_json& message, const std::string& where) {
  std::vector<ToolCall> calls;
  const auto list = message.find("tool_calls");
  if (list == message.end()) return calls;
  for (const ordered_json& entry : *list) {
    const ordered_json function = entry.is_object() ? entry.value("function", ordered_json()) : ordered_json();
    if (!function.is_object() || TextOf(function, "name").empty()) {
      return BadRequest(where + "tool_calls", where + "tool_calls: each needs a function with a name");
    }
    TERN_ASSIGN_OR_RETURN(std::string arguments,
                          ReadArguments(function, fmt::format("{}tool_calls[{}].", where, calls.size())));
    calls.push_back({TextOf(entry, "id"), TextOf(function, "name"), std::move(arguments)});
  }
  return calls;
}

ApiResult<ChatMessage::Role> ReadRole(const std::string& role, const std::string& where) {
  using Role = ChatMessage::Role;
  if (role == "system" || role == "developer") return Role::kSystem;
  if (role == "user") return Role::kUser;
  if (role == "assistant") return Role::kAssistant;
  if (role == "tool") return Role::kTool;
  return BadRequest(where + "role", where + "role must be system, developer, user, assistant or tool");
}

ApiResult<ChatMessage> ReadMessage(const ordered_json& entry, const std::string& where) {
  if (!entry.is_object())
    return BadRequest("messages", where.substr(0, where.size() - 1) + " must be an object");
  TERN_ASSIGN_OR_RETURN(const ordered_json message, CheckFields(entry, MessageFields(), where));
  ChatMessage read;
  TERN_ASSIGN_OR_RETURN(read.role, ReadRole(TextOf(message, "role"), where));
  if (message.contains("content")) {
    TERN_ASSIGN_OR_RETURN(read.text, ReadContent(message["content"], where));
  }
  TERN_ASSIGN_OR_RETURN(read.calls, ReadCalls(message, where));
  if (!message.contains("content") && read.calls.empty()) {
    return BadRequest(where + "content", where + "content is missing");
  }
  return read;
}

bool IsFunctionName(const std::string& name) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  return !name.empty() && name.size() <= 64 && name.find_first_not_of(kLetters) == std::string::npos;
}

/// Whether a schema's type allows objects: it does not say, or is "object", or a list that holds it.
bool MayBeObject(const ordered_json& schema) {
  const auto type = schema.find("type");
  if (type == schema.end() || *type == "object") return true;
  return type->is_array() && std::find(type->begin(), type->end(), "object") != type->end();
}

ApiResult<std::vector<ChatTool>> ReadTools(const ordered_json& body) {
  std::vector<ChatTool> tools;
  const auto list = body.find("tools");
  if (list == body.end()) return tools;
  for (size_t i = 0; i < list->size(); ++i) {
    const ordered_json& entry = (*list)[i];
    const std::string where = fmt::format("tools[{}]", i);
    if (!entry.is_object() || TextOf(entry, "type") != "function" || !entry.contains("function") ||
        !entry["function"].is_object()) {
      return BadRequest(where, where + " must be {\"type\": \"function\", \"function\": {…}}");
    }
    const ordered_json& function = entry["function"];
    ChatTool tool = {
        .name = TextOf(function, "name"), .description = TextOf(function, "description"), .parameters = {}};
    if (!IsFunctionName(tool.name)) {
      return BadRequest(where + ".function.name",
                        where + ".function.name: 1 to 64 letters, digits, '_', '-' or '.'");
    }
    if (function.contains("parameters") && !function["parameters"].is_null()) {
      if (!function["parameters"].is_object()) {
        return BadRequest(where + ".function.parameters",
                          where + ".function.parameters must be a JSON Schema");
      }
      if (!MayBeObject(function["parameters"])) {
        return BadRequest(where + ".function.parameters",
                          where + ".function.parameters: its type must be object, as arguments are one");
      }
      tool.parameters = function["parameters"].dump();
    }
    tools.push_back(std::move(tool));
  }
  return tools;
}

bool HasTool(const std::vector<ChatTool>& tools, const std::string& name) {
  for (const ChatTool& tool : tools) {
    if (tool.name == name) return true;
  }
  return false;
}

ApiResult<ToolChoice> ReadToolChoice(const ordered_json& body, const std::vector<ChatTool>& tools) {
  using Kind = ToolChoice::Kind;
  const auto found = body.find("tool_choice");
  if (found == body.end()) return ToolChoice{};
  if (found->is_string()) {
    if (*found == "auto") return ToolChoice{};
    if (*found == "none") return ToolChoice{Kind::kNone, {}};
    if (*found == "required" && !tools.empty()) return ToolChoice{Kind::kRequired, {}};
    if (*found == "required")
      return BadRequest("tool_choice", "tool_choice: there are no tools to choose from");
    return BadRequest("tool_choice", "tool_choice must be auto, none, required or one function");
  }
  const ordered_json function = found->value("function", ordered_json());
  if (TextOf(*found, "type") != "function" || !function.is_object()) {
    return BadRequest("tool_choice",
                      "tool_choice must be {\"type\": \"function\", \"function\": {\"name\": …}}");
  }
  const std::string name = TextOf(function, "name");
  if (!HasTool(tools, name))
    return BadRequest("tool_choice", "tool_choice: its function is not one of the tools");
  return ToolChoice{Kind::kNamed, name};
}

Checked ReadChatLogprobs(const ordered_json& body, ChatRequest* chat) {
  const bool wanted = FlagOf(body, "logprobs");
  if (!wanted && body.contains("top_logprobs")) {
    return BadRequest("top_logprobs", "top_logprobs is for requests with logprobs: true");
  }
  chat->top_logprobs = wanted ? NumberOf(body, "top_logprobs", 0) : -1;
  return kFine;
}

/// A required call of a function says what the answer must be, as a constraint does.
Checked CheckForcedTool(const ChatRequest& chat) {
  const bool forced = chat.tool_choice.kind == ToolChoice::Kind::kRequired ||
                      chat.tool_choice.kind == ToolChoice::Kind::kNamed;
  if (!forced || chat.constraint.kind == ConstraintText::Kind::kNone) return kFine;
  const std::string& param = chat.constraint.param;
  return BadRequest(param, param + " and a required tool each say what the answer must be: give one");
}

/// A last message of the assistant is always continued.
Checked CheckContinuation(const ordered_json& body, const ChatRequest& chat) {
  const auto wanted = body.find("continue_final_message");
  if (wanted == body.end()) return kFine;
  const bool continues = chat.messages.back().role == ChatMessage::Role::kAssistant;
  if (wanted->get<bool>() == continues) return kFine;
  return BadRequest("continue_final_message",
                    continues ? "continue_final_message: a last message of the assistant is always continued"
                              : "continue_final_message: the last message is not the assistant's");
}

bool IsTokenList(const ordered_json& value) { return value.is_array() && !value.empty() && value[0].is_number(); }

ApiResult<std::vector<int32_t>> ReadTokens(const ordered_json& list, const std::string& param) {
  std::vector<int32_t> tokens;
  tokens.reserve(list.size());
  for (const ordered_json& entry : list) {
    if (!entry.is_number_unsigned() || entry.get<uint64_t>() > INT32_MAX) {
      return BadRequest(param, param + " must hold texts or token ids");
    }
    tokens.push_back(entry.get<int32_t>());
  }
  return tokens;
}

}  // namespace

ApiResult<std::vector<ChatMessage>> ReadMessages(const ordered_json& messages) {
  std::vector<ChatMessage> read;
  for (size_t i = 0; i < messages.size(); ++i) {
    TERN_ASSIGN_OR_RETURN(ChatMessage message, ReadMessage(messages[i], fmt::format("messages[{}].", i)));
    read.push_back(std::move(message));
  }
  return read;
}

ApiResult<std::vector<PromptInput>> ReadPromptInputs(const ordered_json& input, const std::string& param,
                                                     bool several) {
  std::vector<PromptInput> inputs;
  if (input.is_string()) return std::vector<PromptInput>{input.get<std::string>()};
  if (IsTokenList(input)) {
    TERN_ASSIGN_OR_RETURN(auto tokens, ReadTokens(input, param));
    return std::vector<PromptInput>{std::move(tokens)};
  }
  if (!several || input.empty()) return BadRequest(param, param + " must be a text or an array of tokens");
  if (input.size() > kMaxInputs)
    return BadRequest(param, fmt::format("{} has at most {} entries", param, kMaxInputs));
  for (const ordered_json& entry : input) {
    if (!entry.is_string() && !IsTokenList(entry))
      return BadRequest(param, param + " must hold texts or token ids");
    TERN_ASSIGN_OR_RETURN(auto one, ReadPromptInputs(entry, param, /*several=*/false));
    inputs.push_back(std::move(one.front()));
  }
  return inputs;
}

ApiResult<ChatRequest> ReadChatRequest(const HttpRequest& request) {
  TERN_ASSIGN_OR_RETURN(const ordered_json body, ReadRequest(request, ChatFields()));
  ChatRequest chat;
  if (Checked wrong = ReadShared(request, body, &chat)) return *wrong;
  TERN_ASSIGN_OR_RETURN(chat.messages, ReadMessages(body["messages"]));
  TERN_ASSIGN_OR_RETURN(chat.tools, ReadTools(body));
  TERN_ASSIGN_OR_RETURN(chat.tool_choice, ReadToolChoice(body, chat.tools));
  if (Checked wrong = ReadChatLogprobs(body, &chat)) return *wrong;
  if (Checked wrong = CheckForcedTool(chat)) return *wrong;
  if (Checked wrong = CheckContinuation(body, chat)) return *wrong;
  TERN_ASSIGN_OR_RETURN(chat.max_tokens, ReadMaxTokens(body, /*least=*/1, kChatTokens));
  TERN_ASSIGN_OR_RETURN(chat.thinking, ReadThinking(body));
  chat.template_name = TextOf(body, "template");
  chat.parallel_calls = body.value("parallel_tool_calls", true);
  return chat;
}

ApiResult<CompletionRequest> ReadCompletionRequest(const HttpRequest& request) {
  TERN_ASSIGN_OR_RETURN(const ordered_json body, ReadRequest(request, CompletionFields()));
  CompletionRequest completion;
  if (Checked wrong = ReadShared(request, body, &completion)) return *wrong;
  TERN_ASSIGN_OR_RETURN(completion.max_tokens, ReadMaxTokens(body, /*least=*/0, kCompletionTokens));
  completion.top_logprobs = NumberOf(body, "logprobs", -1);
  completion.echo = FlagOf(body, "echo");
  completion.prompts = {std::string()};
  if (body.contains("prompt")) {
    TERN_ASSIGN_OR_RETURN(completion.prompts, ReadPromptInputs(body["prompt"], "prompt", /*several=*/true));
  }
  const bool continues = !completion.state.empty() || !completion.session.empty();
  if (continues && completion.prompts.size() > 1) {
    return BadRequest("prompt", "only one prompt can go on from a kept state");
  }
  return completion;
}

ApiResult<EmbeddingRequest> ReadEmbeddingRequest(const HttpRequest& request) {
  TERN_ASSIGN_OR_RETURN(const ordered_json body, ReadRequest(request, EmbeddingFields()));
  EmbeddingRequest embedding;
  embedding.model = TextOf(body, "model");
  const std::string format = body.value("encoding_format", "float");
  if (format != "float" && format != "base64") {
    return BadRequest("encoding_format", "encoding_format must be float or base64");
  }
  embedding.base64 = format == "base64";
  embedding.dimensions = NumberOf<int64_t>(body, "dimensions", 0);
  TERN_ASSIGN_OR_RETURN(embedding.inputs, ReadPromptInputs(body["input"], "input", /*several=*/true));
  return embedding;
}

}  // namespace tern::serve
