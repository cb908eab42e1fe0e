// Scripts line by line: nothing is read ahead of UTF-8, and other encodings are decoded.
#include "text/text_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace tern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// All lines, and the error that ends them.
std::vector<std::string> Lines(const std::string& bytes) {
  std::istringstream stream(bytes);
  TextLines lines(stream, "-");
  std::vector<std::string> all;
  for (;;) {
    auto line = lines.Next();
    if (!line.ok()) all.push_back("error: " + line.status().message());
    if (!line.ok() || !*line) return all;
    all.push_back(**line);
  }
}

std::string Wide(const std::string& ascii, bool big_endian, bool mark) {
  std::string bytes = !mark ? "" : big_endian ? "\xFE\xFF" : "\xFF\xFE";
  for (const char c : ascii) {
    if (big_endian) bytes += '\0';
    bytes += c;
    if (!big_endian) bytes += '\0';
  }
  return bytes;
}

TEST(TextLines, GivesLinesWithoutTheirMark) {
  EXPECT_THAT(Lines("one\n\ntwo"), ElementsAre("one", "", "two"));
  EXPECT_THAT(Lines("\xEF\xBB\xBFone\ntwo\n"), ElementsAre("one", "two"));
  EXPECT_THAT(Lines(""), ElementsAre());
}

TEST(TextLines, DecodesUtf16) {
  for (const bool big_endian : {false, true}) {
    for (const bool mark : {false, true}) {
      EXPECT_THAT(Lines(Wide("one\ntwo\n", big_endian, mark)), ElementsAre("one", "two"))
          << big_endian << mark;
      EXPECT_THAT(Lines(Wide("one", big_endian, mark)), ElementsAre("one")) << big_endian << mark;
    }
  }
}

TEST(TextLines, NamesTheLineThatIsNotText) {
  EXPECT_THAT(Lines("one\nt\xFFo\nthree"),
              ElementsAre("one", HasSubstr("error: standard input line 2, column 2: byte 0xFF")));
  EXPECT_THAT(Lines(std::string("a\0b", 3)), ElementsAre(HasSubstr("line 1, column 2: a zero byte")));
  EXPECT_THAT(Lines(std::string("a\nb\0", 4)), ElementsAre("a", HasSubstr("line 2, column 2: a zero byte")));
}

TEST(TextLines, ReadsNoFurtherThanTheLine) {
  std::istringstream stream("one\ntwo\n");
  TextLines lines(stream, "-");
  ASSERT_TRUE(lines.Next().ok());
  EXPECT_EQ(stream.tellg(), 4);
}

}  // namespace
}  // namespace tern
