#include "text/utf8.h"

namespace tern {
namespace {

/// How a lead byte continues: the number of further bytes and the range of the first of them (the others are
/// 80–BF).
struct Lead {
  uint32_t more;
  uint8_t low, high;
};

constexpr Lead LeadOf(uint8_t byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {1, 0x80, 0xBF};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {2, 0x80, 0xBF};
  if (byte == 0xF0) return {3, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {3, 0x80, 0xBF};
  if (byte == 0xF4) return {3, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Char DecodeUtf8(std::string_view text, size_t at) {
  const auto first = static_cast<uint8_t>(text[at]);
  if (first < 0x80) return {first, 1, true, false};
  const Lead lead = LeadOf(first);
  if (lead.more == 0) return {0, 1, false, false};
  int32_t codepoint = first & (0x3F >> lead.more);
  for (uint32_t i = 1; i <= lead.more; ++i) {
    if (at + i >= text.size()) return {0, i, false, true};
    const auto byte = static_cast<uint8_t>(text[at + i]);
    const uint8_t low = i == 1 ? lead.low : 0x80;
    const uint8_t high = i == 1 ? lead.high : 0xBF;
    if (byte < low || byte > high) return {0, i, false, false};
    codepoint = codepoint << 6 | (byte & 0x3F);
  }
  return {codepoint, lead.more + 1, true, false};
}

bool IsUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Char next = DecodeUtf8(text, at);
    if (!next.valid) return false;
    at += next.length;
  }
  return true;
}

void AppendUtf8(int32_t codepoint, std::string* text) {
  const auto c = static_cast<uint32_t>(codepoint);
  if (c < 0x80) {
    text->push_back(static_cast<char>(c));
    return;
  }
  if (c < 0x800) {
    text->push_back(static_cast<char>(0xC0 | c >> 6));
  } else {
    if (c < 0x10000) {
      text->push_back(static_cast<char>(0xE0 | c >> 12));
    } else {
      text->push_back(static_cast<char>(0xF0 | c >> 18));
      text->push_back(static_cast<char>(0x80 | (c >> 12 & 0x3F)));
    }
    text->push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
  }
  text->push_back(static_cast<char>(0x80 | (c & 0x3F)));
}

}  // namespace tern
