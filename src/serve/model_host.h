// The models of a service: by name, each with its engine, its kept states and its grammars.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "infer/engine.h"
#include "infer/state_cache.h"
#include "infer/token_mask.h"
#include "serve/openai_request.h"
#include "text/chat_template.h"

namespace tern::serve {

struct ModelSource {
  std::string name, path;
  /// What its texts start from (LoadStartState); empty: the model's own initial state.
  std::string state_in = {};
};

struct ModelFiles {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
};
/// Reads a model and finds its tokenizer.
using ModelLoader = std::function<Result<ModelFiles>(const ModelSource& source)>;

/// Opens the kept states of a model: StateCache::Open.
using StateOpener = std::function<Result<std::shared_ptr<StateCache>>(
    const StateCacheOptions& options, const ModelConfig& config, std::string model_hash)>;

struct HostOptions {
  EngineOptions engine = {};
  StateCacheOptions states = {};  ///< the budgets are shared evenly by the models
  StateOpener open_states = StateCache::Open;
};

/// Compiled grammars of one vocabulary; the least recently used go. Thread-safe.
class GrammarShelf {
 public:
  explicit GrammarShelf(std::shared_ptr<const Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {}

  /// Takes milliseconds where the grammar is new: call it aside. The mask of its beginning is ready
  /// afterwards.
  Result<std::shared_ptr<TokenMasks>> Get(ConstraintText::Kind kind, const std::string& text);

  static constexpr size_t kKept = 32;

 private:
  using Key = std::pair<ConstraintText::Kind, std::string>;
  Result<std::shared_ptr<TokenMasks>> Make(const Key& key);

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::mutex mutex_;
  std::shared_ptr<const TokenTree> tree_;                        // made for the first grammar
  std::list<std::pair<Key, std::shared_ptr<TokenMasks>>> kept_;  // the latest in front
};

/// A model that is loaded. Thread-safe.
class ServedModel {
 public:
  ServedModel(std::string name, ModelFiles files, std::shared_ptr<StateCache> cache,
              const EngineOptions& engine);

  const std::string& name() const { return name_; }
  Engine& engine() { return *engine_; }
  const Engine& engine() const { return *engine_; }
  const Model& model() const { return engine_->model(); }
  const Tokenizer& tokenizer() const { return engine_->tokenizer(); }
  StateCache& cache() { return *cache_; }
  const StateCache& cache() const { return *cache_; }
  GrammarShelf& grammars() { return grammars_; }
  const ChatTemplate& chat() const { return chat_; }
  /// Of the weights: "tern_" and 16 hexadecimal digits.
  std::string fingerprint() const;
  int64_t loaded_at() const { return loaded_at_; }  ///< Unix seconds

  /// A session has one answer at a time. False: it has one already.
  bool EnterSession(const std::string& owner, const std::string& name);
  void LeaveSession(const std::string& owner, const std::string& name);

 private:
  std::string name_;
  ChatTemplate chat_;
  std::shared_ptr<StateCache> cache_;
  GrammarShelf grammars_;
  std::unique_ptr<Engine> engine_;
  int64_t loaded_at_;
  std::mutex mutex_;
  std::set<std::pair<std::string, std::string>> busy_;  // sessions
};

/// What is known of a model by its name.
struct ModelEntry {
  ModelSource source;
  std::shared_ptr<ServedModel> served;  ///< null: not loaded
};

/// Thread-safe.
class ModelHost {
 public:
  ModelHost(std::vector<ModelSource> sources, ModelLoader load, HostOptions options);

  /// Takes seconds. Nothing happens when the model is loaded already. kNotFound for unknown names.
  Status Load(std::string_view name);
  /// Lets running answers end until `deadline`, then cancels them; kept states are written out. Named ones
  /// are there again when the same weights are loaded, with a folder or without. Nothing happens when it is
  /// not loaded.
  Status Unload(std::string_view name, std::chrono::steady_clock::time_point deadline);
  /// The model of that name, or for "" the first one that is loaded. 404 for unknown names, 503 for one that
  /// is not loaded.
  ApiResult<std::shared_ptr<ServedModel>> Find(std::string_view name) const;
  std::vector<ModelEntry> List() const;

  /// Every model takes no more requests; Unload's end for all.
  void Stop(std::chrono::steady_clock::time_point deadline);

 private:
  ModelSource* FindSource(std::string_view name);
  Result<std::shared_ptr<StateCache>> CacheOf(const Model& model);
  bool HasUser(const StateCache& cache) const;

  std::vector<ModelSource> sources_;
  ModelLoader load_;
  HostOptions options_;
  std::mutex loading_;  // one at a time
  // By the weights' hash, under loading_. They outlive the loaded models: named states stay, a folder is open
  // once however many names or unfinished requests still have its model.
  std::map<std::string, std::shared_ptr<StateCache>> caches_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<ServedModel>, std::less<>> served_;
};

}  // namespace tern::serve
