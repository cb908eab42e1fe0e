#include "text/python_literal.h"

#include <gtest/gtest.h>

namespace tern {
namespace {

using namespace std::string_literals;

std::string Parsed(std::string_view literal) {
  const auto parsed = ParsePythonLiteral(literal);
  return parsed.ok() ? *parsed : "error: " + parsed.status().message();
}

TEST(PythonLiteral, TakesEitherQuote) {
  EXPECT_EQ(Parsed(R"('a "b"')"), "a \"b\"");
  EXPECT_EQ(Parsed(R"("it's")"), "it's");
  EXPECT_EQ(Parsed(R"('it\'s')"), "it's");
  EXPECT_EQ(Parsed("''"), "");
}

TEST(PythonLiteral, KnowsEveryEscape) {
  EXPECT_EQ(Parsed(R"('\n\t\r\\\'\"\a\b\f\v')"), "\n\t\r\\'\"\a\b\f\v");
  EXPECT_EQ(Parsed(R"('\x00\x7f')"), "\x00\x7f"s);
  EXPECT_EQ(Parsed(R"('\0\101\1012\18')"), "\0A"s + "A2" + "\1" + "8");
  EXPECT_EQ(Parsed(R"('\u20ac\U0001f642')"), "€🙂");
  EXPECT_EQ(Parsed(R"('\q\8')"), "\\q\\8") << "Python keeps an escape that it does not know";
}

TEST(PythonLiteral, WritesStrAsUtf8AndBytesAsTheyAre) {
  EXPECT_EQ(Parsed(R"('\xe4')"), "ä");
  EXPECT_EQ(Parsed(R"('\377')"), "ÿ");
  EXPECT_EQ(Parsed(R"('\777')"), "\xC7\xBF") << "U+01FF";
  EXPECT_EQ(Parsed(R"(b'\xe4')"), "\xE4");
  EXPECT_EQ(Parsed(R"(B"\777")"), "\xFF");
  EXPECT_EQ(Parsed(R"(b'\u20ac\N')"), "\\u20ac\\N") << "no escapes in bytes";
  EXPECT_EQ(Parsed("'é'"), "é");
}

TEST(PythonLiteral, RefusesWhatPythonRefuses) {
  for (std::string_view bad : {"",
                               "a",
                               "'",
                               "b'",
                               "'a",
                               "a'",
                               "'a\"",
                               "'a'b'",
                               "'\\'",
                               R"('\x4')",
                               R"('\xg0')",
                               R"('\u12')",
                               R"('\ud800')",
                               R"('\U00110000')",
                               R"('\Uffffffff')",
                               R"('\N{DIGIT ONE}')",
                               "b'é'",
                               "'\xFF'",
                               "r'a'",
                               "'a' "}) {
    EXPECT_FALSE(ParsePythonLiteral(bad).ok()) << bad;
  }
  EXPECT_FALSE(ParsePythonLiteral("'\0'"s).ok());
  EXPECT_FALSE(ParsePythonLiteral("'\\\0'"s).ok());
}

TEST(PythonLiteral, UnescapesBytesWithoutQuotes) {
  EXPECT_EQ(*UnescapePythonBytes(R"(it's \xe4\n)"), "it's \xE4\n");
  EXPECT_FALSE(UnescapePythonBytes("\\").ok());
}

}  // namespace
}  // namespace tern
