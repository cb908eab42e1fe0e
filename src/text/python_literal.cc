#include "text/python_literal.h"

#include <fmt/format.h>

#include "text/utf8.h"

namespace tern {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

char SimpleEscape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case '\\':
    case '\'':
    case '"':
      return c;
    default:
      return '\0';
  }
}

/// Reads the inside of a literal. `quote` is '\0' where there are no quotes.
class Unescaper {
 public:
  Unescaper(std::string_view body, bool is_bytes, char quote)
      : body_(body), is_bytes_(is_bytes), quote_(quote) {}

  Result<std::string> Run() {
    while (at_ < body_.size()) {
      TERN_RETURN_IF_ERROR(body_[at_] == '\\' ? Escape() : Plain());
    }
    return std::move(out_);
  }

 private:
  Status Plain() {
    const char c = body_[at_];
    if (c == '\0') return Corrupt("a NUL byte in the literal");
    if (c == quote_ && quote_ != '\0') return Corrupt("a quote inside the literal without a backslash");
    const Utf8Char next = DecodeUtf8(body_, at_);
    if (!next.valid) return Corrupt("the literal is not valid UTF-8");
    if (is_bytes_ && next.codepoint >= 0x80)
      return Corrupt("a bytes literal with a character that is not ASCII");
    out_.append(body_, at_, next.length);
    at_ += next.length;
    return OkStatus();
  }

  Status Escape() {
    if (at_ + 1 >= body_.size()) return Corrupt("the literal ends in a backslash");
    const char c = body_[at_ + 1];
    if (c == '\0') return Corrupt("a NUL byte in the literal");
    if (const char simple = SimpleEscape(c)) {
      out_.push_back(simple);
      at_ += 2;
      return OkStatus();
    }
    if (c >= '0' && c <= '7') return Octal();
    if (c == 'x') return Hex(2);
    if (!is_bytes_ && c == 'u') return Hex(4);
    if (!is_bytes_ && c == 'U') return Hex(8);
    if (!is_bytes_ && c == 'N')
      return Unsupported("\\N{…} in the literal: names of characters are not known");
    out_.push_back('\\');  // Python keeps an escape that it does not know as it stands.
    ++at_;
    return OkStatus();
  }

  Status Octal() {
    int32_t value = 0;
    ++at_;
    for (int i = 0; i < 3 && at_ < body_.size() && body_[at_] >= '0' && body_[at_] <= '7'; ++i) {
      value = value * 8 + (body_[at_++] - '0');
    }
    return Append(is_bytes_ ? value & 0xFF : value);
  }

  Status Hex(size_t digits) {
    uint32_t value = 0;
    at_ += 2;
    for (size_t i = 0; i < digits; ++i, ++at_) {
      const int digit = at_ < body_.size() ? HexDigit(body_[at_]) : -1;
      if (digit < 0) return Corrupt(fmt::format("an escape with fewer than {} hexadecimal digits", digits));
      value = value << 4 | static_cast<uint32_t>(digit);
    }
    if (value > 0x10FFFF) return Corrupt(fmt::format("code point U+{:X} does not exist", value));
    return Append(static_cast<int32_t>(value));
  }

  Status Append(int32_t value) {
    if (is_bytes_) {
      out_.push_back(static_cast<char>(value));
    } else if (value >= 0xD800 && value <= 0xDFFF) {
      return Corrupt(fmt::format("surrogate U+{:X} has no UTF-8 form", value));
    } else {
      AppendUtf8(value, &out_);
    }
    return OkStatus();
  }

  std::string_view body_;
  bool is_bytes_;
  char quote_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

Result<std::string> ParsePythonLiteral(std::string_view literal) {
  const bool is_bytes = !literal.empty() && (literal[0] == 'b' || literal[0] == 'B');
  if (is_bytes) literal.remove_prefix(1);
  if (literal.size() < 2 || (literal[0] != '\'' && literal[0] != '"') || literal.back() != literal[0]) {
    return Corrupt("not a Python literal: expected '…', \"…\", b'…' or b\"…\"");
  }
  return Unescaper(literal.substr(1, literal.size() - 2), is_bytes, literal[0]).Run();
}

Result<std::string> UnescapePythonBytes(std::string_view body) { return Unescaper(body, true, '\0').Run(); }

}  // namespace tern
