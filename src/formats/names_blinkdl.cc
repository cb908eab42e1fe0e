// BlinkDL's own names, those of .pth files: the canonical ones.
#include "formats/checkpoint_names.h"

namespace tern {
namespace {

class BlinkDl : public NamingFamily {
 public:
  std::string_view title() const override { return "BlinkDL"; }

  Result<int> MajorOf(const TensorSource& source) const override {
    if (AnyNameEndsWith(source, ".att.r_k")) return 7;
    if (AnyNameEndsWith(source, ".att.time_maa_x")) return 6;
    return AnyNameEndsWith(source, ".att.ln_x.weight") ? 5 : 4;
  }

  std::vector<std::string> StoredPatterns(int, const CanonicalEntry& entry) const override {
    return {std::string(entry.pattern)};
  }

  bool IsForeign(std::string_view name) const override {
    for (std::string_view root : {"blocks.", "emb.", "head", "ln_", "pos_emb"}) {
      if (name.starts_with(root)) return true;
    }
    return false;
  }
};

}  // namespace

const NamingFamily& BlinkDlNames() {
  static const BlinkDl names;
  return names;
}

}  // namespace tern
