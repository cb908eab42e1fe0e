// What clients ask for, read from their JSON and checked.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "infer/sampler.h"
#include "serve/api_result.h"
#include "serve/chat_prompt.h"

namespace tern::serve {

/// A text, or its tokens.
using PromptInput = std::variant<std::string, std::vector<int32_t>>;

/// What an answer must be: its kind and the text that says so.
struct ConstraintText {
  enum class Kind { kNone, kJsonObject, kJsonSchema, kGrammar } kind = Kind::kNone;
  std::string text = {};   ///< of the schema or the grammar
  std::string param = {};  ///< the field it came from, for errors
};

/// What chat and completions share.
struct AnswerRequest {
  std::string model = {};
  SamplingOptions sampling = {};
  bool has_seed = false;
  int64_t max_tokens = 0;
  std::vector<std::string> stop = {};
  int choices = 1;
  int top_logprobs = -1;  ///< −1: no log-probabilities
  bool stream = false, include_usage = false;
  std::string state = {};    ///< the id of the kept state to go on from
  std::string session = {};  ///< the name of the session to go on with (header X-Session)
  bool keep_state = false;
  ConstraintText constraint = {};
};

struct ChatRequest : AnswerRequest {
  std::vector<ChatMessage> messages = {};
  std::vector<ChatTool> tools = {};
  ToolChoice tool_choice = {};
  std::string template_name = {};     ///< empty: the model's own
  std::optional<bool> thinking = {};  ///< absent: as the template does
  bool thinking_is_a_hint = false;    ///< templates that cannot think do without
};

struct CompletionRequest : AnswerRequest {
  std::vector<PromptInput> prompts = {};
  bool echo = false;
};

struct EmbeddingRequest {
  std::string model = {};
  std::vector<PromptInput> inputs = {};
  bool base64 = false;
};

/// Each answers 400, naming the field, for what cannot be done.
ApiResult<ChatRequest> ReadChatRequest(const HttpRequest& request);
ApiResult<CompletionRequest> ReadCompletionRequest(const HttpRequest& request);
ApiResult<EmbeddingRequest> ReadEmbeddingRequest(const HttpRequest& request);
/// The messages of a conversation: `messages` is an array.
ApiResult<std::vector<ChatMessage>> ReadMessages(const nlohmann::ordered_json& messages);
/// A text, tokens, or several of either (`several`): `input` is a string or an array.
ApiResult<std::vector<PromptInput>> ReadPromptInputs(const nlohmann::ordered_json& input,
                                                     const std::string& param, bool several);

}  // namespace tern::serve
