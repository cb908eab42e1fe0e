#include "serve/tokenizer_api.h"

#include <string>
#include <string_view>
#include <utility>

#include "serve/answer_fields.h"
#include "serve/answer_job.h"
#include "serve/handler.h"
#include "serve/openai_fields.h"
#include "serve/request_values.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 inlines one half of Asio's allocation of coroutines and misses the other.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace tern::serve {
namespace {

using nlohmann::ordered_json;

/// The name of the token that ends a document. The token itself has no text.
constexpr std::string_view kEndName = "<|endoftext|>";

/// The tokens of a text in which kEndName stands for the token that ends a document.
std::vector<int32_t> EncodeWithEnds(const Tokenizer& tokenizer, std::string_view text) {
  const int32_t end = tokenizer.end_of_document();
  if (end < 0) return tokenizer.Encode(text);
  std::vector<int32_t> tokens;
  for (;;) {
    const size_t at = text.find(kEndName);
    const std::vector<int32_t> part = tokenizer.Encode(text.substr(0, at));
    tokens.insert(tokens.end(), part.begin(), part.end());
    if (at == std::string_view::npos) return tokens;
    tokens.push_back(end);
    text.remove_prefix(at + kEndName.size());
  }
}

/// The text of tokens, in which kEndName stands for the token that ends a document.
std::string DecodeWithEnds(const Tokenizer& tokenizer, const std::vector<int32_t>& tokens) {
  std::string text;
  for (const int32_t token : tokens)
    text += token == tokenizer.end_of_document() ? kEndName : tokenizer.TokenBytes(token);
  return text;
}

ApiResult<std::vector<int32_t>> TokensOf(const ServedModel& model, const ordered_json& body) {
  if (body.contains("prompt") == body.contains("messages"))
    return BadRequest("prompt", "give a text (prompt) or a conversation (messages)");
  if (body.contains("prompt")) {
    if (body.contains("add_generation_prompt"))
      return BadRequest("add_generation_prompt", "add_generation_prompt is for messages");
    return EncodeWithEnds(model.tokenizer(), body["prompt"].get_ref<const std::string&>());
  }
  TERN_ASSIGN_OR_RETURN(const auto messages, ReadMessages(body["messages"]));
  return ConversationTokens(model, model.chat(), messages, /*tools=*/nullptr, /*place=*/nullptr,
                            body.value("add_generation_prompt", true));
}

ApiResult<ordered_json> TokenizeAtRoot(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const ordered_json body, ReadRequest(request, RootTokenizeFields()));
  TERN_ASSIGN_OR_RETURN(const auto model, host.Find(TextOf(body, "model")));
  TERN_ASSIGN_OR_RETURN(const auto tokens, TokensOf(*model, body));
  ordered_json answer;
  answer["count"] = tokens.size();
  // A recurrent model has no limit; vLLM's clients expect a number.
  answer["max_model_len"] = static_cast<int64_t>(kMaxTokens);
  answer["tokens"] = tokens;
  answer["token_strs"] = nullptr;
  if (!FlagOf(body, "return_token_strs")) return answer;
  answer["token_strs"] = ordered_json::array();
  for (const int32_t token : tokens)
    answer["token_strs"].push_back(DecodeWithEnds(model->tokenizer(), {token}));
  return answer;
}

ApiResult<ordered_json> DetokenizeAtRoot(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const ordered_json body, ReadRequest(request, RootDetokenizeFields()));
  TERN_ASSIGN_OR_RETURN(const auto model, host.Find(TextOf(body, "model")));
  std::vector<int32_t> tokens;
  if (!body["tokens"].empty()) {
    TERN_ASSIGN_OR_RETURN(const auto inputs, ReadPromptInputs(body["tokens"], "tokens", /*several=*/false));
    TERN_ASSIGN_OR_RETURN(
        tokens,
        CheckTokens(model->model(), PromptTokens(model->tokenizer(), inputs.front(), true), "tokens"));
  }
  ordered_json answer;
  answer["prompt"] = DecodeWithEnds(model->tokenizer(), tokens);
  return answer;
}

/// What a Hugging Face tokenizer_config.json would hold. No Jinja template: the service writes conversations.
ApiResult<ordered_json> DescribeTokenizer(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const auto model, host.Find(request.Query("model")));
  const Tokenizer& tokenizer = model->tokenizer();
  const ordered_json end = tokenizer.end_of_document() < 0 ? ordered_json() : ordered_json(kEndName);
  ordered_json info;
  info["tokenizer_class"] = tokenizer.name();
  info["vocab_size"] = tokenizer.vocab_size();
  info["bos_token"] = end;  // documents begin after the token that ends them
  info["eos_token"] = end;
  info["pad_token"] = end;
  info["add_bos_token"] = false;
  info["chat_template"] = nullptr;
  return info;
}

template <ApiResult<ordered_json> (*Make)(const HttpRequest&, const ModelHost&)>
Task<void> AnswerWith(ServiceContext& context, Exchange& exchange) {
  return Answer(context, exchange, exchange.request().body.size() > kLightBody,
                [&context](const HttpRequest& request) { return Make(request, context.host); });
}

}  // namespace

std::vector<Route> TokenizerRoutes(const std::shared_ptr<ServiceContext>& context) {
  return {
      MakeRoute(context, "POST", "/tokenize", AnswerWith<TokenizeAtRoot>),
      MakeRoute(context, "POST", "/detokenize", AnswerWith<DetokenizeAtRoot>),
      MakeRoute(context, "GET", "/tokenizer_info", AnswerWith<DescribeTokenizer>),
  };
}

}  // namespace tern::serve
