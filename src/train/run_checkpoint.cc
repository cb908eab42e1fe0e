#include "train/run_checkpoint.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "train/model_weights.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kVersionKey = "tern.run";
constexpr const char* kRecordKey = "tern.record";
constexpr const char* kVersion = "1";
constexpr std::string_view kPrefix = "step-", kSuffix = ".safetensors";

Json ToJson(const RunRecord& r) {
  Json json = {{"step", r.step},
               {"options", ToJson(r.options)},
               {"data", {{"tokens", r.data.tokens}, {"documents", r.data.documents}, {"hash", r.data.hash}}},
               {"vocabulary_hash", r.vocabulary_hash},
               {"tokens", r.tokens},
               {"skipped", r.skipped},
               {"seconds", r.seconds},
               {"smoothed_loss", r.smoothed_loss},
               {"smoothing_weight", r.smoothing_weight},
               {"best_step", r.best_step}};
  if (std::isfinite(r.best_loss)) json["best_loss"] = r.best_loss;
  return json;
}

Status FromJson(const Json& json, RunRecord* r) {
  try {
    json.at("step").get_to(r->step);
    TERN_RETURN_IF_ERROR(FromJson(json.at("options"), &r->options));
    const Json& data = json.at("data");
    r->data = {data.at("tokens"), data.at("documents"), data.at("hash")};
    json.at("vocabulary_hash").get_to(r->vocabulary_hash);
    json.at("tokens").get_to(r->tokens);
    json.at("skipped").get_to(r->skipped);
    json.at("seconds").get_to(r->seconds);
    json.at("smoothed_loss").get_to(r->smoothed_loss);
    json.at("smoothing_weight").get_to(r->smoothing_weight);
    json.at("best_step").get_to(r->best_step);
    if (json.contains("best_loss")) json.at("best_loss").get_to(r->best_loss);
  } catch (const Json::exception& error) {
    return Corrupt(fmt::format("its record cannot be read ({})", error.what()));
  }
  if (r->step < 0) return Corrupt(fmt::format("its record says step {}", r->step));
  return OkStatus();
}

Metadata MetadataOf(const RunRecord& record) {
  return {{"format", std::string("pt")},
          {kVersionKey, std::string(kVersion)},
          {kRecordKey, ToJson(record).dump()}};
}

OutputTensor View(const char* name, Shape shape, std::span<const float> values) {
  return {name, DType::kF32, std::move(shape), [values]() -> Result<TensorBytes> {
            return TensorBytes{std::as_bytes(values), {}};
          }};
}

/// An array of all processes' parts. One process has it already.
Result<std::span<const float>> Gather(Communicator& communicator, std::span<const float> own,
                                      const std::function<OwnedRange(int rank)>& range,
                                      std::vector<float>* storage) {
  if (communicator.size() == 1) return own;
  std::vector<OwnedRange> ranges;
  for (int rank = 0; rank < communicator.size(); ++rank) ranges.push_back(range(rank));
  storage->assign(static_cast<size_t>(ranges.back().end), 0.0f);
  std::copy(own.begin(), own.end(),
            storage->begin() + ranges[static_cast<size_t>(communicator.rank())].begin);
  TERN_RETURN_IF_ERROR(communicator.AllGather(*storage, ranges));
  return std::span<const float>(*storage);
}

/// The step of a checkpoint's file name, or −1.
int64_t StepOf(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return -1;
  const char* begin = name.data() + kPrefix.size();
  const char* end = name.data() + name.size() - kSuffix.size();
  int64_t step = -1;
  const auto [stop, error] = std::from_chars(begin, end, step);
  return error == std::errc() && stop == end ? step : -1;
}

/// Checkpoints of a folder, the newest first.
std::vector<std::pair<int64_t, std::string>> ListRuns(const std::string& folder) {
  std::vector<std::pair<int64_t, std::string>> runs;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (const int64_t step = StepOf(it->path()); step >= 0) runs.emplace_back(step, it->path().string());
  }
  std::sort(runs.rbegin(), runs.rend());
  return runs;
}

/// fp32 values of a tensor that is no weight.
Status CopyTensor(const StoredRun& run, const std::string& name, size_t skip, std::span<float> to,
                  size_t expected) {
  const TensorInfo* tensor = run.weights->source().Find(name);
  if (tensor == nullptr) {
    return InvalidArgument(
        fmt::format("'{}' has no tensor '{}': it is a model, but no checkpoint of a run", run.path, name));
  }
  if (tensor->dtype != DType::kF32 || tensor->bytes.size() != expected * sizeof(float)) {
    return Corrupt(fmt::format("'{}': tensor '{}' is {} {}, expected {} fp32 values", run.path, name,
                               Name(tensor->dtype), ToString(tensor->shape), expected));
  }
  std::memcpy(to.data(), tensor->bytes.data() + skip * sizeof(float), to.size_bytes());
  run.weights->source().Forget(tensor->bytes);
  return OkStatus();
}

}  // namespace

DataIdentity Identify(const TokenData& data) {
  constexpr int64_t kPiece = 1 << 20;
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::vector<int32_t> tokens;
  for (int64_t begin = 0; begin < data.tokens(); begin += kPiece) {
    tokens.resize(static_cast<size_t>(std::min(kPiece, data.tokens() - begin)));
    data.Read(begin, tokens);
    XXH3_128bits_update(state.get(), tokens.data(), tokens.size() * sizeof(int32_t));
  }
  XXH3_128bits_update(state.get(), data.documents().data(), data.documents().size_bytes());
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return {data.tokens(), static_cast<int64_t>(data.documents().size()),
          fmt::format("{:016x}{:016x}", hash.high64, hash.low64)};
}

std::string RunPath(const std::string& folder, int64_t step) {
  return fmt::format("{}/{}{:08}{}", folder, kPrefix, step, kSuffix);
}

Status SaveRun(const std::string& folder, Trainer& trainer, const RunRecord& record) {
  Communicator& communicator = trainer.communicator();
  const int64_t total = trainer.layout().total();
  const auto owned = [&](int rank) { return Communicator::Owned(total, rank, communicator.size()); };
  std::vector<float> m_storage, v_storage, streams_storage;
  TERN_ASSIGN_OR_RETURN(const auto m, Gather(communicator, trainer.optimizer().m(), owned, &m_storage));
  TERN_ASSIGN_OR_RETURN(const auto v, Gather(communicator, trainer.optimizer().v(), owned, &v_storage));
  std::vector<OutputTensor> tensors = SafetensorsOf(trainer.layout(), trainer.parameters());
  tensors.push_back(View("optimizer.m", {total}, m));
  tensors.push_back(View("optimizer.v", {total}, v));
  if (StreamStates<float>* states = trainer.states(); states != nullptr) {
    const auto size = static_cast<int64_t>(states->values().size()) / states->streams();
    const int64_t rows = trainer.options().batch;
    const auto part = [&](int rank) {
      const OwnedRange range = Communicator::Rows(rows, rank, communicator.size());
      return OwnedRange{range.begin * size, range.end * size};
    };
    TERN_ASSIGN_OR_RETURN(const auto streams, Gather(communicator, states->values(), part, &streams_storage));
    tensors.push_back(View("streams", {rows, size}, streams));
  }
  if (communicator.rank() != 0) return OkStatus();
  return WriteSafetensors(RunPath(folder, record.step), tensors, MetadataOf(record));
}

Status SaveWeights(const std::string& path, const Trainer& trainer, const RunRecord& record) {
  if (trainer.communicator().rank() != 0) return OkStatus();
  return WriteSafetensors(path, SafetensorsOf(trainer.layout(), trainer.parameters()), MetadataOf(record));
}

void PruneRuns(const std::string& folder, int64_t keep) {
  std::error_code error;
  const auto runs = ListRuns(folder);
  for (size_t i = static_cast<size_t>(keep); keep > 0 && i < runs.size(); ++i)
    fs::remove(runs[i].second, error);
  const std::string mark = std::string(kSuffix) + ".tmp-", own = fmt::format("{}{}", mark, ::getpid());
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (name.starts_with(kPrefix) && name.find(mark) != std::string::npos && !name.ends_with(own)) {
      fs::remove(it->path(), ignored);
    }
  }
}

Result<StoredRun> OpenRun(const std::string& path) {
  StoredRun run;
  run.path = path;
  TERN_ASSIGN_OR_RETURN(run.weights, OpenCheckpoint(path));
  const Metadata& metadata = run.weights->source().metadata();
  const auto text = [&](const char* key) {
    const auto at = metadata.find(key);
    const auto* value = at == metadata.end() ? nullptr : std::get_if<std::string>(&at->second);
    return value == nullptr ? std::string() : *value;
  };
  const std::string version = text(kVersionKey);
  if (version.empty()) {
    return InvalidArgument(
        fmt::format("'{}' is no checkpoint of a training run; to go on from its weights, --model", path));
  }
  if (version != kVersion) {
    return Unsupported(
        fmt::format("'{}' is a run of format {}; this program knows {}", path, version, kVersion));
  }
  const Json json = Json::parse(text(kRecordKey), nullptr, /*allow_exceptions=*/false);
  TERN_RETURN_IF_ERROR(FromJson(json, &run.record).WithContext(fmt::format("'{}'", path)));
  return run;
}

Result<StoredRun> OpenNewestRun(const std::string& folder, std::vector<std::string>* passed_over) {
  for (const auto& [step, path] : ListRuns(folder)) {
    auto run = OpenRun(path);
    if (run.ok()) return run;
    passed_over->push_back(run.status().message());
  }
  return NotFound(fmt::format("no checkpoint of a run in '{}'{}", folder,
                              passed_over->empty() ? "" : ": " + passed_over->front()));
}

Status RestoreRun(const StoredRun& run, Trainer* trainer) {
  TERN_RETURN_IF_ERROR(trainer->SetParameters([&](std::span<float> parameters) {
    return LoadParameters(*run.weights, trainer->layout(), parameters);
  }));
  const auto total = static_cast<size_t>(trainer->layout().total());
  const auto skip = static_cast<size_t>(trainer->communicator().Owned(trainer->layout().total()).begin);
  TERN_RETURN_IF_ERROR(CopyTensor(run, "optimizer.m", skip, trainer->optimizer().m(), total));
  TERN_RETURN_IF_ERROR(CopyTensor(run, "optimizer.v", skip, trainer->optimizer().v(), total));
  if (StreamStates<float>* states = trainer->states(); states != nullptr) {
    const size_t size = states->values().size() / static_cast<size_t>(states->streams());
    TERN_RETURN_IF_ERROR(CopyTensor(run, "streams", size * static_cast<size_t>(trainer->rows().begin),
                                    states->values(), size * static_cast<size_t>(trainer->options().batch)));
  }
  trainer->optimizer().set_steps(run.record.step - run.record.skipped);
  trainer->SetStep(run.record.step);
  return OkStatus();
}

Status CheckResume(const StoredRun& run, const TrainOptions& now, const DataIdentity& data,
                   const std::string& vocabulary_hash, std::vector<std::string>* changes) {
  OptionChanges differences = Compare(run.record.options, now);
  const DataIdentity& saved = run.record.data;
  if (!(saved == data)) {
    differences.refused.push_back(fmt::format(
        "training data of {} tokens in {} documents ({}) → {} in {} ({})", saved.tokens, saved.documents,
        saved.hash.substr(0, 8), data.tokens, data.documents, data.hash.substr(0, 8)));
  }
  if (run.record.vocabulary_hash != vocabulary_hash) differences.refused.push_back("another vocabulary");
  *changes = differences.allowed;
  if (differences.refused.empty()) return OkStatus();
  std::string list;
  for (const std::string& each : differences.refused) list += (list.empty() ? "" : "; ") + each;
  return InvalidArgument(fmt::format(
      "'{}' cannot go on as another run: {} (to begin a new run from its weights: --model)", run.path, list));
}

}  // namespace tern::train
