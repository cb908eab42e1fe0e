// Gathers a source's tensors into a Checkpoint.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "formats/checkpoint.h"
#include "formats/checkpoint_names.h"

namespace tern {

class CheckpointBuilder {
 public:
  explicit CheckpointBuilder(std::shared_ptr<const TensorSource> source) : source_(std::move(source)) {}
  Result<std::shared_ptr<const Checkpoint>> Build();

 private:
  /// One canonical tensor and where it lies.
  struct Found {
    const CanonicalEntry* entry;
    int64_t layer;
    const TensorInfo* info;
    size_t slice = 0, slices = 1;
    std::string name;  ///< canonical
  };

  void IndexPatterns();
  Status FindTensors();
  Status FindOne(const TensorInfo& info);
  Status CheckLayers() const;
  Status ReadContext();
  Generation DetectGeneration() const;
  Status ReadHeadSize();
  Status ReadRescale();
  bool HasBlinkDlOrder() const;
  Status AddTensor(const Found& found);
  Result<std::span<const std::byte>> SliceOf(const Found& found, Shape* shape) const;
  Shape CanonicalShape(const CanonicalEntry& entry, const Shape& stored) const;
  Status TieHead();
  Status ReadMetadata();
  Status Finish();

  const Found* FindName(const std::string& name) const;
  Status Error(StatusCode code, const std::string& tensor, const std::string& message) const;

  std::shared_ptr<const TensorSource> source_;
  const NamingFamily* family_ = nullptr;
  int major_ = 0;
  NamingContext context_;
  std::unordered_map<std::string, std::vector<const CanonicalEntry*>> patterns_;  // several: fused
  std::vector<Found> found_;
  std::unordered_map<std::string, size_t> by_name_;
  std::map<int64_t, std::string> layers_;  // and the first tensor seen of each
  std::shared_ptr<Checkpoint> checkpoint_;
};

}  // namespace tern
