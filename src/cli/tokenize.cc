// tern tokenize and tern detokenize.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <sstream>

#include "base/file.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/common.h"
#include "formats/binidx.h"
#include "train/corpus.h"

namespace tern {
namespace {

struct TokenizeArguments {
  std::string tokenizer;
  std::string file;
  std::vector<std::string> texts;  ///< with `out`: files
  std::string out, separator;
  std::vector<int32_t> ids;
  int threads = 0;
  bool has_text = false, json = false;
};

/// All files through one writer.
Result<train::CorpusCounts> WriteCorpus(const std::vector<std::string>& files, const Tokenizer& tokenizer,
                                        const TokenizeArguments& options, BinidxWriter& writer) {
  uint64_t total = 0, before = 0;
  for (const std::string& file : files) {
    TERN_ASSIGN_OR_RETURN(const auto map,
                          MappedFile::Open(file));  // a file that cannot be read is told at once
    total += map->size();
  }
  constexpr uint64_t kMega = 1'000'000;
  Progress progress("tokenizing", total / kMega, "MB", !options.json);
  train::TokenizeOptions tokenize;
  tokenize.document_end = tokenizer.end_of_document();
  tokenize.separator = options.separator;
  tokenize.progress = [&](int64_t done, int64_t) {
    progress.Update((before + static_cast<uint64_t>(done)) / kMega);
    return !Interrupted();
  };
  train::CorpusCounts sum;
  for (const std::string& file : files) {
    const auto append = [&](std::span<const int32_t> document) { return writer.Append(document); };
    TERN_ASSIGN_OR_RETURN(const train::CorpusCounts counts,
                          TokenizeCorpus(file, tokenizer, tokenize, append));
    sum.documents += counts.documents;
    sum.tokens += counts.tokens;
    sum.bytes += counts.bytes;
    TERN_ASSIGN_OR_RETURN(const auto map, MappedFile::Open(file));
    before += map->size();
  }
  return sum;
}

Status RunTokenizeToFile(const TokenizeArguments& options) {
  if (options.threads > 0) SetNumThreads(options.threads);
  std::vector<std::string> files = options.texts;
  if (!options.file.empty()) files.push_back(options.file);
  if (files.empty()) return InvalidArgument("--out: which files? Give one or more, plain text or .jsonl");
  if (!options.out.ends_with(".bin")) {
    return InvalidArgument(fmt::format("--out {}: expected a name that ends in .bin", options.out));
  }
  for (const std::string& file : files) {
    if (NamesBinidx(file)) {
      return InvalidArgument(fmt::format("'{}' holds tokens already; expected plain text or .jsonl", file));
    }
  }
  TERN_ASSIGN_OR_RETURN(auto tokenizer, OpenTokenizer(options.tokenizer));
  constexpr int32_t kFitsTwoBytes = 65536;
  const bool small = tokenizer->vocab_size() <= kFitsTwoBytes;
  TERN_ASSIGN_OR_RETURN(auto writer,
                        BinidxWriter::Create(options.out, small ? BinidxType::kU16 : BinidxType::kI32));
  CatchInterrupts();
  TERN_ASSIGN_OR_RETURN(const train::CorpusCounts counts, WriteCorpus(files, *tokenizer, options, *writer));
  TERN_RETURN_IF_ERROR(writer->Commit());
  const double bytes_per_token = static_cast<double>(counts.bytes) / static_cast<double>(counts.tokens);
  if (options.json) {
    PrintJson({{"out", options.out},
               {"files", files.size()},
               {"documents", counts.documents},
               {"tokens", counts.tokens},
               {"bytes", counts.bytes},
               {"bytes_per_token", bytes_per_token},
               {"type", small ? "uint16" : "int32"}});
  } else {
    std::cout << fmt::format("{}: {} documents, {} tokens, {:.3f} bytes per token\n", options.out,
                             counts.documents, counts.tokens, bytes_per_token);
  }
  return OkStatus();
}

Status RunTokenize(const TokenizeArguments& options) {
  if (!options.out.empty()) return RunTokenizeToFile(options);
  if (options.texts.size() > 1) {
    return InvalidArgument("more than one text (quote a text with spaces; files are for --out)");
  }
  if (!options.separator.empty()) return InvalidArgument("--separator goes with --out");
  if (options.has_text && !options.file.empty()) {
    return InvalidArgument("a text and --file exclude each other: which is meant?");
  }
  TERN_ASSIGN_OR_RETURN(auto tokenizer, OpenTokenizer(options.tokenizer));
  std::string text = options.texts.empty() ? std::string() : options.texts.front();
  if (!options.has_text) {
    TERN_ASSIGN_OR_RETURN(text, ReadText(options.file.empty() ? "-" : options.file));
  }
  const std::vector<int32_t> ids = tokenizer->Encode(text);
  if (options.json) {
    nlohmann::ordered_json j;
    j["tokens"] = ids;
    j["bytes"] = text.size();
    std::cout << j.dump() << "\n";
    return OkStatus();
  }
  for (size_t i = 0; i < ids.size(); ++i) std::cout << (i ? " " : "") << ids[i];
  std::cout << "\n";
  return OkStatus();
}

/// An id in decimal digits, of any length, that must be one of `vocab` ids.
Result<int32_t> IdOfDigits(std::string_view digits, int32_t vocab) {
  int64_t id = 0;
  for (const char digit : digits) id = std::min<int64_t>(id * 10 + (digit - '0'), vocab);
  if (id >= vocab) {
    return InvalidArgument(fmt::format("token {} is outside the vocabulary of {}", digits, vocab));
  }
  return static_cast<int32_t>(id);
}

/// The ids of {"tokens": […]}, as tokenize --json writes them.
Result<std::vector<int32_t>> ParseJsonIds(const std::string& text, int32_t vocab) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto tokens = json.is_object() ? json.find("tokens") : json.end();
  if (tokens == json.end() || !tokens->is_array()) return InvalidArgument("expected {\"tokens\": [ID, …]}");
  std::vector<int32_t> ids;
  for (const auto& id : *tokens) {
    if (!id.is_number_unsigned()) return InvalidArgument(fmt::format("{} is no token id", id.dump()));
    TERN_ASSIGN_OR_RETURN(const int32_t known, IdOfDigits(id.dump(), vocab));
    ids.push_back(known);
  }
  return ids;
}

/// Ids separated by spaces, commas, line breaks or brackets, so that the output of tokenize, plain or JSON,
/// goes in.
Result<std::vector<int32_t>> ParseIds(const std::string& text, int32_t vocab) {
  constexpr std::string_view kBetween = " ,\t\r\n[]";
  if (const size_t first = text.find_first_not_of(" \t\r\n");
      first != std::string::npos && text[first] == '{') {
    return ParseJsonIds(text, vocab);
  }
  std::vector<int32_t> ids;
  for (size_t i = 0; i < text.size();) {
    if (kBetween.find(text[i]) != std::string_view::npos) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    if (end == i) {
      const size_t length = std::min<size_t>(16, text.find_first_of(kBetween, i) - i);
      return InvalidArgument(fmt::format("'{}' is no token id", text.substr(i, length)));
    }
    TERN_ASSIGN_OR_RETURN(const int32_t id, IdOfDigits(std::string_view(text).substr(i, end - i), vocab));
    ids.push_back(id);
    i = end;
  }
  return ids;
}

Status RunDetokenize(const TokenizeArguments& options) {
  if (!options.ids.empty() && !options.file.empty()) {
    return InvalidArgument("ids and --file exclude each other: which are meant?");
  }
  TERN_ASSIGN_OR_RETURN(auto tokenizer, OpenTokenizer(options.tokenizer));
  std::vector<int32_t> ids = options.ids;
  if (ids.empty()) {
    TERN_ASSIGN_OR_RETURN(const std::string text, ReadText(options.file.empty() ? "-" : options.file));
    TERN_ASSIGN_OR_RETURN(ids, ParseIds(text, tokenizer->vocab_size()));
  }
  for (int32_t id : ids) {
    if (id < 0 || id >= tokenizer->vocab_size()) {
      return InvalidArgument(
          fmt::format("token {} is outside the vocabulary of {}", id, tokenizer->vocab_size()));
    }
  }
  const std::string text = tokenizer->Decode(ids);
  if (options.json) {
    PrintJson({{"text", text}});
  } else {
    std::cout << text;  // the bytes as they are: what was tokenized comes back
  }
  return OkStatus();
}

CLI::App* AddCommon(CLI::App& app, const char* name, const char* what,
                    const std::shared_ptr<TokenizeArguments>& options) {
  CLI::App* command = app.add_subcommand(name, what);
  command
      ->add_option("--tokenizer", options->tokenizer, "rwkv_vocab_*.txt, a tokenizer.json, or the word bytes")
      ->required()
      ->type_name("FILE");
  command->add_option("--file", options->file, "Read from a file (default: standard input)")
      ->type_name("FILE");
  command->add_flag("--json", options->json, "Machine-readable output");
  return command;
}

}  // namespace

void AddTokenize(CLI::App& app, Run* run) {
  auto options = std::make_shared<TokenizeArguments>();
  CLI::App* command =
      AddCommon(app, "tokenize", "Token ids of a text, or of files into a corpus for training", options);
  CLI::Option* text = command->add_option(
      "text", options->texts, "The text (default: --file or standard input); with --out, one or more files");
  command
      ->add_option("--out", options->out,
                   "Write the tokens of files (plain text, or .jsonl or .json with {\"text\": …} records) to "
                   "X.bin and X.idx, "
                   "RWKV-LM's binidx; each document ends with the tokenizer's end of a document")
      ->type_name("X.bin");
  command
      ->add_option("--separator", options->separator,
                   "With --out: plain text is cut into documents at lines that equal this, as <|endoftext|> "
                   "(default: a file is a document)")
      ->type_name("LINE");
  AddThreads(*command, options->threads);
  command->callback([=] {
    options->has_text = text->count() > 0;
    *run = [=] { return RunTokenize(*options); };
  });
}

void AddDetokenize(CLI::App& app, Run* run) {
  auto options = std::make_shared<TokenizeArguments>();
  CLI::App* command = AddCommon(app, "detokenize", "The text of token ids", options);
  command->add_option("ids", options->ids, "Ids (default: --file or standard input)")->delimiter(',');
  command->callback([=] { *run = [=] { return RunDetokenize(*options); }; });
}

}  // namespace tern
