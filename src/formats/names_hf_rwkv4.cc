// Hugging Face's own "rwkv" models (RWKV-4), and the repositories of RWKV-5 and RWKV-6 that follow its names.
// Values are stored as in the .pth: the rescaling that its code does at run time is not in the file.
#include <array>
#include <utility>

#include "formats/checkpoint_names.h"

namespace tern {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kGroups = {
    {{"ln0.", "pre_ln."},
     {"ln1.", "ln1."},
     {"ln2.", "ln2."},
     {"att.", "attention."},
     {"ffn.", "feed_forward."}}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kMixes = {
    {{"time_mix_k", "time_mix_key"},
     {"time_mix_v", "time_mix_value"},
     {"time_mix_r", "time_mix_receptance"},
     {"time_mix_g", "time_mix_gate"}}};

class HfRwkv4 : public NamingFamily {
 public:
  std::string_view title() const override { return "Hugging Face RWKV"; }

  Result<int> MajorOf(const TensorSource& source) const override {
    if (AnyNameEndsWith(source, ".attention.time_maa_x")) return 6;
    return AnyNameEndsWith(source, ".attention.ln_x.weight") ? 5 : 4;
  }

  std::vector<std::string> StoredPatterns(int major, const CanonicalEntry& entry) const override {
    if (major == 7 || entry.part == Part::kState) return {};
    if (entry.part == Part::kEmbedding) return {"rwkv.embeddings.weight"};
    if (entry.part == Part::kHead) return {"head.weight"};
    const std::string_view below = BelowLayer(entry.pattern);
    if (below == entry.pattern) return {"rwkv." + std::string(below)};
    for (const auto& [ours, theirs] : kGroups) {
      if (!below.starts_with(ours)) continue;
      std::string_view rest = below.substr(ours.size());
      for (const auto& [mix, full] : kMixes) {
        if (rest == mix) rest = full;
      }
      return {"rwkv.blocks.*." + std::string(theirs) + std::string(rest)};
    }
    return {};
  }

  bool IsForeign(std::string_view name) const override {
    return name.starts_with("rwkv.") || name.starts_with("head");
  }
};

}  // namespace

const NamingFamily& HfRwkv4Names() {
  static const HfRwkv4 names;
  return names;
}

}  // namespace tern
