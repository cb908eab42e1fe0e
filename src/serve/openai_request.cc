#include "serve/openai_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <random>
#include <utility>

#include "serve/openai_fields.h"
#include "text/utf8.h"

namespace tern::serve {
namespace {

using nlohmann::ordered_json;  // schemas mean the order of their properties

/// What is wrong, or nothing.
using Checked = std::optional<ApiError>;
constexpr std::nullopt_t kFine = std::nullopt;

constexpr int64_t kChatTokens = 4096, kCompletionTokens = 16;
constexpr size_t kMaxInputs = 2048;
constexpr size_t kMaxStops = 64;
constexpr size_t kMaxSessionName = 128;

std::string Text(const ordered_json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

/// A number that may be written as 3 or as 3.0.
template <typename T>
T Number(const ordered_json& object, const char* name, T otherwise) {
  const auto found = object.find(name);
  if (found == object.end()) return otherwise;
  if constexpr (std::is_integral_v<T>) {
    // The table has checked the range; casting a double beyond it would be undefined.
    if (found->is_number_float()) return static_cast<T>(found->get<double>());
  }
  return found->get<T>();
}

bool Flag(const ordered_json& object, const char* name) { return object.value(name, false); }

ApiResult<std::vector<std::string>> ReadStop(const ordered_json& body) {
  std::vector<std::string> stop;
  const auto found = body.find("stop");
  if (found == body.end()) return stop;
  const ordered_json list = found->is_array() ? *found : ordered_json::array({*found});
  if (list.size() > kMaxStops) return BadRequest("stop", fmt::format("stop has at most {} texts", kMaxStops));
  for (const ordered_json& entry : list) {
    if (!entry.is_string() || entry.get_ref<const std::string&>().empty()) {
      return BadRequest("stop", "stop must be a text or an array of texts, none of them empty");
    }
    stop.push_back(entry.get<std::string>());
  }
  return stop;
}

ApiResult<std::map<int32_t, float>> ReadLogitBias(const ordered_json& body) {
  std::map<int32_t, float> bias;
  const auto found = body.find("logit_bias");
  if (found == body.end()) return bias;
  for (const auto& [key, value] : found->items()) {
    int32_t token = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (error != std::errc() || end != key.data() + key.size() || token < 0) {
      return BadRequest("logit_bias", "logit_bias: its names must be token ids");
    }
    if (!value.is_number() || std::fabs(value.get<double>()) > 100) {
      return BadRequest("logit_bias",
                        fmt::format("logit_bias: the value of {} must be from -100 to 100", token));
    }
    bias[token] = value.get<float>();
  }
  return bias;
}

uint64_t RandomSeed() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

SamplingOptions ReadSampling(const ordered_json& body, std::map<int32_t, float> bias) {
  SamplingOptions sampling;
  sampling.temperature = Number(body, "temperature", 1.0f);
  sampling.top_p = Number(body, "top_p", 1.0f);
  sampling.top_k = Number(body, "top_k", 0);
  sampling.min_p = Number(body, "min_p", 0.0f);
  sampling.presence = Number(body, "presence_penalty", 0.0f);
  sampling.frequency = Number(body, "frequency_penalty", 0.0f);
  sampling.penalty_decay = Number(body, "penalty_decay", 1.0f);
  sampling.logit_bias = std::move(bias);
  const auto seed = body.find("seed");
  if (seed == body.end()) {
    sampling.seed = RandomSeed();
  } else if (seed->is_number_float()) {
    sampling.seed = static_cast<uint64_t>(static_cast<int64_t>(seed->get<double>()));
  } else {
    sampling.seed =
        seed->is_number_unsigned() ? seed->get<uint64_t>() : static_cast<uint64_t>(seed->get<int64_t>());
  }
  return sampling;
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

Checked ReadStreaming(const ordered_json& body, AnswerRequest* answer) {
  answer->stream = Flag(body, "stream");
  const auto options = body.find("stream_options");
  if (options == body.end()) return kFine;
  if (!answer->stream)
    return BadRequest("stream_options", "stream_options is for requests with stream: true");
  const auto usage = options->find("include_usage");
  if (usage == options->end() || usage->is_null()) return kFine;
  if (!usage->is_boolean()) {
    return BadRequest("stream_options", "stream_options.include_usage must be true or false");
  }
  answer->include_usage = usage->get<bool>();
  return kFine;
}

Checked ReadShared(const HttpRequest& request, const ordered_json& body, AnswerRequest* answer) {
  answer->model = Text(body, "model");
  TERN_ASSIGN_OR_RETURN(answer->stop, ReadStop(body));
  TERN_ASSIGN_OR_RETURN(auto bias, ReadLogitBias(body));
  answer->sampling = ReadSampling(body, std::move(bias));
  answer->has_seed = body.contains("seed");
  answer->choices = Number(body, "n", 1);
  answer->state = Text(body, "state");
  answer->keep_state = Flag(body, "keep_state");
  if (body.contains("grammar")) {
    answer->constraint = {ConstraintText::Kind::kGrammar, Text(body, "grammar"), "grammar"};
  }
  if (Checked wrong = ReadStreaming(body, answer)) return wrong;
  if (Checked wrong = ReadSession(request, answer)) return wrong;
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
    const std::string type = part.is_object() ? Text(part, "type") : "";
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
    if (!function.is_object() || Text(function, "name").empty()) {
      return BadRequest(where + "tool_calls", where + "tool_calls: each needs a function with a name");
    }
    TERN_ASSIGN_OR_RETURN(std::string arguments,
                          ReadArguments(function, fmt::format("{}tool_calls[{}].", where, calls.size())));
    calls.push_back({Text(entry, "id"), Text(function, "name"), std::move(arguments)});
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
  TERN_ASSIGN_OR_RETURN(read.role, ReadRole(Text(message, "role"), where));
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
    if (!entry.is_object() || Text(entry, "type") != "function" || !entry.contains("function") ||
        !entry["function"].is_object()) {
      return BadRequest(where, where + " must be {\"type\": \"function\", \"function\": {…}}");
    }
    const ordered_json& function = entry["function"];
    ChatTool tool = {
        .name = Text(function, "name"), .description = Text(function, "description"), .parameters = {}};
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
  if (Text(*found, "type") != "function" || !function.is_object()) {
    return BadRequest("tool_choice",
                      "tool_choice must be {\"type\": \"function\", \"function\": {\"name\": …}}");
  }
  const std::string name = Text(function, "name");
  if (!HasTool(tools, name))
    return BadRequest("tool_choice", "tool_choice: its function is not one of the tools");
  return ToolChoice{Kind::kNamed, name};
}

ApiResult<ConstraintText> ReadResponseFormat(const ordered_json& body) {
  using Kind = ConstraintText::Kind;
  const auto found = body.find("response_format");
  if (found == body.end()) return ConstraintText{};
  const std::string type = Text(*found, "type");
  if (type == "text") return ConstraintText{};
  if (type == "json_object") return ConstraintText{Kind::kJsonObject, {}, "response_format"};
  if (type != "json_schema") {
    return BadRequest("response_format", "response_format.type must be text, json_object or json_schema");
  }
  const ordered_json wrapper = found->value("json_schema", ordered_json());
  if (!wrapper.is_object() || !wrapper.contains("schema")) {
    return BadRequest("response_format", "response_format.json_schema.schema is missing");
  }
  return ConstraintText{Kind::kJsonSchema, wrapper["schema"].dump(), "response_format"};
}

/// `thinking` or, less exact, reasoning_effort.
void ReadThinking(const ordered_json& body, ChatRequest* chat) {
  const std::string effort = Text(body, "reasoning_effort");
  chat->thinking_is_a_hint = !body.contains("thinking");
  if (body.contains("thinking")) {
    chat->thinking = body["thinking"].get<bool>();
  } else if (!effort.empty()) {
    chat->thinking = effort != "none" && effort != "minimal";
  }
}

Checked ReadChatLogprobs(const ordered_json& body, ChatRequest* chat) {
  const bool wanted = Flag(body, "logprobs");
  if (!wanted && body.contains("top_logprobs")) {
    return BadRequest("top_logprobs", "top_logprobs is for requests with logprobs: true");
  }
  chat->top_logprobs = wanted ? Number(body, "top_logprobs", 0) : -1;
  return kFine;
}

/// Which field says what the answer must be: a grammar, a format or a call of a function.
Checked ReadChatConstraint(const ordered_json& body, ChatRequest* chat) {
  using Kind = ConstraintText::Kind;
  TERN_ASSIGN_OR_RETURN(ConstraintText format, ReadResponseFormat(body));
  const bool forced = chat->tool_choice.kind == ToolChoice::Kind::kRequired ||
                      chat->tool_choice.kind == ToolChoice::Kind::kNamed;
  const int wanted = (format.kind != Kind::kNone ? 1 : 0) + (chat->constraint.kind != Kind::kNone ? 1 : 0) +
                     (forced ? 1 : 0);
  if (wanted > 1) {
    return BadRequest(
        "response_format",
        "response_format, grammar and a required tool each say what the answer must be: give one");
  }
  if (format.kind != Kind::kNone) chat->constraint = std::move(format);
  return kFine;
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
  if (Checked wrong = ReadChatConstraint(body, &chat)) return *wrong;
  chat.max_tokens = Number(body, "max_completion_tokens", Number(body, "max_tokens", kChatTokens));
  chat.template_name = Text(body, "template");
  ReadThinking(body, &chat);
  return chat;
}

ApiResult<CompletionRequest> ReadCompletionRequest(const HttpRequest& request) {
  TERN_ASSIGN_OR_RETURN(const ordered_json body, ReadRequest(request, CompletionFields()));
  CompletionRequest completion;
  if (Checked wrong = ReadShared(request, body, &completion)) return *wrong;
  completion.max_tokens = Number(body, "max_tokens", kCompletionTokens);
  completion.top_logprobs = Number(body, "logprobs", -1);
  completion.echo = Flag(body, "echo");
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
  embedding.model = Text(body, "model");
  const std::string format = body.value("encoding_format", "float");
  if (format != "float" && format != "base64") {
    return BadRequest("encoding_format", "encoding_format must be float or base64");
  }
  embedding.base64 = format == "base64";
  TERN_ASSIGN_OR_RETURN(embedding.inputs, ReadPromptInputs(body["input"], "input", /*several=*/true));
  return embedding;
}

}  // namespace tern::serve
