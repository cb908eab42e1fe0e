#include "infer/grammar_chars.h"

#include <algorithm>
#include <string>

#include "text/utf8.h"

namespace tern {
namespace {

constexpr int32_t kLastChar = 0x10FFFF;
constexpr CharRange kSurrogates = {0xD800, 0xDFFF};

std::vector<CharRange> Normalise(std::vector<CharRange> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](CharRange a, CharRange b) { return a.first < b.first; });
  std::vector<CharRange> joined;
  for (const CharRange range : ranges) {
    if (range.first > range.last) continue;
    if (!joined.empty() && range.first <= joined.back().last + 1) {
      joined.back().last = std::max(joined.back().last, range.last);
    } else {
      joined.push_back(range);
    }
  }
  return joined;
}

/// What lies between ascending ranges.
std::vector<CharRange> Gaps(const std::vector<CharRange>& ranges) {
  std::vector<CharRange> gaps;
  int32_t next = 0;
  for (const CharRange range : ranges) {
    if (range.first > next) gaps.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastChar) gaps.push_back({next, kLastChar});
  return gaps;
}

/// Cuts a range whose characters have equally many bytes where a byte before the last would have to carry.
void AddSequences(CharRange range, std::vector<Utf8Sequence>* sequences) {
  for (int32_t bits = 6; bits <= 18 && range.last > 0x7F; bits += 6) {
    const int32_t low = (int32_t{1} << bits) - 1;
    if ((range.first & ~low) == (range.last & ~low)) break;
    if ((range.first & low) != 0) {
      AddSequences({range.first, range.first | low}, sequences);
      return AddSequences({(range.first | low) + 1, range.last}, sequences);
    }
    if ((range.last & low) != low) {
      AddSequences({range.first, (range.last & ~low) - 1}, sequences);
      return AddSequences({range.last & ~low, range.last}, sequences);
    }
  }
  std::string first, last;
  AppendUtf8(range.first, &first);
  AppendUtf8(range.last, &last);
  Utf8Sequence sequence;
  sequence.length = static_cast<uint8_t>(first.size());
  for (size_t i = 0; i < first.size(); ++i) {
    sequence.bytes[i] = {static_cast<uint8_t>(first[i]), static_cast<uint8_t>(last[i])};
  }
  sequences->push_back(sequence);
}

}  // namespace

CharSet::CharSet(std::vector<CharRange> ranges) {
  for (const CharRange range : Normalise(std::move(ranges))) {
    if (range.first <= range.last && range.first < kSurrogates.first) {
      ranges_.push_back({range.first, std::min(range.last, kSurrogates.first - 1)});
    }
    if (range.last > kSurrogates.last) {
      ranges_.push_back({std::max(range.first, kSurrogates.last + 1), range.last});
    }
  }
}

CharSet CharSet::All() { return CharSet({{0, kLastChar}}); }
CharSet CharSet::Complement() const { return CharSet(Gaps(ranges_)); }

CharSet CharSet::Union(const CharSet& other) const {
  std::vector<CharRange> ranges = ranges_;
  ranges.insert(ranges.end(), other.ranges_.begin(), other.ranges_.end());
  return CharSet(std::move(ranges));
}

CharSet CharSet::Minus(const CharSet& other) const { return Complement().Union(other).Complement(); }
CharSet CharSet::Intersection(const CharSet& other) const { return Minus(other.Complement()); }

bool CharSet::Contains(int32_t character) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](CharRange range) { return range.first <= character && character <= range.last; });
}

std::vector<Utf8Sequence> Utf8Sequences(const CharSet& set) {
  std::vector<Utf8Sequence> sequences;
  for (const CharRange range : set.ranges()) {
    for (const CharRange bytes : {CharRange{0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xFFFF}, {0x10000, kLastChar}}) {
      const CharRange part = {std::max(range.first, bytes.first), std::min(range.last, bytes.last)};
      if (part.first <= part.last) AddSequences(part, &sequences);
    }
  }
  return sequences;
}

}  // namespace tern
