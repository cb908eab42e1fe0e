// `.st` files of web-rwkv and Ai00: BlinkDL's names with time_faaaa → time_first and time_maa → time_mix,
// low-rank matrices and tuned states transposed, and RWKV-5.1's per-head vectors repeated to [H, N]. Other
// tools save BlinkDL's names in safetensors unchanged: both spellings are read, and the orientation of a
// matrix is told from its shape wherever that is possible (C is known). A tuned state is square: it lies as
// the file's other names and low-rank matrices say.
#include "formats/checkpoint_names.h"

namespace tern {
namespace {

std::string Replace(std::string_view text, std::string_view what, std::string_view by) {
  std::string result(text);
  const size_t at = result.find(what);
  if (at != std::string::npos) result.replace(at, what.size(), by);
  return result;
}

bool IsGated(Generation g) { return g == Generation::kRwkv5_1 || g == Generation::kRwkv5_2; }

class Ai00 : public NamingFamily {
 public:
  std::string_view title() const override { return "BlinkDL/Ai00"; }

  Result<int> MajorOf(const TensorSource& source) const override {
    if (AnyNameEndsWith(source, ".att.time_mix_x")) return 6;
    return BlinkDlNames().MajorOf(source);
  }

  std::vector<std::string> StoredPatterns(int major, const CanonicalEntry& entry) const override {
    const std::string plain(entry.pattern);
    if (major != 6) return {plain};
    const std::string renamed = Replace(Replace(plain, "time_faaaa", "time_first"), "time_maa", "time_mix");
    if (renamed == plain) return {plain};
    return {renamed, plain};
  }

  bool IsForeign(std::string_view name) const override { return BlinkDlNames().IsForeign(name); }

  Storage StorageOf(const NamingContext& context, const CanonicalEntry& entry, int64_t) const override {
    // web-rwkv lacks RWKV-5.0: there is no other order than BlinkDL's.
    if (entry.part == Part::kState) return {.transposed = context.generation != Generation::kRwkv5_0};
    return {.transposed = IsLowRank(entry.part)};
  }

  Storage ReadStorage(const NamingContext& context, const CanonicalEntry& entry, int64_t layer,
                      const Shape& stored) const override {
    Storage storage = StorageOf(context, entry, layer);
    if (context.as_blinkdl && entry.part == Part::kState) storage.transposed = false;
    if (!IsLowRank(entry.part) || stored.size() < 2) return storage;
    const int64_t rows = stored[stored.size() - 2], columns = stored.back();
    if ((rows == context.channels) == (columns == context.channels)) return storage;
    const bool canonical_rows_are_channels = entry.part == Part::kLowRankIn;
    storage.transposed = (rows == context.channels) != canonical_rows_are_channels;
    return storage;
  }

  // In these files time_first is what BlinkDL calls time_faaaa, except in ungated RWKV-5.0, which web-rwkv
  // lacks.
  void Adjust(const NamingContext& context, const CanonicalEntry& entry,
              CheckpointTensor* tensor) const override {
    if (IsGated(context.generation) && entry.pattern.ends_with(".time_first")) {
      tensor->name = Replace(tensor->name, "time_first", "time_faaaa");
    }
  }

  WrittenForm Write(const NamingContext& context, const CanonicalEntry& entry, int64_t layer,
                    const Shape& shape) const override {
    WrittenForm form = NamingFamily::Write(context, entry, layer, shape);
    if (!IsGated(context.generation)) return form;
    // A time_first of RWKV-5 is the logarithm of a time_faaaa.
    if (entry.pattern.ends_with(".time_first")) form.storage.encoding = Encoding::kExp;
    form.pattern = Replace(form.pattern, "time_faaaa", "time_first");
    if (entry.part == Part::kPerHead && shape.size() == 1 && context.head_size > 0) {
      form.repeat = context.head_size;
      form.shape = {shape[0], context.head_size};
    }
    return form;
  }
};

}  // namespace

const NamingFamily& Ai00Names() {
  static const Ai00 names;
  return names;
}

}  // namespace tern
