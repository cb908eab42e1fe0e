// The weight files that tern bench measures: given, converted from a given one, or made of random weights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"

namespace tern {

/// A folder under $TMPDIR (or /tmp) that goes away with its owner, with all that is in it.
class TemporaryFolder {
 public:
  static Result<std::unique_ptr<TemporaryFolder>> Create();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

/// A file to measure.
struct BenchFile {
  std::string type;  ///< "q8_0"; of a given file what most of its weights are stored as
  std::string path;
};

struct BenchFiles {
  std::unique_ptr<TemporaryFolder> folder;  ///< of those that were made; null when none was
  std::vector<BenchFile> files;
};

/// One file per type. `model` is a path; with no types it is measured as it is, else converted (quantised) to
/// each. With `random` (formats/random_model.h) files of random weights are made, f16 without types. Says how
/// far it is on standard error when `show`. Fails when the disk has no room.
Result<BenchFiles> PrepareFiles(const std::string& model, const std::string& random,
                                const std::vector<DType>& types, bool show);

}  // namespace tern
