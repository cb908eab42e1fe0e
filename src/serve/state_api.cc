#include "serve/state_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "base/file.h"
#include "serve/answer_job.h"
#include "serve/handler.h"
#include "serve/openai_fields.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 inlines one half of Asio's allocation of coroutines and misses the other.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace tern::serve {
namespace {

using nlohmann::ordered_json;  // schemas mean the order of their properties

ordered_json DescribeState(const StateInfo& info, const std::string& model) {
  ordered_json description;
  description["id"] = info.id;
  description["object"] = "state";
  description["parent"] = info.parent.empty() ? ordered_json() : ordered_json(info.parent);
  description["note"] = info.note;
  description["tokens"] = info.tokens;
  description["bytes"] = info.bytes;
  description["created"] = info.created;
  description["used"] = info.used;
  description["in_memory"] = info.in_memory;
  description["evictable"] = info.evictable;
  description["model"] = model;
  return description;
}

/// A kept state and the model whose it is.
struct FoundState {
  std::shared_ptr<ServedModel> model = {};
  StateInfo info = {};
};

/// Among all models' states of this owner.
ApiResult<FoundState> FindState(const ModelHost& host, const HttpRequest& request) {
  const std::string& id = request.captures[0];
  for (const ModelEntry& entry : host.List()) {
    if (!entry.served) continue;
    auto info = entry.served->cache().Info(request.owner, id);
    if (info.ok()) return FoundState{entry.served, *info};
    if (info.status().code() != StatusCode::kNotFound) return StoreFault(info.status());
  }
  return StateError(NotFound("among all models"), "id");
}

// ---- Lists

/// The part of a list that a request asks for.
struct ListPart {
  std::optional<size_t> limit = {};  ///< none: all
  std::string after = {};            ///< the id of the state before the first one; empty: from the beginning
  bool all_owners = false;
};

ApiError WrongQuery(const char* name, std::string message) {
  ApiError error = BadRequest(name, std::move(message));
  error.code = "invalid_value";
  return error;
}

ApiResult<ListPart> ReadListPart(const HttpRequest& request) {
  ListPart part;
  for (const auto& [name, value] : request.query) {
    if (name == "limit") {
      int64_t limit = 0;
      const char* end = value.data() + value.size();
      const auto [stop, error] = std::from_chars(value.data(), end, limit);
      if (error != std::errc() || stop != end || limit < 1 || limit > kMaxStatesInAnswer) {
        return WrongQuery("limit",
                          fmt::format("limit must be a whole number from 1 to {}", kMaxStatesInAnswer));
      }
      part.limit = static_cast<size_t>(limit);
    } else if (name == "after") {
      if (value.empty()) return WrongQuery("after", "after must be the id of a state");
      part.after = value;
    } else if (name == "owners") {
      if (value != "all" && value != "own") return WrongQuery("owners", "owners must be own or all");
      part.all_owners = value == "all";
    }
  }
  return part;
}

/// A state and the name of its model.
using ListedState = std::pair<StateInfo, std::string>;

/// The states of all models that are loaded, in the order they were made. `owner`: null for all owners.
std::vector<ListedState> AllStates(const ModelHost& host, const std::string* owner) {
  std::vector<ListedState> states;
  std::set<const StateCache*> seen;  // two names of one file have one
  for (const ModelEntry& entry : host.List()) {
    if (!entry.served || !seen.insert(&entry.served->cache()).second) continue;
    StateCache& cache = entry.served->cache();
    for (StateInfo& info : owner == nullptr ? cache.ListAll() : cache.List(*owner)) {
      states.emplace_back(std::move(info), entry.source.name);
    }
  }
  // Of one cache they are in order; where two caches have states of the same second, the models' order holds.
  std::stable_sort(states.begin(), states.end(), [](const ListedState& a, const ListedState& b) {
    return a.first.created < b.first.created;
  });
  return states;
}

/// What an admin learns of any owner's state: enough to delete it, nothing of what was said.
ordered_json DescribeForAdmin(const ListedState& state) {
  ordered_json description = DescribeState(state.first, state.second);
  description.erase("note");
  description["owner"] = state.first.owner;
  return description;
}

ApiResult<ordered_json> ListStates(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const ListPart part, ReadListPart(request));
  if (part.all_owners && !request.admin) return AdminNeeded("owners");
  const std::vector<ListedState> states = AllStates(host, part.all_owners ? nullptr : &request.owner);
  auto first = states.begin();
  if (!part.after.empty()) {
    first =
        std::find_if(first, states.end(), [&](const auto& state) { return state.first.id == part.after; });
    if (first == states.end()) return StateError(NotFound("in the list"), "after");
    ++first;
  }
  const size_t left = static_cast<size_t>(states.end() - first);
  const size_t count = std::min(left, part.limit.value_or(left));
  ordered_json list;
  list["object"] = "list";
  list["data"] = ordered_json::array();
  for (auto it = first; it != first + static_cast<std::ptrdiff_t>(count); ++it) {
    list["data"].push_back(part.all_owners ? DescribeForAdmin(*it) : DescribeState(it->first, it->second));
  }
  const auto id_of = [](const ListedState& state) { return ordered_json(state.first.id); };
  list["first_id"] = count == 0 ? ordered_json() : id_of(first[0]);
  list["last_id"] = count == 0 ? ordered_json() : id_of(first[static_cast<std::ptrdiff_t>(count) - 1]);
  list["has_more"] = count < left;
  return list;
}

ApiResult<ordered_json> ShowState(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const FoundState found, FindState(host, request));
  auto place = found.model->cache().Fetch(request.owner, found.info.id);
  if (!place.ok()) return StateError(place.status(), "id");
  ordered_json description = DescribeState(found.info, found.model->name());
  description["token_count"] = found.info.tokens;
  description["tokens"] = (*place)->tokens;
  description["text"] = found.model->tokenizer().Decode((*place)->tokens);
  return description;
}

/// This owner's state, or for an admin any owner's.
ApiResult<FoundState> FindStateToDelete(const ModelHost& host, const HttpRequest& request) {
  auto own = FindState(host, request);
  if (own.ok() || !request.admin) return own;
  for (const ModelEntry& entry : host.List()) {
    if (!entry.served) continue;
    for (StateInfo& info : entry.served->cache().ListAll()) {
      if (info.id == request.captures[0]) return FoundState{entry.served, std::move(info)};
    }
  }
  return own;
}

ApiResult<ordered_json> DeleteState(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const FoundState found, FindStateToDelete(host, request));
  const Status deleted = found.model->cache().Delete(found.info.owner, found.info.id);
  if (!deleted.ok()) return StateError(deleted, "id");
  return ordered_json{{"id", found.info.id}, {"object", "state.deleted"}, {"deleted", true}};
}

/// A body that may be left out.
ApiResult<ordered_json> ReadOptionalBody(const HttpRequest& request, std::span<const Field> fields) {
  if (request.body.empty()) return ordered_json::object();
  return ReadRequest(request, fields);
}

ApiResult<ordered_json> SaveAs(const FoundState& parent, const std::string& owner,
                               std::shared_ptr<const KeptState> place, const std::string& note,
                               bool evictable) {
  StateCache& cache = parent.model->cache();
  auto saved = evictable ? cache.SaveEvictable(owner, std::move(place), parent.info.id, note)
                         : cache.Save(owner, std::move(place), parent.info.id, note);
  if (!saved.ok()) return StoreFault(saved.status());
  return DescribeState(*saved, parent.model->name());
}

/// The note of a state that is made of another one: the one that was asked for, else the other's. A session
/// has one state, which the session's next answer takes away, so a copy must not pass for it.
std::string CopyNote(const ordered_json& body, const StateInfo& parent) {
  const std::string note = body.value("note", parent.note);
  return IsSessionNote(note) ? "from " + note : note;
}

ApiResult<ordered_json> ForkState(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const ordered_json body, ReadOptionalBody(request, ForkFields()));
  TERN_ASSIGN_OR_RETURN(const FoundState found, FindState(host, request));
  auto place = found.model->cache().Fetch(request.owner, found.info.id);
  if (!place.ok()) return StateError(place.status(), "id");
  return SaveAs(found, request.owner, *place, CopyNote(body, found.info), body.value("evictable", false));
}

// ---- A state as a file

/// The file's bytes. Written to a temporary place first: the format's writer knows files alone.
Result<std::string> StateFile(const ServedModel& model, const KeptState& place, const std::string& note) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
  if (error) return IoError("there is no folder for temporary files: " + error.message());
  const std::string path = folder / NewId("tern-state-");
  const Status saved = SaveState({.state = place.state,
                                  .model_hash = model.model().Hash(),
                                  .tokens = place.tokens,
                                  .logits = place.logits,
                                  .note = note},
                                 path);
  Result<std::string> bytes = saved.ok() ? ReadFileToString(path) : Result<std::string>(saved);
  std::filesystem::remove(path, error);
  return bytes;
}

ApiResult<std::string> DownloadBytes(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const FoundState found, FindState(host, request));
  auto place = found.model->cache().Fetch(request.owner, found.info.id);
  if (!place.ok()) return StateError(place.status(), "id");
  auto bytes = StateFile(*found.model, **place, found.info.note);
  if (!bytes.ok()) return ServerFault(bytes.status());
  return *std::move(bytes);
}

Task<void> Download(ServiceContext& context, Exchange& exchange) {
  std::optional<ApiResult<std::string>> bytes;
  std::function<void()> work = [&] { bytes.emplace(DownloadBytes(exchange.request(), context.host)); };
  co_await context.preparing.Run(exchange.executor(), std::move(work));
  if (!bytes->ok()) co_return co_await SendError(exchange, bytes->status());
  HttpResponse response;
  response.content_type = "application/octet-stream";
  response.headers = {
      {"Content-Disposition", "attachment; filename=\"" + exchange.request().captures[0] + ".state\""}};
  response.body = *std::move(*bytes);
  const Status sent = co_await exchange.Send(std::move(response));
  static_cast<void>(sent);
}

// ---- Places that must be read

/// A text to read, and how to name the place at its end.
struct ReadingJob {
  FoundState parent = {};  ///< its model reads; its id is the new state's parent
  EngineRequest request = {};
  std::string note = {};
  bool evictable = false;
};

/// An answer of no tokens: reading the prompt is all that is wanted.
EngineRequest ReadOnly(std::string owner, std::vector<int32_t> tokens) {
  EngineRequest request;
  request.owner = std::move(owner);
  request.prompt = std::move(tokens);
  request.generate.max_tokens = 0;
  request.keep_states = true;
  return request;
}

ApiResult<std::vector<int32_t>> NewStateTokens(const ordered_json& body, const ServedModel& model,
                                               const KeptState* place) {
  if (body.contains("prompt") == body.contains("messages")) {
    return BadRequest("prompt", "give either prompt or messages");
  }
  if (body.contains("prompt")) {
    TERN_ASSIGN_OR_RETURN(const auto inputs, ReadPromptInputs(body["prompt"], "prompt", /*several=*/false));
    return CheckTokens(model.model(), PromptTokens(model.tokenizer(), inputs.front(), place != nullptr),
                       "prompt");
  }
  TERN_ASSIGN_OR_RETURN(const ChatTemplate chat, FindTemplate(model, body.value("template", "")));
  TERN_ASSIGN_OR_RETURN(const auto messages, ReadMessages(body["messages"]));
  return ConversationTokens(model, chat, messages, /*tools=*/nullptr, place, /*answer=*/false);
}

ApiResult<ReadingJob> PrepareNewState(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const ordered_json body, ReadRequest(request, NewStateFields()));
  ReadingJob job;
  job.note = body.value("note", "");
  job.evictable = body.value("evictable", false);
  if (IsSessionNote(job.note)) {
    return BadRequest("note", "note: what begins like this is the state of a session (X-Session)");
  }
  TERN_ASSIGN_OR_RETURN(job.parent.model, host.Find(body.value("model", "")));
  TERN_ASSIGN_OR_RETURN(const StartingPlace start,
                        FindPlace(*job.parent.model, request.owner, body.value("state", ""), /*session=*/""));
  job.parent.info.id = start.id;
  TERN_ASSIGN_OR_RETURN(auto tokens, NewStateTokens(body, *job.parent.model, start.place.get()));
  job.request = ReadOnly(request.owner, std::move(tokens));
  job.request.from = start.place;
  return job;
}

ApiResult<ReadingJob> PrepareRollback(const HttpRequest& request, const ModelHost& host) {
  TERN_ASSIGN_OR_RETURN(const ordered_json body, ReadRequest(request, RollbackFields()));
  ReadingJob job;
  TERN_ASSIGN_OR_RETURN(job.parent, FindState(host, request));
  const auto count = static_cast<int64_t>(body["tokens"].get<double>());
  if (count > job.parent.info.tokens) {
    return BadRequest("tokens", fmt::format("tokens: this state has read only {}", job.parent.info.tokens));
  }
  auto place = job.parent.model->cache().Fetch(request.owner, job.parent.info.id);
  if (!place.ok()) return StateError(place.status(), "id");
  const auto& tokens = (*place)->tokens;
  job.request = ReadOnly(request.owner, {tokens.begin(), tokens.begin() + count});
  job.note = CopyNote(body, job.parent.info);
  job.evictable = body.value("evictable", false);
  return job;
}

/// Where reading ended, or why it did not.
Task<ApiResult<std::shared_ptr<const KeptState>>> ReadPlace(const ServiceContext& context, Exchange& exchange,
                                                            const FoundState& parent, EngineRequest request) {
  const auto stream = std::make_shared<AnswerStream>(exchange.executor());
  auto ticket = parent.model->engine().Submit(std::move(request), stream->Listener(0, 0));
  if (!ticket.ok()) co_return context.stopping ? Stopping() : ToApiError(ticket.status());
  exchange.OnGone([model = parent.model, id = *ticket] { model->engine().Cancel(id); });
  for (;;) {
    const AnswerEvents news = co_await stream->Next();
    if (news.ends.empty()) continue;
    const AnswerEnd& end = news.ends.front();
    if (const auto failure = Failure(end)) co_return *failure;
    if (!end.state) co_return ToApiError(Cancelled("reading was stopped"));
    co_return end.state;
  }
}

Task<void> ReadAndSave(ServiceContext& context, Exchange& exchange,
                       ApiResult<ReadingJob> (*prepare)(const HttpRequest&, const ModelHost&)) {
  std::optional<ApiResult<ReadingJob>> job;
  std::function<void()> work = [&] { job.emplace(prepare(exchange.request(), context.host)); };
  co_await context.preparing.Run(exchange.executor(), std::move(work));
  if (!job->ok()) co_return co_await SendError(exchange, job->status());
  ReadingJob& ready = **job;
  auto place = co_await ReadPlace(context, exchange, ready.parent, std::move(ready.request));
  if (exchange.gone()) co_return;
  if (!place.ok()) co_return co_await SendError(exchange, place.status());
  co_await Answer(context, exchange, /*aside=*/true, [&](const HttpRequest& request) {
    return SaveAs(ready.parent, request.owner, *place, ready.note, ready.evictable);
  });
}

// ---- Handlers

template <ApiResult<ordered_json> (*Make)(const HttpRequest&, const ModelHost&)>
Task<void> AnswerAside(ServiceContext& context, Exchange& exchange) {
  return Answer(context, exchange, /*aside=*/true,
                [&context](const HttpRequest& request) { return Make(request, context.host); });
}

Task<void> NewState(ServiceContext& context, Exchange& exchange) {
  return ReadAndSave(context, exchange, PrepareNewState);
}
Task<void> Rollback(ServiceContext& context, Exchange& exchange) {
  return ReadAndSave(context, exchange, PrepareRollback);
}

}  // namespace

std::vector<Route> StateRoutes(const std::shared_ptr<ServiceContext>& context) {
  return {
      MakeRoute(context, "GET", "/v1/states", AnswerAside<ListStates>),
      MakeRoute(context, "POST", "/v1/states", NewState),
      MakeRoute(context, "GET", "/v1/states/{id}", AnswerAside<ShowState>),
      MakeRoute(context, "DELETE", "/v1/states/{id}", AnswerAside<DeleteState>),
      MakeRoute(context, "GET", "/v1/states/{id}/file", Download),
      MakeRoute(context, "POST", "/v1/states/{id}/fork", AnswerAside<ForkState>),
      MakeRoute(context, "POST", "/v1/states/{id}/rollback", Rollback),
  };
}

}  // namespace tern::serve
