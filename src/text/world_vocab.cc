#include "text/world_vocab.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "text/python_literal.h"
#include "text/utf8.h"

namespace tern {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool ParseNumber(std::string_view digits, uint64_t* value) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), *value);
  return error == std::errc() && end == digits.data() + digits.size();
}

/// Puts one line (without its end) into `tokens` at its id, which is returned.
Result<size_t> ParseLine(std::string_view line, uint64_t max_id, std::vector<std::string>* tokens) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return Corrupt("expected `id literal length`");
  uint64_t id = 0;
  uint64_t length = 0;
  if (!ParseNumber(line.substr(0, first), &id)) {
    return Corrupt(fmt::format("the id '{}' is not a number", line.substr(0, std::min<size_t>(first, 32))));
  }
  if (id == 0) return Corrupt("id 0 ends a document and cannot have text");
  if (id > max_id)
    return Corrupt(fmt::format("id {} is too large for a file of this length (at most {})", id, max_id));
  if (!ParseNumber(line.substr(last + 1), &length)) return Corrupt("the length is not a number");
  TERN_ASSIGN_OR_RETURN(std::string token, ParsePythonLiteral(line.substr(first + 1, last - first - 1)));
  if (token.size() != length) {
    return Corrupt(fmt::format("the literal has {} bytes, but the line says {}", token.size(), length));
  }
  if (token.empty()) return Corrupt("a token without bytes");
  if (tokens->size() <= id) tokens->resize(id + 1);
  if (!(*tokens)[id].empty()) return Corrupt(fmt::format("id {} appears a second time", id));
  (*tokens)[id] = std::move(token);
  return static_cast<size_t>(id);
}

/// Two lines with the same bytes: the second, the first and their ids are named. `lines` holds lines by id.
Status CheckDistinct(const std::vector<std::string>& tokens, const std::vector<uint32_t>& lines) {
  std::vector<size_t> order;
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) order.push_back(id);
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return tokens[a] != tokens[b] ? tokens[a] < tokens[b] : lines[a] < lines[b];
  });
  for (size_t i = 1; i < order.size(); ++i) {
    const size_t a = order[i - 1];
    const size_t b = order[i];
    if (tokens[a] == tokens[b]) {
      return Corrupt(
          fmt::format("line {}: id {} has the same bytes as id {} on line {}", lines[b], b, a, lines[a]));
    }
  }
  return OkStatus();
}

/// Whether a str literal may show the token as it is: UTF-8 without what ends lines somewhere or cannot be seen.
bool IsPlainText(std::string_view token) {
  constexpr int32_t kLineSeparator = 0x2028, kParagraphSeparator = 0x2029, kByteOrder = 0xFEFF;
  for (size_t at = 0; at < token.size();) {
    const Utf8Char next = DecodeUtf8(token, at);
    const int32_t c = next.codepoint;
    if (!next.valid || (c >= 0x80 && c < 0xA0)) return false;
    if (c == kLineSeparator || c == kParagraphSeparator || c == kByteOrder) return false;
    at += next.length;
  }
  return true;
}

std::string PythonLiteral(std::string_view token) {
  const bool plain = IsPlainText(token);
  std::string literal = plain ? "'" : "b'";
  for (const char c : token) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '\n') {
      literal += "\\n";
    } else if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !plain)) {
      literal += fmt::format("\\x{:02x}", byte);
    } else {
      if (c == '\'' || c == '\\') literal += '\\';
      literal += c;
    }
  }
  return literal + "'";
}

}  // namespace

Result<std::vector<std::string>> ParseWorldVocab(std::string_view content, const std::string& source) {
  if (content.substr(0, kByteOrderMark.size()) == kByteOrderMark)
    content.remove_prefix(kByteOrderMark.size());
  const auto lines = static_cast<uint64_t>(std::count(content.begin(), content.end(), '\n')) + 1;
  const uint64_t max_id = 16 * lines + 65536;
  std::vector<std::string> tokens;
  std::vector<uint32_t> line_of;
  for (uint32_t number = 1; !content.empty(); ++number) {
    const size_t end = std::min(content.find('\n'), content.size());
    std::string_view line = content.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const Result<size_t> id = ParseLine(line, max_id, &tokens);
    if (!id.ok()) return id.status().WithContext(fmt::format("'{}' line {}", source, number));
    line_of.resize(tokens.size());
    line_of[*id] = number;
    content.remove_prefix(std::min(end + 1, content.size()));
  }
  if (tokens.empty()) return Corrupt(fmt::format("'{}' has no tokens", source));
  const Status distinct = CheckDistinct(tokens, line_of);
  if (!distinct.ok()) return distinct.WithContext(fmt::format("'{}'", source));
  return tokens;
}

std::string FormatWorldVocab(const std::vector<std::string>& tokens) {
  std::string content;
  for (size_t id = 1; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) content += fmt::format("{} {} {}\n", id, PythonLiteral(tokens[id]), tokens[id].size());
  }
  return content;
}

}  // namespace tern
