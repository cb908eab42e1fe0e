#include "cli/train_arguments.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/seed.h"
#include "train/recipe.h"

namespace tern {
namespace {

using train::TrainOptions;

/// Adds options of one group of the help, each with its default shown.
class Group {
 public:
  Group(CLI::App& command, const char* name) : command_(command), name_(name) {}

  template <typename T>
  CLI::Option* Add(const char* name, T& field, const char* help, const char* type = nullptr) {
    CLI::Option* option = command_.add_option(name, field, help)->group(name_)->capture_default_str();
    if (type != nullptr) option->type_name(type);
    return option;
  }
  void Flag(const char* name, bool& field, const char* help) {
    command_.add_flag(name, field, help)->group(name_);
  }

 private:
  CLI::App& command_;
  const char* name_;
};

void AddData(CLI::App& command, TrainOptions& o) {
  Group group(command, "Data");
  group.Add("--data", o.data,
            "Texts, .jsonl or .json ({\"text\": …} records) or RWKV-LM's .bin/.idx; several are joined",
            "FILE…");
  group.Add("--validation", o.validation, "A file, or a share of the data at its end (0.1)", "FILE|SHARE");
  group.Add(
      "--tokenizer", o.tokenizer,
      "Vocabulary: rwkv_vocab_*.txt or one of `tern tokenizer train`, a tokenizer.json, or the word bytes "
      "(default: the model's with --model, else bytes)",
      "FILE");
  group.Add("--separator", o.separator, "Plain text is cut into documents at lines that equal this", "TEXT");
}

void AddBatches(CLI::App& command, TrainOptions& o) {
  Group group(command, "Batches");
  group.Add("--context", o.context, "Tokens of a row", "N");
  group.Add("--batch", o.batch, "Rows of a step", "N");
  group.Add("--micro-batch", o.micro_batch,
            "Rows at once, gradients summed over the rest (0: all; saves memory)", "N");
  group
      .Add("--order", o.order,
           "shuffled windows from the zero state, or streams: rows read on, states carried")
      ->type_name("shuffled|streams");
  group.Flag("--reset-at-documents", o.reset_at_documents, "Zero state where a document starts");
  AddSeed(command, o.seed, "Of initial weights, order of the data and dropout")->group("Batches");
}

void AddRecipe(CLI::App& command, TrainOptions& o) {
  Group group(command, "Recipe");
  group.Add("--steps", o.steps, "Steps of the whole run", "N");
  group.Add("--lr", o.lr, "Learning rate at first");
  group.Add("--lr-final", o.lr_final, "Learning rate at the end");
  group.Add("--schedule", o.schedule, "How it falls")->type_name("cosine|linear|exponential|wsd|constant");
  group.Add("--decay-fraction", o.decay_fraction, "wsd: the last part of the run, that falls");
  group.Add("--warmup", o.warmup, "Steps of warm-up", "N");
  group.Add("--weight-decay", o.weight_decay, "Of matrices, decoupled (AdamW)");
  group.Add("--beta1", o.beta1, "Adam's first moment");
  group.Add("--beta2", o.beta2, "Adam's second moment");
  group.Add("--eps", o.eps, "Adam's epsilon (0: the generation's own)");
  group.Add("--clip", o.clip, "Largest norm of the gradient (0: any)");
  group.Add("--dropout", o.dropout, "On the output of every TimeMix and ChannelMix");
  group.Add("--l2wrap", o.l2wrap, "Pull on the largest logit (0: off)");
  group.Add("--precision", o.precision, "Of matrix products; everything else is f32")->type_name("bf16|f32");
  group.Flag("--recompute", o.recompute, "Compute layers again in the backward pass: less memory, more time");
  group.Flag("--skip-bad-steps", o.skip_bad_steps,
             "Leave steps with NaN or infinity out instead of stopping");
}

void AddRun(CLI::App& command, TrainArguments& a) {
  Group group(command, "Run");
  TrainOptions& o = a.options;
  group.Add("-o,--out", a.out, "Folder of the run", "DIR");
  group.Flag("--resume", a.resume,
             "Go on from its newest checkpoint, bit for bit; options given again may change it");
  group.Flag("--dry-run", a.dry_run, "Print parameters, memory, FLOP and the speed of a few timed steps; nothing is written");
  group.Add("--eval-every", o.eval_every, "Steps between validations (0: only at the end)", "N");
  group.Add("--eval-tokens", o.eval_tokens, "About so many validation tokens (0: all)", "N");
  group.Flag("--eval-carried", o.eval_carried,
             "Validation reads on from window to window, instead of from zero");
  group.Add("--save-every", o.save_every, "Steps between checkpoints (0: only at the end)", "N");
  group.Add("--keep", o.keep, "Newest checkpoints that are kept (0: all), beside best.safetensors", "N");
  group.Add("--log-every", o.log_every, "Steps between lines of log.jsonl", "N");
  group.Add("--sample-every", o.sample_every, "Steps between sample texts (0: none)", "N");
  group.Add("--sample-prompt", o.sample_prompt, "What a sample begins with (default: a new document)",
            "TEXT");
  group.Add("--sample-tokens", o.sample_tokens, "Tokens of a sample", "N");
  group.Add("--type", a.type, "Matrices of the final model.safetensors")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  AddThreads(command, a.threads);
  group.Add("--reduce", a.reduce, "Under mpirun: gradients travel as f32, or in half the bytes")
      ->check(CLI::IsMember({"f32", "bf16"}));
  command.add_flag("--json", a.json, "One JSON document at the end instead of lines on the way");
}

std::string PresetTable() {
  std::string table = "Presets (sizes, context, batch and learning rates; options given beside them win):\n";
  for (const train::Preset& p : train::Presets()) table += fmt::format("  {:<18} {}\n", p.name, p.what);
  return table;
}

/// A preset's values, by the names of their options.
Result<nlohmann::json> PresetValues(const std::string& name) {
  const train::Preset* p = train::FindPreset(name);
  if (p == nullptr) {
    std::string names;
    for (const train::Preset& each : train::Presets())
      names += fmt::format("{}{}", names.empty() ? "" : ", ", each.name);
    return InvalidArgument(fmt::format("--preset {}: there is none of that name; there are {}", name, names));
  }
  return nlohmann::json{{"generation", Major(p->generation)},
                        {"layers", p->layers},
                        {"width", p->width},
                        {"head-size", p->head_size},
                        {"vocab", p->vocab},
                        {"context", p->context},
                        {"batch", p->batch},
                        {"lr", p->initial_rate},
                        {"lr-final", p->final_rate}};
}

}  // namespace

void AddModelSizes(CLI::App& command, TrainArguments& a) {
  Group group(command, "Model");
  TrainOptions& o = a.options;
  group.Add("--preset", a.preset, "Sizes and rates by name, see below", "NAME");
  group.Add("--generation", o.generation, "RWKV-4 or RWKV-7")->check(CLI::IsMember({4, 7}))->type_name("4|7");
  group.Add("--layers", o.layers, "Layers", "N");
  group.Add("--width", o.width, "Channels", "N");
  group.Add("--head-size", o.head_size, "Channels of a head (RWKV-7)", "N");
  group.Add("--vocab", o.vocab, "Logits (0: as many as the tokenizer has)", "N");
  command.footer(PresetTable());
}

void AddTrainArguments(CLI::App& command, TrainArguments& a) {
  AddData(command, a.options);
  AddModelSizes(command, a);
  Group(command, "Model").Add("-m,--model", a.options.model, "Go on from these weights (any format)", "FILE");
  AddBatches(command, a.options);
  AddRecipe(command, a.options);
  AddRun(command, a);
}

bool Given(const CLI::App& command, const std::string& name) {
  const CLI::Option* option = command.get_option_no_throw("--" + name);
  return option != nullptr && option->count() > 0;
}

Result<TrainOptions> Resolve(const CLI::App& command, const TrainArguments& arguments,
                             const TrainOptions& base) {
  nlohmann::json values = train::ToJson(base);
  if (!arguments.preset.empty()) {
    TERN_ASSIGN_OR_RETURN(const nlohmann::json preset, PresetValues(arguments.preset));
    values.update(preset);
  }
  const nlohmann::json given = train::ToJson(arguments.options);
  for (const auto& [name, value] : given.items()) {
    if (Given(command, name)) values[name] = value;
  }
  TrainOptions resolved = base;
  TERN_RETURN_IF_ERROR(train::FromJson(values, &resolved));
  return resolved;
}

}  // namespace tern
