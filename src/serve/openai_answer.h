// What clients get: answers whole or as a stream of events, in OpenAI's shapes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "infer/engine.h"
#include "serve/answer_parts.h"
#include "serve/openai_request.h"
#include "serve/tool_calls.h"

namespace tern::serve {

/// What stands in front of every answer and event.
struct AnswerHead {
  std::string id = {}, object = {}, model = {}, fingerprint = {};
  int64_t created = 0;  ///< Unix seconds
};

/// What became of the state at an answer's end.
struct KeptEnd {
  std::string id = {};       ///< of the kept state; empty: there is none
  std::string warning = {};  ///< why there is none although one was asked for
  std::string code = {};     ///< of the warning: an error's code

  /// `state`, and `state_warning` beside a null; nothing where no state was asked for.
  void AddTo(nlohmann::ordered_json* choice) const;
  /// The same as the last fields of an object's JSON text: `,"state":"…"`.
  std::string Fields() const;
};

/// Turns what the engine tells into JSON. With `streaming` each call appends its events to `events`;
/// otherwise all is gathered for Whole. Not thread-safe.
class AnswerWriter {
 public:
  AnswerWriter(AnswerHead head, const Tokenizer& tokenizer, const AnswerRequest& request);
  virtual ~AnswerWriter() = default;

  virtual void OnPrompt(int prompt, const PromptRead& read, std::string* events);
  void OnPiece(const AnswerPiece& piece, std::string* events);
  void OnEnd(const AnswerEnd& end, const KeptEnd& kept, std::string* events);
  /// The usage, if it is wanted, and [DONE].
  void OnFinish(std::string* events) const;
  /// The answer in one piece.
  std::string Whole() const;

  int64_t prompt_tokens() const { return prompt_tokens_; }
  int64_t cached_tokens() const { return cached_tokens_; }
  /// Of all choices, as far as they are: those of answers that are cut as well.
  int64_t completion_tokens() const;

 protected:
  /// One event; `choice` is the choice's JSON text.
  void AppendEvent(std::string_view choice, std::string* events) const;
  virtual void WritePiece(const AnswerPiece& piece, std::string* events) = 0;
  virtual void WriteEnd(const AnswerEnd& end, const KeptEnd& kept, std::string* events) = 0;
  virtual nlohmann::ordered_json WholeChoice(size_t index) const = 0;
  std::string TokenText(int32_t token) const { return std::string(tokenizer_.TokenBytes(token)); }

  const Tokenizer& tokenizer_;
  const bool streaming_, include_usage_, logprobs_;
  size_t choices_ = 0;  ///< of all prompts

 private:
  nlohmann::ordered_json Usage() const;

  AnswerHead head_;
  std::string event_head_;  // JSON up to the choices
  int64_t prompt_tokens_ = 0, cached_tokens_ = 0;
  std::map<int, int64_t> generated_;  // tokens of each choice
};

/// `opening`: what the prompts end in (AnswerParts).
std::unique_ptr<AnswerWriter> MakeChatWriter(AnswerHead head, const Tokenizer& tokenizer,
                                             const ChatRequest& request, const ChatTemplate& chat,
                                             std::string_view opening);
/// `prompts`: their texts, for echo.
std::unique_ptr<AnswerWriter> MakeCompletionWriter(AnswerHead head, const Tokenizer& tokenizer,
                                                   const CompletionRequest& request,
                                                   std::vector<std::vector<int32_t>> prompts);

/// JSON text of a string, bytes that are no UTF-8 replaced.
std::string JsonText(std::string_view text);
/// JSON text of a document, the same.
std::string Dump(const nlohmann::ordered_json& json);
/// `data: …` with the error as its JSON.
std::string ErrorEvent(const ApiError& error);
/// "chatcmpl-" … and 24 random letters and digits.
std::string NewId(std::string_view prefix);

}  // namespace tern::serve
