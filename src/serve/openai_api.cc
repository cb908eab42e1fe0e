#include "serve/openai_api.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <cstring>
#include <map>
#include <utility>

#include "serve/event_stream.h"
#include "serve/openai_fields.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 inlines one half of Asio's allocation of coroutines and misses the other.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace tern::serve {

using json = nlohmann::ordered_json;  // schemas mean the order of their properties
using nlohmann::ordered_json;

namespace {

/// Bodies up to this size are read on the connection's own thread.
constexpr size_t kLightBody = 16 << 10;

/// What takes no more than a millisecond to prepare needs no other thread.
bool IsHeavy(const HttpRequest& request) {
  constexpr std::string_view kHeavy[] = {"\"grammar\"", "\"response_format\"", "\"tools\"", "\"state\""};
  if (request.body.size() > kLightBody || !request.Header("x-session").empty()) return true;
  for (const std::string_view word : kHeavy) {
    if (request.body.find(word) != std::string::npos) return true;
  }
  return false;
}

ApiError Stopping() {
  return {.status = 503,
          .message = "the service is stopping",
          .type = "server_error",
          .param = {},
          .code = "stopping"};
}

/// An answer that ended before its time, as an error; nothing where it ended well.
std::optional<ApiError> Failure(const AnswerEnd& end) {
  if (end.status.code() == StatusCode::kUnavailable ||
      (end.status.ok() && end.reason == StopReason::kCancelled)) {
    return Stopping();
  }
  if (!end.status.ok()) return ToApiError(end.status);
  return std::nullopt;
}

/// One job on its way: what is open, and what the client has got.
class Runner {
 public:
  Runner(ServiceContext& context, Exchange& exchange, AnswerJob job)
      : context_(context), exchange_(exchange), job_(std::move(job)) {}

  Task<void> Run() {
    std::optional<ApiError> error = Submit();
    if (error) co_return co_await SendError(exchange_, *error);
    while (open_ > 0 && !error && !exchange_.gone()) {
      AnswerEvents news = co_await stream_->Next();
      std::string events;
      error = co_await Take(std::move(news), &events);
      if (error || exchange_.gone()) break;
      if (!job_.stream || events.empty()) continue;
      const bool written = co_await Write(events);
      if (!written) break;
    }
    Log();
    if (error || open_ > 0) Cancel();
    if (exchange_.gone() && !begun_) co_return;
    co_await Finish(error);
  }

 private:
  std::optional<ApiError> Submit() {
    stream_ = std::make_shared<AnswerStream>(exchange_.executor());
    int first = 0;
    for (size_t i = 0; i < job_.requests.size(); ++i) {
      const int choices = job_.requests[i].choices;
      auto ticket = job_.model->engine().Submit(std::move(job_.requests[i]),
                                                stream_->Listener(static_cast<int>(i), first));
      if (!ticket.ok()) {
        Cancel();
        return context_.stopping ? Stopping() : ToApiError(ticket.status());
      }
      tickets_.push_back(*ticket);
      first += choices;
      open_ += choices;
    }
    exchange_.OnGone([model = job_.model, tickets = tickets_, stream = stream_] {
      for (const Engine::Ticket ticket : tickets) model->engine().Cancel(ticket);
    });
    return std::nullopt;
  }

  void Cancel() {
    for (const Engine::Ticket ticket : tickets_) job_.model->engine().Cancel(ticket);
  }

  Task<std::optional<ApiError>> Take(AnswerEvents news, std::string* events) {
    for (const auto& prompt : news.prompts) job_.writer->OnPrompt(prompt.number, prompt.read, events);
    for (const AnswerPiece& piece : news.pieces) job_.writer->OnPiece(piece, events);
    for (const AnswerEnd& end : news.ends) {
      --open_;
      if (auto failure = Failure(end)) co_return failure;
      std::string id;
      if (job_.keep_state && end.state) {
        ApiResult<std::string> kept = co_await Keep(end.state);
        if (!kept.ok()) co_return kept.status();
        id = *kept;
      }
      job_.writer->OnEnd(end, id, events);
    }
    co_return std::nullopt;
  }

  /// Gives the place a name, and takes the session's old one away.
  Task<ApiResult<std::string>> Keep(std::shared_ptr<const KeptState> state) {
    const std::string& session = job_.session.name();
    std::optional<Result<StateInfo>> saved;
    std::function<void()> save = [&] {
      StateCache& cache = job_.model->cache();
      const std::string parent = session.empty() ? job_.parent : std::string();
      saved = cache.Save(job_.owner, state, parent, session.empty() ? std::string() : SessionNote(session));
      if (saved->ok() && !session.empty() && !job_.parent.empty()) {
        static_cast<void>(cache.Delete(job_.owner, job_.parent));  // the new one is newer: it counts
      }
    };
    co_await context_.preparing.Run(exchange_.executor(), std::move(save));
    if (!saved->ok()) co_return ToApiError(saved->status(), "keep_state");
    co_return (*saved)->id;
  }

  Task<bool> Write(std::string_view events) {
    if (!begun_) {
      begun_ = true;
      EventStream head(exchange_);
      const Status begun = co_await head.Begin();
      if (!begun.ok()) co_return false;
    }
    const Status written = co_await exchange_.Write(events);
    co_return written.ok();
  }

  Task<void> Finish(const std::optional<ApiError>& error) {
    if (!begun_ && error) co_return co_await SendError(exchange_, *error);
    if (!job_.stream) {
      HttpResponse response;
      response.body = job_.writer->Whole();
      const Status sent = co_await exchange_.Send(std::move(response));
      static_cast<void>(sent);
      co_return;
    }
    std::string last;
    if (error) {
      last = ErrorEvent(*error);
    } else if (open_ == 0) {
      job_.writer->OnFinish(&last);
    }
    if (last.empty()) co_return;
    const bool written = co_await Write(last);
    if (!written) co_return;
    const Status ended = co_await exchange_.End();
    static_cast<void>(ended);
  }

  void Log() {
    exchange_.Log("model", job_.model->name());
    exchange_.Log("prompt_tokens", std::to_string(job_.writer->prompt_tokens()));
    exchange_.Log("cached_tokens", std::to_string(job_.writer->cached_tokens()));
    exchange_.Log("completion_tokens", std::to_string(job_.writer->completion_tokens()));
  }

  ServiceContext& context_;
  Exchange& exchange_;
  AnswerJob job_;
  std::shared_ptr<AnswerStream> stream_;
  std::vector<Engine::Ticket> tickets_;
  int open_ = 0;  // choices that have not ended
  bool begun_ = false;
};

using Prepare = ApiResult<AnswerJob> (*)(const HttpRequest&, const ModelHost&);

Task<void> AnswerPrompt(ServiceContext& context, Exchange& exchange, Prepare prepare) {
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

// ---- Embeddings

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

ApiResult<EmbeddingJob> PrepareEmbeddings(const HttpRequest& http, const ModelHost& host) {
  EmbeddingJob job;
  TERN_ASSIGN_OR_RETURN(job.request, ReadEmbeddingRequest(http));
  TERN_ASSIGN_OR_RETURN(job.model, host.Find(job.request.model));
  for (const PromptInput& input : job.request.inputs) {
    std::vector<int32_t> tokens = PromptTokens(job.model->tokenizer(), input, /*continues=*/true);
    if (tokens.empty()) return BadRequest("input", "input must not hold an empty text");
    TERN_ASSIGN_OR_RETURN(tokens, CheckTokens(job.model->model(), std::move(tokens), "input"));
    job.inputs.push_back(std::move(tokens));
  }
  return job;
}

/// Hands all texts to the engine.
Status SubmitEmbeddings(EmbeddingJob* job, const std::string& owner,
                        const std::shared_ptr<EmbeddingResults>& results) {
  for (size_t i = 0; i < job->inputs.size(); ++i) {
    auto ticket =
        job->model->engine().Embed(owner, std::move(job->inputs[i]), [results, i](EmbeddingResult result) {
          {
            const std::lock_guard lock(results->mutex);
            results->results[i] = std::move(result);
            ++results->done;
          }
          results->bell.Ring();
        });
    TERN_RETURN_IF_ERROR(ticket.status());
  }
  return OkStatus();
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
  const Status submitted = SubmitEmbeddings(&job, exchange.request().owner, results);
  if (!submitted.ok()) co_return co_await SendError(exchange, ToApiError(submitted));
  const bool all = co_await AwaitEmbeddings(exchange, results);
  if (!all) co_return;
  exchange.Log("model", job.model->name());
  for (const EmbeddingResult& result : results->results) {
    if (!result.status.ok()) co_return co_await SendError(exchange, ToApiError(result.status));
  }
  co_await SendJson(exchange, EmbeddingsJson(job, results->results));
}

// ---- Models

std::string TypeOfWeights(const Model& model) {
  std::map<std::string_view, size_t> bytes;
  for (const CheckpointTensor& tensor : model.checkpoint().tensors())
    bytes[Name(tensor.dtype)] += tensor.bytes.size();
  std::string_view most;
  for (const auto& [name, size] : bytes) {
    if (most.empty() || size > bytes[most]) most = name;
  }
  return std::string(most);
}

const ModelEntry* FindEntry(const std::vector<ModelEntry>& entries, const std::string& name) {
  for (const ModelEntry& entry : entries) {
    if (entry.source.name == name) return &entry;
  }
  return nullptr;
}

ApiResult<ordered_json> OneModel(const ModelHost& host, const std::string& name) {
  const std::vector<ModelEntry> entries = host.List();
  const ModelEntry* entry = FindEntry(entries, name);
  if (entry != nullptr) return DescribeModel(*entry);
  ApiError error = BadRequest("model", "there is no model of this name: GET /v1/models lists them");
  error.status = 404;
  error.code = "model_not_found";
  return error;
}

Task<void> ListModels(ServiceContext& context, Exchange& exchange) {
  ordered_json list;
  list["object"] = "list";
  list["data"] = ordered_json::array();
  for (const ModelEntry& entry : context.host.List()) list["data"].push_back(DescribeModel(entry));
  co_await SendJson(exchange, list);
}

Task<void> GetModel(ServiceContext& context, Exchange& exchange) {
  return Answer(context, exchange, /*aside=*/false, [&context](const HttpRequest& request) {
    return OneModel(context.host, request.captures[0]);
  });
}

Task<void> ChangeModel(ServiceContext& context, Exchange& exchange, bool load) {
  if (context.stopping) co_return co_await SendError(exchange, Stopping());
  const std::string name = exchange.request().captures[0];
  Status status;
  std::function<void()> work = [&] {
    constexpr std::chrono::seconds kGrace{30};
    status =
        load ? context.host.Load(name) : context.host.Unload(name, std::chrono::steady_clock::now() + kGrace);
  };
  co_await context.loading.Run(exchange.executor(), std::move(work));
  if (!status.ok()) {
    ApiError error = ToApiError(status, "model");
    if (status.code() == StatusCode::kUnavailable) error.status = 503;
    co_return co_await SendError(exchange, error);
  }
  const ApiResult<ordered_json> model = OneModel(context.host, name);
  if (!model.ok()) co_return co_await SendError(exchange, model.status());
  co_await SendJson(exchange, *model);
}

Task<void> LoadModel(ServiceContext& context, Exchange& exchange) {
  return ChangeModel(context, exchange, true);
}
Task<void> UnloadModel(ServiceContext& context, Exchange& exchange) {
  return ChangeModel(context, exchange, false);
}

// ---- Tokens

ApiResult<ordered_json> TokenizeText(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const json body, ReadRequest(request, TokenizeFields()));
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
  TERN_ASSIGN_OR_RETURN(const json body, ReadRequest(request, DetokenizeFields()));
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

ordered_json DescribeModel(const ModelEntry& entry) {
  ordered_json description;
  description["id"] = entry.source.name;
  description["object"] = "model";
  description["created"] = entry.served ? entry.served->loaded_at() : 0;
  description["owned_by"] = "tern";
  ordered_json& tern = description["tern"];
  tern["loaded"] = entry.served != nullptr;
  tern["path_name"] = entry.source.path.substr(entry.source.path.find_last_of('/') + 1);
  if (!entry.served) return description;
  const Model& model = entry.served->model();
  const Footprint& footprint = model.footprint();
  tern["generation"] = Name(model.config().generation);
  tern["layers"] = model.config().layers;
  tern["width"] = model.config().width;
  tern["vocabulary"] = model.config().vocab;
  tern["type"] = TypeOfWeights(model);
  tern["parameters"] = footprint.parameters;
  tern["weight_bytes"] = footprint.weight_bytes;
  tern["memory_bytes"] = footprint.memory_bytes;
  tern["state_bytes"] = footprint.state_bytes;
  tern["tokenizer"] = entry.served->tokenizer().name();
  tern["template"] = entry.served->chat().name;
  tern["loaded_at"] = entry.served->loaded_at();
  return description;
}

Task<void> RunJob(ServiceContext& context, Exchange& exchange, AnswerJob job) {
  Runner runner(context, exchange, std::move(job));
  co_await runner.Run();
}

Route MakeRoute(const std::shared_ptr<ServiceContext>& context, std::string method, std::string pattern,
                Task<void> (*handler)(ServiceContext&, Exchange&), Access access) {
  return {.method = std::move(method),
          .pattern = std::move(pattern),
          .access = access,
          .handler = [context, handler](Exchange& exchange) { return handler(*context, exchange); }};
}

Task<void> Answer(ServiceContext& context, Exchange& exchange, bool aside,
                  std::function<ApiResult<ordered_json>(const HttpRequest&)> make) {
  std::optional<ApiResult<ordered_json>> made;
  std::function<void()> work = [&] { made.emplace(make(exchange.request())); };
  if (aside) {
    co_await context.preparing.Run(exchange.executor(), std::move(work));
  } else {
    work();
  }
  if (!made->ok()) co_return co_await SendError(exchange, made->status());
  co_await SendJson(exchange, **made);
}

Task<void> SendError(Exchange& exchange, const ApiError& error) {
  const Status sent = co_await exchange.Send(ToResponse(error));
  static_cast<void>(sent);  // a client that has gone needs no answer
}

Task<void> SendJson(Exchange& exchange, const ordered_json& document) {
  HttpResponse response;
  response.body = Dump(document);
  const Status sent = co_await exchange.Send(std::move(response));
  static_cast<void>(sent);
}

std::vector<Route> OpenAiRoutes(const std::shared_ptr<ServiceContext>& context) {
  return {
      MakeRoute(context, "GET", "/v1/models", ListModels),
      MakeRoute(context, "GET", "/v1/models/{id}", GetModel),
      MakeRoute(context, "POST", "/v1/models/{id}/load", LoadModel),
      MakeRoute(context, "POST", "/v1/models/{id}/unload", UnloadModel),
      MakeRoute(context, "POST", "/v1/chat/completions", Chat),
      MakeRoute(context, "POST", "/v1/completions", Completions),
      MakeRoute(context, "POST", "/v1/embeddings", Embeddings),
      MakeRoute(context, "POST", "/v1/tokenize", Tokenize),
      MakeRoute(context, "POST", "/v1/detokenize", Detokenize),
  };
}

}  // namespace tern::serve
