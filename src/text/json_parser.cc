#include "text/json_parser.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>

#include "text/utf8.h"

namespace tern {
namespace {

nlohmann::json Unusable(std::string_view text, uint64_t subtype) {
  return nlohmann::json::binary({text.begin(), text.end()}, subtype);
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

template <typename Integer>
bool ReadInteger(std::string_view text, Integer* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

/// The value of a number in JSON's form.
nlohmann::json NumberOf(std::string_view text) {
  if (uint64_t positive = 0; text[0] != '-' && ReadInteger(text, &positive)) return positive;
  if (int64_t negative = 0; ReadInteger(text, &negative)) return negative;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  static_cast<void>(end);
  // Too large and too small are one error: strtod tells them apart.
  if (error == std::errc::result_out_of_range) number = std::strtod(std::string(text).c_str(), nullptr);
  if (!std::isfinite(number)) return Unusable(text, kJsonNoNumber);
  return number;
}

}  // namespace

bool JsonParser::Fail(std::string error) {
  error_ = std::move(error);
  return false;
}

void JsonParser::SkipSpace() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
    ++at_;
  }
}

bool JsonParser::Take(char c) {
  if (at_ >= text_.size() || text_[at_] != c) return false;
  ++at_;
  return true;
}

bool JsonParser::Parse(Json* value) {
  SkipSpace();
  if (!Value(value, 0)) return false;
  SkipSpace();
  return at_ == text_.size() || Fail("there is something after the JSON value");
}

bool JsonParser::Value(Json* value, int depth) {
  if (depth == kDeepest) return Fail(fmt::format("JSON nested deeper than {} levels", kDeepest));
  switch (Peek()) {
    case '{':
      return Object(value, depth);
    case '[':
      return Array(value, depth);
    case '"': {
      const size_t begin = at_;
      std::string text;
      bool lone = false;
      if (!String(&text, &lone)) return false;
      *value = lone ? Unusable(text_.substr(begin, at_ - begin), kJsonLoneSurrogate) : Json(std::move(text));
      return true;
    }
    default:
      return IsDigit(Peek()) || (Peek() == '-' && !text_.substr(at_).starts_with("-I")) ? Number(value)
                                                                                        : Word(value);
  }
}

bool JsonParser::Object(Json* value, int depth) {
  *value = Json::object();
  Take('{');
  SkipSpace();
  if (Take('}')) return true;
  for (;;) {
    if (Peek() != '"') return Fail("expected a key in quotes");
    std::string key;
    bool lone = false;
    if (!String(&key, &lone)) return false;
    SkipSpace();
    if (!Take(':')) return Fail("expected ':' after the key");
    SkipSpace();
    Json item;
    if (!Value(&item, depth + 1)) return false;
    if (!lone) (*value)[std::move(key)] = std::move(item);  // no program asks for a key that is not text
    SkipSpace();
    if (Take('}')) return true;
    if (!Take(',')) return Fail("expected ',' or '}' in the object");
    SkipSpace();
  }
}

bool JsonParser::Array(Json* value, int depth) {
  *value = Json::array();
  Take('[');
  SkipSpace();
  if (Take(']')) return true;
  for (;;) {
    Json item;
    if (!Value(&item, depth + 1)) return false;
    value->push_back(std::move(item));
    SkipSpace();
    if (Take(']')) return true;
    if (!Take(',')) return Fail("expected ',' or ']' in the array");
    SkipSpace();
  }
}

bool JsonParser::Word(Json* value) {
  static const std::pair<std::string_view, Json> words[] = {
      {"true", true},
      {"false", false},
      {"null", nullptr},
      {"NaN", Unusable("NaN", kJsonNoNumber)},
      {"Infinity", Unusable("Infinity", kJsonNoNumber)},
      {"-Infinity", Unusable("-Infinity", kJsonNoNumber)}};
  for (const auto& [word, meaning] : words) {
    if (!text_.substr(at_).starts_with(word)) continue;
    *value = meaning;
    at_ += word.size();
    return true;
  }
  return Fail(at_ == text_.size() ? "the JSON ends too early" : "this is no JSON value");
}

bool JsonParser::Number(Json* value) {
  const size_t begin = at_;
  const auto digits = [this] {
    const size_t first = at_;
    while (IsDigit(Peek())) ++at_;
    return at_ > first;
  };
  Take('-');
  if (!Take('0') && !digits()) return Fail("expected a digit");
  if (Take('.') && !digits()) return Fail("expected a digit after the point");
  if (Take('e') || Take('E')) {
    if (!Take('+')) Take('-');
    if (!digits()) return Fail("expected a digit in the exponent");
  }
  *value = NumberOf(text_.substr(begin, at_ - begin));
  return true;
}

bool JsonParser::String(std::string* text, bool* lone) {
  const size_t begin = at_;
  Take('"');
  for (;;) {
    const size_t plain = at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
           static_cast<uint8_t>(text_[at_]) >= 0x20) {
      ++at_;
    }
    text->append(text_.substr(plain, at_ - plain));
    if (Take('"')) return true;
    if (at_ == text_.size()) {
      at_ = begin;
      return Fail("this string does not end");
    }
    if (!Take('\\')) return Fail("a control character in a string");
    if (!Escape(text, lone)) return false;
  }
}

bool JsonParser::Escape(std::string* text, bool* lone) {
  constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  if (Take('u')) return UnicodeEscape(text, lone);
  const size_t letter = at_ < text_.size() ? kLetters.find(text_[at_]) : std::string_view::npos;
  if (letter == std::string_view::npos) return Fail("an unknown escape in a string");
  text->push_back(kMeanings[letter]);
  ++at_;
  return true;
}

bool JsonParser::HexDigits(uint32_t* number) {
  constexpr size_t kDigits = 4;
  const std::string_view digits = text_.substr(at_, kDigits);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), *number, 16);
  if (digits.size() < kDigits || error != std::errc() || end != digits.data() + kDigits) {
    return Fail("expected four hexadecimal digits after \\u");
  }
  at_ += kDigits;
  return true;
}

bool JsonParser::UnicodeEscape(std::string* text, bool* lone) {
  uint32_t unit = 0;
  if (!HexDigits(&unit)) return false;
  if (unit < 0xD800 || unit > 0xDFFF) {
    AppendUtf8(static_cast<int32_t>(unit), text);
    return true;
  }
  if (unit < 0xDC00 && text_.substr(at_).starts_with("\\u")) {
    const size_t before = at_;
    uint32_t second = 0;
    at_ += 2;
    if (!HexDigits(&second)) return false;
    if (second >= 0xDC00 && second <= 0xDFFF) {
      AppendUtf8(static_cast<int32_t>(0x10000 + ((unit - 0xD800) << 10) + (second - 0xDC00)), text);
      return true;
    }
    at_ = before;  // a character of its own
  }
  *lone = true;
  return true;
}

}  // namespace tern
