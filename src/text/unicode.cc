#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "text/utf8.h"

namespace tern {
namespace {

constexpr int32_t kCodepoints = 0x110000;
constexpr auto kDecompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
constexpr auto kCompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);

bool IsWhiteSpace(int32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

/// Appends the canonical decomposition of a code point, marks not yet in order.
void AppendDecomposition(int32_t c, std::vector<int32_t>* out) {
  utf8proc_int32_t parts[16];
  int boundary = 0;
  const auto count = utf8proc_decompose_char(c, parts, 16, kDecompose, &boundary);
  if (count < 1 || count > 16) {
    out->push_back(c);
  } else {
    out->insert(out->end(), parts, parts + count);
  }
}

bool IsHangulVowelOrFinal(int32_t c) { return (c >= 0x1161 && c <= 0x1175) || (c >= 0x11A8 && c <= 0x11C2); }

/// The code points that normalisation may change, or join to what stands before them. All others begin a
/// piece of text that can be normalised by itself, and stay as they are when none of these follows.
class UnstableSet {
 public:
  UnstableSet() : bits_(kCodepoints / 64) {
    // A character that stands behind the first in some canonical decomposition may be composed with the one
    // before.
    std::vector<std::pair<int32_t, std::vector<int32_t>>> decompositions;
    for (int32_t c = 0x80; c < kCodepoints; ++c) {
      const utf8proc_property_t* property = utf8proc_get_property(c);
      if (property->combining_class != 0 || IsHangulVowelOrFinal(c)) Add(c);
      if (property->decomp_type != 0 || property->decomp_seqindex == UINT16_MAX) continue;
      std::vector<int32_t> parts;
      AppendDecomposition(c, &parts);
      for (size_t i = 1; i < parts.size(); ++i) Add(parts[i]);
      decompositions.emplace_back(c, std::move(parts));
    }
    for (auto& [c, parts] : decompositions) {
      const int32_t first = parts[0];
      if (utf8proc_normalize_utf32(parts.data(), static_cast<utf8proc_ssize_t>(parts.size()), kCompose) !=
              1 ||
          parts[0] != c || Has(first)) {
        Add(c);
      }
    }
  }
  bool Has(int32_t c) const { return bits_[static_cast<size_t>(c) >> 6] >> (c & 63) & 1; }

 private:
  void Add(int32_t c) { bits_[static_cast<size_t>(c) >> 6] |= uint64_t{1} << (c & 63); }
  std::vector<uint64_t> bits_;
};

const UnstableSet& Unstable() {
  static const UnstableSet set;
  return set;
}

/// Where the first unstable character at or after `from` stands, and where the stable one before it begins
/// (not before `from`). text.size() twice when there is none.
struct Place {
  size_t previous, unstable;
};

Place FindUnstable(std::string_view text, size_t from) {
  size_t previous = from;
  for (size_t at = from; at < text.size();) {
    // Nothing below U+0300 is unstable: lead bytes below 0xCC, and ASCII.
    const auto byte = static_cast<uint8_t>(text[at]);
    uint32_t length = byte < 0x80 ? 1 : 2;
    if (byte >= 0xCC) {
      const Utf8Char next = DecodeUtf8(text, at);
      if (Unstable().Has(next.codepoint)) return {previous, at};
      length = next.length;
    }
    previous = at;
    at += length;
  }
  return {text.size(), text.size()};
}

/// Marks in canonical order: utf8proc's own sorting takes quadratic time on long runs.
void SortMarks(std::vector<int32_t>* codepoints) {
  using Marked = std::pair<int32_t, int32_t>;  // combining class, code point
  std::vector<Marked> run;
  for (size_t i = 0; i < codepoints->size();) {
    run.clear();
    while (i + run.size() < codepoints->size()) {
      const int32_t c = (*codepoints)[i + run.size()];
      const int32_t combining = utf8proc_get_property(c)->combining_class;
      if (combining == 0) break;
      run.emplace_back(combining, c);
    }
    std::stable_sort(run.begin(), run.end(),
                     [](const Marked& a, const Marked& b) { return a.first < b.first; });
    for (size_t k = 0; k < run.size(); ++k) (*codepoints)[i + k] = run[k].second;
    i += run.size() + 1;
  }
}

void AppendComposed(std::string_view piece, std::vector<int32_t>* scratch, std::string* out) {
  scratch->clear();
  for (size_t at = 0; at < piece.size();) {
    const Utf8Char next = DecodeUtf8(piece, at);
    AppendDecomposition(next.codepoint, scratch);
    at += next.length;
  }
  SortMarks(scratch);
  const auto count =
      utf8proc_normalize_utf32(scratch->data(), static_cast<utf8proc_ssize_t>(scratch->size()), kCompose);
  for (utf8proc_ssize_t i = 0; i < count; ++i) AppendUtf8((*scratch)[static_cast<size_t>(i)], out);
}

}  // namespace

CharClass ClassOf(int32_t codepoint) {
  switch (utf8proc_category(codepoint)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharClass::kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharClass::kNumber;
    default:
      return IsWhiteSpace(codepoint) ? CharClass::kSpace : CharClass::kOther;
  }
}

bool IsWordChar(int32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      // The joiners, and the circled and squared letters, which are symbols that count as alphabetic.
      return ClassOf(c) == CharClass::kLetter || c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
             (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
             (c >= 0x1F170 && c <= 0x1F189);
  }
}

std::string_view NormalizeNfc(std::string_view text, std::string* buffer) {
  Place place = FindUnstable(text, 0);
  if (place.unstable == text.size()) return text;
  buffer->clear();
  buffer->reserve(text.size());
  std::vector<int32_t> scratch;
  size_t copied = 0;
  while (place.unstable < text.size()) {
    buffer->append(text, copied, place.previous - copied);
    size_t end = place.unstable;
    while (end < text.size()) {
      const Utf8Char next = DecodeUtf8(text, end);
      if (!Unstable().Has(next.codepoint)) break;
      end += next.length;
    }
    AppendComposed(text.substr(place.previous, end - place.previous), &scratch, buffer);
    copied = end;
    place = FindUnstable(text, end);
  }
  buffer->append(text, copied);
  return *buffer;
}

}  // namespace tern
