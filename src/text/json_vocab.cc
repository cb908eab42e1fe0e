#include "text/json_vocab.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

namespace tern {
namespace {

using Json = nlohmann::json;

/// Decimal without leading zeros, so that no id has two spellings.
std::optional<uint64_t> ParseId(std::string_view text) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

std::optional<std::string> TokenBytesOf(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return std::nullopt;
  std::string bytes;
  for (const Json& item : value) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > 255) return std::nullopt;
    bytes.push_back(static_cast<char>(item.get<uint64_t>()));
  }
  return bytes;
}

/// The parsed object, with the number of keys that the text has: the library keeps the last of equal ones.
Result<Json> ParseObject(std::string_view content, size_t* keys) {
  constexpr int kMaxDepth = 2;  // the object, an array of bytes
  bool too_deep = false;
  const auto watch = [&](int depth, Json::parse_event_t event, Json&) {
    too_deep = too_deep || depth > kMaxDepth;
    if (event == Json::parse_event_t::key && depth == 1) ++*keys;
    return depth <= kMaxDepth;
  };
  try {
    Json json = Json::parse(content.begin(), content.end(), watch);
    if (too_deep) return Corrupt("a token is neither a text nor an array of bytes");
    if (!json.is_object()) return Corrupt("the JSON is not an object");
    return json;
  } catch (const Json::exception& error) {
    return Corrupt(fmt::format("not valid JSON: {}", error.what()));
  }
}

Result<std::vector<std::string>> ReadTokens(std::string_view content) {
  size_t keys = 0;
  TERN_ASSIGN_OR_RETURN(const Json json, ParseObject(content, &keys));
  if (keys != json.size()) return Corrupt("an id appears a second time");
  const uint64_t most = 16 * json.size() + 65536;
  std::vector<std::string> tokens;
  for (const auto& [key, value] : json.items()) {
    const auto id = ParseId(key);
    if (!id || *id > most) return Corrupt(fmt::format("'{}' is not an id from 0 to {}", key, most));
    auto bytes = TokenBytesOf(value);
    if (!bytes) return Corrupt(fmt::format("token {} is neither a text nor an array of bytes", *id));
    if (*id != 0 && bytes->empty()) return Corrupt(fmt::format("token {} is empty", *id));
    if (tokens.size() <= *id) tokens.resize(*id + 1);
    tokens[*id] = std::move(*bytes);
  }
  return tokens;
}

}  // namespace

bool IsJsonVocab(std::string_view content) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t brace = content.find('{');
  if (brace == std::string_view::npos) return false;
  const size_t quote = content.find_first_not_of(kSpace, brace + 1);
  if (quote == std::string_view::npos || content[quote] != '"') return false;
  const size_t end = content.find('"', quote + 1);
  return end != std::string_view::npos && ParseId(content.substr(quote + 1, end - quote - 1)).has_value();
}

Result<std::vector<std::string>> ParseJsonVocab(std::string_view content, const std::string& source) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (content.starts_with(kByteOrderMark)) content.remove_prefix(kByteOrderMark.size());
  auto tokens = ReadTokens(content);
  if (!tokens.ok()) return tokens.status().WithContext(fmt::format("'{}'", source));
  return tokens;
}

}  // namespace tern
