#include "train/run_checkpoint.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <deque>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "train/gathered_array.h"
#include "train/model_weights.h"
#include "train/onednn.h"
#include "train/run_checksums.h"
#include "train/run_inputs.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kVersionKey = "tern.run";
constexpr const char* kRecordKey = "tern.record";
constexpr const char* kTrainingKey = "tern.training";
/// "1" had no checksums.
constexpr const char *kVersion = "2", *kVersionWithoutChecksums = "1";
constexpr std::string_view kPrefix = "step-", kSuffix = ".safetensors";

Json ToJson(const RunRecord& r) {
  Json json = {{"step", r.step},
               {"options", ToJson(WithoutFolders(r.options))},
               {"data", {{"tokens", r.data.tokens}, {"documents", r.data.documents}, {"hash", r.data.hash}}},
               {"vocabulary_hash", r.vocabulary_hash},
               {"tokens", r.tokens},
               {"skipped", r.skipped},
               {"seconds", r.seconds},
               {"smoothed_loss", r.smoothed_loss},
               {"smoothing_weight", r.smoothing_weight},
               {"best_step", r.best_step}};
  if (std::isfinite(r.best_loss)) json["best_loss"] = r.best_loss;
  if (!r.kernels.empty()) json["kernels"] = r.kernels;
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
    if (json.contains("kernels")) json.at("kernels").get_to(r->kernels);
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

/// A tensor whose values the processes hold in parts.
OutputTensor Gathered(const char* name, Shape shape, GatheredArray* array) {
  OutputTensor tensor{name, DType::kF32, std::move(shape), {}};
  tensor.produce_pieces = [array](const TensorSink& sink) {
    return array->Send([&](std::span<const float> piece) { return sink(std::as_bytes(piece)); });
  };
  return tensor;
}

/// The arrays of a run that every process has a part of, in the order in which they are written.
struct SharedArrays {
  std::deque<GatheredArray> arrays;
  std::vector<OutputTensor> tensors;
};

void AddShared(const char* name, Shape shape, GatheredArray array, SharedArrays* all) {
  all->arrays.push_back(std::move(array));
  all->tensors.push_back(Gathered(name, std::move(shape), &all->arrays.back()));
}

SharedArrays SharedArraysOf(Trainer& trainer) {
  SharedArrays all;
  Communicator& communicator = trainer.communicator();
  const int64_t total = trainer.layout().total(), rows = trainer.options().batch;
  std::vector<OwnedRange> owned;
  for (int rank = 0; rank < communicator.size(); ++rank) {
    owned.push_back(Communicator::Owned(total, rank, communicator.size()));
  }
  AddShared("optimizer.m", {total}, {communicator, trainer.optimizer().m(), owned}, &all);
  AddShared("optimizer.v", {total}, {communicator, trainer.optimizer().v(), owned}, &all);
  if (StreamStates<float>* states = trainer.states(); states != nullptr) {
    const auto size = static_cast<int64_t>(states->values().size()) / states->streams();
    std::vector<OwnedRange> parts;
    for (int rank = 0; rank < communicator.size(); ++rank) {
      const OwnedRange range = Communicator::Rows(rows, rank, communicator.size());
      parts.push_back({range.begin * size, range.end * size});
    }
    AddShared("streams", {rows, size}, {communicator, states->values(), parts}, &all);
  }
  return all;
}

Status WriteRun(const std::string& path, const Trainer& trainer, const RunRecord& record, SharedArrays* shared) {
  std::vector<OutputTensor> tensors = SafetensorsOf(trainer.layout(), trainer.parameters());
  std::move(shared->tensors.begin(), shared->tensors.end(), std::back_inserter(tensors));
  const Metadata metadata = MetadataOf(record);
  TERN_RETURN_IF_ERROR(AddChecksums(&tensors, metadata));
  return WriteSafetensors(path, tensors, metadata);
}

/// Gives all processes the status of the first one.
Status ShareStatus(Communicator& communicator, const Status& status) {
  double code[1] = {communicator.rank() == 0 ? static_cast<double>(status.code()) : 0.0};
  TERN_RETURN_IF_ERROR(communicator.Sum(code));
  if (code[0] == 0 || communicator.rank() == 0) return status;
  return {static_cast<StatusCode>(static_cast<int>(code[0])), "the first process could not write a checkpoint"};
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

/// Copies a part of a mapped tensor; little of it is resident at a time.
void CopyMapped(const TensorSource& source, std::span<const std::byte> from, std::span<float> to) {
  constexpr size_t kPiece = size_t{16} << 20;
  for (size_t begin = 0; begin < from.size(); begin += kPiece) {
    const auto piece = from.subspan(begin, std::min(kPiece, from.size() - begin));
    std::memcpy(reinterpret_cast<std::byte*>(to.data()) + begin, piece.data(), piece.size());
    source.Forget(piece);
  }
}

/// fp32 values of a tensor that is not a weight.
Status CopyTensor(const StoredRun& run, const std::string& name, size_t skip, std::span<float> to,
                  size_t expected) {
  const TensorInfo* tensor = run.weights->source().Find(name);
  if (tensor == nullptr) {
    return InvalidArgument(
        fmt::format("'{}' has no tensor '{}': it is a model, but not a checkpoint of a run", run.path, name));
  }
  if (tensor->dtype != DType::kF32 || tensor->bytes.size() != expected * sizeof(float)) {
    return Corrupt(fmt::format("'{}': tensor '{}' is {} {}, expected {} fp32 values", run.path, name,
                               Name(tensor->dtype), ToString(tensor->shape), expected));
  }
  CopyMapped(run.weights->source(), tensor->bytes.subspan(skip * sizeof(float), to.size_bytes()), to);
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
  SharedArrays shared = SharedArraysOf(trainer);
  Status written;
  if (communicator.rank() == 0) {
    written = WriteInputs(folder, record.options);
    if (written.ok()) written = WriteRun(RunPath(folder, record.step), trainer, record, &shared);
  }
  // The other processes send everything even when writing has failed.
  for (GatheredArray& array : shared.arrays) TERN_RETURN_IF_ERROR(array.Drop());
  return ShareStatus(communicator, written);
}

Metadata ModelMetadata(const RunRecord& record) {
  return {{"format", std::string("pt")}, {kTrainingKey, ToJson(record).dump()}};
}

Status SaveWeights(const std::string& path, const Trainer& trainer, const RunRecord& record) {
  if (trainer.communicator().rank() != 0) return OkStatus();
  return WriteSafetensors(path, SafetensorsOf(trainer.layout(), trainer.parameters()), ModelMetadata(record));
}

void PruneRuns(const std::string& folder, int64_t keep, int64_t step) {
  std::error_code error;
  int64_t counted = 0;
  for (const auto& [at, path] : ListRuns(folder)) {
    if (keep == 0 || at > step || ++counted <= keep) continue;
    fs::remove(path, error);
  }
  const std::string mark = std::string(kSuffix) + ".tmp-", own = fmt::format("{}{}", mark, ::getpid());
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (name.starts_with(kPrefix) && name.find(mark) != std::string::npos && !name.ends_with(own)) {
      fs::remove(it->path(), ignored);
    }
  }
}

int64_t RemoveOlderRuns(const std::string& folder, int64_t step) {
  bool found = false;
  int64_t removed = 0;
  for (const auto& [at, path] : ListRuns(folder)) {
    if (at > step) continue;
    std::error_code error;
    if (found && fs::remove(path, error)) ++removed;
    if (!found) found = OpenRun(path).ok();
  }
  return removed;
}

int64_t NewestStep(const std::string& folder) {
  const auto runs = ListRuns(folder);
  return runs.empty() ? -1 : runs.front().first;
}

Result<StoredRun> OpenRun(const std::string& path) {
  StoredRun run;
  run.path = path;
  TERN_ASSIGN_OR_RETURN(run.has_checksums, VerifyChecksums(path));
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
        fmt::format("'{}' is not a checkpoint of a training run; to go on from its weights, --model", path));
  }
  if (version != kVersion && version != kVersionWithoutChecksums) {
    return Unsupported(fmt::format("'{}' is a run of format {}; this program knows {} and {}", path, version,
                                   kVersionWithoutChecksums, kVersion));
  }
  if (version == kVersion && !run.has_checksums) {
    return Corrupt(fmt::format("'{}' has no tensor 'checksums', which a run of format {} has", path, version));
  }
  const Json json = Json::parse(text(kRecordKey), nullptr, /*allow_exceptions=*/false);
  TERN_RETURN_IF_ERROR(FromJson(json, &run.record).WithContext(fmt::format("'{}'", path)));
  return run;
}

Result<StoredRun> OpenNewestRun(const std::string& folder, std::vector<RefusedRun>* refused) {
  std::string reasons;
  for (const auto& [step, path] : ListRuns(folder)) {
    auto run = OpenRun(path);
    if (run.ok()) return run;
    refused->push_back({path, run.status().message(), run.status().code() == StatusCode::kCorrupt});
    reasons += (reasons.empty() ? ": " : "; ") + run.status().message();
  }
  if (refused->empty()) return NotFound(fmt::format("no checkpoint of a run in '{}'", folder));
  return Corrupt(fmt::format("no checkpoint of the run in '{}' is whole{}", folder, reasons));
}

Status SetAside(const RefusedRun& run) {
  std::error_code error;
  fs::rename(run.path, run.path + ".damaged", error);
  return error ? IoError(fmt::format("cannot rename '{}': {}", run.path, error.message())) : OkStatus();
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
                   const std::string& vocabulary_hash, std::vector<std::string>* changes,
                   std::string* other_kernels) {
  OptionChanges differences = Compare(run.record.options, now);
  const DataIdentity& saved = run.record.data;
  if (!(saved == data)) {
    differences.refused.push_back(fmt::format(
        "training data of {} tokens in {} documents ({}) → {} in {} ({})", saved.tokens, saved.documents,
        saved.hash.substr(0, 8), data.tokens, data.documents, data.hash.substr(0, 8)));
  }
  if (run.record.vocabulary_hash != vocabulary_hash) differences.refused.push_back("another vocabulary");
  *changes = differences.allowed;
  other_kernels->clear();
  if (const std::string before = run.record.kernels, in_use = KernelsInUse(); !before.empty() && before != in_use) {
    *other_kernels = fmt::format(
        "kernels {} → {}: from step {} on, the numbers are not bit for bit those that the run would have had",
        before, in_use, run.record.step);
  }
  if (differences.refused.empty()) return OkStatus();
  std::string list;
  for (const std::string& each : differences.refused) list += (list.empty() ? "" : "; ") + each;
  return InvalidArgument(fmt::format(
      "'{}' cannot go on as another run: {} (to begin a new run from its weights: --model)", run.path, list));
}

}  // namespace tern::train
