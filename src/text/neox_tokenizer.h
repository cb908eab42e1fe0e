// GPT-NeoX's tokenizer from the text of its file, for those who have no file.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "text/tokenizer.h"

namespace tern {

/// `json`: the content of a tokenizer.json; `source` names it in errors.
Result<std::shared_ptr<const Tokenizer>> MakeNeoxTokenizer(std::string_view json, const std::string& source);

}  // namespace tern
