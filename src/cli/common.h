// What several commands share: options, loading, output, interruption.
#pragma once

#include <csignal>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/status.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace tern {

struct ModelOptions {
  std::string model = {};      ///< --model
  std::string tokenizer = {};  ///< --tokenizer, or empty: look for it
  std::string state_in = {};   ///< what the model's texts start from, or empty: its own initial state
  int threads = 0;        ///< --threads; 0: all cores
  bool mapped = false;    ///< --mmap
  uint64_t memory = 0;    ///< --memory; 0: what is free
};

/// Adds --model, --tokenizer and --threads.
void AddModelOptions(CLI::App& command, ModelOptions& options);
/// Adds --threads alone.
void AddThreads(CLI::App& command, int& threads);
/// Adds every sampling option, in the groups of docs/sampling.md.
void AddSamplingOptions(CLI::App& command, SamplingOptions& options);

struct LoadedModel {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
};

/// The model that came with the program (models/ of the source tree, or share/tern/models beside an installed program),
/// or an empty string.
std::string BundledModel();

/// What to load: the path given or, when it is empty, $TERN_MODEL, else the bundled model, else an error that says how to
/// get one.
Result<std::string> ModelPath(const std::string& given);
/// A vocabulary: what LoadTokenizer reads, or one that a GGUF carries.
Result<std::shared_ptr<const Tokenizer>> OpenTokenizer(const std::string& path);
/// Its tokens' bytes by id, as a vocabulary's file and a GGUF have them.
std::vector<std::string> TokensById(const Tokenizer& tokenizer);
/// The model alone. Sets the number of threads.
Result<std::shared_ptr<const Model>> LoadModel(const ModelOptions& options);
/// The tokenizer that goes with a model: the one `given`, else the file's own vocabulary, else one that lies beside it.
/// One that does not fit the model's symbols is an error that names both sizes.
Result<std::shared_ptr<const Tokenizer>> TokenizerOf(const Checkpoint& checkpoint, const std::string& given);
Result<std::shared_ptr<const Tokenizer>> LoadModelTokenizer(const ModelOptions& options, const Model& model);
Result<LoadedModel> LoadModelAndTokenizer(const ModelOptions& options);

/// What a text starts from: the file of --state-in, or, where that is empty, the model's initial state.
Result<State> StartState(const std::string& state_in, const Model& model);

/// Where to get a model and how to start it: three lines.
std::string HowToGetAModel();

/// One JSON document on standard output, bytes that are no UTF-8 replaced.
void PrintJson(const nlohmann::ordered_json& json);

/// Text from a file, or from standard input when the path is "-", in any encoding that DecodeText knows.
Result<std::string> ReadText(const std::string& path);

/// "1.5 GB", "384 KB".
std::string HumanBytes(uint64_t bytes);
/// "1.52 B", "191 M".
std::string HumanCount(uint64_t n);

/// From now on these signals set a flag instead of ending the program, so that nothing half-written stays behind; a second
/// one before the flag is seen ends it. An ignored SIGHUP (nohup) stays so.
void CatchInterrupts(std::initializer_list<int> signals = {SIGINT, SIGTERM, SIGHUP});
bool Interrupted();
void ClearInterrupt();

/// Reads a prompt into a session with a progress bar; Ctrl-C stops it (kCancelled).
Status FeedWithProgress(Session& session, const std::vector<int32_t>& tokens, bool show);

}  // namespace tern
