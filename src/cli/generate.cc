// tern generate: continue a prompt.
#include <chrono>
#include <iostream>

#include <fmt/format.h>

#include "base/file.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/numbers.h"
#include "infer/conversation.h"
#include "infer/generator.h"
#include "infer/json_schema.h"
#include "infer/token_mask.h"

namespace tern {
namespace {

struct GenerateArguments {
  ModelOptions model;
  SamplingOptions sampling;
  GenerateOptions generate;
  std::string prompt, prompt_file, state_in, state_out, grammar, json_schema;
  bool json = false;
};

Result<std::string> Prompt(const GenerateArguments& options) {
  if (options.prompt_file.empty()) return options.prompt;
  return ReadText(options.prompt_file);
}

/// Brings the session to where generation starts; returns how many tokens it read.
Result<size_t> Prepare(const GenerateArguments& options, const Tokenizer& tokenizer, Session& session, Sampler& sampler) {
  TERN_ASSIGN_OR_RETURN(const std::string prompt, Prompt(options));
  if (!options.state_in.empty()) {
    TERN_ASSIGN_OR_RETURN(const std::string note, session.StartFrom(options.state_in));
    const auto json = nlohmann::json::parse(note, nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.contains("sampler")) TERN_RETURN_IF_ERROR(SamplerFromJson(json["sampler"].dump(), &sampler));
  }
  std::vector<int32_t> tokens = tokenizer.Encode(prompt);
  if (tokens.empty() && session.logits().empty()) tokens = {FirstToken(tokenizer)};
  TERN_RETURN_IF_ERROR(FeedWithProgress(session, tokens, /*show=*/true));
  return tokens.size();
}

/// What --grammar or --json-schema asks for; null without them.
Result<std::shared_ptr<const Grammar>> ReadGrammar(const GenerateArguments& options) {
  const std::string& path = options.grammar.empty() ? options.json_schema : options.grammar;
  if (path.empty()) return std::shared_ptr<const Grammar>();
  TERN_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  auto grammar = options.grammar.empty() ? JsonSchemaGrammar(text) : ParseGrammar(text);
  if (!grammar.ok()) return grammar.status().WithContext(path);
  return grammar;
}

double PerSecond(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

Status RunGenerate(const GenerateArguments& options) {
  TERN_RETURN_IF_ERROR(Validate(options.sampling));
  // A place that cannot be written to is better known now than after the text.
  if (!options.state_out.empty()) TERN_RETURN_IF_ERROR(AtomicFile::Create(options.state_out).status());
  TERN_ASSIGN_OR_RETURN(const std::shared_ptr<const Grammar> grammar, ReadGrammar(options));
  const auto start = std::chrono::steady_clock::now();
  TERN_ASSIGN_OR_RETURN(const LoadedModel loaded, LoadModelAndTokenizer(options.model));
  const auto loaded_at = std::chrono::steady_clock::now();
  CatchInterrupts();
  Session session(loaded.model, /*remember_tokens=*/!options.state_out.empty());
  Sampler sampler(options.sampling, loaded.tokenizer.get());
  TERN_ASSIGN_OR_RETURN(const size_t prompt_tokens, Prepare(options, *loaded.tokenizer, session, sampler));
  GenerateOptions generate = options.generate;
  if (grammar) {
    generate.constraint = std::make_shared<const TokenConstraint>(MakeTokenMasks(grammar, *loaded.tokenizer));
  }
  const auto read_at = std::chrono::steady_clock::now();
  TERN_ASSIGN_OR_RETURN(const GenerateResult result,
                        Generate(session, sampler, *loaded.tokenizer, generate, [&](std::string_view text) {
                          if (!options.json) std::cout << text << std::flush;
                          return !Interrupted() && static_cast<bool>(std::cout);
                        }));
  if (!options.state_out.empty()) {
    TERN_RETURN_IF_ERROR(session.Save(options.state_out, "{\"sampler\": " + SamplerToJson(sampler) + "}"));
  }
  if (!options.json) {
    std::cout << "\n";
    return OkStatus();
  }
  const double load_seconds = std::chrono::duration<double>(loaded_at - start).count();
  const double prompt_seconds = std::chrono::duration<double>(read_at - loaded_at).count();
  PrintJson({{"text", result.text},
             {"tokens", result.tokens},
             {"stop", Name(result.reason)},
             {"prompt_tokens", prompt_tokens},
             {"generated_tokens", result.generated},
             {"load_seconds", load_seconds},
             {"prompt_seconds", prompt_seconds},
             {"generate_seconds", result.seconds},
             {"prompt_tokens_per_second", PerSecond(static_cast<double>(prompt_tokens), prompt_seconds)},
             {"generate_tokens_per_second", PerSecond(static_cast<double>(result.generated), result.seconds)},
             {"seed", options.sampling.seed}});
  return OkStatus();
}

}  // namespace

void AddGenerate(CLI::App& app, Run* run) {
  auto options = std::make_shared<GenerateArguments>();
  CLI::App* command = app.add_subcommand("generate", "Continue a prompt");
  AddModelOptions(*command, options->model);
  auto* prompt = command->add_option("-p,--prompt", options->prompt, "The text to continue (default: a new document)");
  command->add_option("--prompt-file", options->prompt_file, "Read it from a file; -: standard input")
      ->type_name("FILE")
      ->excludes(prompt);
  command->add_option("-n,--tokens", options->generate.max_tokens, "At most so many tokens")
      ->check(AtLeast(0))
      ->capture_default_str();
  command->add_option("--stop", options->generate.stop, "Texts that end it; not shown")->type_name("TEXT…");
  auto* grammar = command->add_option("--grammar", options->grammar, "Write a text of this grammar (docs/grammar.md)");
  grammar->type_name("FILE");
  command->add_option("--json-schema", options->json_schema, "Write JSON that is valid against this schema")
      ->type_name("FILE")
      ->excludes(grammar);
  command->add_flag("--ignore-eos", options->generate.ignore_end_of_document, "Go on after the end of a document");
  command->add_option("--state-in", options->state_in, "Continue from a saved state, or from a tuned one (att.time_state)")
      ->type_name("FILE");
  command->add_option("--state-out", options->state_out, "Save the state at the end")->type_name("FILE");
  AddSamplingOptions(*command, options->sampling);
  command->add_flag("--json", options->json, "One JSON document with text, tokens and timings, instead of a stream");
  command->callback([=] {
    options->generate.keep_output = options->json;
    *run = [=] { return RunGenerate(*options); };
  });
}

}  // namespace tern
