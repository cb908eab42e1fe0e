#include "serve/model_host.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>

#include "base/log.h"
#include "infer/grammar.h"
#include "infer/json_schema.h"
#include "infer/plain_grammars.h"

namespace tern::serve {
namespace {

/// World has 65,529 tokens. A smaller vocabulary in its format was made for one text, not for conversations.
constexpr int32_t kWorldTokens = 65529;

/// Either name may say that the model is a G1.
ChatTemplate TemplateFor(const std::string& name, const ModelFiles& files) {
  if (files.tokenizer->name() == "world" && files.tokenizer->vocab_size() < kWorldTokens) {
    return *ParseTemplateName("none");
  }
  const std::filesystem::path path(files.model->checkpoint().source().path());
  return ChooseTemplate(Major(files.model->config().generation), files.tokenizer->name(),
                        name + " " + path.filename().string());
}

Result<std::shared_ptr<const Grammar>> CompileConstraint(ConstraintText::Kind kind, const std::string& text) {
  using Kind = ConstraintText::Kind;
  switch (kind) {
    case Kind::kJsonSchema:
      return JsonSchemaGrammar(text);
    case Kind::kGrammar:
      return ParseGrammar(text);
    case Kind::kChoice:
      return ChoiceGrammar(nlohmann::json::parse(text).get<std::vector<std::string>>());
    case Kind::kRegex:
      return RegexGrammar(text);
    case Kind::kNone:
    case Kind::kJsonObject:
      break;
  }
  return JsonObjectGrammar();
}

}  // namespace

Result<std::shared_ptr<TokenMasks>> GrammarShelf::Get(ConstraintText::Kind kind, const std::string& text) {
  const Key key(kind, text);
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(kept_.begin(), kept_.end(), [&](const auto& entry) { return entry.first == key; });
  if (found != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, found);
    return kept_.front().second;
  }
  TERN_ASSIGN_OR_RETURN(std::shared_ptr<TokenMasks> masks, Make(key));
  kept_.emplace_front(key, masks);
  if (kept_.size() > kKept) kept_.pop_back();
  return masks;
}

Result<std::shared_ptr<TokenMasks>> GrammarShelf::Make(const Key& key) {
  TERN_ASSIGN_OR_RETURN(auto grammar, CompileConstraint(key.first, key.second));
  if (!tree_) tree_ = std::make_shared<const TokenTree>(*tokenizer_);
  auto masks = std::make_shared<TokenMasks>(grammar, tree_);
  TERN_ASSIGN_OR_RETURN(const auto first, masks->Find(GrammarMatcher(grammar)));
  static_cast<void>(first);
  return masks;
}

ServedModel::ServedModel(std::string name, ModelFiles files, std::shared_ptr<StateCache> cache,
                         const EngineOptions& engine)
    : name_(std::move(name)),
      chat_(TemplateFor(name_, files)),
      cache_(std::move(cache)),
      grammars_(files.tokenizer),
      engine_(std::make_unique<Engine>(files.model, files.tokenizer, cache_, engine)),
      loaded_at_(std::time(nullptr)) {}

std::string ServedModel::fingerprint() const { return "tern_" + model().Hash().substr(0, 16); }

bool ServedModel::EnterSession(const std::string& owner, const std::string& name) {
  const std::lock_guard lock(mutex_);
  return busy_.emplace(owner, name).second;
}

void ServedModel::LeaveSession(const std::string& owner, const std::string& name) {
  const std::lock_guard lock(mutex_);
  busy_.erase({owner, name});
}

ModelHost::ModelHost(std::vector<ModelSource> sources, ModelLoader load, HostOptions options)
    : sources_(std::move(sources)), load_(std::move(load)), options_(std::move(options)) {
  if (sources_.empty()) return;
  options_.states.memory_bytes /= sources_.size();
  options_.states.disk_bytes /= sources_.size();
}

ModelSource* ModelHost::FindSource(std::string_view name) {
  const auto found = std::find_if(sources_.begin(), sources_.end(),
                                  [&](const ModelSource& source) { return source.name == name; });
  return found == sources_.end() ? nullptr : &*found;
}

Result<std::shared_ptr<StateCache>> ModelHost::CacheOf(const Model& model) {
  const std::string hash = model.Hash();
  const auto found = caches_.find(hash);
  if (found != caches_.end()) return found->second;
  TERN_ASSIGN_OR_RETURN(auto cache, options_.open_states(options_.states, model.config(), hash));
  caches_.emplace(hash, cache);
  return cache;
}

bool ModelHost::HasUser(const StateCache& cache) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(served_.begin(), served_.end(),
                     [&](const auto& entry) { return &entry.second->cache() == &cache; });
}

Status ModelHost::Load(std::string_view name) {
  const ModelSource* source = FindSource(name);
  if (source == nullptr) return NotFound(fmt::format("there is no model '{}'", name));
  const std::lock_guard loading(loading_);
  {
    const std::lock_guard lock(mutex_);
    if (served_.contains(name)) return OkStatus();
  }
  TERN_ASSIGN_OR_RETURN(ModelFiles files, load_(*source));
  TERN_ASSIGN_OR_RETURN(auto cache, CacheOf(*files.model));
  auto served =
      std::make_shared<ServedModel>(source->name, std::move(files), std::move(cache), options_.engine);
  const std::lock_guard lock(mutex_);
  served_.emplace(source->name, std::move(served));
  return OkStatus();
}

Status ModelHost::Unload(std::string_view name, std::chrono::steady_clock::time_point deadline) {
  if (FindSource(name) == nullptr) return NotFound(fmt::format("there is no model '{}'", name));
  const std::lock_guard loading(loading_);
  std::shared_ptr<ServedModel> served;
  {
    const std::lock_guard lock(mutex_);
    const auto found = served_.find(name);
    if (found == served_.end()) return OkStatus();
    served = std::move(found->second);
    served_.erase(found);
  }
  served->engine().Drain(deadline);
  Status written = served->cache().Flush();
  if (!HasUser(served->cache())) served->cache().GiveUpMemory();  // it may be a large part of the whole
  return written;
}

ApiResult<std::shared_ptr<ServedModel>> ModelHost::Find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  for (const ModelSource& source : sources_) {
    if (!name.empty() && source.name != name) continue;
    const auto found = served_.find(source.name);
    if (found != served_.end()) return found->second;
    if (name.empty()) continue;
    return ApiError{.status = 503,
                    .message = fmt::format("the model '{}' is not loaded", name),
                    .type = "server_error",
                    .param = "model",
                    .code = "model_not_loaded"};
  }
  if (name.empty()) {
    return ApiError{.status = 503,
                    .message = "no model is loaded",
                    .type = "server_error",
                    .param = "model",
                    .code = "model_not_loaded"};
  }
  ApiError error =
      BadRequest("model", fmt::format("there is no model '{}': GET /v1/models lists them", name));
  error.status = 404;
  error.code = "model_not_found";
  return error;
}

std::vector<ModelEntry> ModelHost::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModelEntry> entries;
  for (const ModelSource& source : sources_) {
    const auto found = served_.find(source.name);
    entries.push_back({source, found == served_.end() ? nullptr : found->second});
  }
  return entries;
}

void ModelHost::Stop(std::chrono::steady_clock::time_point deadline) {
  for (const ModelEntry& entry : List()) {
    const Status written = Unload(entry.source.name, deadline);
    if (!written.ok()) LogWarning("states of {}: {}", entry.source.name, written.message());
  }
}

}  // namespace tern::serve
