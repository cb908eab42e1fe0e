#include "formats/checkpoint_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/checkpoint_types.h"

namespace tern {
namespace {

constexpr int64_t kRescaleEvery = 6;  // as llama.cpp's converter does

const NamingFamily& FamilyFor(const SaveOptions& options, int major) {
  switch (options.format) {
    case FileFormat::kPth:
      return BlinkDlNames();
    case FileFormat::kGguf:
      return GgufNames();
    case FileFormat::kRwkvBin:
      return RwkvBinNames();
    case FileFormat::kSafetensors:
      break;
  }
  if (options.names == SaveOptions::Names::kBlinkDL) return Ai00Names();
  return major == 7 ? FlaRwkv7Names() : HfRwkv4Names();
}

class Planner {
 public:
  Planner(const Checkpoint& checkpoint, const SaveOptions& options)
      : checkpoint_(checkpoint),
        options_(options),
        major_(Major(checkpoint.generation())),
        family_(FamilyFor(options, major_)),
        fused_(family_.WritesFused() ? family_.Fused(major_) : std::nullopt) {}

  Result<SavePlan> Plan() {
    TERN_RETURN_IF_ERROR(ReadContext());
    for (const CheckpointTensor& tensor : checkpoint_.tensors()) TERN_RETURN_IF_ERROR(Add(tensor));
    if (options_.format == FileFormat::kGguf && major_ == 7) TERN_RETURN_IF_ERROR(AddDummies());
    return std::move(plan_);
  }

 private:
  Status ReadContext() {
    NamingContext& context = plan_.context;
    context.generation = checkpoint_.generation();
    context.rescale_every = kRescaleEvery;
    const CheckpointTensor* emb = checkpoint_.Find("emb.weight");
    if (emb == nullptr || emb->shape.size() != 2) return InvalidArgument("a checkpoint without emb.weight");
    plan_.vocabulary = emb->shape[0];
    context.channels = emb->shape[1];
    for (const CheckpointTensor& tensor : checkpoint_.tensors()) {
      plan_.layers = std::max(plan_.layers, SplitLayer(tensor.name).layer + 1);
    }
    for (const char* name : {"blocks.0.att.r_k", "blocks.0.att.time_faaaa", "blocks.0.att.time_decay"}) {
      const CheckpointTensor* tensor = checkpoint_.Find(name);
      if (major_ == 4 || tensor == nullptr || context.head_size != 0) continue;
      const Shape& shape = tensor->shape;
      if (shape.size() == 2) context.head_size = shape[1];
      if (shape.size() == 1 && major_ == 5 && shape[0] > 0) context.head_size = context.channels / shape[0];
    }
    return CheckHeads();
  }

  // Formats reshape what is [H, N] here.
  Status CheckHeads() const {
    const int64_t n = plan_.context.head_size;
    if (major_ == 4 || (n > 0 && plan_.context.channels % n == 0)) return OkStatus();
    return InvalidArgument(fmt::format("'{}': the heads' size {} does not divide {} channels",
                                       checkpoint_.source().path(), n, plan_.context.channels));
  }

  Status Add(const CheckpointTensor& tensor) {
    const LayeredName name = SplitLayer(tensor.name);
    const CanonicalEntry* entry = FindCanonical(major_, name.pattern);
    if (entry == nullptr)
      return InvalidArgument(fmt::format("tensor '{}' has no canonical name", tensor.name));
    if (fused_) {
      const auto& slices = fused_->canonical;
      const auto at = std::find(slices.begin(), slices.end(), entry->pattern);
      if (at != slices.end()) return at == slices.begin() ? AddFused(name.layer) : OkStatus();
    }
    if (entry->part == Part::kState && options_.drop_initial_state) return OkStatus();
    WrittenForm written = family_.Write(plan_.context, *entry, name.layer, tensor.shape);
    if (written.pattern.empty()) return LeaveOut(tensor, entry->part);
    StoredForm form;
    form.name = WithLayer(written.pattern, name.layer);
    form.shape = std::move(written.shape);
    form.storage = written.storage;
    form.repeat = written.repeat;
    form.part = entry->part;
    form.sources = {&tensor};
    return AddForm(std::move(form));
  }

  /// Only a tuned initial state is a loss: without it the model gives other logits.
  Status LeaveOut(const CheckpointTensor& tensor, Part part) const {
    if (part != Part::kState) return OkStatus();
    return Unsupported(
        fmt::format("'{}' starts from a tuned initial state ('{}'), which {} files{} cannot hold, and "
                    "without which its logits are others: write .pth, .st or .gguf, or leave the state out "
                    "with --drop-initial-state",
                    checkpoint_.source().path(), tensor.name, Name(options_.format),
                    options_.names == SaveOptions::Names::kHuggingFace ? " under Hugging Face's names" : ""));
  }

  Status AddFused(int64_t layer) {
    StoredForm form;
    form.name = WithLayer(fused_->pattern, layer);
    form.part = Part::kVector;
    for (std::string_view pattern : fused_->canonical) {
      const std::string name = WithLayer(pattern, layer);
      const CheckpointTensor* tensor = checkpoint_.Find(name);
      if (tensor == nullptr || tensor->shape != Shape{plan_.context.channels}) {
        return InvalidArgument(fmt::format(
            "'{}': tensor '{}' is {}, but '{}' needs it with {} elements", checkpoint_.source().path(), name,
            tensor == nullptr ? "absent" : ToString(tensor->shape), form.name, plan_.context.channels));
      }
      form.sources.push_back(tensor);
    }
    form.shape = {static_cast<int64_t>(form.sources.size())};
    form.shape.insert(form.shape.end(), fused_->padding.begin(), fused_->padding.end());
    form.shape.push_back(plan_.context.channels);
    return AddForm(std::move(form));
  }

  // llama.cpp wants the value mix of every layer, though the first one's is not used; its shapes are those of
  // the learning rate's low-rank pair, which its converter copies there.
  Status AddDummies() {
    for (const char* digit : {"0", "1", "2"}) {
      const std::string from = fmt::format("blk.0.time_mix_a{}.weight", digit);
      const auto it = std::find_if(plan_.forms.begin(), plan_.forms.end(),
                                   [&](const StoredForm& form) { return form.name == from; });
      if (it == plan_.forms.end()) continue;
      StoredForm dummy = *it;
      dummy.name = fmt::format("blk.0.time_mix_v{}.weight", digit);
      plan_.forms.push_back(std::move(dummy));
    }
    return OkStatus();
  }

  Status AddForm(StoredForm form) {
    const DType own = form.sources.front()->dtype;
    const int64_t row = form.shape.empty() ? 1 : form.shape.back();
    form.dtype = WrittenType(options_.format, major_, form.part, own, options_.type, row);
    if (!NumBytes(form.dtype, form.shape)) form.dtype = DType::kF32;  // blocks that would cross rows
    const auto elements = NumElements(form.shape);
    int64_t given = 0;
    for (const CheckpointTensor* tensor : form.sources) given += NumElements(tensor->shape).value_or(0);
    if (!elements || *elements != given * form.repeat) {
      return InvalidArgument(fmt::format("'{}': tensor '{}' has shape {}, which cannot be written as '{}' {}",
                                         checkpoint_.source().path(), form.sources.front()->name,
                                         ToString(form.sources.front()->shape), form.name,
                                         ToString(form.shape)));
    }
    plan_.forms.push_back(std::move(form));
    return OkStatus();
  }

  const Checkpoint& checkpoint_;
  const SaveOptions& options_;
  const int major_;
  const NamingFamily& family_;
  const std::optional<FusedGroup> fused_;
  SavePlan plan_;
};

}  // namespace

Result<SavePlan> PlanSave(const Checkpoint& checkpoint, const SaveOptions& options) {
  return Planner(checkpoint, options).Plan();
}

}  // namespace tern
