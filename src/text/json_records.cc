#include "text/json_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "text/json_parser.h"

namespace tern {
namespace {

constexpr std::string_view kJsonSpace = " \t\r\n";

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

bool EndsWith(std::string_view path, std::string_view ending) {
  if (path.size() < ending.size()) return false;
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  return std::equal(ending.begin(), ending.end(), path.end() - static_cast<std::ptrdiff_t>(ending.size()),
                    [&](char ours, char theirs) { return same(theirs, ours); });
}

}  // namespace

bool NamesJson(std::string_view path) {
  return EndsWith(path, ".jsonl") || EndsWith(path, ".ndjson") || EndsWith(path, ".json");
}

void JsonRecordCutter::Advance(size_t bytes) {
  place_ = PlaceAt(text_.substr(position_, bytes), bytes, place_);
  position_ += bytes;
}

void JsonRecordCutter::SkipSpace() {
  const std::string_view rest = text_.substr(position_);
  Advance(std::min(rest.size(), rest.find_first_not_of(kJsonSpace)));
}

Status JsonRecordCutter::Error(const char* what) const {
  return Corrupt(fmt::format("{}: {}", ShowPlace(name_, place_), what));
}

Result<std::optional<JsonRecord>> JsonRecordCutter::Next() {
  if (shape_ == Shape::kUnknown) {
    const size_t first = text_.find_first_not_of(kJsonSpace);
    shape_ = first != std::string_view::npos && text_[first] == '[' ? Shape::kArray : Shape::kLines;
  }
  if (shape_ == Shape::kLines) return NextLine();
  if (shape_ == Shape::kArray) return NextElement();
  return std::optional<JsonRecord>();
}

std::optional<JsonRecord> JsonRecordCutter::NextLine() {
  while (position_ < text_.size()) {
    const std::string_view rest = text_.substr(position_);
    std::string_view line = rest.substr(0, rest.find('\n'));
    const JsonRecord record{line, place_};
    position_ += std::min(rest.size(), line.size() + 1);
    place_ = {place_.line + 1, 1};
    if (!IsBlank(line)) return record;
  }
  return std::nullopt;
}

Result<std::optional<JsonRecord>> JsonRecordCutter::NextElement() {
  SkipSpace();
  if (first_) {
    Advance(1);  // the bracket
    SkipSpace();
  }
  const bool ends = position_ < text_.size() && text_[position_] == ']';
  if (ends) {
    Advance(1);
    SkipSpace();
    shape_ = Shape::kEnd;
    if (position_ < text_.size()) return Error("there is something after the array");
    return std::optional<JsonRecord>();
  }
  if (!first_) {
    if (position_ == text_.size() || text_[position_] != ',')
      return Error("expected ',' or ']' in the array");
    Advance(1);
    SkipSpace();
  }
  first_ = false;
  const size_t end = EndOfElement();
  if (end == std::string_view::npos) return Error("the array does not end");
  const JsonRecord record{text_.substr(position_, end - position_), place_};
  if (record.raw.empty()) return Error("expected a value");
  Advance(record.raw.size());
  return std::optional(record);
}

/// By brackets and strings alone: whether the element is JSON is its reader's question.
size_t JsonRecordCutter::EndOfElement() const {
  int64_t depth = 0;
  for (size_t at = position_; at < text_.size(); ++at) {
    const char c = text_[at];
    if (c == '"') {
      for (++at; at < text_.size() && text_[at] != '"'; ++at) at += text_[at] == '\\' ? 1 : 0;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (depth == 0 &&
               (c == ',' || c == ']' || c == '}' || kJsonSpace.find(c) != std::string_view::npos)) {
      return at;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

Result<nlohmann::json> ParseJsonRecord(const JsonRecord& record, const std::string& name) {
  TERN_RETURN_IF_ERROR(CheckText(record.raw, name, record.place));
  JsonParser parser(record.raw);
  nlohmann::json json;
  if (!parser.Parse(&json)) {
    return Corrupt(fmt::format(
        "{}: {}", ShowPlace(name, PlaceAt(record.raw, parser.position(), record.place)), parser.error()));
  }
  if (json.is_object()) return json;
  return Corrupt(fmt::format("{}: no JSON object", ShowPlace(name, record.place)));
}

Result<std::string> JsonString(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return Corrupt(fmt::format("there is no \"{}\"", key));
  return JsonStringValue(*found, fmt::format("\"{}\"", key));
}

Result<std::string> JsonStringValue(const nlohmann::json& value, const std::string& what) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_binary() && value.get_binary().subtype() == kJsonLoneSurrogate) {
    return Corrupt(fmt::format("{} holds a lone surrogate, which is no character", what));
  }
  return Corrupt(fmt::format("{} is no string", what));
}

std::string ShowJson(const nlohmann::json& value) {
  if (!value.is_binary()) return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const auto& bytes = value.get_binary();
  return {bytes.begin(), bytes.end()};
}

}  // namespace tern
