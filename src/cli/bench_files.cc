#include "cli/bench_files.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

#include "base/progress.h"
#include "cli/common.h"
#include "formats/checkpoint_plan.h"
#include "formats/random_model.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

std::string DefaultFolder() {
  const char* set = std::getenv("TMPDIR");
  return set != nullptr && *set != '\0' ? set : "/tmp";
}

/// What most weights of a file are stored as.
std::string CommonestType(const Checkpoint& checkpoint) {
  std::map<DType, size_t> bytes;
  for (const CheckpointTensor& tensor : checkpoint.tensors()) {
    if (tensor.name != "emb.weight" && tensor.shape.size() >= 2) bytes[tensor.dtype] += tensor.bytes.size();
  }
  DType best = DType::kF32;
  size_t most = 0;
  for (const auto& [type, size] : bytes) {
    if (size > most) best = type, most = size;
  }
  return std::string(Name(best));
}

Status CheckRoom(const std::string& folder, uint64_t needed) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error || space.available >= needed) return OkStatus();
  return Exhausted(
      fmt::format("the files to measure take {}, but '{}' has only {}: set TMPDIR to a folder with room",
                  HumanBytes(needed), folder, HumanBytes(space.available)));
}

/// GGUF holds every type of every generation.
SaveOptions Options(DType type) {
  SaveOptions save;
  save.format = FileFormat::kGguf;
  save.type = type;
  return save;
}

/// Weights of one kind, as files of several types.
class Maker {
 public:
  virtual ~Maker() = default;
  virtual Result<uint64_t> Bytes(DType type) const = 0;
  virtual Status Save(const std::string& path, const SaveOptions& save) const = 0;
};

class RandomMaker final : public Maker {
 public:
  explicit RandomMaker(RandomModel model) : model_(model) {}
  Result<uint64_t> Bytes(DType type) const override { return RandomModelBytes(model_, Options(type)); }
  Status Save(const std::string& path, const SaveOptions& save) const override {
    return SaveRandomModel(model_, path, save);
  }

 private:
  RandomModel model_;
};

class Converter final : public Maker {
 public:
  explicit Converter(std::shared_ptr<const Checkpoint> checkpoint) : checkpoint_(std::move(checkpoint)) {}
  Result<uint64_t> Bytes(DType type) const override {
    TERN_ASSIGN_OR_RETURN(const SavePlan plan, PlanSave(*checkpoint_, Options(type)));
    uint64_t total = 0;
    for (const StoredForm& form : plan.forms) total += NumBytes(form.dtype, form.shape).value_or(0);
    return total;
  }
  Status Save(const std::string& path, const SaveOptions& save) const override {
    return SaveCheckpoint(*checkpoint_, path, save);
  }

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
};

Result<BenchFiles> Make(const Maker& maker, const std::vector<DType>& types, bool show) {
  BenchFiles made;
  TERN_ASSIGN_OR_RETURN(made.folder, TemporaryFolder::Create());
  uint64_t needed = 0;
  for (const DType type : types) {
    TERN_ASSIGN_OR_RETURN(const uint64_t bytes, maker.Bytes(type));
    needed += bytes;
  }
  TERN_RETURN_IF_ERROR(CheckRoom(made.folder->path(), needed));
  for (const DType type : types) {
    Progress progress(fmt::format("making {} weights", Name(type)), 0, "tensors", show);
    SaveOptions save = Options(type);
    save.progress = [&](size_t done, size_t) {
      progress.Update(done);
      return !Interrupted();
    };
    made.files.push_back(
        {std::string(Name(type)), fmt::format("{}/{}.gguf", made.folder->path(), Name(type))});
    TERN_RETURN_IF_ERROR(maker.Save(made.files.back().path, save));
  }
  return made;
}

}  // namespace

Result<std::unique_ptr<TemporaryFolder>> TemporaryFolder::Create() {
  std::string path = DefaultFolder() + "/tern-bench-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    return IoError(fmt::format("cannot make a folder in '{}': {}", DefaultFolder(), std::strerror(errno)));
  }
  return std::unique_ptr<TemporaryFolder>(new TemporaryFolder(std::move(path)));
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Result<BenchFiles> PrepareFiles(const std::string& model, const std::string& random,
                                const std::vector<DType>& types, bool show) {
  if (!random.empty()) {
    const auto sizes = RandomModelOfSize(random);
    if (!sizes.ok()) return InvalidArgument("--random: " + sizes.status().message());
    return Make(RandomMaker(*sizes), types.empty() ? std::vector<DType>{DType::kF16} : types, show);
  }
  auto opened = OpenCheckpoint(model);
  // Only the file can be at fault here, not how the command was called.
  if (opened.status().code() == StatusCode::kInvalidArgument) return Corrupt(opened.status().message());
  TERN_ASSIGN_OR_RETURN(auto checkpoint, std::move(opened));
  if (!types.empty()) return Make(Converter(std::move(checkpoint)), types, show);
  BenchFiles given;
  given.files.push_back({CommonestType(*checkpoint), model});
  return given;
}

}  // namespace tern
