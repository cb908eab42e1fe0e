// llama.cpp's names for rwkv6 and rwkv7, and names of the same kind for rwkv4 and rwkv5, which llama.cpp does
// not have (docs/formats/canonical.md).
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

#include "formats/checkpoint_names.h"

namespace tern {
namespace {

// From the name below the layer to GGUF's below "blk.*."; the longest prefix that fits comes first.
using Renames = std::span<const std::pair<std::string_view, std::string_view>>;

constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kShared = {{
    {"ln1.", "attn_norm."},
    {"ln2.", "attn_norm_2."},
    {"att.key.weight", "time_mix_key.weight"},
    {"att.value.weight", "time_mix_value.weight"},
    {"att.receptance.weight", "time_mix_receptance.weight"},
    {"att.output.weight", "time_mix_output.weight"},
    {"att.gate.weight", "time_mix_gate.weight"},
    {"att.ln_x.", "time_mix_ln."},
    {"ffn.key.", "channel_mix_key."},
    {"ffn.value.", "channel_mix_value."},
}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> k4 = {{
    {"att.time_mix_", "time_mix_lerp_"},
    {"att.time_first", "time_mix_first"},
    {"att.time_decay", "time_mix_decay"},
    {"ffn.time_mix_", "channel_mix_lerp_"},
    {"ffn.receptance.weight", "channel_mix_receptance"},
}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> k5 = {{
    {"att.time_mix_", "time_mix_lerp_"},
    {"att.time_faaaa", "time_mix_first"},
    {"att.time_first", "time_mix_first_log"},
    {"att.time_decay", "time_mix_decay"},
    {"ffn.time_mix_", "channel_mix_lerp_"},
    {"ffn.receptance.weight", "channel_mix_receptance"},
}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> k6 = {{
    {"att.time_maa_w1", "time_mix_w1"},
    {"att.time_maa_w2", "time_mix_w2"},
    {"att.time_maa_", "time_mix_lerp_"},
    {"att.time_faaaa", "time_mix_first"},
    {"att.time_decay", "time_mix_decay"},
    {"ffn.time_maa_", "channel_mix_lerp_"},
    {"ffn.receptance.weight", "channel_mix_receptance"},
}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> k7 = {{
    {"att.x_", "time_mix_lerp_"},
    {"att.", "time_mix_"},  // w0 w1 … g2, k_k, k_a, r_k
    {"ffn.x_", "channel_mix_lerp_"},
}};

Renames OfMajor(int major) {
  switch (major) {
    case 4:
      return k4;
    case 5:
      return k5;
    case 6:
      return k6;
    default:
      return k7;
  }
}

std::optional<std::string> Rename(Renames renames, std::string_view below) {
  for (const auto& [ours, theirs] : renames) {
    if (below.starts_with(ours)) return std::string(theirs) + std::string(below.substr(ours.size()));
  }
  return std::nullopt;
}

class Gguf : public NamingFamily {
 public:
  std::string_view title() const override { return "GGUF"; }

  Result<int> MajorOf(const TensorSource& source) const override {
    const auto architecture = MetaString(source.metadata(), "general.architecture");
    if (!architecture) return Corrupt(fmt::format("'{}' has no key general.architecture", source.path()));
    const int major = MajorOfGgufArchitecture(*architecture);
    if (major != 0) return major;
    return Unsupported(
        fmt::format("'{}': the architecture '{}' is none that Tern knows (rwkv4, rwkv5, rwkv6, rwkv7)",
                    source.path(), *architecture));
  }

  std::vector<std::string> StoredPatterns(int major, const CanonicalEntry& entry) const override {
    // Tern's own name: llama.cpp has no such tensor.
    if (entry.part == Part::kState) return {"blk.*.time_mix_state.weight"};
    if (entry.part == Part::kEmbedding) return {"token_embd.weight"};
    if (entry.part == Part::kHead) return {"output.weight"};
    const std::string_view below = BelowLayer(entry.pattern);
    if (below.starts_with("ln_out.")) return {"output_norm." + std::string(below.substr(7))};
    if (below.starts_with("ln0.")) return {"token_embd_norm." + std::string(below.substr(4))};
    if (const auto name = Rename(kShared, below)) return {"blk.*." + *name};
    if (const auto name = Rename(OfMajor(major), below)) return {"blk.*." + *name + ".weight"};
    return {};
  }

  std::optional<FusedGroup> Fused(int major) const override {
    const std::string pattern = "blk.*.time_mix_lerp_fused.weight";
    if (major == 6) {
      return FusedGroup{pattern,
                        {1, 1},
                        {"blocks.*.att.time_maa_w", "blocks.*.att.time_maa_k", "blocks.*.att.time_maa_v",
                         "blocks.*.att.time_maa_r", "blocks.*.att.time_maa_g"}};
    }
    if (major == 7) {
      return FusedGroup{pattern,
                        {1, 1},
                        {"blocks.*.att.x_r", "blocks.*.att.x_w", "blocks.*.att.x_k", "blocks.*.att.x_v",
                         "blocks.*.att.x_a", "blocks.*.att.x_g"}};
    }
    return std::nullopt;
  }
  bool WritesFused() const override { return true; }
  bool IsForeign(std::string_view) const override { return true; }

  bool IsDummy(int major, const CanonicalEntry& entry, int64_t layer) const override {
    const std::string_view below = BelowLayer(entry.pattern);
    return major == 7 && layer == 0 && (below == "att.v0" || below == "att.v1" || below == "att.v2");
  }

  Storage StorageOf(const NamingContext& context, const CanonicalEntry& entry, int64_t layer) const override {
    if (IsLowRank(entry.part)) return {.transposed = true};
    const std::string_view below = BelowLayer(entry.pattern);
    const bool rescaled = context.generation == Generation::kRwkv6 && context.rescale_every > 0 &&
                          (below == "att.output.weight" || below == "ffn.value.weight");
    if (!rescaled) return {};
    return {.scale = std::ldexp(1.0f, static_cast<int>(layer / context.rescale_every))};
  }

  WrittenForm Write(const NamingContext& context, const CanonicalEntry& entry, int64_t layer,
                    const Shape& shape) const override {
    if (IsDummy(Major(context.generation), entry, layer)) return {};  // the writer makes its own
    WrittenForm form = NamingFamily::Write(context, entry, layer, shape);
    if (!form.storage.transposed) form.shape = shape;
    if (BelowLayer(entry.pattern) == "att.r_k") form.shape = {NumElements(shape).value_or(0)};
    return form;
  }
};

}  // namespace

const NamingFamily& GgufNames() {
  static const Gguf names;
  return names;
}

std::string GgufArchitecture(int major) { return fmt::format("rwkv{}", major); }

int MajorOfGgufArchitecture(std::string_view architecture) {
  for (int major = 4; major <= 7; ++major) {
    if (architecture == GgufArchitecture(major)) return major;
  }
  return 0;
}

}  // namespace tern
