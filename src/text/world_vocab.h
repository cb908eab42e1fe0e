// The vocabulary file of RWKV World: one token a line, `id literal length`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"

namespace tern {

/// Larger files are no vocabularies; what is built from one is at most some sixty times its size.
inline constexpr uint64_t kMaxTokenizerFileBytes = uint64_t{32} << 20;

/// Tokens' bytes by id; empty where the file has a gap. `source` names the file in errors, which name the
/// line too.
///
///     id       decimal, from 1 (0 ends a document and has no text), at most 16 × lines + 65,536
///     literal  between the first and the last space of the line: a Python str or bytes literal
///     (python_literal.h) length   decimal, the number of bytes that the literal stands for
///
/// Lines end in \n or \r\n; the last need not. A byte order mark at the start is passed over.
Result<std::vector<std::string>> ParseWorldVocab(std::string_view content, const std::string& source);

/// Such a file's content for tokens by id (0 and gaps are empty): what ParseWorldVocab reads back, and Python too.
std::string FormatWorldVocab(const std::vector<std::string>& tokens);

/// The tokenizer of such a file's content.
Result<std::shared_ptr<const Tokenizer>> ParseWorldTokenizer(std::string_view content,
                                                             const std::string& source);

}  // namespace tern
