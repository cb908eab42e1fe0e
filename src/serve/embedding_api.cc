#include "serve/embedding_api.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

#include "serve/answer_job.h"
#include "serve/answer_stream.h"
#include "serve/handler.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 inlines one half of Asio's allocation of coroutines and misses the other.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace tern::serve {
namespace {

using nlohmann::ordered_json;

std::string Base64(const std::vector<float>& vector) {
  static_assert(sizeof(float) == 4);
  const auto* bytes = reinterpret_cast<const unsigned char*>(vector.data());
  const size_t size = vector.size() * sizeof(float);
  std::string text(4 * ((size + 2) / 3) + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes, static_cast<int>(size));
  text.resize(static_cast<size_t>(length));
  return text;
}

/// What the engine's callbacks and the handler share. Not the model: its engine must not be let go of on its
/// own thread.
struct EmbeddingResults {
  EmbeddingResults(boost::asio::any_io_executor executor, size_t count)
      : bell(std::move(executor)), results(count) {}

  Bell bell;
  std::mutex mutex;
  std::vector<EmbeddingResult> results;
  size_t done = 0;
};

/// The texts of one request.
struct EmbeddingJob {
  std::shared_ptr<ServedModel> model = {};
  EmbeddingRequest request = {};
  std::vector<std::vector<int32_t>> inputs = {};
};

/// Vectors have the model's width and no other.
std::optional<ApiError> CheckWidth(int64_t dimensions, const ServedModel& model) {
  const int64_t width = model.model().config().width;
  if (dimensions == 0 || dimensions == width) return std::nullopt;
  ApiError error =
      BadRequest("dimensions", fmt::format("dimensions must be {}, the model's width: it was not "
                                           "trained for shortened vectors",
                                           width));
  error.code = "invalid_value";
  return error;
}

ApiResult<EmbeddingJob> PrepareEmbeddings(const HttpRequest& http, const ModelHost& host) {
  EmbeddingJob job;
  TERN_ASSIGN_OR_RETURN(job.request, ReadEmbeddingRequest(http));
  TERN_ASSIGN_OR_RETURN(job.model, host.Find(job.request.model));
  if (auto wrong = CheckWidth(job.request.dimensions, *job.model)) return *std::move(wrong);
  for (const PromptInput& input : job.request.inputs) {
    std::vector<int32_t> tokens = PromptTokens(job.model->tokenizer(), input, /*continues=*/true);
    if (tokens.empty()) return BadRequest("input", "input must not hold an empty text");
    TERN_ASSIGN_OR_RETURN(tokens, CheckTokens(job.model->model(), std::move(tokens), "input"));
    job.inputs.push_back(std::move(tokens));
  }
  return job;
}

/// Hands all texts to the engine.
Result<std::vector<Engine::Ticket>> SubmitEmbeddings(EmbeddingJob* job, const std::string& owner,
                                                     const std::shared_ptr<EmbeddingResults>& results) {
  return job->model->engine().EmbedAll(owner, std::move(job->inputs),
                                       [results](size_t i, EmbeddingResult result) {
                                         {
                                           const std::lock_guard lock(results->mutex);
                                           results->results[i] = std::move(result);
                                           ++results->done;
                                         }
                                         results->bell.Ring();
                                       });
}

ordered_json EmbeddingsJson(const EmbeddingJob& job, const std::vector<EmbeddingResult>& results) {
  ordered_json list;
  list["object"] = "list";
  list["data"] = ordered_json::array();
  int64_t tokens = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    ordered_json entry;
    entry["object"] = "embedding";
    entry["index"] = i;
    entry["embedding"] =
        job.request.base64 ? ordered_json(Base64(results[i].vector)) : ordered_json(results[i].vector);
    list["data"].push_back(std::move(entry));
    tokens += results[i].tokens;
  }
  list["model"] = job.model->name();
  list["usage"] = {{"prompt_tokens", tokens}, {"total_tokens", tokens}};
  return list;
}

/// Waits for all results; false when the client has gone.
Task<bool> AwaitEmbeddings(Exchange& exchange, std::shared_ptr<EmbeddingResults> results) {
  exchange.OnGone([results] { results->bell.Ring(); });
  for (;;) {
    if (exchange.gone()) co_return false;
    {
      const std::lock_guard lock(results->mutex);
      if (results->done == results->results.size()) co_return true;
    }
    co_await results->bell.Wait();
  }
}

Task<void> Embeddings(ServiceContext& context, Exchange& exchange) {
  if (context.stopping) co_return co_await SendError(exchange, Stopping());
  std::optional<ApiResult<EmbeddingJob>> prepared;
  std::function<void()> work = [&] { prepared.emplace(PrepareEmbeddings(exchange.request(), context.host)); };
  co_await context.preparing.Run(exchange.executor(), std::move(work));
  if (!prepared->ok()) co_return co_await SendError(exchange, prepared->status());
  EmbeddingJob job = std::move(**prepared);
  const auto results = std::make_shared<EmbeddingResults>(exchange.executor(), job.inputs.size());
  const auto tickets = SubmitEmbeddings(&job, exchange.request().owner, results);
  if (!tickets.ok()) {
    co_return co_await SendError(exchange, context.stopping ? Stopping() : ToApiError(tickets.status()));
  }
  const bool all = co_await AwaitEmbeddings(exchange, results);
  if (!all) {  // the client has gone
    for (const Engine::Ticket ticket : *tickets) job.model->engine().Cancel(ticket);
    co_return;
  }
  exchange.Log("model", job.model->name());
  for (const EmbeddingResult& result : results->results) {
    const auto failure = Failure({.status = result.status, .refused = result.refused});
    if (failure) co_return co_await SendError(exchange, *failure);
  }
  co_await SendJson(exchange, EmbeddingsJson(job, results->results));
}

}  // namespace

std::vector<Route> EmbeddingRoutes(const std::shared_ptr<ServiceContext>& context) {
  return {MakeRoute(context, "POST", "/v1/embeddings", Embeddings)};
}

}  // namespace tern::serve
