// rwkv.cpp: BlinkDL's names, with decays already exponentiated, low-rank matrices transposed and RWKV-7's
// token-shift vectors stacked.
#include "base/bytes.h"
#include "formats/checkpoint_names.h"

namespace tern {
namespace {

bool Is(const CanonicalEntry& entry, std::string_view below) { return BelowLayer(entry.pattern) == below; }

class RwkvBin : public NamingFamily {
 public:
  std::string_view title() const override { return "rwkv.cpp"; }
  Result<int> MajorOf(const TensorSource& source) const override { return BlinkDlNames().MajorOf(source); }

  std::vector<std::string> StoredPatterns(int, const CanonicalEntry& entry) const override {
    return {std::string(entry.pattern)};
  }

  std::optional<FusedGroup> Fused(int major) const override {
    if (major != 7) return std::nullopt;
    return FusedGroup{"blocks.*.att.x_rwkvag",
                      {1},
                      {"blocks.*.att.x_r", "blocks.*.att.x_w", "blocks.*.att.x_k", "blocks.*.att.x_v",
                       "blocks.*.att.x_a", "blocks.*.att.x_g"}};
  }
  bool WritesFused() const override { return true; }
  bool IsForeign(std::string_view) const override { return true; }

  Storage StorageOf(const NamingContext& context, const CanonicalEntry& entry, int64_t) const override {
    const int major = Major(context.generation);
    if (IsLowRank(entry.part)) return {.transposed = true};
    if (major == 4 && Is(entry, "att.time_decay")) return {.encoding = Encoding::kNegExp};
    if (major == 5 && Is(entry, "att.time_decay")) return {.encoding = Encoding::kExpNegExp};
    if (major == 5 && Is(entry, "att.time_first")) return {.encoding = Encoding::kExp};
    return {};
  }

  // An ungated RWKV-5 has one place for two parameters: exp(time_first), or time_faaaa as it is. What is no
  // exponential must be the latter; for the model they are the same number.
  void Adjust(const NamingContext&, const CanonicalEntry&, CheckpointTensor* tensor) const override {
    if (tensor->encoding != Encoding::kExp || tensor->dtype != DType::kF32) return;
    for (size_t at = 0; at + sizeof(float) <= tensor->bytes.size(); at += sizeof(float)) {
      if (LoadUnaligned<float>(tensor->bytes.data() + at) > 0) continue;
      tensor->encoding = Encoding::kPlain;
      tensor->name.replace(tensor->name.size() - 5, 5, "faaaa");
      return;
    }
  }

  WrittenForm Write(const NamingContext& context, const CanonicalEntry& entry, int64_t layer,
                    const Shape& shape) const override {
    const std::string_view below = BelowLayer(entry.pattern);
    // rwkv.cpp stops at tensors that it does not use.
    const bool unused = layer == 0 && (below == "att.v0" || below == "att.v1" || below == "att.v2");
    if (unused || entry.part == Part::kState) return {};
    WrittenForm form = NamingFamily::Write(context, entry, layer, shape);
    const int major = Major(context.generation);
    if (major != 7 && entry.part == Part::kVector) form.shape = shape;
    if (major == 5 && entry.part == Part::kPerHead) return PerHead5(context, entry, shape, std::move(form));
    if (major == 6 && (below == "att.time_decay" || entry.part == Part::kPerHead) && context.head_size > 0) {
      form.shape = {NumElements(shape).value_or(0) / context.head_size, context.head_size, 1};
    }
    return form;
  }

 private:
  // Ungated models have [H,1,1] and time_first, gated ones [H,N,1] and time_faaaa.
  static WrittenForm PerHead5(const NamingContext& context, const CanonicalEntry& entry, const Shape& shape,
                              WrittenForm form) {
    const bool gated = context.generation != Generation::kRwkv5_0;
    form.shape = shape;
    if (gated && shape.size() == 1 && context.head_size > 0) {
      form.repeat = context.head_size;
      form.shape = {shape[0], context.head_size};
    }
    while (form.shape.size() < 3) form.shape.push_back(1);
    if (!Is(entry, "att.time_decay"))
      form.pattern = gated ? "blocks.*.att.time_faaaa" : "blocks.*.att.time_first";
    return form;
  }
};

}  // namespace

const NamingFamily& RwkvBinNames() {
  static const RwkvBin names;
  return names;
}

}  // namespace tern
