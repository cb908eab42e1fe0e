// Split GGUF files: one model in X-00001-of-00003.gguf, X-00002-of-00003.gguf and so on.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "formats/tensor_source.h"

namespace tern {

/// What the name of a part says.
struct GgufPartName {
  std::string stem;  ///< with the folder: what all parts' names begin with
  int number = 0;    ///< from 1
  int count = 0;
};

/// Nothing when the name is not that of a part.
std::optional<GgufPartName> ParseGgufPartName(std::string_view path);
/// The inverse.
std::string FormatGgufPartName(const GgufPartName& name);

/// The whole model that `part` belongs to: every part is opened, whichever was named. `part` itself when its
/// keys do not speak of parts. A part that is missing, of another model or in another order is an error that
/// names it.
Result<std::shared_ptr<const TensorSource>> JoinGgufParts(std::shared_ptr<const TensorSource> part);

}  // namespace tern
