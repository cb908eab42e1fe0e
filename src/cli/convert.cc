// tern convert: from any weight file to any other, with quantisation.
#include <filesystem>
#include <iostream>

#include <fmt/format.h>

#include "base/file.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/common.h"
#include "formats/checkpoint_vocabulary.h"
#include "tensor/quant.h"
#include "text/world_vocab.h"

namespace tern {
namespace {

struct ConvertArguments {
  std::string in, out, type, names = "blinkdl", tokenizer;
  int threads = 0;
  bool drop_initial_state = false, json = false;
};

/// The vocabulary by id, for formats that carry one. Without --tokenizer one is looked for, and its absence is no
/// error: the file can be written without.
Result<std::vector<std::string>> Vocabulary(const ConvertArguments& options, const Checkpoint& checkpoint) {
  auto tokenizer = TokenizerOf(checkpoint, options.tokenizer);
  if (!checkpoint.vocabulary().empty() && options.tokenizer.empty()) {
    // One that does not fit is not passed on. One that no tokenizer can be made of stays as it is.
    if (tokenizer.status().code() == StatusCode::kInvalidArgument) return tokenizer.status();
    return checkpoint.vocabulary();
  }
  if (!tokenizer.ok() && !options.tokenizer.empty()) return tokenizer.status();
  if (tokenizer.ok() && (*tokenizer)->name() == "world") return TokensById(**tokenizer);
  if (options.tokenizer.empty()) return std::vector<std::string>();
  return InvalidArgument(
      fmt::format("--tokenizer {}: a weight file can be given vocabularies of the World kind only", options.tokenizer));
}

/// Formats that carry no vocabulary leave it beside the file, where every command looks for one. Another that lies there
/// already stays.
Status LeaveVocabulary(const std::string& out, const std::vector<std::string>& tokens) {
  const std::filesystem::path beside = std::filesystem::path(out).replace_extension(".vocab.txt");
  const std::string content = FormatWorldVocab(tokens);
  std::error_code error;
  if (!std::filesystem::exists(beside, error)) {
    TERN_RETURN_IF_ERROR(WriteStringToFile(beside.string(), content));
    fmt::print(stderr, "the vocabulary: {}\n", beside.string());
    return OkStatus();
  }
  TERN_ASSIGN_OR_RETURN(const std::string there, ReadFileToString(beside.string()));
  if (there != content)
    fmt::print(stderr, "tern: warning: '{}' is there already, and is another vocabulary; it stays\n", beside.string());
  return OkStatus();
}

/// rwkv.cpp's files of RWKV-5 mean another epsilon in the group norm than all others do (docs/formats/canonical.md).
void WarnOfEpsilon(const Checkpoint& checkpoint, FileFormat out) {
  const bool from_bin = checkpoint.source().format() == FileFormat::kRwkvBin, to_bin = out == FileFormat::kRwkvBin;
  if (Major(checkpoint.generation()) != 5 || from_bin == to_bin) return;
  fmt::print(stderr,
             "tern: warning: rwkv.cpp's format means an epsilon of 1e-5 in RWKV-5's group norm, all others 64e-5: the "
             "logits will differ a little\n");
}

/// The state lies in a tensor of Tern's own, and llama.cpp refuses tensors that it does not know.
void WarnOfInitialState(const Checkpoint& checkpoint, const SaveOptions& save) {
  if (save.format != FileFormat::kGguf || save.drop_initial_state || FindInitialState(checkpoint) == nullptr) return;
  fmt::print(stderr,
             "tern: warning: the tuned initial state is kept in tensors blk.N.time_mix_state.weight, which llama.cpp does "
             "not read: --drop-initial-state leaves it out\n");
}

/// Programs that open a GGUF have no other place to look for a tokenizer. (256 symbols are bytes and need none.)
void NoteMissingTokenizer(const Checkpoint& checkpoint, const SaveOptions& save, const std::string& out) {
  const CheckpointTensor* emb = checkpoint.Find("emb.weight");
  const bool bytes = emb != nullptr && emb->shape.size() == 2 && emb->shape[0] == 256;
  if (save.format != FileFormat::kGguf || bytes || !save.vocabulary.empty() || CarriesTokenizer(checkpoint)) return;
  fmt::print(stderr,
             "tern: note: '{}' will have no tokenizer: no vocabulary of the World kind was found; --tokenizer FILE embeds one\n",
             out);
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
  if (options.names == "huggingface") {
    if (save.format != FileFormat::kSafetensors)
      return InvalidArgument(fmt::format("--names huggingface: '{}' is no safetensors", options.out));
    save.names = SaveOptions::Names::kHuggingFace;
  }
  save.drop_initial_state = options.drop_initial_state;
  TERN_ASSIGN_OR_RETURN(auto checkpoint, OpenCheckpoint(options.in));
  const bool carries = save.format == FileFormat::kGguf;
  std::vector<std::string> vocabulary;
  if (carries || !options.tokenizer.empty() || !checkpoint->vocabulary().empty()) {
    TERN_ASSIGN_OR_RETURN(vocabulary, Vocabulary(options, *checkpoint));
  }
  if (carries) save.vocabulary = vocabulary;
  NoteMissingTokenizer(*checkpoint, save, options.out);
  WarnOfEpsilon(*checkpoint, save.format);
  WarnOfInitialState(*checkpoint, save);
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
  if (!carries && !vocabulary.empty()) TERN_RETURN_IF_ERROR(LeaveVocabulary(options.out, vocabulary));
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
  command->add_option("--tokenizer", options->tokenizer,
                      "Vocabulary to embed in a GGUF, or to leave beside other formats (default: found by itself)")
      ->type_name("FILE");
  command->add_flag("--drop-initial-state", options->drop_initial_state,
                    "Leave a tuned initial state (att.time_state) out; needed for .bin and Hugging Face's names, which have no "
                    "place for it");
  AddThreads(*command, options->threads);
  command->add_flag("--json", options->json, "Machine-readable output");
  command->callback([=] { *run = [=] { return RunConvert(*options); }; });
}

}  // namespace tern
