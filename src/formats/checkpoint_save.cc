#include <fmt/format.h>

#include <filesystem>
#include <limits>

#include "base/file.h"
#include "formats/checkpoint_plan.h"
#include "formats/checkpoint_types.h"

namespace tern {
namespace {

// Tensors are converted when the writer asks for them; what the one before took from the source is let go
// then.
std::vector<OutputTensor> Outputs(const Checkpoint& checkpoint, const SavePlan& plan, const MakeBytes& make) {
  std::vector<OutputTensor> outputs;
  const StoredForm* previous = nullptr;
  for (const StoredForm& form : plan.forms) {
    OutputTensor output{form.name, form.dtype, form.shape, {}};
    output.produce = [&checkpoint, &form, &make, previous]() -> Result<TensorBytes> {
      if (previous != nullptr) {
        for (const CheckpointTensor* tensor : previous->sources) checkpoint.source().Forget(tensor->bytes);
      }
      Result<TensorBytes> bytes = make(form);
      if (!bytes.ok()) return bytes.status().WithContext(fmt::format("'{}'", checkpoint.source().path()));
      return bytes;
    };
    outputs.push_back(std::move(output));
    previous = &form;
  }
  return outputs;
}

Result<RwkvBinHeader> BinHeader(const SavePlan& plan, const SaveOptions& options) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  if (plan.vocabulary > kMax || plan.context.channels > kMax) {
    return Unsupported(fmt::format("an embedding of {} × {} is too large for rwkv.cpp's 32-bit numbers",
                                   plan.vocabulary, plan.context.channels));
  }
  RwkvBinHeader header{static_cast<int32_t>(plan.vocabulary), static_cast<int32_t>(plan.context.channels),
                       static_cast<int32_t>(plan.layers), options.type.value_or(DType::kF32)};
  if (options.type) return header;
  for (const StoredForm& form : plan.forms) {
    if (form.part != Part::kMatrix) continue;
    header.data_type = form.dtype;
    break;
  }
  return header;
}

// A loader opens a folder, and in it the weights under this name: only they get a config.json beside them.
// (What stood there belonged to the weights that were replaced.)
Status SaveHuggingFaceConfig(const Checkpoint& checkpoint, const SavePlan& plan, const std::string& weights) {
  const std::filesystem::path path(weights);
  if (path.filename() != "model.safetensors") return OkStatus();
  const std::string config = HuggingFaceConfig(checkpoint, plan);
  return config.empty() ? OkStatus() : WriteStringToFile(path.parent_path() / "config.json", config);
}

}  // namespace

Status SaveCheckpoint(const Checkpoint& checkpoint, const std::string& path, const SaveOptions& options) {
  return SaveCheckpointWith(checkpoint, path, options, Convert);
}

Status SaveCheckpointWith(const Checkpoint& checkpoint, const std::string& path, const SaveOptions& options,
                          const MakeBytes& make) {
  if (options.type) TERN_RETURN_IF_ERROR(CheckRequestedType(options.format, *options.type));
  TERN_ASSIGN_OR_RETURN(const SavePlan plan, PlanSave(checkpoint, options));
  const std::vector<OutputTensor> outputs = Outputs(checkpoint, plan, make);
  switch (options.format) {
    case FileFormat::kPth:
      return WritePth(path, outputs, options.progress);
    case FileFormat::kSafetensors:
      TERN_RETURN_IF_ERROR(
          WriteSafetensors(path, outputs, {{"format", std::string("pt")}}, options.progress));
      if (options.names != SaveOptions::Names::kHuggingFace) return OkStatus();
      return SaveHuggingFaceConfig(checkpoint, plan, path);
    case FileFormat::kGguf: {
      TERN_ASSIGN_OR_RETURN(const Metadata keys, GgufKeys(checkpoint, plan, options));
      return WriteGguf(path, outputs, keys, options.progress);
    }
    case FileFormat::kRwkvBin: {
      TERN_ASSIGN_OR_RETURN(const RwkvBinHeader header, BinHeader(plan, options));
      return WriteRwkvBin(path, outputs, header, options.progress);
    }
  }
  return InvalidArgument("no such format");
}

}  // namespace tern
