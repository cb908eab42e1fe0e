// The format of torch.save before torch 1.6: pickles one after another, then the storages' bytes.
#pragma once

#include <map>
#include <span>
#include <string>

#include "base/status.h"
#include "formats/pickle.h"

namespace tern {

/// Whether a file begins with that format's magic number.
bool IsLegacyPth(std::span<const std::byte> file);

struct LegacyPth {
  Pickle pickle;                                               ///< what was saved
  std::map<std::string, std::span<const std::byte>> storages;  ///< bytes by key; views of the file
};

/// Every count is checked against the file's size. Messages do not name the file.
Result<LegacyPth> ReadLegacyPth(std::span<const std::byte> file);

}  // namespace tern
