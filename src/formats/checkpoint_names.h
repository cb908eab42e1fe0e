// Naming families: how the tools that write weight files name RWKV's tensors, and how they store them. One
// file each (names_*.cc), all told against the table of canonical tensors, and used in both directions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/checkpoint.h"
#include "formats/checkpoint_canonical.h"

namespace tern {

/// What a family must know of a model to say how it stores a tensor.
struct NamingContext {
  Generation generation = Generation::kRwkv4;
  int64_t channels = 0;   ///< C
  int64_t head_size = 0;  ///< N; 0 when unknown (or RWKV-4)
  /// Safetensors with BlinkDL's own names and low-rank matrices, not Ai00's: square tensors lie as in a .pth.
  bool as_blinkdl = false;
  int64_t rescale_every = 0;  ///< layers per halving of output and value in a rwkv6 GGUF; 0: none
};

/// How stored values relate to canonical ones (see CheckpointTensor).
struct Storage {
  bool transposed = false;
  Encoding encoding = Encoding::kPlain;
  float scale = 1.0f;
};

/// Several vectors of a layer stored as one tensor, slice by slice.
struct FusedGroup {
  std::string pattern;  ///< of the stored tensor
  Shape padding;        ///< ones between the number of slices and the channels, when written
  std::vector<std::string_view> canonical;  ///< patterns, in the order of the slices
};

/// How a family writes a tensor.
struct WrittenForm {
  std::string
      pattern;  ///< empty: the family has no place for this tensor, and nothing is lost by leaving it out
  Shape shape;  ///< as the file shows it
  Storage storage;
  int64_t repeat =
      1;  ///< every element is written this many times in a row (RWKV-5.1's decay per head as per channel)
};

/// Stateless and shared between threads.
class NamingFamily {
 public:
  virtual ~NamingFamily() = default;
  /// For messages: "BlinkDL", "GGUF".
  virtual std::string_view title() const = 0;
  /// The major generation that a source's names (or keys) tell; an error when they tell of no RWKV at all.
  virtual Result<int> MajorOf(const TensorSource& source) const = 0;
  /// The patterns under which the family stores an entry: the first is written, all are read.
  virtual std::vector<std::string> StoredPatterns(int major, const CanonicalEntry& entry) const = 0;
  /// Groups that may appear fused.
  virtual std::optional<FusedGroup> Fused(int major) const;
  /// Whether fused groups are also written fused.
  virtual bool WritesFused() const { return false; }
  /// Whether a name that matches no pattern means a model that Tern would compute wrongly; other unknown
  /// names are passed over (optimizer state, counters).
  virtual bool IsForeign(std::string_view name) const = 0;
  /// Tensors that the family's tools put in a file though nothing reads them.
  virtual bool IsDummy(int major, const CanonicalEntry& entry, int64_t layer) const;
  /// How the family's tools store an entry of this layer.
  virtual Storage StorageOf(const NamingContext& context, const CanonicalEntry& entry, int64_t layer) const;
  /// How a tensor of this shape was stored: StorageOf, unless the shape tells better.
  virtual Storage ReadStorage(const NamingContext& context, const CanonicalEntry& entry, int64_t layer,
                              const Shape& stored) const;
  /// Last corrections to a tensor that was read, when all else is known.
  virtual void Adjust(const NamingContext& context, const CanonicalEntry& entry,
                      CheckpointTensor* tensor) const;
  /// How a canonical tensor is written. `shape` is canonical.
  virtual WrittenForm Write(const NamingContext& context, const CanonicalEntry& entry, int64_t layer,
                            const Shape& shape) const;
};

const NamingFamily& BlinkDlNames();  ///< .pth
const NamingFamily& Ai00Names();     ///< .st of web-rwkv
const NamingFamily&
HfRwkv4Names();  ///< Hugging Face "rwkv" (also used by its RWKV-5 and RWKV-6 repositories)
const NamingFamily& FlaRwkv7Names();  ///< flash-linear-attention
const NamingFamily& GgufNames();      ///< llama.cpp
const NamingFamily& RwkvBinNames();   ///< rwkv.cpp

/// The family of a source, told by its format and names. Fails, naming a few tensors, when it is none of
/// them.
Result<const NamingFamily*> FamilyOf(const TensorSource& source);

/// What wrappers put in front of every name ("module.", "_forward_module._orig_mod."): the shortest run of
/// first components that all tensors of a .pth or safetensors share and that hides the names of a known
/// family. Empty when there is none.
std::string SharedPrefix(const TensorSource& source);

// --- shared by the families
// ---------------------------------------------------------------------------------------

/// Whether any tensor's name ends in `suffix`.
bool AnyNameEndsWith(const TensorSource& source, std::string_view suffix);
/// The shape in a .pth: [1, 1, C] for padded vectors.
Shape PaddedShape(const CanonicalEntry& entry, const Shape& shape);
/// Swaps the last two dimensions.
Shape TransposedShape(Shape shape);
/// A pattern's part below the layer: "blocks.*.att.w1" → "att.w1"; unchanged without an asterisk.
std::string_view BelowLayer(std::string_view pattern);

/// The number that a metadata value stands for (safetensors' values are strings); nothing when it is none.
std::optional<double> MetaNumber(const Metadata& metadata, const std::string& key);
std::optional<std::string> MetaString(const Metadata& metadata, const std::string& key);
/// true, "true", "True", 1.
bool MetaFlag(const Metadata& metadata, const std::string& key);

/// llama.cpp's architecture name of a generation ("rwkv6"), and the reverse (0 for others).
std::string GgufArchitecture(int major);
int MajorOfGgufArchitecture(std::string_view architecture);

}  // namespace tern
