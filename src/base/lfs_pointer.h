// Git LFS pointers: the few lines of text that stand in a clone for a large file whose content was not
// fetched.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace tern {

/// An error (kUnsupported) when `content`, the whole content of the file at `path` or its beginning, is a Git
/// LFS pointer. The message names the file, the size that the pointer promises and the command that fetches
/// it.
Status CheckNotLfsPointer(std::string_view content, const std::string& path);

}  // namespace tern
