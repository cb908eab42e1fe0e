// RWKV-7 as flash-linear-attention stores it for Hugging Face: low-rank pairs are nn.Linear layers, so their
// matrices are transposed, and w0, a0, v0 are the second one's bias.
#include <array>
#include <utility>

#include "formats/checkpoint_names.h"

namespace tern {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kPrefixes = {{
    {"ln0.", "pre_norm."},
    {"ln1.", "attn_norm."},
    {"ln2.", "ffn_norm."},
    {"att.receptance.", "attn.r_proj."},
    {"att.key.", "attn.k_proj."},
    {"att.value.", "attn.v_proj."},
    {"att.output.", "attn.o_proj."},
    {"att.ln_x.", "attn.g_norm."},
    {"att.x_", "attn.x_"},
    {"att.k_", "attn.k_"},
    {"att.r_", "attn.r_"},
    {"ffn.key.", "ffn.key."},
    {"ffn.value.", "ffn.value."},
    {"ffn.x_", "ffn.x_"},
}};

bool IsUnusedValueMix(const CanonicalEntry& entry, int64_t layer) {
  const std::string_view below = BelowLayer(entry.pattern);
  return layer == 0 && (below == "att.v0" || below == "att.v1" || below == "att.v2");
}

class FlaRwkv7 : public NamingFamily {
 public:
  std::string_view title() const override { return "flash-linear-attention RWKV-7"; }
  Result<int> MajorOf(const TensorSource&) const override { return 7; }

  std::vector<std::string> StoredPatterns(int major, const CanonicalEntry& entry) const override {
    if (major != 7 || entry.part == Part::kState) return {};
    if (entry.part == Part::kEmbedding) return {"model.embeddings.weight"};
    if (entry.part == Part::kHead) return {"lm_head.weight"};
    const std::string_view below = BelowLayer(entry.pattern);
    if (below.starts_with("ln_out.")) return {"model.norm." + std::string(below.substr(7))};
    for (const auto& [ours, theirs] : kPrefixes) {
      if (below.starts_with(ours)) {
        return {"model.layers.*." + std::string(theirs) + std::string(below.substr(ours.size()))};
      }
    }
    // What is left is att.{w,a,v,g}{0,1,2}.
    static constexpr std::array<std::string_view, 3> kLora = {"2.bias", "0.weight", "2.weight"};
    const size_t digit = static_cast<size_t>(below[5] - '0');
    return {"model.layers.*.attn." + std::string(1, below[4]) + "_lora.lora." + std::string(kLora[digit])};
  }

  std::optional<FusedGroup> Fused(int) const override {
    return FusedGroup{"model.layers.*.attn.x_x",
                      {1},
                      {"blocks.*.att.x_r", "blocks.*.att.x_w", "blocks.*.att.x_k", "blocks.*.att.x_v",
                       "blocks.*.att.x_a", "blocks.*.att.x_g"}};
  }

  bool IsForeign(std::string_view name) const override {
    return name.starts_with("model.") || name.starts_with("lm_head");
  }

  Storage StorageOf(const NamingContext&, const CanonicalEntry& entry, int64_t) const override {
    return {.transposed = IsLowRank(entry.part)};
  }

  WrittenForm Write(const NamingContext& context, const CanonicalEntry& entry, int64_t layer,
                    const Shape& shape) const override {
    if (IsUnusedValueMix(entry, layer)) return {};
    WrittenForm form = NamingFamily::Write(context, entry, layer, shape);
    // Only the time mix's coefficients have the padding.
    if (!entry.pattern.starts_with("blocks.*.att.x_") && !form.storage.transposed) form.shape = shape;
    return form;
  }
};

}  // namespace

const NamingFamily& FlaRwkv7Names() {
  static const FlaRwkv7 names;
  return names;
}

}  // namespace tern
