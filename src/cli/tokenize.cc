// tern tokenize and tern detokenize.
#include <iostream>
#include <iterator>
#include <sstream>

#include <fmt/format.h>

#include "base/file.h"
#include "cli/command.h"
#include "cli/common.h"

namespace tern {
namespace {

struct Options {
  std::string tokenizer;
  std::string text, file;
  std::vector<int32_t> ids;
  bool has_text = false, json = false;
};

Status RunTokenize(const Options& options) {
  TERN_ASSIGN_OR_RETURN(auto tokenizer, LoadTokenizer(options.tokenizer));
  std::string text = options.text;
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

/// The ids of {"tokens": […]}, as tokenize --json writes them.
Result<std::vector<int32_t>> ParseJsonIds(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto tokens = json.is_object() ? json.find("tokens") : json.end();
  if (tokens == json.end() || !tokens->is_array()) return InvalidArgument("expected {\"tokens\": [ID, …]}");
  std::vector<int32_t> ids;
  for (const auto& id : *tokens) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > 999'999'999) {
      return InvalidArgument(fmt::format("{} is no token id", id.dump()));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

/// Ids separated by spaces, commas, line breaks or brackets, so that the output of tokenize, plain or JSON, goes in.
Result<std::vector<int32_t>> ParseIds(const std::string& text) {
  if (const size_t first = text.find_first_not_of(" \t\r\n"); first != std::string::npos && text[first] == '{') {
    return ParseJsonIds(text);
  }
  std::vector<int32_t> ids;
  for (size_t i = 0; i < text.size();) {
    if (std::string_view(" ,\t\r\n[]").find(text[i]) != std::string_view::npos) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    if (end == i || end - i > 9) return InvalidArgument(fmt::format("'{}' is no token id", text.substr(i, 16)));
    ids.push_back(std::stoi(text.substr(i, end - i)));
    i = end;
  }
  return ids;
}

Status RunDetokenize(const Options& options) {
  TERN_ASSIGN_OR_RETURN(auto tokenizer, LoadTokenizer(options.tokenizer));
  std::vector<int32_t> ids = options.ids;
  if (ids.empty()) {
    TERN_ASSIGN_OR_RETURN(const std::string text, ReadText(options.file.empty() ? "-" : options.file));
    TERN_ASSIGN_OR_RETURN(ids, ParseIds(text));
  }
  for (int32_t id : ids) {
    if (id < 0 || id >= tokenizer->vocab_size()) {
      return InvalidArgument(fmt::format("token {} is outside the vocabulary of {}", id, tokenizer->vocab_size()));
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

CLI::App* AddCommon(CLI::App& app, const char* name, const char* what, const std::shared_ptr<Options>& options) {
  CLI::App* command = app.add_subcommand(name, what);
  command->add_option("--tokenizer", options->tokenizer, "rwkv_vocab_*.txt, a tokenizer.json, or the word bytes")
      ->required()
      ->type_name("FILE");
  command->add_option("--file", options->file, "Read from a file (default: standard input)")->type_name("FILE");
  command->add_flag("--json", options->json, "Machine-readable output");
  return command;
}

}  // namespace

void AddTokenize(CLI::App& app, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommon(app, "tokenize", "Token ids of a text", options);
  CLI::Option* text = command->add_option("text", options->text, "The text (default: --file or standard input)");
  command->callback([=] {
    options->has_text = text->count() > 0;
    *run = [=] { return RunTokenize(*options); };
  });
}

void AddDetokenize(CLI::App& app, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommon(app, "detokenize", "The text of token ids", options);
  command->add_option("ids", options->ids, "Ids (default: --file or standard input)")->delimiter(',');
  command->callback([=] { *run = [=] { return RunDetokenize(*options); }; });
}

}  // namespace tern
