#include "serve/answer_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <optional>
#include <utility>

namespace tern::serve {
namespace {

/// Tokens from the end of a place that tell how its text ends.
constexpr size_t kTailTokens = 16;
/// What notes of sessions begin with, and no others.
constexpr std::string_view kSessionMark = "session: ";

AnswerHead Head(const ServedModel& model, std::string_view id, std::string object) {
  return {.id = NewId(id),
          .object = std::move(object),
          .model = model.name(),
          .fingerprint = model.fingerprint(),
          .created = std::time(nullptr)};
}

/// The model's template, with or without thinking as the request wants it, and ready for a constraint.
ApiResult<ChatTemplate> ChatTemplateFor(const ServedModel& model, const ChatRequest& request,
                                        bool constrained) {
  TERN_ASSIGN_OR_RETURN(ChatTemplate chat, FindTemplate(model, request.template_name));
  const bool thinks = !chat.think_end.empty();
  const ThinkingRequest& thinking = request.thinking;
  if (thinking.wanted && thinks) chat = *ParseTemplateName(*thinking.wanted ? "g1-think" : "g1");
  if (thinking.wanted.value_or(false) && !thinks && !thinking.hint) {
    return BadRequest("thinking", fmt::format("thinking: the template {} has no thoughts", chat.name));
  }
  if (constrained && thinks) {
    // The constraint is for all that is written, so the thought ends before it begins.
    chat.answer_opening = ParseTemplateName("g1")->answer_opening + ">\n";
  }
  return chat;
}

/// What a chat's answer must be: a call where one is required.
ConstraintText ChatConstraint(const ChatRequest& request) {
  using Kind = ToolChoice::Kind;
  if (request.tool_choice.kind != Kind::kRequired && request.tool_choice.kind != Kind::kNamed)
    return request.constraint;
  return {ConstraintText::Kind::kJsonSchema, ToolCallSchema(request.tools, request.tool_choice.name),
          "tools"};
}

/// Whether white space at the ends of such an answer counts.
bool IsPlainText(ConstraintText::Kind kind) {
  using Kind = ConstraintText::Kind;
  return kind == Kind::kGrammar || kind == Kind::kChoice || kind == Kind::kRegex;
}

/// Null where the answer may be anything.
ApiResult<std::shared_ptr<const TokenConstraint>> FindConstraint(ServedModel& model,
                                                                 const ConstraintText& constraint) {
  if (constraint.kind == ConstraintText::Kind::kNone) return std::shared_ptr<const TokenConstraint>();
  auto masks = model.grammars().Get(constraint.kind, constraint.text);
  // One that is too large is the client's mistake as well.
  if (!masks.ok()) return BadRequest(constraint.param, constraint.param + ": " + masks.status().message());
  return std::make_shared<const TokenConstraint>(*masks);
}

/// What ends an answer in this template. Only tokens end a constrained answer, as the mask allows them where it
/// is complete. A stop text could cut it anywhere.
void AddStops(const ChatTemplate& chat, const Tokenizer& tokenizer, GenerateOptions* generate) {
  if (!generate->constraint) generate->stop.insert(generate->stop.end(), chat.stop.begin(), chat.stop.end());
  if (chat.stop_token_text.empty()) return;
  const std::vector<int32_t> tokens = tokenizer.Encode(chat.stop_token_text);
  if (tokens.size() == 1) generate->stop_tokens.push_back(tokens.front());
}

EngineRequest NewEngineRequest(const AnswerRequest& request, const std::string& owner,
                               const StartingPlace& start) {
  EngineRequest engine;
  engine.owner = owner;
  engine.from = start.place;
  engine.sampling = request.sampling;
  engine.generate.max_tokens = request.max_tokens;
  engine.generate.stop = request.stop;
  engine.generate.stop_tokens = request.stop_tokens;
  engine.generate.ignore_end_of_document = request.ignore_end;
  engine.generate.keep_output = false;
  engine.choices = request.choices;
  engine.top_logprobs = request.top_logprobs;
  engine.keep_states = request.keep_state || !request.session.empty();
  return engine;
}

/// What the request's tables cannot know: the model's vocabulary and the engine's batch.
std::optional<ApiError> CheckForModel(const AnswerRequest& request, const ServedModel& model) {
  const int most = model.engine().options().max_batch;
  if (request.choices > most) {
    ApiError error = BadRequest("n", fmt::format("n must be from 1 to {}", most));
    error.code = "invalid_value";
    return error;
  }
  for (const auto& [token, bias] : request.sampling.logit_bias) {
    if (token < model.model().config().vocab) continue;
    return BadRequest("logit_bias", fmt::format("logit_bias: there is no token {}; the vocabulary has {}",
                                                token, model.model().config().vocab));
  }
  if (auto stops = CheckTokens(model.model(), request.stop_tokens, "stop_token_ids"); !stops.ok())
    return stops.status();
  return std::nullopt;
}

/// What chat and completions have in common, before the tokens.
ApiResult<AnswerJob> BeginJob(const AnswerRequest& request, const HttpRequest& http, const ModelHost& host,
                              StartingPlace* start) {
  AnswerJob job;
  TERN_ASSIGN_OR_RETURN(job.model, host.Find(request.model));
  if (auto wrong = CheckForModel(request, *job.model)) return *std::move(wrong);
  job.owner = http.owner;
  job.stream = request.stream;
  job.keep_state = request.keep_state || !request.session.empty();
  job.evictable = request.evictable;
  if (!request.session.empty()) {
    TERN_ASSIGN_OR_RETURN(job.session, SessionHold::Take(job.model, job.owner, request.session));
  }
  TERN_ASSIGN_OR_RETURN(*start, FindPlace(*job.model, job.owner, request.state, request.session));
  job.parent = start->id;
  return job;
}

}  // namespace

ApiResult<SessionHold> SessionHold::Take(std::shared_ptr<ServedModel> model, const std::string& owner,
                                         const std::string& name) {
  if (!model->EnterSession(owner, name)) {
    ApiError error = BadRequest("X-Session", "this session is still answering: wait for it, or stop it");
    error.status = 409;
    error.code = "session_busy";
    return error;
  }
  SessionHold hold;
  hold.model_ = std::move(model);
  hold.owner_ = owner;
  hold.name_ = name;
  return hold;
}

SessionHold& SessionHold::operator=(SessionHold&& other) noexcept {
  if (this == &other) return *this;
  Release();
  model_ = std::exchange(other.model_, nullptr);
  owner_ = std::move(other.owner_);
  name_ = std::move(other.name_);
  return *this;
}

void SessionHold::Release() {
  if (model_) model_->LeaveSession(owner_, name_);
  model_.reset();
}

ApiError StateError(const Status& status, std::string param) {
  if (status.code() != StatusCode::kNotFound) return StoreFault(status, std::move(param));
  ApiError error = BadRequest(std::move(param), "there is no such state");
  error.status = 404;
  error.code = "state_not_found";
  return error;
}

std::string SessionNote(const std::string& session) { return std::string(kSessionMark) + session; }
bool IsSessionNote(std::string_view note) { return note.starts_with(kSessionMark); }

ApiResult<StartingPlace> FindPlace(ServedModel& model, const std::string& owner, const std::string& state,
                                   const std::string& session) {
  StartingPlace start{.place = nullptr, .id = state};
  if (!session.empty()) {
    // The newest, should an older one have been left behind.
    StateInfo newest;
    for (const StateInfo& info : model.cache().List(owner)) {
      const bool newer = newest.id.empty() ||
                         std::pair(info.created, info.tokens) > std::pair(newest.created, newest.tokens);
      if (info.note == SessionNote(session) && newer) newest = info;
    }
    start.id = newest.id;
  }
  if (start.id.empty()) return start;
  auto place = model.cache().Fetch(owner, start.id);
  if (!place.ok()) return StateError(place.status(), "state");
  start.place = *place;
  return start;
}

ApiResult<ChatTemplate> FindTemplate(const ServedModel& model, const std::string& name) {
  if (name.empty()) return model.chat();
  auto chat = ParseTemplateName(name);
  if (!chat.ok()) return ToApiError(chat.status(), "template");
  return *chat;
}

std::vector<int32_t> ConversationTokens(const ServedModel& model, const ChatTemplate& chat,
                                        const std::vector<ChatMessage>& messages,
                                        const std::vector<ChatTool>* tools, const KeptState* place,
                                        bool answer) {
  std::string before;
  if (place != nullptr) {
    const size_t tail = std::min(place->tokens.size(), kTailTokens);
    before =
        model.tokenizer().Decode({place->tokens.end() - static_cast<ptrdiff_t>(tail), place->tokens.end()});
  }
  const ChatLayout layout{.tools = tools, .before = place != nullptr ? &before : nullptr, .answer = answer};
  std::vector<int32_t> tokens = EncodePieces(model.tokenizer(), ChatPieces(chat, messages, layout));
  if (tokens.empty() && place == nullptr) tokens = {FirstToken(model.tokenizer())};
  return tokens;
}

std::vector<int32_t> PromptTokens(const Tokenizer& tokenizer, const PromptInput& input, bool continues) {
  std::vector<int32_t> tokens = std::holds_alternative<std::string>(input)
                                    ? tokenizer.Encode(std::get<std::string>(input))
                                    : std::get<std::vector<int32_t>>(input);
  if (tokens.empty() && !continues) tokens = {FirstToken(tokenizer)};
  return tokens;
}

ApiResult<std::vector<int32_t>> CheckTokens(const Model& model, std::vector<int32_t> tokens,
                                            const std::string& param) {
  for (const int32_t token : tokens) {
    if (token >= 0 && token < model.config().vocab) continue;
    return BadRequest(param, fmt::format("{}: there is no token {}; the vocabulary has {}", param, token,
                                         model.config().vocab));
  }
  return tokens;
}

ApiResult<AnswerJob> PrepareChat(const HttpRequest& http, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const ChatRequest request, ReadChatRequest(http));
  StartingPlace start;
  TERN_ASSIGN_OR_RETURN(AnswerJob job, BeginJob(request, http, host, &start));
  TERN_ASSIGN_OR_RETURN(auto constraint, FindConstraint(*job.model, ChatConstraint(request)));
  TERN_ASSIGN_OR_RETURN(const ChatTemplate chat, ChatTemplateFor(*job.model, request, constraint != nullptr));
  const bool tools = request.tool_choice.kind != ToolChoice::Kind::kNone;
  EngineRequest engine = NewEngineRequest(request, job.owner, start);
  engine.prompt = ConversationTokens(*job.model, chat, request.messages, tools ? &request.tools : nullptr,
                                     start.place.get(), /*answer=*/true);
  engine.generate.constraint = constraint;
  engine.keep_before_end = !chat.answer_opening.empty();  // earlier answers stand without it
  AddStops(chat, job.model->tokenizer(), &engine.generate);
  const bool continued = request.messages.back().role == ChatMessage::Role::kAssistant;
  ChatTemplate shown = chat;
  if (IsPlainText(request.constraint.kind)) shown.clean = false;  // white space is part of such an answer
  job.writer = MakeChatWriter(Head(*job.model, "chatcmpl-", "chat.completion"), job.model->tokenizer(),
                              request, shown, continued || constraint ? "" : chat.answer_opening);
  job.requests.push_back(std::move(engine));
  return job;
}

ApiResult<AnswerJob> PrepareCompletion(const HttpRequest& http, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const CompletionRequest request, ReadCompletionRequest(http));
  StartingPlace start;
  TERN_ASSIGN_OR_RETURN(AnswerJob job, BeginJob(request, http, host, &start));
  TERN_ASSIGN_OR_RETURN(const auto constraint, FindConstraint(*job.model, request.constraint));
  const bool prompt_logprobs = request.echo && request.top_logprobs >= 0;
  if (prompt_logprobs && start.place) {
    return BadRequest("echo", "echo with logprobs needs the whole text, which a kept state does not have");
  }
  std::vector<std::vector<int32_t>> prompts;
  for (const PromptInput& input : request.prompts) {
    const Tokenizer& tokenizer = job.model->tokenizer();
    TERN_ASSIGN_OR_RETURN(
        auto tokens,
        CheckTokens(job.model->model(), PromptTokens(tokenizer, input, start.place != nullptr), "prompt"));
    prompts.push_back(PromptTokens(tokenizer, input, /*continues=*/true));
    EngineRequest engine = NewEngineRequest(request, job.owner, start);
    engine.prompt = std::move(tokens);
    engine.prompt_logprobs = prompt_logprobs;
    engine.generate.constraint = constraint;
    job.requests.push_back(std::move(engine));
  }
  job.writer = MakeCompletionWriter(Head(*job.model, "cmpl-", "text_completion"), job.model->tokenizer(),
                                    request, std::move(prompts));
  return job;
}

}  // namespace tern::serve
