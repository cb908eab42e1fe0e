#include "formats/checkpoint_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "formats/checkpoint_keys.h"
#include "formats/checkpoint_vocabulary.h"
#include "formats/partial_model.h"

namespace tern {
namespace {

// Trailing ones carry nothing: [H,N,1] → [H,N], [H,1] and [H,1,1] → [H]. A leading one may be a single head.
Shape WithoutTrailingOnes(Shape shape) {
  while (shape.size() > 1 && shape.back() == 1) shape.pop_back();
  return shape;
}

std::string ShownAs(const TensorInfo& info) {
  return fmt::format("{} {}", Name(info.dtype), ToString(info.shape));
}

}  // namespace

Status CheckpointBuilder::Error(StatusCode code, const std::string& tensor,
                                const std::string& message) const {
  return {code, fmt::format("'{}': tensor '{}' {}", source_->path(), tensor, message)};
}

const CheckpointBuilder::Found* CheckpointBuilder::FindName(const std::string& name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &found_[it->second];
}

Result<std::shared_ptr<const Checkpoint>> CheckpointBuilder::Build() {
  TERN_RETURN_IF_ERROR(CheckIsModel(*source_));
  TERN_ASSIGN_OR_RETURN(family_, FamilyOf(*source_));
  TERN_ASSIGN_OR_RETURN(major_, family_->MajorOf(*source_));
  IndexPatterns();
  TERN_RETURN_IF_ERROR(FindTensors());
  TERN_RETURN_IF_ERROR(CheckLayers());
  TERN_RETURN_IF_ERROR(ReadContext());
  checkpoint_ = std::shared_ptr<Checkpoint>(new Checkpoint());
  checkpoint_->source_ = source_;
  checkpoint_->generation_ = context_.generation;
  TERN_RETURN_IF_ERROR(TieHead());
  for (const Found& found : found_) TERN_RETURN_IF_ERROR(AddTensor(found));
  TERN_RETURN_IF_ERROR(ReadMetadata());
  TERN_RETURN_IF_ERROR(Finish());
  TERN_RETURN_IF_ERROR(CheckSizeKeys(*checkpoint_));
  return std::shared_ptr<const Checkpoint>(std::move(checkpoint_));
}

void CheckpointBuilder::IndexPatterns() {
  for (const CanonicalEntry& entry : CanonicalEntries(major_)) {
    for (std::string& pattern : family_->StoredPatterns(major_, entry))
      patterns_[std::move(pattern)] = {&entry};
  }
  if (const auto fused = family_->Fused(major_)) {
    std::vector<const CanonicalEntry*>& slices = patterns_[fused->pattern];
    for (std::string_view canonical : fused->canonical) slices.push_back(FindCanonical(major_, canonical));
  }
}

Status CheckpointBuilder::FindTensors() {
  found_.reserve(source_->tensors().size());
  for (const TensorInfo& info : source_->tensors()) TERN_RETURN_IF_ERROR(FindOne(info));
  for (const auto& [name, maker] : source_->opaque()) {
    if (patterns_.count(SplitLayer(name).pattern) == 0) continue;
    return Error(StatusCode::kUnsupported, name,
                 fmt::format("is an object of '{}', not a plain tensor: save it as one", maker));
  }
  return OkStatus();
}

Status CheckpointBuilder::FindOne(const TensorInfo& info) {
  const LayeredName name = SplitLayer(info.name);
  const auto it = patterns_.find(name.pattern);
  if (it == patterns_.end()) {
    if (info.name.ends_with("ts_state") || info.name.ends_with("time_offset")) {
      return Error(
          StatusCode::kUnsupported, info.name,
          "is a tuned token-shift start, which this program does not apply; of the tuned states it knows "
          "att.time_state");
    }
    if (info.name.ends_with(".time_state")) {
      return Error(StatusCode::kUnsupported, info.name,
                   fmt::format("is a tuned initial state, which RWKV-{} models under {} names do not have",
                               major_, family_->title()));
    }
    if (!family_->IsForeign(info.name)) return OkStatus();
    return Error(StatusCode::kUnsupported, info.name,
                 fmt::format("is none of an RWKV-{} model under {} names", major_, family_->title()));
  }
  size_t slice = 0;
  for (const CanonicalEntry* entry : it->second) {
    // Names without a number may still mean the first layer (GGUF's token_embd_norm).
    const bool in_layer = entry->pattern.find('*') != std::string_view::npos;
    const int64_t layer = in_layer ? std::max<int64_t>(name.layer, 0) : -1;
    if (in_layer) layers_.emplace(layer, info.name);
    Found found{entry, layer, &info, slice++, it->second.size(), WithLayer(entry->pattern, layer)};
    if (family_->IsDummy(major_, *entry, layer)) continue;
    const auto [other, fresh] = by_name_.emplace(found.name, found_.size());
    if (!fresh) {
      return Error(StatusCode::kCorrupt, info.name,
                   fmt::format("and tensor '{}' are both {}", found_[other->second].info->name, found.name));
    }
    found_.push_back(std::move(found));
  }
  return OkStatus();
}

Status CheckpointBuilder::CheckLayers() const {
  if (layers_.empty()) {
    return Corrupt(fmt::format("'{}' has no layers: none of its {} tensors belongs to a block",
                               source_->path(), source_->tensors().size()));
  }
  int64_t expected = 0;
  for (const auto& [layer, tensor] : layers_) {
    if (layer != expected) {
      return Error(StatusCode::kCorrupt, tensor,
                   fmt::format("is of layer {}, but there is no layer {}", layer, expected));
    }
    ++expected;
  }
  return OkStatus();
}

Status CheckpointBuilder::ReadContext() {
  const Found* emb = FindName("emb.weight");
  if (emb == nullptr) {
    return Corrupt(fmt::format("'{}' has no embedding: no tensor is emb.weight under {} names",
                               source_->path(), family_->title()));
  }
  const Shape& shape = emb->info->shape;
  if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1) {
    return Error(StatusCode::kCorrupt, emb->info->name,
                 fmt::format("has shape {}, expected [vocabulary, channels]", ToString(shape)));
  }
  context_.channels = shape[1];
  context_.generation = DetectGeneration();
  context_.as_blinkdl = HasBlinkDlOrder();
  TERN_RETURN_IF_ERROR(ReadHeadSize());
  return ReadRescale();
}

Generation CheckpointBuilder::DetectGeneration() const {
  if (major_ == 4) return Generation::kRwkv4;
  if (major_ == 6) return Generation::kRwkv6;
  if (major_ == 7) return Generation::kRwkv7;
  if (FindName("blocks.0.att.gate.weight") == nullptr) return Generation::kRwkv5_0;
  const Found* decay = FindName("blocks.0.att.time_decay");
  const bool per_head = decay != nullptr && WithoutTrailingOnes(decay->info->shape).size() < 2;
  return per_head ? Generation::kRwkv5_1 : Generation::kRwkv5_2;
}

// Told by a name that Ai00 writes otherwise, or in RWKV-7, whose names are the same, by a matrix [C, rank].
bool CheckpointBuilder::HasBlinkDlOrder() const {
  if (source_->format() != FileFormat::kSafetensors) return true;
  if (major_ == 6) return source_->Find("blocks.0.att.time_maa_x") != nullptr;
  if (major_ == 5) return source_->Find("blocks.0.att.time_faaaa") != nullptr;
  const Found* low_rank = FindName("blocks.0.att.w1");
  if (low_rank == nullptr || low_rank->info->shape.size() != 2) return false;
  const Shape& shape = low_rank->info->shape;
  return shape[0] == context_.channels && shape[1] != context_.channels;
}

Status CheckpointBuilder::ReadHeadSize() {
  if (source_->format() != FileFormat::kGguf || major_ == 4) return OkStatus();
  const Found* per_head = FindName(major_ == 7   ? "blocks.0.att.r_k"
                                   : major_ == 6 ? "blocks.0.att.time_faaaa"
                                                 : "blocks.0.att.time_decay");
  std::optional<Shape> stored;
  if (per_head != nullptr) stored = WithoutTrailingOnes(per_head->info->shape);
  TERN_ASSIGN_OR_RETURN(context_.head_size, ReadHeadSizeKey(*source_, major_, context_.channels, stored));
  return OkStatus();
}

Status CheckpointBuilder::ReadRescale() {
  if (source_->format() != FileFormat::kGguf || major_ != 6) return OkStatus();
  TERN_ASSIGN_OR_RETURN(context_.rescale_every, ReadRescaleKey(*source_, static_cast<int64_t>(layers_.size())));
  return OkStatus();
}

Shape CheckpointBuilder::CanonicalShape(const CanonicalEntry& entry, const Shape& stored) const {
  const auto elements = NumElements(stored);
  if (!elements) return stored;
  if (entry.part == Part::kPerHead) {
    Shape shape = WithoutTrailingOnes(stored);
    const bool flat =
        major_ >= 6 && shape.size() == 1 && shape[0] == context_.channels && context_.head_size > 0;
    if (flat) return {context_.channels / context_.head_size, context_.head_size};
    return shape;
  }
  if (entry.part != Part::kVector) return stored;
  const auto longer_than_one =
      std::count_if(stored.begin(), stored.end(), [](int64_t dim) { return dim != 1; });
  if (longer_than_one <= 1 || *elements == context_.channels) return {*elements};
  return stored;
}

Result<std::span<const std::byte>> CheckpointBuilder::SliceOf(const Found& found, Shape* shape) const {
  const TensorInfo& info = *found.info;
  if (!Traits(info.dtype).is_float) {
    return Error(StatusCode::kUnsupported, info.name,
                 fmt::format("is {}, which weights cannot be", ShownAs(info)));
  }
  const auto size = NumBytes(info.dtype, info.shape);
  if (!size || *size != info.bytes.size()) {
    return Error(StatusCode::kCorrupt, info.name,
                 fmt::format("is {} in {} bytes", ShownAs(info), info.bytes.size()));
  }
  *shape = info.shape;
  if (found.slices == 1) return info.bytes;

  const auto slices = static_cast<int64_t>(found.slices);
  const bool whole_rows = !info.shape.empty() && info.shape.back() == context_.channels;
  if (*NumElements(info.shape) != slices * context_.channels ||
      (Traits(info.dtype).quantised && !whole_rows)) {
    return Error(StatusCode::kCorrupt, info.name,
                 fmt::format("is {}, expected {} vectors of {}", ShownAs(info), slices, context_.channels));
  }
  *shape = {context_.channels};
  const size_t bytes = info.bytes.size() / found.slices;
  return info.bytes.subspan(found.slice * bytes, bytes);
}

Status CheckpointBuilder::AddTensor(const Found& found) {
  CheckpointTensor tensor;
  Shape stored;
  TERN_ASSIGN_OR_RETURN(tensor.bytes, SliceOf(found, &stored));
  const Storage storage = family_->ReadStorage(context_, *found.entry, found.layer, stored);
  tensor.name = found.name;
  tensor.dtype = found.info->dtype;
  tensor.transposed = storage.transposed && stored.size() >= 2;
  tensor.encoding = storage.encoding;
  tensor.scale = storage.scale;
  tensor.shape = CanonicalShape(*found.entry, tensor.transposed ? TransposedShape(stored) : stored);
  // Blocks must still lie along rows in the canonical view.
  const auto size = NumBytes(tensor.dtype, tensor.StoredShape());
  if (!size || *size != tensor.bytes.size()) {
    return Error(StatusCode::kUnsupported, found.info->name,
                 fmt::format("is {}, whose blocks cross the rows of {}", ShownAs(*found.info),
                             ToString(tensor.shape)));
  }
  family_->Adjust(context_, *found.entry, &tensor);
  checkpoint_->tensors_.push_back(std::move(tensor));
  return OkStatus();
}

// Hugging Face leaves a head out that is the embedding.
Status CheckpointBuilder::TieHead() {
  if (FindName("head.weight") != nullptr || !MetaFlag(source_->metadata(), "config.tie_word_embeddings")) {
    return OkStatus();
  }
  Found head = *FindName("emb.weight");
  head.entry = FindCanonical(major_, "head.weight");
  head.name = "head.weight";
  by_name_.emplace(head.name, found_.size());
  found_.push_back(std::move(head));
  return OkStatus();
}

Status CheckpointBuilder::ReadMetadata() {
  TERN_ASSIGN_OR_RETURN(const std::optional<float> eps, ReadEpsilonKey(*source_, major_));
  if (eps) checkpoint_->layer_norm_eps_ = *eps;
  if (source_->format() == FileFormat::kGguf) checkpoint_->vocabulary_ = VocabularyFromGguf(source_->metadata());
  return OkStatus();
}

// Canonical order: by the table outside the layers and by number and table inside.
Status CheckpointBuilder::Finish() {
  const auto entries = CanonicalEntries(major_);
  const auto place = [&](const std::string& name) {
    const LayeredName split = SplitLayer(name);
    const CanonicalEntry* entry = FindCanonical(major_, split.pattern);
    const auto index =
        entry == nullptr ? static_cast<std::ptrdiff_t>(entries.size()) : entry - entries.data();
    const int section = split.layer >= 0 ? 1 : index == 0 ? 0 : 2;
    return std::tuple(section, split.layer, index);
  };
  auto& tensors = checkpoint_->tensors_;
  std::vector<std::pair<std::tuple<int, int64_t, std::ptrdiff_t>, size_t>> order;
  for (size_t i = 0; i < tensors.size(); ++i) order.emplace_back(place(tensors[i].name), i);
  std::sort(order.begin(), order.end());
  std::vector<CheckpointTensor> sorted;
  sorted.reserve(tensors.size());
  for (const auto& [key, i] : order) {
    if (!checkpoint_->index_.emplace(tensors[i].name, sorted.size()).second) {
      return Error(StatusCode::kCorrupt, tensors[i].name, "is there twice under different names");
    }
    sorted.push_back(std::move(tensors[i]));
  }
  tensors = std::move(sorted);
  return OkStatus();
}

}  // namespace tern
