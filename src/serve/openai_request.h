// What clients ask for, read from their JSON and checked.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "infer/sampler.h"
#include "serve/answer_constraint.h"
#include "serve/api_result.h"
#include "serve/chat_prompt.h"
#include "serve/thinking_request.h"

namespace tern::serve {

/// A text, or its tokens.
using PromptInput = std::variant<std::string, std::vector<int32_t>>;

/// What chat and completions share.
struct AnswerRequest {
  std::string model = {};
  SamplingOptions sampling = {};
  bool has_seed = false;
  int64_t max_tokens = 0;
  std::vector<std::string> stop = {};
  std::vector<int32_t> stop_tokens = {};
  bool ignore_end = false;  ///< go on after the end of a document
  int choices = 1;
  int top_logprobs = -1;  ///< −1: no log-probabilities
  bool stream = false, include_usage = false;
  std::string state = {};    ///< the id of the kept state to go on from
  std::string session = {};  ///< the name of the session to go on with (header X-Session)
  bool keep_state = false;
  bool evictable = false;  ///< the kept state may be forgotten when others need its memory or disk
  ConstraintText constraint = {};
};

struct ChatRequest : AnswerRequest {
  std::vector<ChatMessage> messages = {};
  std::vector<ChatTool> tools = {};
  ToolChoice tool_choice = {};
  std::string template_name = {};  ///< empty: the model's own
  ThinkingRequest thinking = {};
  bool parallel_calls = true;  ///< false: one call at most
};

struct CompletionRequest : AnswerRequest {
  std::vector<PromptInput> prompts = {};
  bool echo = false;
};

struct EmbeddingRequest {
  std::string model = {};
  std::vector<PromptInput> inputs = {};
  bool base64 = false;
  int64_t dimensions = 0;  ///< 0: the model's width
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
