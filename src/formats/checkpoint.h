// A model's weights under one set of names, whichever file they came from.
//
// The canonical form is that of BlinkDL's .pth files (docs/formats.md): their names, their orientation, their values.
// Files that store something else (transposed low-rank matrices, exponentiated decays, fused token-shift vectors,
// rescaled outputs) are described, not converted: a CheckpointTensor says how its stored bytes relate to the canonical
// parameter, so that the model can use them as they are, and a round trip through any two formats that agree on the
// encoding copies bits.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "formats/tensor_source.h"

namespace tern {

/// RWKV generations with different arithmetic. 5.0: no gate, decay per head. 5.1: gate. 5.2: decay per channel.
enum class Generation { kRwkv4, kRwkv5_0, kRwkv5_1, kRwkv5_2, kRwkv6, kRwkv7 };
std::string_view Name(Generation generation);  ///< "RWKV-4", "RWKV-5.2" …
inline constexpr int Major(Generation g) {
  return g == Generation::kRwkv4 ? 4 : g <= Generation::kRwkv5_2 ? 5 : g == Generation::kRwkv6 ? 6 : 7;
}

/// How stored values follow from the canonical parameter p.
enum class Encoding {
  kPlain,      ///< p
  kExp,        ///< exp(p): rwkv.cpp's time_first of RWKV-5.0 and 5.1
  kNegExp,     ///< −exp(p): rwkv.cpp's time_decay of RWKV-4
  kExpNegExp,  ///< exp(−exp(p)): rwkv.cpp's time_decay of RWKV-5
};

struct CheckpointTensor {
  std::string name;  ///< canonical: "blocks.3.att.time_decay"
  DType dtype;
  /// Canonical shape, without the padding ones of [1,1,C] vectors: [C], [H,N], [out,in], low-rank [in,rank] and
  /// [rank,out], time_maa_w2 [5,rank,out].
  Shape shape;
  /// The last two dimensions are swapped in storage (bytes are row-major for the swapped shape).
  bool transposed = false;
  Encoding encoding = Encoding::kPlain;
  /// canonical value = stored value × scale; a power of two (GGUF rwkv6 divides output and value by 2^⌊layer/rescale⌋).
  float scale = 1.0f;
  std::span<const std::byte> bytes;

  /// The shape that `bytes` are row-major for.
  Shape StoredShape() const;
};

/// All tensors of a model in canonical order (as a .pth lists them), and what its file knew beside them.
/// Immutable; views live as long as the object.
class Checkpoint {
 public:
  Generation generation() const { return generation_; }
  const std::vector<CheckpointTensor>& tensors() const { return tensors_; }
  /// nullptr when there is none of that name.
  const CheckpointTensor* Find(std::string_view name) const;
  const TensorSource& source() const { return *source_; }
  /// From config.json or GGUF keys where there are any; the reference value otherwise.
  float layer_norm_eps() const { return layer_norm_eps_; }
  /// The World vocabulary that a GGUF carries, as byte strings by id; empty where the file has none.
  const std::vector<std::string>& vocabulary() const { return vocabulary_; }

  /// Gathers a source's tensors under canonical names. Fails, naming the tensor, on names of no known family.
  static Result<std::shared_ptr<const Checkpoint>> FromSource(std::shared_ptr<const TensorSource> source);

 private:
  Checkpoint() = default;
  friend class CheckpointBuilder;
  std::shared_ptr<const TensorSource> source_;
  Generation generation_ = Generation::kRwkv4;
  std::vector<CheckpointTensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
  std::vector<std::string> vocabulary_;
  std::vector<std::unique_ptr<std::vector<std::byte>>> owned_;
  float layer_norm_eps_ = 1e-5f;
};

/// The first tuned initial state (blocks.N.att.time_state); nullptr: the model starts every text from zeros.
const CheckpointTensor* FindInitialState(const Checkpoint& checkpoint);

/// OpenTensorSource and Checkpoint::FromSource in one.
Result<std::shared_ptr<const Checkpoint>> OpenCheckpoint(const std::string& path);

/// One tensor as fp32 in canonical orientation and value (encoding undone, scale applied).
/// dst has room for NumElements(tensor.shape).
void ReadCanonical(const CheckpointTensor& tensor, float* dst);

struct SaveOptions {
  FileFormat format = FileFormat::kPth;
  /// Type of the matrices; without it each tensor keeps its own. Vectors and small parameters stay in the precision
  /// that readers of the format expect (docs/formats.md says which).
  std::optional<DType> type;
  /// Naming family within safetensors: BlinkDL/Ai00 `.st` or Hugging Face. Of the latter, RWKV-4 and RWKV-7 named
  /// "model.safetensors" get a config.json beside them (replacing one that is there), so that the folder can be loaded.
  enum class Names { kBlinkDL, kHuggingFace } names = Names::kBlinkDL;
  /// The tokenizer's vocabulary by id as byte strings, embedded where the format can (GGUF).
  std::vector<std::string> vocabulary;
  /// Leaves a tuned initial state out. Without this it is an error where the format cannot hold one.
  bool drop_initial_state = false;
  WriteProgress progress;
};

/// Writes a checkpoint in any format, atomically. Fails, naming the tensor, where the format cannot hold a type.
Status SaveCheckpoint(const Checkpoint& checkpoint, const std::string& path, const SaveOptions& options);

/// The format that a path's extension asks for: .pth .pt → pth; .safetensors .st → safetensors; .gguf; .bin.
Result<FileFormat> FormatFromExtension(const std::string& path);

}  // namespace tern
