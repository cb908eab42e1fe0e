#include "infer/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "infer/embedding.h"
#include "infer/engine_loop.h"
#include "infer/stop_strings.h"

namespace tern {
namespace {

/// Beyond it a report is no longer a report.
constexpr int kMaxTopLogprobs = 1000;

Status CheckToken(const char* what, int32_t token, const Model& model) {
  if (token >= 0 && token < model.config().vocab) return OkStatus();
  return InvalidArgument(
      fmt::format("{} {} is outside the model's vocabulary of {}", what, token, model.config().vocab));
}

Status CheckTokens(const EngineRequest& request, const Model& model) {
  for (const int32_t token : request.prompt) TERN_RETURN_IF_ERROR(CheckToken("token", token, model));
  for (const int32_t token : request.sampling.banned)
    TERN_RETURN_IF_ERROR(CheckToken("banned: token", token, model));
  for (const auto& [token, bias] : request.sampling.logit_bias)
    TERN_RETURN_IF_ERROR(CheckToken("logit_bias: token", token, model));
  return OkStatus();
}

Status CheckBeginning(const EngineRequest& request, const Model& model) {
  if (!request.from) {
    return request.prompt.empty() ? InvalidArgument("a prompt needs at least one token") : OkStatus();
  }
  if (!(request.from->state.layout() == StateLayout(model.config())))
    return InvalidArgument("the state to go on from belongs to another model");
  for (const int32_t token : request.from->tokens)
    TERN_RETURN_IF_ERROR(CheckToken("a token of the state to go on from:", token, model));
  const size_t logits = request.from->logits.size();
  if (logits != 0 && logits != static_cast<size_t>(model.config().vocab))
    return InvalidArgument("the state to go on from has logits of another model");
  if (request.prompt.empty() && logits == 0)
    return InvalidArgument("the state to go on from has no logits: the prompt needs at least one token");
  if (request.prompt_logprobs)
    return InvalidArgument("log-probabilities of a prompt need all of it, not a state to go on from");
  return OkStatus();
}

Status CheckRequest(const EngineRequest& request, const Model& model, const EngineOptions& options) {
  TERN_RETURN_IF_ERROR(CheckBeginning(request, model));
  TERN_RETURN_IF_ERROR(CheckTokens(request, model));
  TERN_RETURN_IF_ERROR(Validate(request.sampling));
  TERN_RETURN_IF_ERROR(StopStrings::Make(request.generate.stop).status());
  if (request.generate.max_tokens < 0)
    return InvalidArgument(fmt::format("max_tokens is {}, expected 0 or more", request.generate.max_tokens));
  if (request.choices < 1 || request.choices > options.max_batch)
    return InvalidArgument(
        fmt::format("choices is {}, expected 1 to {}", request.choices, options.max_batch));
  if (request.top_logprobs < -1 || request.top_logprobs > kMaxTopLogprobs) {
    return InvalidArgument(
        fmt::format("top_logprobs is {}, expected -1 to {}", request.top_logprobs, kMaxTopLogprobs));
  }
  return OkStatus();
}

}  // namespace

Engine::Engine(std::shared_ptr<const Model> model, std::shared_ptr<const Tokenizer> tokenizer,
               std::shared_ptr<StateCache> cache, const EngineOptions& options)
    : loop_(std::make_unique<Loop>(std::move(model), std::move(tokenizer), std::move(cache), options)) {}
Engine::~Engine() = default;

Result<std::shared_ptr<EngineTask>> Engine::NewTask(EngineRequest request,
                                                    std::shared_ptr<EngineListener> listener) const {
  if (!listener) return InvalidArgument("a request needs a listener");
  TERN_RETURN_IF_ERROR(CheckRequest(request, model(), options()));
  auto task = std::make_shared<EngineTask>();
  if (request.from) task->text = request.from->tokens;
  task->text.insert(task->text.end(), request.prompt.begin(), request.prompt.end());
  request.prompt = {};
  task->request = std::move(request);
  task->listener = std::move(listener);
  return task;
}

Result<std::shared_ptr<EngineTask>> Engine::NewTask(const std::string& owner,
                                                    const std::vector<int32_t>& tokens,
                                                    std::function<void(EmbeddingResult)> done) const {
  if (!done) return InvalidArgument("an embedding needs somebody to take it");
  if (tokens.empty()) return InvalidArgument("a text to embed needs at least one token");
  auto task = std::make_shared<EngineTask>();
  task->request = {.owner = owner, .cache = false};
  task->text = EmbeddingText(tokens, tokenizer());
  task->pooled = static_cast<int64_t>(tokens.size());
  for (const int32_t token : task->text) TERN_RETURN_IF_ERROR(CheckToken("token", token, model()));
  task->embedded = std::move(done);
  return task;
}

Result<Engine::Ticket> Engine::Submit(EngineRequest request, std::shared_ptr<EngineListener> listener) {
  TERN_ASSIGN_OR_RETURN(auto task, NewTask(std::move(request), std::move(listener)));
  return loop_->Submit(std::move(task));
}

Result<std::vector<Engine::Ticket>> Engine::SubmitAll(std::vector<EngineCall> calls) {
  EngineQueue::Tasks tasks;
  for (EngineCall& call : calls) {
    TERN_ASSIGN_OR_RETURN(auto task, NewTask(std::move(call.request), std::move(call.listener)));
    if (!tasks.empty() && task->request.owner != tasks.front()->request.owner)
      return InvalidArgument("the requests of a list need one owner");
    tasks.push_back(std::move(task));
  }
  return loop_->SubmitAll(std::move(tasks));
}

void Engine::Cancel(Ticket ticket) { loop_->Cancel(ticket); }

Result<Engine::Ticket> Engine::Embed(std::string owner, std::vector<int32_t> tokens,
                                     std::function<void(EmbeddingResult)> done) {
  TERN_ASSIGN_OR_RETURN(auto task, NewTask(owner, tokens, std::move(done)));
  return loop_->Submit(std::move(task));
}

Result<std::vector<Engine::Ticket>> Engine::EmbedAll(
    const std::string& owner, std::vector<std::vector<int32_t>> texts,
    const std::function<void(size_t, EmbeddingResult)>& done) {
  if (!done) return InvalidArgument("an embedding needs somebody to take it");
  EngineQueue::Tasks tasks;
  for (size_t i = 0; i < texts.size(); ++i) {
    auto tell = [done, i](EmbeddingResult result) { done(i, std::move(result)); };
    TERN_ASSIGN_OR_RETURN(auto task, NewTask(owner, texts[i], std::move(tell)));
    tasks.push_back(std::move(task));
  }
  return loop_->SubmitAll(std::move(tasks));
}

bool Engine::Drain(std::chrono::steady_clock::time_point deadline) { return loop_->Drain(deadline); }
EngineStats Engine::stats() const { return loop_->stats(); }
const Model& Engine::model() const { return loop_->model(); }
const Tokenizer& Engine::tokenizer() const { return loop_->tokenizer(); }
const EngineOptions& Engine::options() const { return loop_->options(); }

}  // namespace tern
