// How the trainer of vocabularies cuts text: what no token of a learned vocabulary reaches over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tern {

/// A piece of text and how often it occurs.
struct CountedText {
  std::string text;
  int64_t count = 0;
};

/// Longest chunk in bytes; longer ones are cut, so that no text makes training slow.
inline constexpr size_t kMaxChunkBytes = 128;

/// Length of the chunk that `text` (any bytes, not empty) begins with: a run of white space, or characters up
/// to the next white space with the one plain space before them. (A run leaves its last character to what
/// follows where that is a space.)
size_t NextChunk(std::string_view text);

/// Bytes [begin, end) of a chunk.
struct WordRange {
  uint32_t begin = 0, end = 0;
};

/// The words of a chunk, in order: the chunk itself when it is white space; else runs of letters with their
/// marks, single digits and runs of other characters, the first with the space before it; an apostrophe
/// between letters begins a word
/// ("it|'s"). Bytes that are no UTF-8 belong to no word.
void FindWords(std::string_view chunk, std::vector<WordRange>* words);

}  // namespace tern
