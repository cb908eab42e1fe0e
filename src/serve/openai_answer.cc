#include "serve/openai_answer.h"

#include <fmt/format.h>

#include <cmath>
#include <random>

#include "text/utf8.h"

namespace tern::serve {

using nlohmann::ordered_json;

namespace {

/// JSON has no infinity; this is what OpenAI says for "never".
constexpr double kNever = -9999;

double Finite(float logprob) { return std::isfinite(logprob) ? static_cast<double>(logprob) : kNever; }

std::string_view FinishReason(const AnswerEnd& end) {
  return end.reason == StopReason::kLength ? "length" : "stop";
}

std::vector<int> Bytes(std::string_view text) {
  std::vector<int> bytes;
  for (const char c : text) bytes.push_back(static_cast<uint8_t>(c));
  return bytes;
}

/// A token's text as a name: bytes that are only part of a character as OpenAI writes them, so that two such
/// tokens have two names.
std::string TokenName(std::string_view text) {
  if (IsUtf8(text)) return std::string(text);
  std::string name = "bytes:";
  for (const char c : text) name += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
  return name;
}

/// Counts the characters of a text that comes in bytes, as JSON shows them: what is no UTF-8 is replaced, and
/// each replacement is a character.
class CharacterCount {
 public:
  void Push(std::string_view bytes) {
    open_ += bytes;
    size_t at = 0;
    while (at < open_.size()) {
      const Utf8Char next = DecodeUtf8(open_, at);
      if (next.truncated) break;
      at += next.length;
      ++whole_;
    }
    open_.erase(0, at);
  }
  /// Those that have begun.
  int64_t begun() const { return whole_ + (open_.empty() ? 0 : 1); }

 private:
  int64_t whole_ = 0;
  std::string open_;  // the beginning of one
};

}  // namespace

std::string JsonText(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string Dump(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string ErrorEvent(const ApiError& error) { return "data: " + ErrorResponse(error).body + "\n\n"; }

std::string NewId(std::string_view prefix) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device device;
  std::string id(prefix);
  for (int i = 0; i < 24; ++i) id += kLetters[device() % kLetters.size()];
  return id;
}

// ---- What both kinds share

AnswerWriter::AnswerWriter(AnswerHead head, const Tokenizer& tokenizer, const AnswerRequest& request)
    : tokenizer_(tokenizer),
      streaming_(request.stream),
      include_usage_(request.include_usage),
      logprobs_(request.top_logprobs >= 0),
      choices_(static_cast<size_t>(request.choices)),
      head_(std::move(head)) {
  event_head_ = fmt::format(
      R"(data: {{"id":{},"object":{},"created":{},"model":{},"system_fingerprint":{},"choices":[)",
      JsonText(head_.id), JsonText(head_.object + (head_.object == "chat.completion" ? ".chunk" : "")),
      head_.created, JsonText(head_.model), JsonText(head_.fingerprint));
}

void AnswerWriter::OnPrompt(int /*prompt*/, const PromptRead& read, std::string* /*events*/) {
  prompt_tokens_ += read.tokens;
  cached_tokens_ += read.cached;
}

void AnswerWriter::OnPiece(const AnswerPiece& piece, std::string* events) {
  generated_[piece.choice] = piece.generated;
  WritePiece(piece, events);
}

void KeptEnd::AddTo(ordered_json* choice) const {
  if (id.empty() && warning.empty()) return;
  (*choice)["state"] = id.empty() ? ordered_json() : ordered_json(id);
  if (id.empty()) (*choice)["state_warning"] = {{"code", code}, {"message", warning}};
}

std::string KeptEnd::Fields() const {
  ordered_json fields = ordered_json::object();
  AddTo(&fields);
  std::string text = Dump(fields);  // an object: its braces go
  return fields.empty() ? "" : "," + text.substr(1, text.size() - 2);
}

void AnswerWriter::OnEnd(const AnswerEnd& end, const KeptEnd& kept, std::string* events) {
  generated_[end.choice] = end.generated;
  WriteEnd(end, kept, events);
}

int64_t AnswerWriter::completion_tokens() const {
  int64_t sum = 0;
  for (const auto& [choice, tokens] : generated_) sum += tokens;
  return sum;
}

void AnswerWriter::AppendEvent(std::string_view choice, std::string* events) const {
  *events += event_head_;
  *events += choice;
  *events += include_usage_ ? R"(],"usage":null})" : "]}";
  *events += "\n\n";
}

void AnswerWriter::OnFinish(std::string* events) const {
  if (include_usage_) *events += event_head_ + R"(],"usage":)" + Dump(Usage()) + "}\n\n";
  *events += "data: [DONE]\n\n";
}

ordered_json AnswerWriter::Usage() const {
  ordered_json usage;
  usage["prompt_tokens"] = prompt_tokens_;
  usage["completion_tokens"] = completion_tokens();
  usage["total_tokens"] = prompt_tokens_ + completion_tokens();
  usage["prompt_tokens_details"]["cached_tokens"] = cached_tokens_;
  return usage;
}

std::string AnswerWriter::Whole() const {
  ordered_json whole;
  whole["id"] = head_.id;
  whole["object"] = head_.object;
  whole["created"] = head_.created;
  whole["model"] = head_.model;
  whole["system_fingerprint"] = head_.fingerprint;
  whole["choices"] = ordered_json::array();
  for (size_t i = 0; i < choices_; ++i) whole["choices"].push_back(WholeChoice(i));
  whole["usage"] = Usage();
  return Dump(whole);
}

namespace {

// ---- Chat

class ChatWriter final : public AnswerWriter {
 public:
  ChatWriter(AnswerHead head, const Tokenizer& tokenizer, const ChatRequest& request,
             const ChatTemplate& chat, std::string_view opening)
      : AnswerWriter(std::move(head), tokenizer, request) {
    const bool calls = request.tool_choice.kind != ToolChoice::Kind::kNone;
    may_call_ = calls && !request.tools.empty();
    one_call_ = !request.parallel_calls;
    std::random_device device;
    for (size_t i = 0; i < choices_; ++i) {
      const uint64_t seed = (static_cast<uint64_t>(device()) << 32) | device();
      open_.push_back({AnswerParts(chat, opening),
                       ToolCallReader(calls ? request.tools : std::vector<ChatTool>(), seed)});
    }
  }

  void OnPrompt(int prompt, const PromptRead& read, std::string* events) override {
    AnswerWriter::OnPrompt(prompt, read, events);
    if (!streaming_) return;
    // An answer that may turn out to be a call has no content yet: null, as beside calls.
    const char* opening =
        may_call_ ? R"({"role":"assistant","content":null})" : R"({"role":"assistant","content":""})";
    for (size_t i = 0; i < choices_; ++i) AppendDelta(i, opening, "null", events);
  }

  void WritePiece(const AnswerPiece& piece, std::string* events) override {
    const auto index = static_cast<size_t>(piece.choice);
    const AnswerParts::Text text = open_[index].parts.Push(piece.text);
    ToolCallReader::Found found = Wanted(open_[index].calls.Push(text.answer));
    if (!streaming_) return Gather(index, text.thinking, std::move(found), piece.tokens);
    AppendDeltas(index, text.thinking, found, piece.tokens, events);
  }

  void WriteEnd(const AnswerEnd& end, const KeptEnd& kept, std::string* events) override {
    const auto index = static_cast<size_t>(end.choice);
    Open& open = open_[index];
    const AnswerParts::Text text = open.parts.Finish();
    ToolCallReader::Found found = open.calls.Push(text.answer);
    ToolCallReader::Found rest = open.calls.Finish();
    found.text += rest.text;
    found.calls.insert(found.calls.end(), rest.calls.begin(), rest.calls.end());
    found = Wanted(std::move(found));
    open.kept = kept;
    open.finish =
        open.calls.calls() > 0 && end.reason != StopReason::kLength ? "tool_calls" : FinishReason(end);
    if (!streaming_) return Gather(index, text.thinking, std::move(found), {});
    AppendDeltas(index, text.thinking, found, {}, events);
    AppendEvent(fmt::format(R"({{"index":{},"delta":{{}},"logprobs":null,"finish_reason":"{}"{}}})", index,
                            open.finish, kept.Fields()),
                events);
  }

 private:
  struct Open {
    AnswerParts parts;
    ToolCallReader calls;
    // For the whole answer:
    std::string thinking = {}, text = {};
    std::vector<ToolCallDelta> called = {};
    ordered_json logprobs = ordered_json::array();
    std::string finish = {};
    KeptEnd kept = {};
  };

  /// Removes the calls after the first where only one is wanted.
  ToolCallReader::Found Wanted(ToolCallReader::Found found) const {
    if (one_call_) std::erase_if(found.calls, [](const ToolCallDelta& call) { return call.index > 0; });
    return found;
  }

  void Gather(size_t index, const std::string& thinking, ToolCallReader::Found found,
              const std::vector<TokenReport>& tokens) {
    Open& open = open_[index];
    open.thinking += thinking;
    open.text += found.text;
    for (ToolCallDelta& delta : found.calls) {
      if (delta.index < open.called.size()) {
        open.called[delta.index].arguments += delta.arguments;
      } else {
        open.called.push_back(std::move(delta));
      }
    }
    for (const TokenReport& token : tokens) open.logprobs.push_back(Logprob(token));
  }

  void AppendDeltas(size_t index, const std::string& thinking, const ToolCallReader::Found& found,
                    const std::vector<TokenReport>& tokens, std::string* events) {
    std::string logprobs = Logprobs(tokens);
    const auto append = [&](const std::string& delta) {
      AppendDelta(index, delta, logprobs, events);
      logprobs = "null";  // once per piece
    };
    if (!thinking.empty()) {  // under both of its names: clients know one or the other
      const std::string text = JsonText(thinking);
      append(R"({"reasoning_content":)" + text + R"(,"reasoning":)" + text + "}");
    }
    if (!found.text.empty()) append(R"({"content":)" + JsonText(found.text) + "}");
    for (const ToolCallDelta& call : found.calls) {
      // The delta that begins a call says that it is no text.
      const char* content = call.id.empty() ? "" : R"("content":null,)";
      append(fmt::format(R"({{{}"tool_calls":[{}]}})", content, CallDelta(call)));
    }
    if (logprobs != "null") append("{}");
  }

  void AppendDelta(size_t index, std::string_view delta, std::string_view logprobs,
                   std::string* events) const {
    AppendEvent(fmt::format(R"({{"index":{},"delta":{},"logprobs":{},"finish_reason":null}})", index, delta,
                            logprobs),
                events);
  }

  static std::string CallDelta(const ToolCallDelta& call) {
    ordered_json json;
    json["index"] = call.index;
    if (!call.id.empty()) {
      json["id"] = call.id;
      json["type"] = "function";
      json["function"]["name"] = call.name;
    }
    json["function"]["arguments"] = call.arguments;
    return Dump(json);
  }

  ordered_json Alternative(const TokenLogprob& token) const {
    ordered_json json;
    json["token"] = TokenText(token.token);
    json["logprob"] = Finite(token.logprob);
    json["bytes"] = Bytes(tokenizer_.TokenBytes(token.token));
    return json;
  }

  ordered_json Logprob(const TokenReport& report) const {
    ordered_json json = Alternative(report.chosen);
    json["top_logprobs"] = ordered_json::array();
    for (const TokenLogprob& token : report.top) json["top_logprobs"].push_back(Alternative(token));
    return json;
  }

  std::string Logprobs(const std::vector<TokenReport>& tokens) const {
    if (!logprobs_ || tokens.empty()) return "null";
    ordered_json content = ordered_json::array();
    for (const TokenReport& token : tokens) content.push_back(Logprob(token));
    return R"({"content":)" + Dump(content) + R"(,"refusal":null})";
  }

  ordered_json WholeChoice(size_t index) const override {
    const Open& open = open_[index];
    ordered_json choice;
    choice["index"] = index;
    ordered_json& message = choice["message"];
    message["role"] = "assistant";
    message["content"] = open.text.empty() && !open.called.empty() ? ordered_json() : ordered_json(open.text);
    message["refusal"] = nullptr;
    if (!open.thinking.empty()) message["reasoning_content"] = message["reasoning"] = open.thinking;
    for (const ToolCallDelta& call : open.called) {
      message["tool_calls"].push_back({{"id", call.id},
                                       {"type", "function"},
                                       {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
    choice["logprobs"] = nullptr;
    if (logprobs_) choice["logprobs"] = {{"content", open.logprobs}, {"refusal", nullptr}};
    choice["finish_reason"] = open.finish;
    open.kept.AddTo(&choice);
    return choice;
  }

  std::vector<Open> open_;
  bool may_call_ = false, one_call_ = false;
};

// ---- Completions

class CompletionWriter final : public AnswerWriter {
 public:
  CompletionWriter(AnswerHead head, const Tokenizer& tokenizer, const CompletionRequest& request,
                   std::vector<std::vector<int32_t>> prompts)
      : AnswerWriter(std::move(head), tokenizer, request),
        per_prompt_(static_cast<size_t>(request.choices)),
        echo_(request.echo),
        prompts_(std::move(prompts)) {
    choices_ = per_prompt_ * prompts_.size();
    open_.resize(choices_);
  }

  void OnPrompt(int prompt, const PromptRead& read, std::string* events) override {
    AnswerWriter::OnPrompt(prompt, read, events);
    if (!echo_) return;
    const std::vector<int32_t>& tokens = prompts_[static_cast<size_t>(prompt)];
    for (size_t i = 0; i < per_prompt_; ++i) {
      const size_t index = static_cast<size_t>(prompt) * per_prompt_ + i;
      Lists lists;
      if (logprobs_) AddPrompt(tokens, read, &open_[index], &lists);
      Take(index, tokenizer_.Decode(tokens), lists, events);
    }
  }

  void WritePiece(const AnswerPiece& piece, std::string* events) override {
    const auto index = static_cast<size_t>(piece.choice);
    Lists lists;
    for (const TokenReport& report : piece.tokens) Add(report, &open_[index], &lists);
    if (!piece.text.empty() || !piece.tokens.empty()) Take(index, piece.text, lists, events);
  }

  void WriteEnd(const AnswerEnd& end, const KeptEnd& kept, std::string* events) override {
    const auto index = static_cast<size_t>(end.choice);
    open_[index].finish = FinishReason(end);
    open_[index].kept = kept;
    if (!streaming_) return;
    AppendEvent(fmt::format(R"({{"text":"","index":{},"logprobs":null,"finish_reason":"{}"{}}})", index,
                            open_[index].finish, kept.Fields()),
                events);
  }

 private:
  /// The four lists of this interface's log-probabilities.
  struct Lists {
    ordered_json tokens = ordered_json::array(), token_logprobs = ordered_json::array(),
                 top_logprobs = ordered_json::array(), text_offset = ordered_json::array();
  };
  struct Open {
    std::string text = {}, finish = {};
    KeptEnd kept = {};
    Lists lists = {};
    CharacterCount offset = {};  ///< of the tokens so far
  };

  void Add(const TokenReport& report, Open* open, Lists* lists) const {
    lists->tokens.push_back(TokenName(tokenizer_.TokenBytes(report.chosen.token)));
    lists->token_logprobs.push_back(Finite(report.chosen.logprob));
    ordered_json top = ordered_json::object();
    for (const TokenLogprob& token : report.top)
      top[TokenName(tokenizer_.TokenBytes(token.token))] = Finite(token.logprob);
    lists->top_logprobs.push_back(std::move(top));
    AddOffset(report.chosen.token, open, lists);
  }
  void AddOffset(int32_t token, Open* open, Lists* lists) const {
    lists->text_offset.push_back(open->offset.begun());
    open->offset.Push(tokenizer_.TokenBytes(token));
  }
  /// Nothing stands before the first token, so nothing is known of it.
  void AddPrompt(const std::vector<int32_t>& tokens, const PromptRead& read, Open* open, Lists* lists) const {
    if (tokens.empty()) return;
    lists->tokens.push_back(TokenName(tokenizer_.TokenBytes(tokens.front())));
    lists->token_logprobs.push_back(nullptr);
    lists->top_logprobs.push_back(nullptr);
    AddOffset(tokens.front(), open, lists);
    for (const TokenReport& report : read.logprobs) Add(report, open, lists);
  }

  void Take(size_t index, std::string_view text, const Lists& lists, std::string* events) {
    if (streaming_) {
      AppendEvent(fmt::format(R"({{"text":{},"index":{},"logprobs":{},"finish_reason":null}})",
                              JsonText(text), index, logprobs_ ? Dump(ToJson(lists)) : "null"),
                  events);
      return;
    }
    Open& open = open_[index];
    open.text += text;
    Append(lists.tokens, &open.lists.tokens);
    Append(lists.token_logprobs, &open.lists.token_logprobs);
    Append(lists.top_logprobs, &open.lists.top_logprobs);
    Append(lists.text_offset, &open.lists.text_offset);
  }
  static void Append(const ordered_json& from, ordered_json* to) {
    to->insert(to->end(), from.begin(), from.end());
  }

  static ordered_json ToJson(const Lists& lists) {
    return {{"tokens", lists.tokens},
            {"token_logprobs", lists.token_logprobs},
            {"top_logprobs", lists.top_logprobs},
            {"text_offset", lists.text_offset}};
  }

  ordered_json WholeChoice(size_t index) const override {
    const Open& open = open_[index];
    ordered_json choice;
    choice["text"] = open.text;
    choice["index"] = index;
    choice["logprobs"] = logprobs_ ? ToJson(open.lists) : ordered_json();
    choice["finish_reason"] = open.finish;
    open.kept.AddTo(&choice);
    return choice;
  }

  size_t per_prompt_;
  bool echo_;
  std::vector<std::vector<int32_t>> prompts_;
  std::vector<Open> open_;
};

}  // namespace

std::unique_ptr<AnswerWriter> MakeChatWriter(AnswerHead head, const Tokenizer& tokenizer,
                                             const ChatRequest& request, const ChatTemplate& chat,
                                             std::string_view opening) {
  return std::make_unique<ChatWriter>(std::move(head), tokenizer, request, chat, opening);
}

std::unique_ptr<AnswerWriter> MakeCompletionWriter(AnswerHead head, const Tokenizer& tokenizer,
                                                   const CompletionRequest& request,
                                                   std::vector<std::vector<int32_t>> prompts) {
  return std::make_unique<CompletionWriter>(std::move(head), tokenizer, request, std::move(prompts));
}

}  // namespace tern::serve
