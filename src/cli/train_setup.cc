#include "cli/train_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/file.h"
#include "cli/common.h"
#include "cli/embedded_tokenizer.h"
#include "formats/binidx.h"
#include "text/world_vocab.h"
#include "train/join_data.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using train::TokenData;
using train::TrainOptions;

constexpr const char *kWorldName = "vocab.txt", *kNeoxName = "tokenizer.json";

/// A share of the data ("0.1"), if that is what the option says.
std::optional<double> AsShare(const std::string& text) {
  double share = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), share);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return share;
}

/// The vocabulary that --tokenizer names, that lies in the run's folder, that belongs to the model, or bytes.
Status ChooseTokenizer(const std::string& folder, TrainSetup* setup) {
  TrainOptions& options = setup->options;
  std::error_code error;
  std::string path = options.tokenizer;
  if (setup->run && path == setup->run->record.options.tokenizer) {
    for (const char* name : {kWorldName, kNeoxName}) {
      if (const std::string kept = folder + "/" + name; fs::exists(kept, error)) path = kept;
    }
  }
  const Checkpoint* model = setup->run ? setup->run->weights.get() : setup->model.get();
  if (!path.empty() && model == nullptr) {
    TERN_ASSIGN_OR_RETURN(setup->tokenizer, OpenTokenizer(path));
    return OkStatus();
  }
  if (!path.empty() || setup->model != nullptr) {
    const auto found = TokenizerOf(*model, path);
    if (found.ok()) setup->tokenizer = *found;
    const bool needed = !path.empty() || !std::all_of(options.data.begin(), options.data.end(), NamesBinidx);
    return needed ? found.status() : OkStatus();
  }
  if (std::all_of(options.data.begin(), options.data.end(), NamesBinidx)) {
    if (!setup->run) {
      setup->notes.push_back(
          "no --tokenizer: as many symbols as the largest id asks for; the model will need its vocabulary beside it");
    }
    return OkStatus();
  }
  options.tokenizer = "bytes";
  setup->tokenizer = MakeByteTokenizer();
  setup->notes.push_back("no --tokenizer: a token is a byte (256 symbols)");
  return OkStatus();
}

Result<std::shared_ptr<const TokenData>> Open(const std::string& path, const TrainSetup& setup) {
  train::DataOptions data;
  data.document_end = setup.tokenizer == nullptr ? 0 : setup.tokenizer->end_of_document();
  data.separator = setup.options.separator;
  return train::OpenData(path, setup.tokenizer.get(), data);
}

Status OpenAllData(TrainSetup* setup) {
  const TrainOptions& options = setup->options;
  if (options.data.empty()) return InvalidArgument("no data: name texts or tokens with --data");
  std::vector<std::shared_ptr<const TokenData>> parts;
  for (const std::string& path : options.data) {
    TERN_ASSIGN_OR_RETURN(auto part, Open(path, *setup));
    parts.push_back(std::move(part));
  }
  setup->data = train::Join(std::move(parts));
  if (options.validation.empty()) return OkStatus();
  const auto share = AsShare(options.validation);
  if (!share) {
    TERN_ASSIGN_OR_RETURN(setup->validation, Open(options.validation, *setup));
    return OkStatus();
  }
  if (!(*share > 0 && *share < 1)) {
    return InvalidArgument(
        fmt::format("--validation {}: expected a file or a share between 0 and 1", options.validation));
  }
  const int64_t tokens = setup->data->tokens();
  const auto border = static_cast<int64_t>(static_cast<double>(tokens) * (1 - *share));
  if (border < 2 || tokens - border < 2) {
    return InvalidArgument(
        fmt::format("--validation {}: {} tokens are too few to be parted so", options.validation, tokens));
  }
  setup->validation = train::Slice(setup->data, border, tokens);
  setup->data = train::Slice(setup->data, 0, border);
  return OkStatus();
}

/// How many logits a new model has.
int64_t ChooseVocab(TrainSetup* setup) {
  const int64_t asked = setup->options.vocab;
  const int64_t largest = std::max(setup->data->largest_token(),
                                   setup->validation == nullptr ? 0 : setup->validation->largest_token());
  if (setup->tokenizer == nullptr) return asked > 0 ? asked : largest + 1;
  const int64_t symbols = setup->tokenizer->vocab_size();
  // A preset's number of logits is that of its own vocabulary, padded; another vocabulary has another number.
  constexpr int64_t kPaddingShare = 8;
  int64_t vocab = asked >= symbols && asked - asked / kPaddingShare <= symbols ? asked : symbols;
  // 256 logits mean bytes to every command that looks for a model's vocabulary.
  if (vocab == 256 && setup->tokenizer->name() != "bytes") ++vocab;
  return vocab;
}

Status ChooseShape(bool exact_vocab, TrainSetup* setup) {
  TrainOptions& options = setup->options;
  const Checkpoint* stored = setup->run ? setup->run->weights.get() : setup->model.get();
  if (stored != nullptr) {
    TERN_ASSIGN_OR_RETURN(setup->shape, train::ReadShape(*stored));
    // Sizes that a resumed run is asked to change stay as asked, so that they are refused with a message.
    if (setup->run) return OkStatus();
    options.generation = Major(setup->shape.generation);
    options.layers = setup->shape.layers;
    options.width = setup->shape.width;
    options.vocab = setup->shape.vocab;
    if (setup->shape.head_size > 0) options.head_size = setup->shape.head_size;
    return OkStatus();
  }
  if (!exact_vocab || options.vocab == 0) options.vocab = ChooseVocab(setup);
  if (setup->tokenizer != nullptr && !VocabularyFits(*setup->tokenizer, options.vocab)) {
    return InvalidArgument(fmt::format("--vocab {}: the tokenizer has {} symbols, which no command takes for a model of "
                                       "so many logits", options.vocab, setup->tokenizer->vocab_size()));
  }
  const Generation generation = options.generation == 4 ? Generation::kRwkv4 : Generation::kRwkv7;
  TERN_ASSIGN_OR_RETURN(setup->shape, train::MakeShape(generation, options.vocab, options.layers,
                                                       options.width, options.head_size));
  return OkStatus();
}

Status CheckTokens(const TrainSetup& setup) {
  for (const auto& data : {setup.data, setup.validation}) {
    if (data == nullptr || data->largest_token() < setup.shape.vocab) continue;
    return InvalidArgument(fmt::format("the data hold token {}, but the model has only {} symbols",
                                       data->largest_token(), setup.shape.vocab));
  }
  return OkStatus();
}

std::string HashOf(const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return "";
  // FNV-1a over every token with its length: no secret, only to notice another vocabulary.
  uint64_t hash = 0xcbf29ce484222325u;
  const auto add = [&](uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3u; };
  for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
    const std::string_view bytes = tokenizer->TokenBytes(id);
    for (size_t shift = 0; shift < 32; shift += 8) add(static_cast<uint8_t>(bytes.size() >> shift));
    for (const char c : bytes) add(static_cast<uint8_t>(c));
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace

Result<TrainSetup> PrepareTraining(TrainOptions options, bool exact_vocab,
                                   std::optional<train::StoredRun> run, const std::string& folder) {
  TrainSetup setup;
  setup.options = std::move(options);
  setup.run = std::move(run);
  TERN_RETURN_IF_ERROR(train::Validate(setup.options));
  if (!setup.options.model.empty() && !setup.run) {
    TERN_ASSIGN_OR_RETURN(setup.model, OpenCheckpoint(setup.options.model));
    if (const CheckpointTensor* tuned = FindInitialState(*setup.model); tuned != nullptr) {
      return Unsupported(fmt::format("--model {}: it starts from a tuned initial state ('{}'), which training does not "
                                     "keep: leave it out with tern convert --drop-initial-state", setup.options.model,
                                     tuned->name));
    }
  }
  TERN_RETURN_IF_ERROR(ChooseTokenizer(folder, &setup));
  TERN_RETURN_IF_ERROR(OpenAllData(&setup));
  TERN_RETURN_IF_ERROR(ChooseShape(exact_vocab, &setup));
  TERN_RETURN_IF_ERROR(CheckTokens(setup));
  setup.vocabulary_hash = HashOf(setup.tokenizer.get());
  return setup;
}

Status KeepVocabulary(const TrainSetup& setup, const std::string& folder) {
  if (setup.run || setup.tokenizer == nullptr || setup.tokenizer->name() == "bytes") return OkStatus();
  const bool neox = setup.tokenizer->name() == "neox";
  const std::string target = folder + "/" + (neox ? kNeoxName : kWorldName), &given = setup.options.tokenizer;
  std::error_code error;
  if (fs::equivalent(given, target, error) || (neox && given.empty())) return OkStatus();
  std::string content;
  if (!given.empty()) {
    TERN_ASSIGN_OR_RETURN(content, ReadFileToString(given));
  }
  if (neox && content.starts_with("GGUF")) {
    return InvalidArgument(fmt::format("--tokenizer {}: a run keeps its vocabulary as a tokenizer.json: name that file", given));
  }
  const bool as_lines = !content.empty() && content[0] >= '0' && content[0] <= '9';
  if (!neox && !as_lines) content = FormatWorldVocab(TokensById(*setup.tokenizer));
  if (!fs::exists(target, error)) return WriteStringToFile(target, content);
  TERN_ASSIGN_OR_RETURN(const std::string there, ReadFileToString(target));
  if (there == content) return OkStatus();
  if (const auto own = LoadTokenizer(target); own.ok() && HashOf(own->get()) == setup.vocabulary_hash) return OkStatus();
  return InvalidArgument(fmt::format("'{}' is there already, and is another vocabulary: choose another --out", target));
}

}  // namespace tern
