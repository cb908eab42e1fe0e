#include "text/text_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "text/utf8.h"

namespace tern {
namespace {

enum class Encoding { kUtf8, kUtf16, kUtf32 };

struct FoundEncoding {
  Encoding encoding = Encoding::kUtf8;
  bool big_endian = false;
  size_t mark = 0;  ///< bytes of the byte-order mark
};

constexpr size_t kSample = 4096;

/// UTF-16 without a mark, told by ASCII characters: their other byte is zero, always on the same side.
std::optional<FoundEncoding> GuessUtf16(std::string_view bytes) {
  const std::string_view sample = bytes.substr(0, kSample);
  if (sample.size() < 2 || bytes.size() % 2 != 0) return std::nullopt;
  size_t zeros[2] = {0, 0};
  for (size_t i = 0; i < sample.size(); ++i) zeros[i % 2] += sample[i] == '\0' ? 1 : 0;
  if ((zeros[0] == 0) == (zeros[1] == 0)) return std::nullopt;
  const size_t high = zeros[0] > 0 ? 0 : 1;  // the side of the zero bytes
  if (zeros[high] * 2 < sample.size() / 2) return std::nullopt;
  for (size_t i = 0; i + 1 < sample.size(); i += 2) {
    const auto low = static_cast<uint8_t>(sample[i + 1 - high]);
    const bool control = low < 0x20 && low != '\t' && low != '\n' && low != '\r' && low != '\f';
    if (sample[i + high] == '\0' && control) return std::nullopt;  // numbers, not characters
  }
  return FoundEncoding{Encoding::kUtf16, high == 0, 0};
}

FoundEncoding Detect(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.starts_with("\xEF\xBB\xBF"sv)) return {Encoding::kUtf8, false, 3};
  if (bytes.starts_with("\xFF\xFE\0\0"sv)) return {Encoding::kUtf32, false, 4};
  if (bytes.starts_with("\0\0\xFE\xFF"sv)) return {Encoding::kUtf32, true, 4};
  if (bytes.starts_with("\xFF\xFE"sv)) return {Encoding::kUtf16, false, 2};
  if (bytes.starts_with("\xFE\xFF"sv)) return {Encoding::kUtf16, true, 2};
  return GuessUtf16(bytes).value_or(FoundEncoding{});
}

/// A file's bytes as numbers of 2 or 4 bytes.
class Units {
 public:
  Units(std::string_view bytes, const FoundEncoding& found)
      : bytes_(bytes.substr(found.mark)),
        size_(found.encoding == Encoding::kUtf16 ? 2 : 4),
        big_(found.big_endian) {}

  size_t count() const { return bytes_.size() / size_; }
  bool whole() const { return bytes_.size() % size_ == 0; }
  uint32_t At(size_t index) const {
    uint32_t unit = 0;
    for (size_t i = 0; i < size_; ++i) {
      const size_t byte = big_ ? i : size_ - 1 - i;
      unit = unit << 8 | static_cast<uint8_t>(bytes_[index * size_ + byte]);
    }
    return unit;
  }

 private:
  std::string_view bytes_;
  size_t size_;
  bool big_;
};

bool IsSurrogate(uint32_t unit) { return unit >= 0xD800 && unit <= 0xDFFF; }

/// The character at `*at`, which moves on; nothing where there is none.
std::optional<uint32_t> NextCharacter(const Units& units, Encoding encoding, size_t* at) {
  const uint32_t first = units.At((*at)++);
  if (encoding == Encoding::kUtf32 || !IsSurrogate(first)) {
    return first > 0x10FFFF || IsSurrogate(first) ? std::nullopt : std::optional(first);
  }
  if (first >= 0xDC00 || *at == units.count()) return std::nullopt;
  const uint32_t second = units.At(*at);
  if (second < 0xDC00 || second > 0xDFFF) return std::nullopt;
  ++*at;
  return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
}

Result<std::string> DecodeUnits(std::string_view bytes, const FoundEncoding& found, const std::string& name) {
  const Units units(bytes, found);
  const char* title = found.encoding == Encoding::kUtf16 ? "UTF-16" : "UTF-32";
  std::string text;
  text.reserve(bytes.size() / 2);
  for (size_t at = 0; at < units.count();) {
    const uint32_t unit = units.At(at);
    const auto character = NextCharacter(units, found.encoding, &at);
    if (!character) {
      return Corrupt(fmt::format("{}: 0x{:04X} is not a character of {}",
                                 ShowPlace(name, PlaceAt(text, text.size())), unit, title));
    }
    AppendUtf8(static_cast<int32_t>(*character), &text);
  }
  if (units.whole()) return text;
  return Corrupt(fmt::format("{}: the file ends within a character of {}",
                             ShowPlace(name, PlaceAt(text, text.size())), title));
}

/// How many bytes from the beginning are ASCII and not zero, in steps of eight.
size_t AsciiPrefix(std::string_view text) {
  constexpr uint64_t kHigh = 0x8080808080808080u, kOnes = 0x0101010101010101u;
  size_t at = 0;
  for (; at + sizeof(uint64_t) <= text.size(); at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + at, sizeof word);
    if (((word | ((word - kOnes) & ~word)) & kHigh) != 0) break;
  }
  return at;
}

}  // namespace

TextPlace PlaceAt(std::string_view text, size_t offset, TextPlace start) {
  const std::string_view before = text.substr(0, offset);
  const auto lines = std::count(before.begin(), before.end(), '\n');
  TextPlace place{start.line + lines, lines > 0 ? 1 : start.column};
  const std::string_view line = before.substr(lines > 0 ? before.rfind('\n') + 1 : 0);
  for (const char c : line) place.column += (static_cast<uint8_t>(c) & 0xC0) != 0x80 ? 1 : 0;
  return place;
}

std::string ShowPlace(const std::string& name, TextPlace place) {
  return fmt::format("{}, column {}", ShowLine(name, place), place.column);
}

std::string ShowLine(const std::string& name, TextPlace place) {
  const std::string shown = name == "-" ? "standard input" : "'" + name + "'";
  return fmt::format("{} line {}", shown, place.line);
}

Status CheckText(std::string_view text, const std::string& name, TextPlace start) {
  for (size_t at = 0; at < text.size();) {
    at += AsciiPrefix(text.substr(at));
    if (at == text.size()) break;
    const auto where = [&] { return ShowPlace(name, PlaceAt(text, at, start)); };
    if (text[at] == '\0')
      return Corrupt(fmt::format("{}: a zero byte: this is binary data, not text", where()));
    const Utf8Char next = DecodeUtf8(text, at);
    if (!next.valid) {
      return Corrupt(
          fmt::format("{}: byte 0x{:02X} is not UTF-8 text", where(), static_cast<uint8_t>(text[at])));
    }
    at += next.length;
  }
  return OkStatus();
}

Result<std::string> DecodeText(std::string bytes, const std::string& name) {
  const FoundEncoding found = Detect(bytes);
  if (found.encoding == Encoding::kUtf8) {
    bytes.erase(0, found.mark);
  } else {
    TERN_ASSIGN_OR_RETURN(bytes, DecodeUnits(bytes, found, name));
  }
  TERN_RETURN_IF_ERROR(CheckText(bytes, name));
  return bytes;
}

bool IsUtf8Text(std::string_view bytes) {
  return Detect(bytes).encoding == Encoding::kUtf8 && CheckText(bytes, "").ok();
}

Result<std::string> ReadTextFile(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(std::string bytes, ReadFileToString(path));
  return DecodeText(std::move(bytes), path);
}

Result<std::shared_ptr<const TextFile>> TextFile::Open(const std::string& path) {
  std::shared_ptr<TextFile> text(new TextFile);
  text->path_ = path;
  TERN_ASSIGN_OR_RETURN(text->file_, MappedFile::Open(path));
  const auto bytes = text->file_->bytes();
  text->text_ = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  const FoundEncoding found = Detect(text->text_);
  if (found.encoding == Encoding::kUtf8) {
    text->text_.remove_prefix(found.mark);
    return std::shared_ptr<const TextFile>(std::move(text));
  }
  TERN_ASSIGN_OR_RETURN(text->decoded_, DecodeUnits(text->text_, found, path));
  text->text_ = text->decoded_;
  text->file_.reset();
  return std::shared_ptr<const TextFile>(std::move(text));
}

}  // namespace tern
