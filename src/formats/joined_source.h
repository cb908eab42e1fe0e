// One model out of several files, or of one whose names need a prefix taken off. Private to src/formats.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/tensor_source.h"

namespace tern {

/// The tensors of other sources, which it keeps.
class JoinedSource final : public TensorSource {
 public:
  JoinedSource(FileFormat format, std::string path) : TensorSource(format, std::move(path)) {}

  /// Adds a part's tensors, each without the prefix, which all of them must have. Of metadata under one key
  /// the value that came first stays. A tensor that another part has is an error that names it.
  Status Take(std::shared_ptr<const TensorSource> part, std::string_view prefix = "");
  void Set(const std::string& key, MetaValue value) { metadata_[key] = std::move(value); }
  void Unset(const std::string& key) { metadata_.erase(key); }

  Status Verify() const override;
  bool HasChecksums() const override;

 private:
  std::vector<std::shared_ptr<const TensorSource>> parts_;
};

}  // namespace tern
