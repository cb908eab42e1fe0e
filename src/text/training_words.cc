#include "text/training_words.h"

#include "text/unicode.h"
#include "text/utf8.h"

namespace tern {
namespace {

enum class WordKind : uint8_t { kLetter, kNumber, kSpace, kOther, kInvalid };

struct WordChar {
  WordKind kind;
  uint32_t length;
  int32_t codepoint;
};

WordChar WordCharAt(std::string_view text, size_t at) {
  const Utf8Char next = DecodeUtf8(text, at);
  if (!next.valid) return {WordKind::kInvalid, next.length, -1};
  const auto kind = [&] {
    switch (ClassOf(next.codepoint)) {
      case CharClass::kLetter:
        return WordKind::kLetter;
      case CharClass::kNumber:
        return WordKind::kNumber;
      case CharClass::kSpace:
        return WordKind::kSpace;
      case CharClass::kOther:
        break;
    }
    constexpr int32_t kAsciiEnd = 0x80;  // '_' joins words, but is punctuation to a reader of prose
    return next.codepoint >= kAsciiEnd && IsWordChar(next.codepoint) ? WordKind::kLetter : WordKind::kOther;
  }();
  return {kind, next.length, next.codepoint};
}

bool IsApostrophe(int32_t codepoint) { return codepoint == '\'' || codepoint == 0x2019; }

bool LetterAt(std::string_view text, size_t at) {
  return at < text.size() && WordCharAt(text, at).kind == WordKind::kLetter;
}

size_t SpaceRun(std::string_view text) {
  size_t end = 0, last = 0;
  while (end < text.size()) {
    const WordChar next = WordCharAt(text, end);
    if (next.kind != WordKind::kSpace) return text[last] == ' ' && last > 0 ? last : end;
    if (end + next.length > kMaxChunkBytes) break;
    last = end;
    end += next.length;
  }
  return end;
}

/// Where the word ends that begins with the character at `at`; `after_letter`: a letter stands before it.
size_t EndOfWord(std::string_view chunk, size_t at, bool after_letter) {
  const WordChar first = WordCharAt(chunk, at);
  size_t end = at + first.length;
  if (first.kind == WordKind::kNumber) return end;
  WordKind kind = first.kind;
  if (after_letter && IsApostrophe(first.codepoint) && LetterAt(chunk, end)) kind = WordKind::kLetter;
  while (end < chunk.size()) {
    const WordChar next = WordCharAt(chunk, end);
    if (next.kind != kind) break;
    end += next.length;
  }
  return end;
}

}  // namespace

size_t NextChunk(std::string_view text) {
  size_t end = text[0] == ' ' && text.size() > 1 ? 1 : 0;
  if (WordCharAt(text, end).kind == WordKind::kSpace) return SpaceRun(text);
  while (end < text.size()) {
    const WordChar next = WordCharAt(text, end);
    if (next.kind == WordKind::kSpace || end + next.length > kMaxChunkBytes) break;
    end += next.length;
  }
  return end;
}

void FindWords(std::string_view chunk, std::vector<WordRange>* words) {
  words->clear();
  size_t begin = 0;
  bool after_letter = false;
  while (begin < chunk.size()) {
    size_t at = begin;
    if (begin == 0 && chunk[0] == ' ' && chunk.size() > 1 && WordCharAt(chunk, 1).kind != WordKind::kSpace) at = 1;
    const WordKind kind = WordCharAt(chunk, at).kind;
    const size_t end = EndOfWord(chunk, at, after_letter);
    if (kind != WordKind::kInvalid) words->push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
    after_letter = kind == WordKind::kLetter;
    begin = end;
  }
}

}  // namespace tern
