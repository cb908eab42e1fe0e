#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/log.h"
#include "kernels/ops.h"
#include "model/architecture.h"
#include "model/initial_state.h"
#include "model/mapped_parts.h"
#include "tensor/quant.h"

namespace tern {
namespace {

/// Tokens whose scratch memory the footprint counts: the chunk that long prompts are cut into.
constexpr int64_t kChunkTokens = 256;

/// Adds up bytes and products of every matrix that a token meets.
class Meter : public TensorVisitor {
 public:
  void Vector(const std::string&, VectorParam& p, const Shape&, Role, Encoding) override {
    bytes_ += p.values.size() * sizeof(float);
  }
  void Matrix(const std::string&, MatrixParam& p, int64_t, int64_t, Role) override { Add(p); }
  void LowRankSlice(const std::string&, MatrixParam& p, int64_t, int64_t, int64_t, int64_t) override { Add(p); }
  bool Has(const std::string& name) const override { return checkpoint_.Find(name) != nullptr; }

  explicit Meter(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}
  void Add(const MatrixParam& p) {
    bytes_ += static_cast<uint64_t>(p.rows()) *
              RowBytes(p.view.dtype, static_cast<uint64_t>(p.cols())).value_or(0);
    flop_ += 2 * static_cast<uint64_t>(p.rows()) * static_cast<uint64_t>(p.cols());
  }
  uint64_t bytes() const { return bytes_; }
  uint64_t flop() const { return flop_; }

 private:
  const Checkpoint& checkpoint_;
  uint64_t bytes_ = 0, flop_ = 0;
};

/// Multiply-adds of one token's recurrence, times two (RWKV-4: about 12 operations per channel; the matrix states:
/// per element of S, 3 multiply-adds in RWKV-5 and 6, 4 in RWKV-7).
uint64_t WkvFlop(const ModelConfig& c) {
  if (c.generation == Generation::kRwkv4) return static_cast<uint64_t>(12 * c.att_width * c.layers);
  const int64_t per_element = c.generation == Generation::kRwkv7 ? 8 : 6;
  return static_cast<uint64_t>(per_element * c.att_width * c.head_size * c.layers);
}

/// Piece by piece: where the matrices in use are copies, the file's pages need not become resident beside them.
XXH128_hash_t HashBytes(std::span<const std::byte> bytes, const TensorSource* forget) {
  constexpr size_t kPiece = 8 << 20;
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  XXH3_128bits_reset(state.get());
  for (size_t done = 0; done < bytes.size(); done += kPiece) {
    const auto piece = bytes.subspan(done, std::min(kPiece, bytes.size() - done));
    XXH3_128bits_update(state.get(), piece.data(), piece.size());
    if (forget != nullptr) forget->Forget(piece);
  }
  return XXH3_128bits_digest(state.get());
}

Status CheckBatch(const Batch& batch, const ModelConfig& config) {
  for (int32_t token : batch.tokens()) {
    if (token < 0 || token >= config.vocab) {
      return InvalidArgument(fmt::format("token {} is outside the model's vocabulary of {}", token, config.vocab));
    }
  }
  const StateLayout layout(config);
  for (const State* state : batch.states()) {
    if (!(state->layout() == layout)) return InvalidArgument("a state in the batch belongs to another model");
  }
  return OkStatus();
}

/// The weights of a layer, or of the head, for as long as they are used.
class PartInUse {
 public:
  PartInUse(LayerStream* stream, int64_t part) : stream_(stream), part_(static_cast<size_t>(part)) {
    if (stream_ != nullptr) stream_->Enter(part_);
  }
  ~PartInUse() {
    if (stream_ != nullptr) stream_->Leave(part_);
  }
  PartInUse(const PartInUse&) = delete;
  PartInUse& operator=(const PartInUse&) = delete;

 private:
  LayerStream* stream_;
  size_t part_;
};

/// The rows of each sequence that has many tokens in this batch.
std::vector<kernels::RowRange> ManyTokens(const Batch& batch) {
  std::vector<kernels::RowRange> many;
  const auto starts = batch.starts();
  for (size_t s = 0; s + 1 < starts.size(); ++s) {
    if (starts[s + 1] - starts[s] >= kernels::kManyTokens) many.push_back({starts[s], starts[s + 1]});
  }
  return many;
}

}  // namespace

void Batch::Add(std::span<const int32_t> tokens, State* state, Logits wanted, bool hidden) {
  const auto begin = static_cast<int64_t>(tokens_.size());
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  const auto end = static_cast<int64_t>(tokens_.size());
  starts_.push_back(end);
  states_.push_back(state);
  if (wanted == Logits::kAll) {
    for (int64_t t = begin; t < end; ++t) logit_rows_.push_back(t);
  } else if (wanted == Logits::kLast && end > begin) {
    logit_rows_.push_back(end - 1);
  }
  for (int64_t t = begin; hidden && t < end; ++t) hidden_rows_.push_back(t);
}

void Batch::Clear() {
  tokens_.clear();
  starts_.assign(1, 0);
  states_.clear();
  logit_rows_.clear();
  hidden_rows_.clear();
}

Model::~Model() = default;

Result<std::shared_ptr<const Model>> Model::Load(const std::string& path, Placement placement,
                                                 const std::string& state_in) {
  TERN_ASSIGN_OR_RETURN(auto checkpoint, OpenCheckpoint(path));
  TERN_ASSIGN_OR_RETURN(auto model, Build(std::move(checkpoint), placement));
  if (!state_in.empty()) TERN_RETURN_IF_ERROR(model->StartFrom(state_in));
  return std::shared_ptr<const Model>(std::move(model));
}

Result<std::shared_ptr<const Model>> Model::FromCheckpoint(std::shared_ptr<const Checkpoint> checkpoint,
                                                           Placement placement) {
  TERN_ASSIGN_OR_RETURN(auto model, Build(std::move(checkpoint), placement));
  return std::shared_ptr<const Model>(std::move(model));
}

Result<std::shared_ptr<Model>> Model::Build(std::shared_ptr<const Checkpoint> checkpoint, Placement placement) {
  std::shared_ptr<Model> model(new Model());
  model->checkpoint_ = std::move(checkpoint);
  TERN_ASSIGN_OR_RETURN(model->config_, ReadConfig(*model->checkpoint_));
  TERN_RETURN_IF_ERROR(model->LoadWeights(placement));
  return model;
}

Status Model::StartFrom(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(SavedState start, LoadStartState(path, *this));
  const auto bytes = std::as_bytes(start.state.data());
  const std::string own = Hash();
  const XXH128_hash_t seed = XXH3_128bits(own.data(), own.size());
  const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed.low64 ^ seed.high64);
  start_hash_ = fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
  initial_state_ = std::move(start.state);
  return OkStatus();
}

Status Model::LoadWeights(Placement placement) {
  WeightLoader loader(*checkpoint_, placement);
  const int64_t C = config_.width, V = config_.vocab;
  loader.Matrix("emb.weight", emb_, V, C, Role::kEmbedding);
  loader.Norm("blocks.0.ln0", ln0_, C);
  architecture_ = MakeArchitecture(config_);
  for (int64_t layer = 0; layer < config_.layers && loader.status().ok(); ++layer) architecture_->Visit(layer, loader);
  loader.Norm("ln_out", ln_out_, C);
  loader.Matrix("head.weight", head_, V, C, Role::kHead);
  TERN_RETURN_IF_ERROR(loader.status());
  initial_state_ = State(StateLayout(config_));
  TERN_RETURN_IF_ERROR(ReadInitialState(*checkpoint_, config_, loader, &initial_state_));
  MeasureFootprint(loader);
  arena_ = loader.TakeArena();
  architecture_->Prepare();
  if (arena_.data() == nullptr) StreamWeights();
  return OkStatus();
}

void Model::StreamWeights() {
  // A quarter is left for states, scratch memory and everybody else.
  const uint64_t available = AvailableMemory(), room = available > 0 ? available / 4 * 3 : UINT64_MAX;
  stream_ = std::make_unique<LayerStream>(MappedParts(*architecture_, config_.layers, head_, *checkpoint_), room);
  footprint_.streamed_bytes = stream_->streamed_bytes();
  if (footprint_.streamed_bytes == 0) return;
  footprint_.memory_bytes -= std::min(footprint_.memory_bytes, footprint_.streamed_bytes);
  LogWarning("{:.2f} of {:.2f} GB of weights have no room in memory: every pass reads them from '{}'",
             static_cast<double>(footprint_.streamed_bytes) * 1e-9, static_cast<double>(stream_->total_bytes()) * 1e-9,
             checkpoint_->source().path());
}

void Model::MeasureFootprint(const WeightLoader& loader) {
  Meter meter(*checkpoint_);
  for (int64_t layer = 0; layer < config_.layers; ++layer) architecture_->Visit(layer, meter);
  meter.Add(head_);
  const auto C = static_cast<uint64_t>(config_.width), F = static_cast<uint64_t>(config_.ffn_width);
  footprint_.parameters = loader.parameters();
  footprint_.weight_bytes = loader.stored_bytes();
  footprint_.bytes_per_token = meter.bytes() + RowBytes(emb_.view.dtype, C).value_or(0);
  footprint_.flop_per_token = meter.flop() + WkvFlop(config_);
  footprint_.state_bytes = static_cast<uint64_t>(StateLayout(config_).Floats()) * sizeof(float);
  // Widest moment of a pass: RWKV-7's projections (about 20 rows of C) or the channel mix (F and a few of C).
  const uint64_t scratch = kChunkTokens * (std::max(20 * C, F + 6 * C) + 2 * C) * sizeof(float);
  footprint_.memory_bytes = footprint_.weight_bytes + footprint_.state_bytes + scratch +
                            static_cast<uint64_t>(config_.vocab) * sizeof(float);
}

void Model::Embed(std::span<const int32_t> tokens, float* x) const {
  const int64_t C = config_.width;
  const auto row_bytes = static_cast<size_t>(RowBytes(emb_.view.dtype, static_cast<uint64_t>(C)).value_or(0));
  for (size_t t = 0; t < tokens.size(); ++t) {
    float* row = x + static_cast<int64_t>(t) * C;
    DequantizeRow(emb_.view.dtype, emb_.view.data + static_cast<size_t>(tokens[t]) * row_bytes, row, C);
  }
}

/// The last norm, of those rows of x only.
void Model::NormaliseRows(const float* x, const std::vector<int64_t>& rows, float* y) const {
  const int64_t C = config_.width;
  for (const int64_t row : rows) {
    kernels::Kernels().layer_norm(y, x + row * C, ln_out_.weight.data(), ln_out_.bias.data(), C, config_.ln_eps);
    y += C;
  }
}

Status Model::Forward(const Batch& batch, Workspace& workspace, std::vector<float>* logits,
                      std::vector<float>* hidden) const {
  TERN_RETURN_IF_ERROR(CheckBatch(batch, config_));
  const auto T = static_cast<int64_t>(batch.tokens().size());
  const int64_t C = config_.width, V = config_.vocab, rows = static_cast<int64_t>(batch.logit_rows().size());
  logits->resize(static_cast<size_t>(rows * V));
  if (hidden != nullptr) hidden->resize(batch.hidden_rows().size() * static_cast<size_t>(C));
  if (T == 0) return OkStatus();

  Workspace::Scope scope(workspace);
  const std::vector<kernels::RowRange> many = ManyTokens(batch);
  Pass pass{.config = config_, .T = T, .starts = batch.starts(), .states = batch.states(), .workspace = workspace,
            .many = many};
  if (config_.generation == Generation::kRwkv7) pass.v_first = pass.Rows(config_.att_width);
  float* x = pass.Rows(C);
  Embed(batch.tokens(), x);
  Normalise(pass, ln0_, x, x);
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    const PartInUse use(stream_.get(), layer);
    architecture_->Layer(pass, layer, x);
  }

  if (hidden != nullptr) NormaliseRows(x, batch.hidden_rows(), hidden->data());
  if (rows == 0) return OkStatus();
  const PartInUse use(stream_.get(), config_.layers);
  float* wanted = workspace.Take(rows * C);
  NormaliseRows(x, batch.logit_rows(), wanted);
  const kernels::MatMulJob head{.w = head_.view, .x = wanted, .x_stride = C, .y = logits->data(), .y_stride = V,
                                .T = rows, .scale = head_.scale};
  kernels::MatMul({&head, 1});
  return OkStatus();
}

const std::string& Model::Hash() const {
  std::call_once(hash_once_, [this] {
    const auto& tensors = checkpoint_->tensors();
    std::vector<XXH128_hash_t> digests(tensors.size());
    ParallelFor(static_cast<int64_t>(tensors.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        const CheckpointTensor& t = tensors[i];
        const std::string head = fmt::format("{} {} {} {} {} {}", t.name, Name(t.dtype), ToString(t.shape), t.transposed,
                                             static_cast<int>(t.encoding), t.scale);
        const XXH128_hash_t data = HashBytes(t.bytes, arena_.data() != nullptr ? &checkpoint_->source() : nullptr);
        digests[i] = XXH3_128bits_withSeed(head.data(), head.size(), data.low64 ^ (data.high64 * 0x9e3779b97f4a7c15u));
      }
    });
    const XXH128_hash_t all = XXH3_128bits(digests.data(), digests.size() * sizeof(digests[0]));
    hash_ = fmt::format("{:016x}{:016x}", all.high64, all.low64);
  });
  return start_hash_.empty() ? hash_ : start_hash_;
}

std::string Model::FindNonFinite() const {
  for (const CheckpointTensor& tensor : checkpoint_->tensors()) {
    if (!Traits(tensor.dtype).is_float) continue;
    std::vector<float> values(static_cast<size_t>(NumElements(tensor.shape).value_or(0)));
    ReadCanonical(tensor, values.data());
    const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
    if (bad != values.end()) {
      return fmt::format("tensor '{}' of '{}' holds {} at element {}", tensor.name, checkpoint_->source().path(), *bad,
                         bad - values.begin());
    }
  }
  return {};
}

}  // namespace tern
