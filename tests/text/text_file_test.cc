// Text in the encodings that editors and shells write, and what is no text.
#include "text/text_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/random.h"
#include "tests/testing/test_data.h"
#include "text/utf8.h"

namespace tern {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kText = "one é\n夏天 🐦\r\ntwo";

/// `text` (UTF-8) in units of `size` bytes.
std::string Encode(const std::string& text, size_t size, bool big_endian, bool mark) {
  std::string bytes;
  const auto put = [&](uint32_t unit) {
    for (size_t i = 0; i < size; ++i) {
      const size_t byte = big_endian ? size - 1 - i : i;
      bytes += static_cast<char>(unit >> (8 * byte));
    }
  };
  if (mark) put(0xFEFF);
  for (size_t at = 0; at < text.size();) {
    const Utf8Char next = DecodeUtf8(text, at);
    const auto character = static_cast<uint32_t>(next.codepoint);
    if (size == 2 && character > 0xFFFF) {
      put(0xD800 + ((character - 0x10000) >> 10));
      put(0xDC00 + ((character - 0x10000) & 0x3FF));
    } else {
      put(character);
    }
    at += next.length;
  }
  return bytes;
}

std::string Decoded(const std::string& bytes) {
  const auto text = DecodeText(bytes, "a.txt");
  return text.ok() ? *text : "error: " + text.status().message();
}

TEST(TextFile, SkipsTheByteOrderMarkOfUtf8) {
  EXPECT_EQ(Decoded(kText), kText);
  EXPECT_EQ(Decoded("\xEF\xBB\xBF" + kText), kText);
  EXPECT_EQ(Decoded("\xEF\xBB\xBF"), "");
  EXPECT_EQ(Decoded(""), "");
  EXPECT_EQ(Decoded("a\xEF\xBB\xBF"), "a\xEF\xBB\xBF") << "elsewhere it is a character";
}

TEST(TextFile, DecodesUtf16AndUtf32OfBothOrders) {
  for (const bool big_endian : {false, true}) {
    EXPECT_EQ(Decoded(Encode(kText, 2, big_endian, true)), kText) << big_endian;
    EXPECT_EQ(Decoded(Encode(kText, 4, big_endian, true)), kText) << big_endian;
    EXPECT_EQ(Decoded(Encode("", 2, big_endian, true)), "");
    EXPECT_EQ(Decoded(Encode("Once upon a time\n", 2, big_endian, false)), "Once upon a time\n")
        << "without a mark";
  }
}

TEST(TextFile, NamesThePlaceOfWhatIsNotText) {
  EXPECT_THAT(Decoded("ab\ncé\xE9"), HasSubstr("'a.txt' line 2, column 3: byte 0xE9 is not UTF-8"));
  EXPECT_THAT(Decoded(std::string("ab\0cd", 5)), HasSubstr("'a.txt' line 1, column 3: a zero byte"));
  EXPECT_THAT(Decoded("cut \xE5\xA4"), HasSubstr("line 1, column 5"));
  EXPECT_THAT(Decoded(std::string("\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16)),
              HasSubstr("line 1, column 1: byte 0x89"));
  EXPECT_THAT(Decoded("\xEF\xBB\xBF\xFF"), HasSubstr("line 1, column 1")) << "the mark has no column";
  EXPECT_THAT(DecodeText("\xFF", "-").status().message(), HasSubstr("standard input line 1, column 1"));
}

TEST(TextFile, NamesThePlaceOfWhatIsNotUtf16) {
  const std::string good = Encode("a\nb", 2, false, true);
  EXPECT_THAT(Decoded(good + "c"),
              AllOf(HasSubstr("line 2, column 2"), HasSubstr("ends within a character")));
  EXPECT_THAT(Decoded(good + std::string("\x00\xD8", 2)), AllOf(HasSubstr("column 2"), HasSubstr("0xD800")));
  EXPECT_THAT(Decoded(good + std::string("\x00\xDC", 2)), HasSubstr("0xDC00"));
  EXPECT_THAT(Decoded(good + std::string("\0\0", 2)), HasSubstr("line 2, column 2: a zero byte"));
  const std::string wide = Encode("a", 4, false, true);
  EXPECT_THAT(Decoded(wide + std::string("\x00\x00\x11\x00", 4)), HasSubstr("0x110000"));
}

TEST(TextFile, TakesNumbersForBinaryDataNotForUtf16) {
  std::string numbers;  // little-endian 16-bit token ids, some of them below 32
  for (int i = 0; i < 200; ++i) numbers += {static_cast<char>(i), '\0'};
  EXPECT_THAT(Decoded(numbers), HasSubstr("a zero byte"));
}

TEST(TextFile, FindsEachDamagedByteOfALongText) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "plain words, é and 夏 ";
  for (size_t at = 0; at < text.size(); ++at) {
    std::string damaged = text;
    damaged[at] = '\xFF';
    const Status status = CheckText(damaged, "a");
    ASSERT_FALSE(status.ok()) << at;
    damaged[at] = '\0';
    EXPECT_FALSE(CheckText(damaged, "a").ok()) << at;
  }
  EXPECT_TRUE(CheckText(text, "a").ok());
}

TEST(TextFile, NeverGivesWhatIsNotUtf8) {
  Random random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = i % 3 == 0 ? "\xFF\xFE" : i % 3 == 1 ? "\xFE\xFF" : "";
    const uint64_t length = random.Below(40);
    for (uint64_t j = 0; j < length; ++j) bytes += static_cast<char>(random.Below(i % 2 == 0 ? 256 : 4) * 61);
    const auto text = DecodeText(bytes, "a");
    if (text.ok()) {
      EXPECT_TRUE(IsUtf8(*text)) << "round " << i << " of seed 7";
    }
  }
}

TEST(TextFile, CountsPlacesInCharacters) {
  const std::string text = "é\n夏a";
  const TextPlace start{5, 3};
  EXPECT_EQ(PlaceAt(text, 0, start).line, 5);
  EXPECT_EQ(PlaceAt(text, 2, start).column, 4);
  const TextPlace last = PlaceAt(text, text.size(), start);
  EXPECT_EQ(last.line, 6);
  EXPECT_EQ(last.column, 3);
}

TEST(TextFile, OpensAFileWithoutItsMark) {
  const testing::TempDir dir;
  const auto write = [&](const std::string& bytes) {
    const auto* data = reinterpret_cast<const std::byte*>(bytes.data());
    testing::WriteBytes(dir.File("a.txt"), {data, data + bytes.size()});
  };
  for (const std::string& bytes : {"\xEF\xBB\xBF" + kText, Encode(kText, 2, true, true), kText}) {
    write(bytes);
    const auto file = TextFile::Open(dir.File("a.txt"));
    ASSERT_TRUE(file.ok()) << file.status().message();
    EXPECT_EQ((*file)->text(), kText);
    EXPECT_EQ(*ReadTextFile(dir.File("a.txt")), kText);
  }
  write(std::string("\xFF\xFE\x00\xD8", 4));
  EXPECT_THAT(TextFile::Open(dir.File("a.txt")).status().message(), HasSubstr("a.txt' line 1, column 1"));
  EXPECT_FALSE(TextFile::Open(dir.File("none.txt")).ok());
}

}  // namespace
}  // namespace tern
