#include "text/pretokenizer.h"

#include <array>
#include <cstdint>

#include "text/unicode.h"
#include "text/utf8.h"

namespace tern {
namespace {

constexpr std::array<CharClass, 128> AsciiClasses() {
  std::array<CharClass, 128> classes{};
  for (char c = 'a'; c <= 'z'; ++c) classes[static_cast<size_t>(c)] = CharClass::kLetter;
  for (char c = 'A'; c <= 'Z'; ++c) classes[static_cast<size_t>(c)] = CharClass::kLetter;
  for (char c = '0'; c <= '9'; ++c) classes[static_cast<size_t>(c)] = CharClass::kNumber;
  for (char c : {'\t', '\n', '\v', '\f', '\r', ' '}) classes[static_cast<size_t>(c)] = CharClass::kSpace;
  return classes;
}

constexpr std::array<CharClass, 128> kAscii = AsciiClasses();

struct Char {
  CharClass kind;
  uint32_t length;
};

inline Char CharAt(std::string_view text, size_t at) {
  const auto byte = static_cast<uint8_t>(text[at]);
  if (byte < 0x80) return {kAscii[byte], 1};
  const Utf8Char next = DecodeUtf8(text, at);
  return {ClassOf(next.codepoint), next.length};
}

/// Where the characters of `kind` from `at` on end.
inline size_t EndOfRun(std::string_view text, size_t at, CharClass kind) {
  while (at < text.size()) {
    const Char next = CharAt(text, at);
    if (next.kind != kind) break;
    at += next.length;
  }
  return at;
}

/// 's 't 'm 'd 're 've 'll: their length, or 0.
size_t Contraction(std::string_view text) {
  if (text.size() < 2) return 0;
  const char c = text[1];
  if (c == 's' || c == 't' || c == 'm' || c == 'd') return 2;
  if (text.size() < 3) return 0;
  const char d = text[2];
  return (c == 'r' && d == 'e') || (c == 'v' && d == 'e') || (c == 'l' && d == 'l') ? 3 : 0;
}

/// A run of white space gives its last character to the word that follows (where that is a space, the word
/// begins with it).
size_t WhiteSpace(std::string_view text) {
  size_t last = 0;
  size_t end = 0;
  while (end < text.size()) {
    const Char next = CharAt(text, end);
    if (next.kind != CharClass::kSpace) return last > 0 ? last : end;
    last = end;
    end += next.length;
  }
  return end;
}

}  // namespace

size_t NextWord(std::string_view text) {
  if (text[0] == '\'') {
    if (const size_t length = Contraction(text)) return length;
  }
  const size_t begin = text[0] == ' ' && text.size() > 1 ? 1 : 0;
  const Char first = CharAt(text, begin);
  if (first.kind == CharClass::kSpace) return WhiteSpace(text);
  return EndOfRun(text, begin + first.length, first.kind);
}

}  // namespace tern
