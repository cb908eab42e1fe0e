// maskbench FOLDER --vocabulary FILE: how many schemas of the public MaskBench data are compiled and
// enforced, and what that costs. docs/grammar.md says what is counted. The folder holds JSON files with
// "schema" and "tests"; each test has an instance ("data") and says whether it is valid.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "infer/json_schema.h"
#include "infer/token_mask.h"
#include "text/tokenizer.h"

namespace tern {
namespace {

using BenchJson = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string folder, vocabulary, filter, json, part = "1/1";
  bool list_errors = false, no_masks = false;
  size_t causes = 40;
};

double MicrosecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

/// As Python's json.dumps(value, ensure_ascii=False) writes a value.
void AppendJson(const BenchJson& value, std::string* text) {
  if (!value.is_structured()) {
    *text += value.dump();
    return;
  }
  *text += value.is_object() ? '{' : '[';
  bool first = true;
  for (const auto& [name, member] : value.items()) {
    if (!std::exchange(first, false)) *text += ", ";
    if (value.is_object()) *text += BenchJson(name).dump() + ": ";
    AppendJson(member, text);
  }
  *text += value.is_object() ? '}' : ']';
}

enum class Outcome { kPassed, kCompileError, kValidationError, kInvalidationError };
constexpr const char* kOutcomeNames[] = {"passed", "compile error", "validation error", "invalidation error"};

struct SchemaResult {
  std::string id;
  Outcome outcome = Outcome::kPassed;
  std::string message;
  double compile_us = 0;
  std::vector<double> mask_us;
};

/// Reads instances under one schema.
class InstanceWalk {
 public:
  InstanceWalk(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTree> tokens,
               const Tokenizer& tokenizer)
      : masks_(std::make_shared<TokenMasks>(std::move(grammar), std::move(tokens))), tokenizer_(tokenizer) {}

  struct Reading {
    bool allowed = true;    ///< every token was allowed
    bool complete = false;  ///< and the text may end there
    std::string stop = {};  ///< what was read when a token was refused
  };

  Reading ByTokens(const std::string& text, std::vector<double>* mask_us) {
    Reading reading;
    GrammarMatcher matcher(masks_->grammar());
    std::string read;
    for (const int32_t token : tokenizer_.Encode(text)) {
      const auto start = Clock::now();
      const auto mask = masks_->Find(matcher);
      const std::string_view bytes = masks_->tokens().text(token);
      reading.allowed = mask.ok() && (*mask)->Contains(token) && matcher.Advance(bytes);
      mask_us->push_back(MicrosecondsSince(start));
      if (!reading.allowed) {
        reading.stop = mask.ok() ? read + "»" + std::string(bytes) + "«" : mask.status().message();
        return reading;
      }
      read += bytes;
    }
    reading.complete = matcher.complete();
    return reading;
  }

  Reading ByBytes(const std::string& text) {
    GrammarMatcher matcher(masks_->grammar());
    Reading reading;
    for (size_t i = 0; i < text.size(); ++i) {
      if (matcher.Advance(static_cast<uint8_t>(text[i]))) continue;
      return {false, false, text.substr(0, i) + "»" + text.substr(i, 20) + "«"};
    }
    reading.complete = matcher.complete();
    return reading;
  }

 private:
  std::shared_ptr<TokenMasks> masks_;
  const Tokenizer& tokenizer_;
};

class Bench {
 public:
  Bench(const Options& options, const Tokenizer& tokenizer)
      : options_(options), tokenizer_(tokenizer), tokens_(std::make_shared<const TokenTree>(tokenizer)) {}

  Result<SchemaResult> RunFile(const std::filesystem::path& path) {
    TERN_ASSIGN_OR_RETURN(const std::string content, ReadFileToString(path.string()));
    const BenchJson file = BenchJson::parse(content, nullptr, /*allow_exceptions=*/false);
    if (!file.is_object() || !file.contains("schema") || !file.contains("tests") || !file["tests"].is_array())
      return InvalidArgument(path.string() + ": expected an object with \"schema\" and \"tests\"");
    SchemaResult result;
    result.id = path.stem().string();
    const std::string schema = file["schema"].dump();
    const auto start = Clock::now();
    const auto grammar = JsonSchemaGrammar(schema);
    result.compile_us = MicrosecondsSince(start);
    if (!grammar.ok()) {
      result.outcome = Outcome::kCompileError;
      result.message = grammar.status().message();
      return result;
    }
    InstanceWalk walk(*grammar, tokens_, tokenizer_);
    for (const BenchJson& test : file["tests"]) RunTest(test, &walk, &result);
    return result;
  }

 private:
  /// A valid instance must be read to a complete text; an invalid one must be refused at some token. (An
  /// invalid instance whose text could still go on, as 5 to 50, counts as accepted, as in the public runner.)
  void RunTest(const BenchJson& test, InstanceWalk* walk, SchemaResult* result) const {
    std::string text;
    AppendJson(test["data"], &text);
    const bool valid = test["valid"].get<bool>();
    const auto reading = options_.no_masks ? walk->ByBytes(text) : walk->ByTokens(text, &result->mask_us);
    if (valid && !(reading.allowed && reading.complete) && result->outcome == Outcome::kPassed) {
      result->outcome = Outcome::kValidationError;
      result->message = reading.allowed ? "incomplete: " + text : reading.stop;
    }
    if (!valid && reading.allowed) {
      result->outcome = Outcome::kInvalidationError;
      result->message = text;
    }
  }

  const Options& options_;
  const Tokenizer& tokenizer_;
  std::shared_ptr<const TokenTree> tokens_;
};

/// An error's keyword and reason, without what differs between schemas.
std::string CauseOf(const std::string& message) {
  const size_t colon = message.find(": ");
  if (colon == std::string::npos) return message.substr(0, 100);
  const std::string pointer = message.substr(0, colon);
  std::string cause = pointer.substr(pointer.rfind('/') + 1) + ": ";
  bool quoted = false;
  for (size_t i = colon + 2; i < message.size() && cause.size() < 110; ++i) {
    const char c = message[i];
    if (c == '\'') quoted = !quoted;
    if (c >= '0' && c <= '9') continue;
    if (!quoted || c == '\'') cause += c;
  }
  return cause;
}

std::string Percentiles(std::vector<double> values) {
  if (values.empty()) return "none";
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (const double value : values) sum += value;
  std::string line = fmt::format("mean {:.1f}", sum / static_cast<double>(values.size()));
  for (const double percent : {25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9}) {
    const auto at = static_cast<size_t>(percent / 100 * static_cast<double>(values.size()));
    line += fmt::format("  p{} {:.1f}", percent, values[std::min(at, values.size() - 1)]);
  }
  return line + fmt::format("  max {:.0f}", values.back());
}

void Report(const std::vector<SchemaResult>& results, const Options& options) {
  std::map<Outcome, size_t> counts;
  std::map<std::string, size_t> causes;
  std::vector<double> compile_us, mask_us;
  for (const SchemaResult& result : results) {
    ++counts[result.outcome];
    if (result.outcome == Outcome::kCompileError) {
      ++causes[CauseOf(result.message)];
    } else {
      compile_us.push_back(result.compile_us);
    }
    mask_us.insert(mask_us.end(), result.mask_us.begin(), result.mask_us.end());
    if (options.list_errors && result.outcome != Outcome::kPassed) {
      fmt::print("{}\t{}\t{}\n", kOutcomeNames[static_cast<int>(result.outcome)], result.id, result.message);
    }
  }
  fmt::print("schemas {}\n", results.size());
  for (int i = 0; i < 4; ++i) fmt::print("{} {}\n", kOutcomeNames[i], counts[static_cast<Outcome>(i)]);
  fmt::print("compile, us: {}\n", Percentiles(compile_us));
  fmt::print("mask of a token, us: {} ({} tokens)\n", Percentiles(mask_us), mask_us.size());
  std::vector<std::pair<size_t, std::string>> sorted;
  for (const auto& [cause, count] : causes) sorted.push_back({count, cause});
  std::sort(sorted.rbegin(), sorted.rend());
  if (!sorted.empty()) fmt::print("causes of compile errors:\n");
  for (size_t i = 0; i < std::min(sorted.size(), options.causes); ++i)
    fmt::print("{:6} {}\n", sorted[i].first, sorted[i].second);
}

Status WriteResults(const std::vector<SchemaResult>& results, const std::string& path) {
  BenchJson all = BenchJson::array();
  for (const SchemaResult& result : results) {
    double sum = 0, largest = 0;
    for (const double us : result.mask_us) {
      sum += us;
      largest = std::max(largest, us);
    }
    all.push_back({{"id", result.id},
                   {"outcome", kOutcomeNames[static_cast<int>(result.outcome)]},
                   {"message", result.message},
                   {"compile_us", result.compile_us},
                   {"tokens", result.mask_us.size()},
                   {"masks_us", sum},
                   {"largest_mask_us", largest}});
  }
  std::ofstream file(path);
  file << all.dump(1, ' ', false, BenchJson::error_handler_t::replace) << '\n';
  return file.good() ? OkStatus() : InvalidArgument("could not write " + path);
}

/// "2/4": the second of four parts.
Result<std::pair<size_t, size_t>> ParsePart(const std::string& text) {
  size_t part = 0, parts = 0;
  if (std::sscanf(text.c_str(), "%zu/%zu", &part, &parts) != 2 || part < 1 || part > parts)
    return InvalidArgument("--part: expected I/N with 1 <= I <= N, found '" + text + "'");
  return std::pair{part, parts};
}

Status RunAll(const Options& options) {
  TERN_ASSIGN_OR_RETURN(const auto part, ParsePart(options.part));
  TERN_ASSIGN_OR_RETURN(const auto tokenizer, LoadWorldTokenizer(options.vocabulary));
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(options.folder)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".json" && name.find(options.filter) != std::string::npos)
      paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  Bench bench(options, *tokenizer);
  std::vector<SchemaResult> results;
  for (size_t i = part.first - 1; i < paths.size(); i += part.second) {
    TERN_ASSIGN_OR_RETURN(SchemaResult result, bench.RunFile(paths[i]));
    results.push_back(std::move(result));
  }
  Report(results, options);
  return options.json.empty() ? OkStatus() : WriteResults(results, options.json);
}

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  tern::Options options;
  CLI::App app(
      "Counts the schemas of the public MaskBench data that are enforced, and measures their masks.");
  app.add_option("folder", options.folder, "MaskBench's data folder")
      ->required()
      ->check(CLI::ExistingDirectory);
  app.add_option("--vocabulary", options.vocabulary, "World vocabulary file")->required();
  app.add_option("--filter", options.filter, "only files whose name contains this");
  app.add_option("--part", options.part, "I/N: only every N-th file, from the I-th");
  app.add_option("--json", options.json, "write a line for each schema to this file");
  app.add_option("--causes", options.causes, "how many causes of compile errors to list");
  app.add_flag("--list-errors", options.list_errors, "list every schema that does not pass");
  app.add_flag("--no-masks", options.no_masks, "read the instances by bytes, without masks");
  CLI11_PARSE(app, argc, argv);
  const tern::Status status = tern::RunAll(options);
  if (status.ok()) return 0;
  fmt::print(stderr, "maskbench: {}\n", status.message());
  return 1;
}
