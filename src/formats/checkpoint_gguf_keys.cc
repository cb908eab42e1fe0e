// The keys that llama.cpp reads before it looks at a tensor.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "formats/checkpoint_names.h"
#include "formats/checkpoint_plan.h"
#include "formats/checkpoint_vocabulary.h"

namespace tern {
namespace {

constexpr uint64_t kContextLength = 1048576;  // RWKV has none; llama.cpp's converter writes this

// llama.cpp's number for what most of a file is (of the K types, the one that does not mix: "small").
uint64_t FileType(DType type) {
  switch (type) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ4_1:
      return 3;
    case DType::kQ8_0:
      return 7;
    case DType::kQ5_0:
      return 8;
    case DType::kQ5_1:
      return 9;
    case DType::kQ2_K:
      return 10;
    case DType::kQ3_K:
      return 11;
    case DType::kQ4_K:
      return 14;
    case DType::kQ5_K:
      return 16;
    case DType::kQ6_K:
      return 18;
    case DType::kBF16:
      return 32;
    default:
      return 1024;  // not said
  }
}

DType CommonestMatrixType(const SavePlan& plan) {
  std::map<DType, int> counts;
  for (const StoredForm& form : plan.forms) {
    if (form.part == Part::kMatrix) ++counts[form.dtype];
  }
  DType best = DType::kF32;
  int most = 0;
  for (const auto& [type, count] : counts) {
    if (count > most) best = type, most = count;
  }
  return best;
}

std::string ModelName(const std::string& path) {
  std::filesystem::path p(path);
  if (!p.has_filename()) p = p.parent_path();
  return p.stem().string();
}

// A dimension of a canonical tensor of the first layer that has it.
Result<uint64_t> Dimension(const Checkpoint& checkpoint, std::string_view below, size_t index) {
  for (int64_t layer = 0; layer < 2; ++layer) {
    const std::string name = fmt::format("blocks.{}.{}", layer, below);
    const CheckpointTensor* tensor = checkpoint.Find(name);
    if (tensor != nullptr && index < tensor->shape.size()) return static_cast<uint64_t>(tensor->shape[index]);
  }
  return InvalidArgument(fmt::format("'{}' has no tensor '{}' that a GGUF's keys could be read from",
                                     checkpoint.source().path(), below));
}

Status AddLowRankKeys(const Checkpoint& checkpoint, int major, const std::string& arch, Metadata* keys) {
  if (major == 6) {
    (*keys)[arch + ".rescale_every_n_layers"] = uint64_t{6};
    TERN_ASSIGN_OR_RETURN(const uint64_t mix, Dimension(checkpoint, "att.time_maa_w1", 1));
    TERN_ASSIGN_OR_RETURN(const uint64_t decay, Dimension(checkpoint, "att.time_decay_w1", 1));
    (*keys)[arch + ".time_mix_extra_dim"] = mix / 5;
    (*keys)[arch + ".time_decay_extra_dim"] = decay;
  } else if (major == 7) {
    TERN_ASSIGN_OR_RETURN(const uint64_t decay, Dimension(checkpoint, "att.w1", 1));
    TERN_ASSIGN_OR_RETURN(const uint64_t rate, Dimension(checkpoint, "att.a1", 1));
    TERN_ASSIGN_OR_RETURN(const uint64_t gate, Dimension(checkpoint, "att.g1", 1));
    const CheckpointTensor* v1 = checkpoint.Find("blocks.1.att.v1");  // a model of one layer has none
    (*keys)[arch + ".attention.decay_lora_rank"] = decay;
    (*keys)[arch + ".attention.iclr_lora_rank"] = rate;
    (*keys)[arch + ".attention.value_residual_mix_lora_rank"] =
        v1 != nullptr && v1->shape.size() == 2 ? static_cast<uint64_t>(v1->shape[1]) : rate;
    (*keys)[arch + ".attention.gate_lora_rank"] = gate;
  }
  return OkStatus();
}

/// A tokenizer of a kind that is kept as it is.
void CopyTokenizerKeys(const Metadata& from, Metadata* keys) {
  for (const auto& [key, value] : from) {
    if (key.starts_with("tokenizer.")) (*keys)[key] = value;
  }
}

}  // namespace

Result<Metadata> GgufKeys(const Checkpoint& checkpoint, const SavePlan& plan, const SaveOptions& options) {
  const int major = Major(checkpoint.generation());
  const std::string arch = GgufArchitecture(major);
  Metadata keys;
  if (checkpoint.source().format() == FileFormat::kGguf) {  // author, licence and the like
    for (const auto& [key, value] : checkpoint.source().metadata()) {
      if (key.starts_with("general.")) keys[key] = value;
    }
  }
  const auto quantised = [](const StoredForm& form) { return Traits(form.dtype).quantised; };
  keys["general.architecture"] = arch;
  keys.emplace("general.name", ModelName(checkpoint.source().path()));
  keys["general.file_type"] = FileType(CommonestMatrixType(plan));
  keys.erase("general.quantization_version");
  if (std::any_of(plan.forms.begin(), plan.forms.end(), quantised)) {
    keys["general.quantization_version"] = uint64_t{2};
  }
  TERN_ASSIGN_OR_RETURN(const uint64_t hidden, Dimension(checkpoint, "ffn.key.weight", 0));
  keys[arch + ".context_length"] = kContextLength;
  keys[arch + ".embedding_length"] = static_cast<uint64_t>(plan.context.channels);
  keys[arch + ".block_count"] = static_cast<uint64_t>(plan.layers);
  keys[arch + ".feed_forward_length"] = hidden;
  keys[arch + ".attention.layer_norm_epsilon"] = static_cast<double>(checkpoint.layer_norm_eps());
  keys[arch + ".attention.head_count"] = uint64_t{0};
  if (major > 4) keys[arch + ".wkv.head_size"] = static_cast<uint64_t>(plan.context.head_size);
  TERN_RETURN_IF_ERROR(AddLowRankKeys(checkpoint, major, arch, &keys));
  if (options.vocabulary.empty() && checkpoint.vocabulary().empty() && CarriesTokenizer(checkpoint)) {
    CopyTokenizerKeys(checkpoint.source().metadata(), &keys);
    return keys;
  }
  const auto& vocabulary = options.vocabulary.empty() ? checkpoint.vocabulary() : options.vocabulary;
  TERN_RETURN_IF_ERROR(AddVocabularyToGguf(vocabulary, static_cast<uint64_t>(plan.vocabulary), arch, &keys));
  return keys;
}

}  // namespace tern
