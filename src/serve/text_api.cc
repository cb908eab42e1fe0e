#include "serve/text_api.h"

#include <optional>
#include <utility>

#include "serve/answer_job.h"
#include "serve/answer_runner.h"
#include "serve/handler.h"
#include "serve/openai_fields.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 inlines one half of Asio's allocation of coroutines and misses the other.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace tern::serve {
namespace {

using nlohmann::ordered_json;

// ---- Answers

/// What takes no more than a millisecond to prepare needs no other thread.
bool IsHeavy(const HttpRequest& request) {
  // Words of the fields that need a grammar or a kept state.
  constexpr std::string_view kHeavy[] = {
      "grammar",   "format\"", "\"json_schema\"", "\"guided_", "\"structured_outputs\"",
      "\"regex\"", "\"ebnf\"", "\"tools\"",       "\"state\""};
  if (request.body.size() > kLightBody || !request.Header("x-session").empty()) return true;
  for (const std::string_view word : kHeavy) {
    if (request.body.find(word) != std::string::npos) return true;
  }
  return false;
}

using PrepareJob = ApiResult<AnswerJob> (*)(const HttpRequest&, const ModelHost&);

Task<void> AnswerPrompt(ServiceContext& context, Exchange& exchange, PrepareJob prepare) {
  if (context.stopping) co_return co_await SendError(exchange, Stopping());
  std::optional<ApiResult<AnswerJob>> job;
  if (IsHeavy(exchange.request())) {
    std::function<void()> work = [&] { job.emplace(prepare(exchange.request(), context.host)); };
    co_await context.preparing.Run(exchange.executor(), std::move(work));
  } else {
    job.emplace(prepare(exchange.request(), context.host));
  }
  if (!job->ok()) co_return co_await SendError(exchange, job->status());
  AnswerJob ready = std::move(**job);
  co_await RunJob(context, exchange, std::move(ready));
}

Task<void> Chat(ServiceContext& context, Exchange& exchange) {
  return AnswerPrompt(context, exchange, PrepareChat);
}
Task<void> Completions(ServiceContext& context, Exchange& exchange) {
  return AnswerPrompt(context, exchange, PrepareCompletion);
}

// ---- Tokens

ApiResult<ordered_json> TokenizeText(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const ordered_json body, ReadRequest(request, TokenizeFields()));
  TERN_ASSIGN_OR_RETURN(const auto model, host.Find(body.value("model", "")));
  const Tokenizer& tokenizer = model->tokenizer();
  ordered_json answer;
  answer["tokens"] = tokenizer.Encode(body["text"].get<std::string>());
  answer["pieces"] = ordered_json::array();
  for (const auto& token : answer["tokens"])
    answer["pieces"].push_back(tokenizer.TokenBytes(token.get<int32_t>()));
  return answer;
}

ApiResult<ordered_json> DetokenizeText(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const ordered_json body, ReadRequest(request, DetokenizeFields()));
  TERN_ASSIGN_OR_RETURN(const auto model, host.Find(body.value("model", "")));
  ordered_json answer;
  answer["text"] = "";
  if (body["tokens"].empty()) return answer;
  TERN_ASSIGN_OR_RETURN(auto inputs, ReadPromptInputs(body["tokens"], "tokens", /*several=*/false));
  TERN_ASSIGN_OR_RETURN(
      const auto tokens,
      CheckTokens(model->model(), PromptTokens(model->tokenizer(), inputs.front(), true), "tokens"));
  answer["text"] = model->tokenizer().Decode(tokens);
  return answer;
}

Task<void> Tokenize(ServiceContext& context, Exchange& exchange) {
  return Answer(context, exchange, exchange.request().body.size() > kLightBody,
                [&context](const HttpRequest& request) { return TokenizeText(request, context.host); });
}
Task<void> Detokenize(ServiceContext& context, Exchange& exchange) {
  return Answer(context, exchange, exchange.request().body.size() > kLightBody,
                [&context](const HttpRequest& request) { return DetokenizeText(request, context.host); });
}

}  // namespace

std::vector<Route> TextRoutes(const std::shared_ptr<ServiceContext>& context) {
  return {
      MakeRoute(context, "POST", "/v1/chat/completions", Chat),
      MakeRoute(context, "POST", "/v1/completions", Completions),
      MakeRoute(context, "POST", "/v1/tokenize", Tokenize),
      MakeRoute(context, "POST", "/v1/detokenize", Detokenize),
  };
}

}  // namespace tern::serve
