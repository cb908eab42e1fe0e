// tern convert: from any weight file to any other, with quantisation.
#include <iostream>

#include <fmt/format.h>

#include "base/parallel.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/common.h"
#include "tensor/quant.h"

namespace tern {
namespace {

struct ConvertArguments {
  std::string in, out, type, names = "blinkdl", tokenizer;
  int threads = 0;
  bool json = false;
};

/// The vocabulary by id, for formats that carry one. Without --tokenizer one is looked for, and its absence is no
/// error: the file can be written without.
Result<std::vector<std::string>> Vocabulary(const ConvertArguments& options, const Checkpoint& checkpoint) {
  if (!checkpoint.vocabulary().empty() && options.tokenizer.empty()) return checkpoint.vocabulary();
  const CheckpointTensor* emb = checkpoint.Find("emb.weight");
  const int64_t vocab = emb == nullptr || emb->shape.empty() ? 0 : emb->shape[0];
  auto tokenizer = options.tokenizer.empty() ? FindTokenizer(checkpoint.source().path(), vocab)
                                             : LoadTokenizer(options.tokenizer);
  if (!tokenizer.ok() && !options.tokenizer.empty()) return tokenizer.status();
  if (!tokenizer.ok() || (*tokenizer)->name() != "world") return std::vector<std::string>();
  std::vector<std::string> tokens(static_cast<size_t>((*tokenizer)->vocab_size()));
  for (size_t id = 0; id < tokens.size(); ++id) tokens[id] = (*tokenizer)->TokenBytes(static_cast<int32_t>(id));
  return tokens;
}

Status RunConvert(const ConvertArguments& options) {
  if (options.threads > 0) SetNumThreads(options.threads);
  SaveOptions save;
  TERN_ASSIGN_OR_RETURN(save.format, FormatFromExtension(options.out));
  if (!options.type.empty()) {
    save.type = DTypeFromName(options.type);
    if (!save.type || !CanQuantizeTo(*save.type)) {
      return InvalidArgument(fmt::format("--type {}: expected f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, q4_k, q5_k "
                                         "or q6_k", options.type));
    }
  }
  if (options.names == "huggingface") save.names = SaveOptions::Names::kHuggingFace;
  TERN_ASSIGN_OR_RETURN(auto checkpoint, OpenCheckpoint(options.in));
  if (save.format == FileFormat::kGguf) {
    TERN_ASSIGN_OR_RETURN(save.vocabulary, Vocabulary(options, *checkpoint));
  }
  // A warning, since torch can be told to write none: what stands in their place is no sign of damage then.
  if (const Status verified = checkpoint->source().Verify(); !verified.ok())
    fmt::print(stderr, "tern: warning: {}; damaged, unless it was written without checksums\n", verified.message());
  CatchInterrupts();
  Progress progress("converting", checkpoint->tensors().size(), "tensors", !options.json);
  save.progress = [&](size_t done, size_t) {
    progress.Update(done);
    return !Interrupted();
  };
  TERN_RETURN_IF_ERROR(SaveCheckpoint(*checkpoint, options.out, save));
  progress.Finish();
  TERN_ASSIGN_OR_RETURN(auto written, OpenCheckpoint(options.out));
  uint64_t bytes = 0;
  for (const CheckpointTensor& t : written->tensors()) bytes += t.bytes.size();
  if (options.json) {
    PrintJson({{"in", options.in},
               {"out", options.out},
               {"architecture", Name(written->generation())},
               {"format", Name(save.format)},
               {"tensors", written->tensors().size()},
               {"weight_bytes", bytes}});
  } else {
    std::cout << fmt::format("{}: {}, {} tensors, {}\n", options.out, Name(written->generation()),
                             written->tensors().size(), HumanBytes(bytes));
  }
  return OkStatus();
}

}  // namespace

void AddConvert(CLI::App& app, Run* run) {
  auto options = std::make_shared<ConvertArguments>();
  CLI::App* command = app.add_subcommand("convert", "From any weight file to any other, formats told by extension");
  command->add_option("in", options->in, "Weight file or folder")->required()->type_name("IN");
  command->add_option("out", options->out, "File to write: .pth, .safetensors, .st, .gguf or .bin")
      ->required()
      ->type_name("OUT");
  command->add_option("--type", options->type,
                      "Type of the matrices: f32 f16 bf16 q8_0 q5_1 q5_0 q4_1 q4_0 q4_k q5_k q6_k (default: as they are)");
  command->add_option("--names", options->names, "Names within safetensors")
      ->check(CLI::IsMember({"blinkdl", "huggingface"}))
      ->capture_default_str();
  command->add_option("--tokenizer", options->tokenizer, "Vocabulary to embed in a GGUF (default: found by itself)")
      ->type_name("FILE");
  AddThreads(*command, options->threads);
  command->add_flag("--json", options->json, "Machine-readable output");
  command->callback([=] { *run = [=] { return RunConvert(*options); }; });
}

}  // namespace tern
