// tern eval: perplexity, LAMBADA and multiple choice. docs/evaluation.md defines every number.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <iostream>

#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/numbers.h"
#include "eval/choice.h"
#include "eval/examples.h"
#include "eval/lambada.h"
#include "eval/perplexity.h"
#include "formats/binidx.h"
#include "text/json_records.h"

namespace tern {
namespace {

struct EvalArguments {
  ModelOptions model;
  std::vector<std::string> files;
  std::string state_in;
  std::string start;  ///< a token id, "none", or empty: DefaultStart
  int64_t limit = 0, batch = 32;
  bool json = false;
  // perplexity
  std::string separator, svg;
  int64_t context = 0;
  // choice
  std::string delimiter = " ";
};

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

/// The model, and how texts are put to it.
struct Setting {
  LoadedModel loaded;  ///< without a tokenizer where none is needed and none was found
  std::optional<int32_t> start;
  State state;  ///< what every text is read from
  int64_t batch = 32;

  const Model& model() const { return *loaded.model; }
  const Tokenizer& tokenizer() const { return *loaded.tokenizer; }
  nlohmann::ordered_json Start() const {
    return start ? nlohmann::ordered_json(*start) : nlohmann::ordered_json(nullptr);
  }
  std::string Path() const { return loaded.model->checkpoint().source().path(); }
};

Result<std::optional<int32_t>> StartToken(const EvalArguments& options, const LoadedModel& loaded) {
  if (options.start.empty()) {
    // Where no tokenizer is known: the id that ends documents in World and in GPT-NeoX.
    return std::optional<int32_t>(loaded.tokenizer != nullptr ? eval::DefaultStart(*loaded.tokenizer) : 0);
  }
  if (options.start == "none") return std::optional<int32_t>();
  int64_t id = -1;
  const char* end = options.start.data() + options.start.size();
  const auto [stopped, error] = std::from_chars(options.start.data(), end, id);
  if (error != std::errc() || stopped != end || id < 0 || id >= loaded.model->config().vocab) {
    return InvalidArgument(fmt::format("--start '{}' is neither none nor a token of the model's {}",
                                       options.start, loaded.model->config().vocab));
  }
  return std::optional<int32_t>(static_cast<int32_t>(id));
}

/// `tokens_alone`: nothing is text, so that a tokenizer is used where there is one, but not needed.
Result<Setting> Prepare(const EvalArguments& options, bool tokens_alone = false) {
  Setting setting;
  TERN_ASSIGN_OR_RETURN(setting.loaded.model, LoadModel(options.model));
  auto tokenizer = LoadModelTokenizer(options.model, *setting.loaded.model);
  if (tokenizer.ok()) setting.loaded.tokenizer = *tokenizer;
  if (!tokenizer.ok() && (!tokens_alone || !options.model.tokenizer.empty())) return tokenizer.status();
  TERN_ASSIGN_OR_RETURN(setting.start, StartToken(options, setting.loaded));
  TERN_ASSIGN_OR_RETURN(setting.state, StartState(options.state_in, *setting.loaded.model));
  setting.batch = options.batch;
  CatchInterrupts();
  return setting;
}

/// Runs `measure` with options that show how far it is and stop at Ctrl-C.
template <typename Measure>
auto WithProgress(const Setting& setting, const std::string& path, const Measure& measure) {
  std::unique_ptr<Progress> progress;
  eval::ScoreOptions options{.sequences = setting.batch, .start = &setting.state};
  options.progress = [&](uint64_t done, uint64_t total) {
    if (!progress)
      progress = std::make_unique<Progress>(std::filesystem::path(path).filename(), total, "tokens");
    progress->Update(done);
    return !Interrupted();
  };
  return measure(options);
}

std::string Percent(double share) { return fmt::format("{:.2f} %", 100 * share); }

/// A file's examples, the first `limit` of them.
template <typename Example>
void Limit(std::vector<Example>* examples, int64_t limit) {
  if (limit > 0 && examples->size() > static_cast<size_t>(limit))
    examples->resize(static_cast<size_t>(limit));
}

// ---- perplexity

/// Fails where a file cannot be opened, so that this is known before the others are measured.
Status CheckReadable(const std::string& path) {
  std::error_code error;
  if (path == "-") return OkStatus();
  // Opening is the test; but a pipe that has been opened and closed again is at its end.
  if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error) &&
      !std::filesystem::is_directory(path, error)) {
    return OkStatus();
  }
  const Status status = MappedFile::Open(path).status();
  return status.code() == StatusCode::kInvalidArgument ? Corrupt(status.message()) : status;
}

/// What a command line names: text, or a pair of tokens that is open already.
struct PerplexityInput {
  std::string path;
  std::shared_ptr<const BinidxReader> pair;  ///< null: text
};

Result<std::vector<PerplexityInput>> OpenInputs(const std::vector<std::string>& paths) {
  std::vector<PerplexityInput> inputs;
  for (const std::string& path : paths) {
    inputs.push_back({path, nullptr});
    if (NamesBinidx(path)) {
      TERN_ASSIGN_OR_RETURN(inputs.back().pair, BinidxReader::Open(path));
    } else {
      TERN_RETURN_IF_ERROR(CheckReadable(path));
    }
  }
  return inputs;
}

/// Ids are the model's or the numbers would mean nothing.
Status CheckIds(const std::vector<PerplexityInput>& inputs, int64_t vocab) {
  for (const PerplexityInput& input : inputs) {
    if (input.pair == nullptr || input.pair->largest_token() < vocab) continue;
    return Unsupported(fmt::format(
        "'{}' holds token {}, but the model's vocabulary has {}: it was made by another tokenizer",
        input.path, input.pair->largest_token(), vocab));
  }
  return OkStatus();
}

/// The documents of a pair as they are, each after `start` where given; no more than `limit` predictions
/// need.
std::vector<std::vector<int32_t>> ReadPair(const BinidxReader& pair, std::optional<int32_t> start,
                                           int64_t limit) {
  std::vector<std::vector<int32_t>> documents;
  int64_t left = limit > 0 ? limit : pair.tokens();
  for (size_t i = 0; i < pair.documents().size() && left > 0; ++i) {
    const int64_t begin = pair.documents()[i];
    const int64_t end = i + 1 < pair.documents().size() ? pair.documents()[i + 1] : pair.tokens();
    const int64_t given = start ? 0 : 1;  // tokens that nothing stands before
    const size_t length = static_cast<size_t>(std::min(end - begin, left + given)), before = start ? 1 : 0;
    std::vector<int32_t> document(before + length);
    if (start) document.front() = *start;
    pair.Read(begin, std::span(document).subspan(before));
    left -= static_cast<int64_t>(length) - given;
    documents.push_back(std::move(document));
  }
  return documents;
}

Result<std::vector<std::string>> Documents(const EvalArguments& options, const std::string& path) {
  TERN_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  if (NamesJson(path)) return eval::ParseDocuments(text, path);
  return eval::ParseText(text, options.separator);
}

Result<std::vector<std::vector<int32_t>>> ReadTokens(const EvalArguments& options, const Setting& setting,
                                                     const PerplexityInput& input) {
  if (input.pair != nullptr) return ReadPair(*input.pair, setting.start, options.limit);
  TERN_ASSIGN_OR_RETURN(const std::vector<std::string> documents, Documents(options, input.path));
  return eval::EncodeAll(setting.tokenizer(), documents, setting.start);
}

Result<eval::Perplexity> MeasureInput(const EvalArguments& options, const Setting& setting,
                                      const PerplexityInput& input) {
  TERN_ASSIGN_OR_RETURN(const auto tokens, ReadTokens(options, setting, input));
  auto measured = WithProgress(setting, input.path, [&](const eval::ScoreOptions& score) {
    return eval::MeasurePerplexity(setting.model(), setting.loaded.tokenizer.get(), tokens,
                                   {.context = options.context, .limit = options.limit, .score = score});
  });
  if (!measured.ok()) return measured.status().WithContext(fmt::format("'{}'", input.path));
  return measured;
}

/// `bytes`: whether they are known, which takes a tokenizer.
nlohmann::ordered_json ToJson(const eval::Perplexity& p, bool bytes) {
  nlohmann::ordered_json json = {{"documents", p.documents}, {"tokens", p.tokens}};
  if (bytes) json["bytes"] = p.bytes;
  json["nats_per_token"] = p.NatsPerToken();
  json["bits_per_token"] = p.BitsPerToken();
  if (bytes) json["bits_per_byte"] = p.BitsPerByte();
  json["perplexity"] = p.PerToken();
  return json;
}

nlohmann::ordered_json PositionsToJson(const eval::Perplexity& p) {
  auto positions = nlohmann::ordered_json::array();
  for (const eval::PositionBucket& bucket : p.positions) {
    positions.push_back({{"from", bucket.from},
                         {"to", bucket.to},
                         {"tokens", bucket.tokens},
                         {"nats_per_token", bucket.nats / static_cast<double>(bucket.tokens)}});
  }
  return positions;
}

void PrintPerplexityRow(const std::string& name, size_t width, const eval::Perplexity& p, bool bytes) {
  std::cout << fmt::format("{:<{}}  {:>9}  {:>10}  {:>10}  {:>10.4f}  {:>10.4f}  {:>9}  {:>10.4f}\n", name,
                           width, p.documents, p.tokens, bytes ? fmt::format("{}", p.bytes) : "-",
                           p.NatsPerToken(), p.BitsPerToken(),
                           bytes ? fmt::format("{:.4f}", p.BitsPerByte()) : "-", p.PerToken());
}

size_t NameWidth(const std::vector<std::string>& files) {
  size_t width = 4;
  for (const std::string& file : files) width = std::max(width, file.size());
  return width;
}

void PrintPerplexity(const EvalArguments& options, const std::vector<eval::Perplexity>& files,
                     const eval::Perplexity& all, bool bytes, double seconds) {
  const size_t width = NameWidth(options.files);
  std::cout << fmt::format("{:<{}}  {:>9}  {:>10}  {:>10}  {:>10}  {:>10}  {:>9}  {:>10}\n", "file", width,
                           "documents", "tokens", "bytes", "nats/token", "bits/token", "bits/byte",
                           "perplexity");
  for (size_t i = 0; i < files.size(); ++i) PrintPerplexityRow(options.files[i], width, files[i], bytes);
  if (files.size() > 1) PrintPerplexityRow("all", width, all, bytes);
  std::cout << fmt::format("\n{:.0f} tokens/s\n\n{:>15}  {:>10}  {:>10}\n",
                           seconds > 0 ? static_cast<double>(all.tokens) / seconds : 0, "tokens before",
                           "tokens", "nats/token");
  for (const eval::PositionBucket& bucket : all.positions) {
    const std::string range = bucket.from == bucket.to ? fmt::format("{}", bucket.from)
                                                       : fmt::format("{} to {}", bucket.from, bucket.to);
    std::cout << fmt::format("{:>15}  {:>10}  {:>10.4f}\n", range, bucket.tokens,
                             bucket.nats / static_cast<double>(bucket.tokens));
  }
}

Status RunPerplexity(const EvalArguments& options) {
  // A place that cannot be written to is better known now than after the work.
  if (!options.svg.empty()) TERN_RETURN_IF_ERROR(AtomicFile::Create(options.svg).status());
  TERN_ASSIGN_OR_RETURN(const std::vector<PerplexityInput> inputs, OpenInputs(options.files));
  const bool tokens_alone = std::all_of(inputs.begin(), inputs.end(),
                                        [](const PerplexityInput& input) { return input.pair != nullptr; });
  TERN_ASSIGN_OR_RETURN(const Setting setting, Prepare(options, tokens_alone));
  TERN_RETURN_IF_ERROR(CheckIds(inputs, setting.model().config().vocab));
  const bool bytes = setting.loaded.tokenizer != nullptr;
  std::vector<eval::Perplexity> files;
  eval::Perplexity all;
  const auto begin = std::chrono::steady_clock::now();
  for (const PerplexityInput& input : inputs) {
    TERN_ASSIGN_OR_RETURN(eval::Perplexity measured, MeasureInput(options, setting, input));
    all.Add(measured);
    files.push_back(std::move(measured));
  }
  const double seconds = Seconds(begin);
  if (!options.svg.empty()) {
    const std::string title =
        fmt::format("{} on {}", std::filesystem::path(setting.Path()).filename().string(),
                    options.files.size() == 1 ? std::filesystem::path(options.files[0]).filename().string()
                                              : fmt::format("{} files", options.files.size()));
    TERN_RETURN_IF_ERROR(WriteStringToFile(options.svg, eval::DrawLossByPosition(all, title)));
  }
  if (!options.json) {
    PrintPerplexity(options, files, all, bytes, seconds);
    return OkStatus();
  }
  nlohmann::ordered_json json = {{"model", setting.Path()},
                                 {"tokenizer", nullptr},
                                 {"start", setting.Start()},
                                 {"context", options.context}};
  if (bytes) json["tokenizer"] = setting.tokenizer().name();
  json.update(ToJson(all, bytes));
  json["seconds"] = seconds;
  json["tokens_per_second"] = seconds > 0 ? static_cast<double>(all.tokens) / seconds : 0;
  json["positions"] = PositionsToJson(all);
  json["files"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < files.size(); ++i) {
    nlohmann::ordered_json file = {{"file", options.files[i]}};
    file.update(ToJson(files[i], bytes));
    json["files"].push_back(std::move(file));
  }
  PrintJson(json);
  return OkStatus();
}

// ---- lambada

Status RunLambada(const EvalArguments& options) {
  const std::string& path = options.files.front();
  TERN_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  TERN_ASSIGN_OR_RETURN(auto examples, eval::ParseLambada(text, path));
  Limit(&examples, options.limit);
  TERN_ASSIGN_OR_RETURN(const Setting setting, Prepare(options));
  const auto begin = std::chrono::steady_clock::now();
  const auto measured = WithProgress(setting, path, [&](const eval::ScoreOptions& score) {
    return eval::MeasureLambada(setting.model(), setting.tokenizer(), examples, setting.start, score);
  });
  if (!measured.ok()) return measured.status().WithContext(fmt::format("'{}'", path));
  const eval::LambadaResult& result = *measured;
  if (options.json) {
    PrintJson({{"model", setting.Path()},
               {"file", path},
               {"start", setting.Start()},
               {"examples", result.examples},
               {"perplexity", result.Perplexity()},
               {"accuracy", result.Accuracy()},
               {"accuracy_error", result.AccuracyError()},
               {"seconds", Seconds(begin)}});
    return OkStatus();
  }
  std::cout << fmt::format("{} examples: perplexity {:.4g}, accuracy {} ± {}\n", result.examples,
                           result.Perplexity(), Percent(result.Accuracy()), Percent(result.AccuracyError()));
  return OkStatus();
}

// ---- choice

/// Backslash and n are a line break: shells make it hard to type one.
std::string WithLineBreaks(std::string text) {
  for (size_t at = 0; (at = text.find("\\n", at)) != std::string::npos; ++at) text.replace(at, 2, "\n");
  return text;
}

Result<std::vector<std::vector<eval::ChoiceExample>>> ChoiceFiles(const EvalArguments& options) {
  std::vector<std::vector<eval::ChoiceExample>> files;
  for (const std::string& path : options.files) {
    TERN_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
    TERN_ASSIGN_OR_RETURN(auto examples, eval::ParseChoices(text, path, WithLineBreaks(options.delimiter)));
    Limit(&examples, options.limit);
    files.push_back(std::move(examples));
  }
  return files;
}

/// The mean over files, each counting the same.
template <typename Value>
double Mean(const std::vector<eval::ChoiceResult>& results, Value value) {
  double sum = 0;
  for (const eval::ChoiceResult& result : results) sum += (result.*value)();
  return sum / static_cast<double>(results.size());
}

void PrintChoice(const EvalArguments& options, const std::vector<eval::ChoiceResult>& results) {
  const size_t width = NameWidth(options.files);
  const auto row = [&](const std::string& name, const std::string& n, double sum, const std::string& error,
                       double byte, double token) {
    std::cout << fmt::format("{:<{}}  {:>8}  {:>9}  {:>7}  {:>9}  {:>9}\n", name, width, n, Percent(sum),
                             error, Percent(byte), Percent(token));
  };
  std::cout << fmt::format("{:<{}}  {:>8}  {:>9}  {:>7}  {:>9}  {:>9}\n", "file", width, "examples",
                           "accuracy", "±", "per byte", "per token");
  for (size_t i = 0; i < results.size(); ++i) {
    const eval::ChoiceResult& r = results[i];
    row(options.files[i], fmt::format("{}", r.examples), r.Accuracy(),
        Percent(eval::StandardError(r.Accuracy(), r.examples)), r.AccuracyPerByte(), r.AccuracyPerToken());
  }
  if (results.size() > 1) {
    row("mean", "", Mean(results, &eval::ChoiceResult::Accuracy), "",
        Mean(results, &eval::ChoiceResult::AccuracyPerByte),
        Mean(results, &eval::ChoiceResult::AccuracyPerToken));
  }
}

nlohmann::ordered_json ChoiceToJson(const EvalArguments& options, const Setting& setting,
                                    const std::vector<eval::ChoiceResult>& results) {
  nlohmann::ordered_json json = {{"model", setting.Path()},
                                 {"start", setting.Start()},
                                 {"accuracy", Mean(results, &eval::ChoiceResult::Accuracy)},
                                 {"accuracy_per_byte", Mean(results, &eval::ChoiceResult::AccuracyPerByte)},
                                 {"accuracy_per_token", Mean(results, &eval::ChoiceResult::AccuracyPerToken)},
                                 {"files", nlohmann::ordered_json::array()}};
  for (size_t i = 0; i < results.size(); ++i) {
    const eval::ChoiceResult& r = results[i];
    json["files"].push_back({{"file", options.files[i]},
                             {"examples", r.examples},
                             {"accuracy", r.Accuracy()},
                             {"accuracy_error", eval::StandardError(r.Accuracy(), r.examples)},
                             {"accuracy_per_byte", r.AccuracyPerByte()},
                             {"accuracy_per_token", r.AccuracyPerToken()}});
  }
  return json;
}

Status RunChoice(const EvalArguments& options) {
  TERN_ASSIGN_OR_RETURN(const auto files, ChoiceFiles(options));
  TERN_ASSIGN_OR_RETURN(const Setting setting, Prepare(options));
  std::vector<eval::ChoiceResult> results;
  for (size_t i = 0; i < files.size(); ++i) {
    const auto result = WithProgress(setting, options.files[i], [&](const eval::ScoreOptions& score) {
      return eval::MeasureChoice(setting.model(), setting.tokenizer(), files[i], setting.start, score);
    });
    if (!result.ok()) return result.status().WithContext(fmt::format("'{}'", options.files[i]));
    results.push_back(*result);
  }
  if (options.json) {
    PrintJson(ChoiceToJson(options, setting, results));
  } else {
    PrintChoice(options, results);
  }
  return OkStatus();
}

/// What the three have in common; `limited` says what --limit counts.
CLI::App* AddCommon(CLI::App& parent, const std::string& name, const std::string& about,
                    const std::string& limited, EvalArguments& options) {
  CLI::App* command = parent.add_subcommand(name, about);
  AddModelOptions(*command, options.model);
  command
      ->add_option("--state-in", options.state_in, "Read every text from a saved state, or from a tuned one")
      ->type_name("FILE");
  command->add_option("--limit", options.limit, limited)->check(AtLeast(1))->type_name("N");
  command->add_option("--batch", options.batch, "At most so many texts side by side; changes the speed alone")
      ->check(CLI::Range(int64_t{1}, int64_t{4096}))
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option(
          "--start", options.start,
          "Token before every text, or none (default: what ends documents; for raw bytes a line break)")
      ->type_name("ID");
  command->add_flag("--json", options.json, "One JSON document instead of tables");
  return command;
}

void AddPerplexity(CLI::App& parent, Run* run) {
  auto options = std::make_shared<EvalArguments>();
  CLI::App* command = AddCommon(parent, "perplexity", "How well a model predicts texts",
                                "Predict at most so many tokens of each file", *options);
  command
      ->add_option("files", options->files,
                   "Plain text, .jsonl or .json with {\"text\": …} records, or a .bin/.idx pair of tokens; "
                   "-: standard input")
      ->required()
      ->type_name("FILE…");
  command
      ->add_option("--separator", options->separator, "Lines that equal it divide plain text into documents")
      ->type_name("LINE");
  command
      ->add_option("--context", options->context,
                   "Windows of so many predictions, each from the initial state (default: whole documents)")
      ->check(AtLeast(1))
      ->type_name("N");
  command->add_option("--svg", options->svg, "Draw the loss by position")->type_name("FILE");
  command->callback([=] { *run = [=] { return RunPerplexity(*options); }; });
}

void AddLambada(CLI::App& parent, Run* run) {
  auto options = std::make_shared<EvalArguments>();
  options->files.resize(1);
  CLI::App* command = AddCommon(parent, "lambada", "Guessing the last word of passages",
                                "The first so many examples", *options);
  command->add_option("file", options->files.front(), ".jsonl or .json with {\"text\": …} records")
      ->required()
      ->type_name("FILE");
  command->callback([=] { *run = [=] { return RunLambada(*options); }; });
}

void AddChoice(CLI::App& parent, Run* run) {
  auto options = std::make_shared<EvalArguments>();
  CLI::App* command = AddCommon(parent, "choice", "Multiple choice questions",
                                "The first so many examples of each file", *options);
  command
      ->add_option(
          "files", options->files,
          ".jsonl or .json with query, choices, gold or context_options, continuation, gold in each record")
      ->required()
      ->type_name("FILE…");
  command
      ->add_option("--delimiter", options->delimiter,
                   "What stands between query and choice; \\n: a line break")
      ->capture_default_str()
      ->type_name("TEXT");
  command->callback([=] { *run = [=] { return RunChoice(*options); }; });
}

}  // namespace

void AddEval(CLI::App& app, Run* run) {
  CLI::App* command = app.add_subcommand("eval", "Measure a model: perplexity, lambada, choice");
  command->require_subcommand(1);
  AddPerplexity(*command, run);
  AddLambada(*command, run);
  AddChoice(*command, run);
}

}  // namespace tern
