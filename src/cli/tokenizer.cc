// tern tokenizer train: a vocabulary of one's own.
#include <fmt/format.h>

#include <filesystem>
#include <iostream>

#include "base/file.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/common.h"
#include "formats/binidx.h"
#include "text/vocab_trainer.h"
#include "text/world_vocab.h"
#include "train/corpus.h"

namespace tern {
namespace {

struct TokenizerArguments {
  std::vector<std::string> files;
  std::string out, separator;
  int32_t vocab_size = 0;
  int64_t min_count = 2;
  int threads = 0;
  bool json = false;
};

constexpr size_t kBatchBytes = size_t{16} << 20;

/// Gives every document to the trainer. Returns how many there were.
Result<int64_t> ReadDocuments(const TokenizerArguments& options, VocabTrainer& trainer) {
  int64_t documents = 0;
  for (const std::string& file : options.files) {
    TERN_ASSIGN_OR_RETURN(const auto reader, train::CorpusReader::Open(file, options.separator));
    constexpr int64_t kMega = 1'000'000;
    Progress progress("reading " + file, static_cast<uint64_t>(reader->size() / kMega), "MB", !options.json);
    std::string storage;
    for (;;) {
      TERN_ASSIGN_OR_RETURN(const auto batch, reader->Next(kBatchBytes));
      if (batch.empty()) break;
      for (const train::RawDocument& document : batch) {
        TERN_ASSIGN_OR_RETURN(const std::string_view text, reader->Text(document, &storage));
        trainer.Add(text);
      }
      documents += static_cast<int64_t>(batch.size());
      progress.Update(static_cast<uint64_t>(reader->position() / kMega));
      if (Interrupted()) return Cancelled("stopped while reading");
    }
  }
  if (documents == 0) return Corrupt(fmt::format("'{}' holds no text", options.files.front()));
  return documents;
}

/// Tokens of all files with the new vocabulary.
Result<int64_t> CountTokens(const TokenizerArguments& options, const Tokenizer& tokenizer) {
  train::TokenizeOptions tokenize;
  tokenize.separator = options.separator;
  int64_t tokens = 0;
  for (const std::string& file : options.files) {
    const auto ignore = [](std::span<const int32_t>) { return OkStatus(); };
    TERN_ASSIGN_OR_RETURN(const train::CorpusCounts counts,
                          TokenizeCorpus(file, tokenizer, tokenize, ignore));
    tokens += counts.tokens;
  }
  return tokens;
}

/// Refuses files that are no text, and the file that is to be written: it would be gone.
Status CheckFiles(const TokenizerArguments& options) {
  for (const std::string& file : options.files) {
    if (NamesBinidx(file)) {
      return InvalidArgument(fmt::format("'{}' holds tokens already; expected plain text or .jsonl", file));
    }
    std::error_code ignored;
    if (std::filesystem::equivalent(file, options.out, ignored)) {
      return InvalidArgument(
          fmt::format("--out {}: the vocabulary would replace the text it is learned from", options.out));
    }
  }
  return OkStatus();
}

Status RunTrain(const TokenizerArguments& options) {
  TERN_RETURN_IF_ERROR(CheckFiles(options));
  if (options.threads > 0) SetNumThreads(options.threads);
  TERN_ASSIGN_OR_RETURN(auto out, AtomicFile::Create(options.out));  // before the work, not after
  CatchInterrupts();
  VocabTrainer trainer;
  TERN_ASSIGN_OR_RETURN(const int64_t documents, ReadDocuments(options, trainer));
  Progress progress("choosing tokens", 100, "%", !options.json);
  VocabOptions vocab;
  vocab.vocab_size = options.vocab_size;
  vocab.min_count = options.min_count;
  vocab.progress = [&](double done) {
    progress.Update(static_cast<uint64_t>(done * 100));
    return !Interrupted();
  };
  TERN_ASSIGN_OR_RETURN(const std::vector<std::string> tokens, trainer.Train(vocab));
  progress.Finish();
  TERN_ASSIGN_OR_RETURN(const auto tokenizer, MakeWorldTokenizer(tokens));
  TERN_ASSIGN_OR_RETURN(const int64_t length, CountTokens(options, *tokenizer));
  TERN_RETURN_IF_ERROR(out->Append(FormatWorldVocab(tokens)));
  TERN_RETURN_IF_ERROR(out->Commit());
  const double bytes_per_token = static_cast<double>(trainer.bytes()) / static_cast<double>(length);
  if (options.json) {
    PrintJson({{"out", options.out},
               {"vocab_size", tokenizer->vocab_size()},
               {"documents", documents},
               {"bytes", trainer.bytes()},
               {"tokens", length},
               {"bytes_per_token", bytes_per_token}});
  } else {
    std::cout << fmt::format("{}: {} tokens, {:.3f} bytes per token of {} documents ({})\n", options.out,
                             tokenizer->vocab_size(), bytes_per_token, documents,
                             HumanBytes(static_cast<uint64_t>(trainer.bytes())));
  }
  return OkStatus();
}

}  // namespace

void AddTokenizer(CLI::App& app, Run* run) {
  CLI::App* group = app.add_subcommand("tokenizer", "Make a tokenizer");
  group->require_subcommand(1);
  auto options = std::make_shared<TokenizerArguments>();
  CLI::App* command = group->add_subcommand("train",
                                            "Learn a vocabulary in RWKV World's format from text: all 256 "
                                            "bytes, and tokens that never reach over a word");
  command->add_option("files", options->files, "Text: plain, or .jsonl or .json with {\"text\": …} records")
      ->required();
  command
      ->add_option("--vocab-size", options->vocab_size,
                   "Ids, id 0 (the end of a document) and the 256 bytes included; a model needs as many rows")
      ->required()
      ->check(CLI::Range(257, 1 << 20))
      ->type_name("N");
  command->add_option("--out", options->out, "The vocabulary to write")->required()->type_name("FILE");
  command
      ->add_option(
          "--separator", options->separator,
          "Plain text is cut into documents at lines that equal this, as <|endoftext|>; they are not learned")
      ->type_name("LINE");
  command->add_option("--min-count", options->min_count, "Learn only what occurs so often")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str()
      ->type_name("N");
  AddThreads(*command, options->threads);
  command->add_flag("--json", options->json, "Machine-readable output");
  command->callback([=] { *run = [=] { return RunTrain(*options); }; });
}

}  // namespace tern
