#include "formats/checkpoint_names.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace tern {

std::optional<FusedGroup> NamingFamily::Fused(int) const { return std::nullopt; }
bool NamingFamily::IsDummy(int, const CanonicalEntry&, int64_t) const { return false; }
Storage NamingFamily::StorageOf(const NamingContext&, const CanonicalEntry&, int64_t) const { return {}; }
Storage NamingFamily::ReadStorage(const NamingContext& context, const CanonicalEntry& entry, int64_t layer,
                                  const Shape&) const {
  return StorageOf(context, entry, layer);
}
void NamingFamily::Adjust(const NamingContext&, const CanonicalEntry&, CheckpointTensor*) const {}

WrittenForm NamingFamily::Write(const NamingContext& context, const CanonicalEntry& entry, int64_t layer,
                                const Shape& shape) const {
  WrittenForm form;
  const auto patterns = StoredPatterns(Major(context.generation), entry);
  if (patterns.empty()) return form;
  form.pattern = patterns.front();
  form.storage = StorageOf(context, entry, layer);
  form.shape = form.storage.transposed ? TransposedShape(shape) : PaddedShape(entry, shape);
  return form;
}

namespace {

/// The family that a name of a .pth or safetensors tells; nullptr when it tells none.
const NamingFamily* FamilyOfName(std::string_view name, bool safetensors) {
  // Some programs put "rwkv." before BlinkDL's names. Names of norms cannot tell these from Hugging Face's.
  const bool hugging_face_block =
      name.starts_with("rwkv.blocks.") && (name.find(".attention.") != std::string_view::npos ||
                                           name.find(".feed_forward.") != std::string_view::npos);
  if (hugging_face_block || name.starts_with("rwkv.embeddings.")) return &HfRwkv4Names();
  if (name.starts_with("model.layers.") || name.starts_with("model.embeddings.")) return &FlaRwkv7Names();
  if (name == "emb.weight" || name.starts_with("blocks."))
    return safetensors ? &Ai00Names() : &BlinkDlNames();
  return nullptr;
}

/// The family that the names tell when their first `skipped` characters are left out.
const NamingFamily* FamilyOfNames(const TensorSource& source, size_t skipped) {
  const bool safetensors = source.format() == FileFormat::kSafetensors;
  for (const TensorInfo& tensor : source.tensors()) {
    const NamingFamily* family = FamilyOfName(std::string_view(tensor.name).substr(skipped), safetensors);
    if (family != nullptr) return family;
  }
  return nullptr;
}

}  // namespace

std::string SharedPrefix(const TensorSource& source) {
  constexpr int kMostWrappers = 8;
  const bool by_names = source.format() == FileFormat::kPth || source.format() == FileFormat::kSafetensors;
  if (!by_names || source.tensors().empty()) return "";
  const std::string& first = source.tensors().front().name;
  std::string prefix;
  for (int i = 0; i <= kMostWrappers; ++i) {
    if (FamilyOfNames(source, prefix.size()) != nullptr) return prefix;
    const size_t dot = first.find('.', prefix.size());
    if (dot == std::string::npos) break;
    prefix = first.substr(0, dot + 1);
    for (const TensorInfo& tensor : source.tensors()) {
      if (!tensor.name.starts_with(prefix) || tensor.name.size() == prefix.size()) return "";
    }
  }
  return "";
}

Result<const NamingFamily*> FamilyOf(const TensorSource& source) {
  if (source.format() == FileFormat::kGguf) return &GgufNames();
  if (source.format() == FileFormat::kRwkvBin) return &RwkvBinNames();
  if (const NamingFamily* family = FamilyOfNames(source, 0)) return family;
  std::string some;
  for (size_t i = 0; i < source.tensors().size() && i < 3; ++i) {
    some += fmt::format("{}'{}'", i == 0 ? "" : ", ", source.tensors()[i].name);
  }
  return Unsupported(fmt::format(
      "'{}' holds no RWKV model: its {} tensors ({}{}) have the names of none that is known", source.path(),
      source.tensors().size(), some.empty() ? "none" : some, source.tensors().size() > 3 ? ", …" : ""));
}

bool AnyNameEndsWith(const TensorSource& source, std::string_view suffix) {
  for (const TensorInfo& tensor : source.tensors()) {
    if (tensor.name.ends_with(suffix)) return true;
  }
  return false;
}

Shape PaddedShape(const CanonicalEntry& entry, const Shape& shape) {
  if (entry.padded && shape.size() == 1) return {1, 1, shape[0]};
  return shape;
}

Shape TransposedShape(Shape shape) {
  if (shape.size() >= 2) std::swap(shape[shape.size() - 1], shape[shape.size() - 2]);
  return shape;
}

std::string_view BelowLayer(std::string_view pattern) {
  const size_t star = pattern.find("*.");
  return star == std::string_view::npos ? pattern : pattern.substr(star + 2);
}

std::optional<double> MetaNumber(const Metadata& metadata, const std::string& key) {
  const auto it = metadata.find(key);
  if (it == metadata.end()) return std::nullopt;
  if (const auto* value = std::get_if<double>(&it->second)) return *value;
  if (const auto* value = std::get_if<int64_t>(&it->second)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<uint64_t>(&it->second)) return static_cast<double>(*value);
  if (const auto* text = std::get_if<std::string>(&it->second)) {
    double value = 0;
    const char* end = text->data() + text->size();
    const auto [stop, error] = std::from_chars(text->data(), end, value);
    if (error == std::errc() && stop == end) return value;
  }
  return std::nullopt;
}

std::optional<std::string> MetaString(const Metadata& metadata, const std::string& key) {
  const auto it = metadata.find(key);
  if (it == metadata.end()) return std::nullopt;
  if (const auto* text = std::get_if<std::string>(&it->second)) return *text;
  return std::nullopt;
}

bool MetaFlag(const Metadata& metadata, const std::string& key) {
  const auto it = metadata.find(key);
  if (it == metadata.end()) return false;
  if (const auto* value = std::get_if<bool>(&it->second)) return *value;
  if (const auto* text = std::get_if<std::string>(&it->second)) return *text == "true" || *text == "True";
  const auto number = MetaNumber(metadata, key);
  return number && *number == 1;
}

}  // namespace tern
