#include "cli/common.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include <unistd.h>

#include <fmt/format.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "cli/embedded_tokenizer.h"
#include "cli/numbers.h"
#include "cli/seed.h"
#include "model/initial_state.h"
#include "text/text_file.h"

namespace tern {
namespace {

std::atomic<bool> g_interrupted{false};

extern "C" void OnInterrupt(int signal) {
  if (g_interrupted.exchange(true)) ::_exit(128 + signal);
}

}  // namespace

void AddThreads(CLI::App& command, int& threads) {
  command.add_option("-t,--threads", threads, "Threads to compute with (default: all cores)")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
}

void AddModelOptions(CLI::App& command, ModelOptions& options) {
  command.add_option("-m,--model", options.model,
                     "Weights: .pth, .safetensors, .st, .gguf, rwkv.cpp .bin, or a Hugging Face folder")
      ->type_name("FILE");
  command.add_option("--tokenizer", options.tokenizer,
                     "Vocabulary: rwkv_vocab_*.txt, a tokenizer.json, a .gguf that carries one, or the word bytes (default: "
                     "found by itself)")
      ->type_name("FILE");
  AddThreads(command, options.threads);
  command.add_flag("--mmap", options.mapped,
                   "Use the weights in the mapped file instead of a copy in huge pages (slower, but shared and lazy; quantised "
                   "weights meet fp32 activations then, so that logits differ a little)");
  command.add_option("--memory", options.memory,
                     "Memory for weights, as 800M or 1.5G (default: three quarters of what is free); those without room "
                     "are read from the file for every pass")
      ->transform(AsBytes())
      ->type_name("SIZE");
}

void AddSamplingOptions(CLI::App& command, SamplingOptions& s) {
  const auto group = [](CLI::Option* option) {
    option->group("Sampling")->capture_default_str();
    return option;
  };
  group(command.add_option("--temperature", s.temperature, "0: always the most probable token"));
  group(command.add_option("--top-p", s.top_p, "Smallest set of tokens with this much probability; 1: off"));
  group(command.add_option("--top-k", s.top_k, "At most so many tokens; 0: off"));
  group(command.add_option("--min-p", s.min_p, "Tokens with at least this share of the best one's; 0: off"));
  group(command.add_option("--typical-p", s.typical_p, "Locally typical sampling; 1: off"));
  group(command.add_option("--presence", s.presence, "Penalty for tokens that occurred"));
  group(command.add_option("--frequency", s.frequency, "Penalty per occurrence"));
  group(command.add_option("--penalty-decay", s.penalty_decay, "Occurrences fade by this factor per token"));
  group(command.add_option("--repeat-penalty", s.repeat, "Divides the positive logits of tokens that occurred; 1: off"));
  group(command.add_option("--mirostat", s.mirostat, "2: mirostat 2 instead of the filters above; 0: off"));
  group(command.add_option("--mirostat-tau", s.mirostat_tau, "Its target surprise in bits"));
  group(command.add_option("--mirostat-eta", s.mirostat_eta, "Its learning rate"));
  group(AddSeed(command, s.seed, "The same seed gives the same text"));
  group(command.add_option("--ban", s.banned, "Tokens that never come")->type_name("ID…")->delimiter(','));
  group(command
            .add_option_function<std::vector<std::string>>(
                "--logit-bias",
                [&s](const std::vector<std::string>& items) {
                  for (const std::string& item : items) {
                    const size_t colon = item.find(':');
                    try {
                      size_t used_id = 0, used_bias = 0;
                      const int id = std::stoi(item.substr(0, colon), &used_id);
                      const float bias = colon == std::string::npos ? 0 : std::stof(item.substr(colon + 1), &used_bias);
                      if (used_id != colon || used_bias != item.size() - colon - 1) throw std::invalid_argument("");
                      s.logit_bias[id] = bias;
                    } catch (const std::exception&) {
                      throw CLI::ValidationError("--logit-bias", "expected ID:BIAS, got '" + item + "'");
                    }
                  }
                },
                "Added to the logits of tokens")
            ->type_name("ID:BIAS…")
            ->delimiter(','));
}

std::string HowToGetAModel() {
  return "no model given: get one, for example RWKV-x070-World-0.1B from https://huggingface.co/BlinkDL/rwkv-7-world,\n"
         "      and rwkv_vocab_v20230424.txt from https://github.com/BlinkDL/ChatRWKV/tree/main/tokenizer beside it,\n"
         "      then: ./run chat --model RWKV-x070-World-0.1B-v2.8-20241210-ctx4096.pth";
}

std::string BundledModel() {
  constexpr const char* kName = "tern-stories.gguf";
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  for (const std::filesystem::path& folder :
       {program.parent_path().parent_path() / "share/tern/models", std::filesystem::path(TERN_MODELS)}) {
    if (std::filesystem::is_regular_file(folder / kName, error)) return folder / kName;
  }
  return {};
}

Result<std::string> ModelPath(const std::string& given) {
  if (!given.empty()) return given;
  const char* from_environment = std::getenv("TERN_MODEL");
  const std::string path =
      from_environment != nullptr && *from_environment != '\0' ? from_environment : BundledModel();
  if (path.empty()) return InvalidArgument(HowToGetAModel());
  return path;
}

Result<std::shared_ptr<const Model>> LoadModel(const ModelOptions& options) {
  if (options.threads > 0) SetNumThreads(options.threads);
  // AvailableMemory's users leave a quarter of it free.
  if (options.memory > 0) LimitMemory(options.memory / 3 * 4 + 1);
  TERN_ASSIGN_OR_RETURN(const std::string path, ModelPath(options.model));
  return Model::Load(path, options.mapped ? Placement::kMapped : Placement::kAuto, options.state_in);
}

Result<std::shared_ptr<const Tokenizer>> OpenTokenizer(const std::string& path) {
  constexpr std::string_view kGguf = "GGUF";
  char magic[kGguf.size()] = {};
  if (std::ifstream(path, std::ios::binary).read(magic, sizeof magic) && std::string_view(magic, sizeof magic) == kGguf) {
    TERN_ASSIGN_OR_RETURN(const auto source, OpenTensorSource(path));
    TERN_ASSIGN_OR_RETURN(auto tokenizer, EmbeddedTokenizer(*source));
    if (tokenizer == nullptr) return NotFound(fmt::format("'{}' carries no tokenizer", path));
    return tokenizer;
  }
  return LoadTokenizer(path);
}

std::vector<std::string> TokensById(const Tokenizer& tokenizer) {
  std::vector<std::string> tokens(static_cast<size_t>(tokenizer.vocab_size()));
  for (size_t id = 0; id < tokens.size(); ++id) tokens[id] = tokenizer.TokenBytes(static_cast<int32_t>(id));
  return tokens;
}

Result<std::shared_ptr<const Tokenizer>> TokenizerOf(const Checkpoint& checkpoint, const std::string& given) {
  const std::string& path = checkpoint.source().path();
  const CheckpointTensor* embedding = checkpoint.Find("emb.weight");
  const int64_t symbols = embedding == nullptr || embedding->shape.empty() ? 0 : embedding->shape[0];
  std::shared_ptr<const Tokenizer> tokenizer;
  if (given.empty()) {
    TERN_ASSIGN_OR_RETURN(tokenizer, EmbeddedTokenizer(checkpoint.source()));
    if (tokenizer == nullptr) return FindTokenizer(path, symbols);
  } else {
    TERN_ASSIGN_OR_RETURN(tokenizer, OpenTokenizer(given));
  }
  TERN_RETURN_IF_ERROR(CheckVocabulary(*tokenizer, given.empty() ? path : given, symbols, path));
  return tokenizer;
}

Result<std::shared_ptr<const Tokenizer>> LoadModelTokenizer(const ModelOptions& options, const Model& model) {
  return TokenizerOf(model.checkpoint(), options.tokenizer);
}

Result<LoadedModel> LoadModelAndTokenizer(const ModelOptions& options) {
  LoadedModel loaded;
  TERN_ASSIGN_OR_RETURN(loaded.model, LoadModel(options));
  TERN_ASSIGN_OR_RETURN(loaded.tokenizer, LoadModelTokenizer(options, *loaded.model));
  return loaded;
}

Result<State> StartState(const std::string& state_in, const Model& model) {
  if (state_in.empty()) return model.NewState();
  TERN_ASSIGN_OR_RETURN(SavedState saved, LoadStartState(state_in, model));
  return std::move(saved.state);
}

void PrintJson(const nlohmann::ordered_json& json) {
  std::cout << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

namespace {

Result<std::string> ReadStandardInput() {
  std::string text;
  char chunk[1 << 16];
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) {
      if (Interrupted()) return Cancelled("interrupted");
      continue;
    }
    if (got < 0) return IoError(fmt::format("cannot read standard input: {}", std::strerror(errno)));
    if (got == 0) return text;
    text.append(chunk, static_cast<size_t>(got));
  }
}

}  // namespace

Result<std::string> ReadText(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(std::string bytes, path == "-" ? ReadStandardInput() : ReadFileToString(path));
  return DecodeText(std::move(bytes), path);
}

std::string HumanBytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", value, unit == 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0, kUnits[unit]);
}

std::string HumanCount(uint64_t n) {
  if (n >= 1'000'000'000) return fmt::format("{:.2f} B", static_cast<double>(n) / 1e9);
  if (n >= 1'000'000) return fmt::format("{:.1f} M", static_cast<double>(n) / 1e6);
  return fmt::format("{}", n);
}

void CatchInterrupts(std::initializer_list<int> signals) {
  struct sigaction action = {}, before = {};
  action.sa_handler = OnInterrupt;
  sigemptyset(&action.sa_mask);
  for (const int signal : signals) {
    // nohup's wish. (Shells start what runs in the background with SIGINT ignored, but who sends it there means it.)
    if (signal == SIGHUP && ::sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    ::sigaction(signal, &action, nullptr);
  }
}

bool Interrupted() { return g_interrupted.load(std::memory_order_relaxed); }
void ClearInterrupt() { g_interrupted = false; }

Status FeedWithProgress(Session& session, const std::vector<int32_t>& tokens, bool show) {
  Progress progress("reading", tokens.size(), "tokens", show);
  return session.Feed(tokens, [&](int64_t done, int64_t) {
    progress.Update(static_cast<uint64_t>(done));
    return !Interrupted();
  });
}

}  // namespace tern
