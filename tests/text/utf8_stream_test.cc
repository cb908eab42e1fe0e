#include <gtest/gtest.h>

#include "base/random.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace tern {
namespace {

std::string Whole(std::string_view bytes) {
  Utf8Stream stream;
  std::string text = stream.Push(bytes);
  return text += stream.Finish();
}

TEST(Utf8Stream, HoldsHalfACharacterBack) {
  Utf8Stream stream;
  EXPECT_EQ(stream.Push("a\xF0"), "a");
  EXPECT_EQ(stream.Push("\x9F\x99"), "");
  EXPECT_EQ(stream.Push("\x82z"), "🙂z");
  EXPECT_EQ(stream.Finish(), "");
}

TEST(Utf8Stream, ReplacesMaximalSubparts) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(Whole("a\xFF"
                  "b"),
            "a" + r + "b");
  EXPECT_EQ(Whole("\xF0\x9F\x99"
                  "b"),
            r + "b")
      << "the beginning of a character is one mistake";
  EXPECT_EQ(Whole("\xE0\x80\x80"), r + r + r) << "overlong";
  EXPECT_EQ(Whole("\xED\xA0\x80"), r + r + r) << "surrogate";
  EXPECT_EQ(Whole("\xF4\x90\x80\x80"), r + r + r + r) << "beyond U+10FFFF";
  EXPECT_EQ(Whole("\xC0\xAF\xE0\x9F\xBF"), r + r + r + r + r);
  EXPECT_EQ(Whole("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
                  "A"),
            r + r + r + r + "A");
}

TEST(Utf8Stream, ReplacesWhatIsCutOffAtTheEnd) {
  Utf8Stream stream;
  EXPECT_EQ(stream.Push("x\xE2\x82"), "x");
  EXPECT_EQ(stream.Finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.Finish(), "");
  EXPECT_EQ(stream.Push("y"), "y");
}

TEST(Utf8Stream, DoesNotDependOnHowTheBytesArriveAndIsAlwaysValid) {
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (uint64_t i = random.Below(24); i > 0; --i) {
      if (random.Below(2)) {
        bytes.push_back(static_cast<char>(random.Below(256)));
      } else {
        AppendUtf8(static_cast<int32_t>(random.Below(0xD800)), &bytes);
      }
    }
    Utf8Stream stream;
    std::string pieces;
    for (size_t at = 0; at < bytes.size();) {
      const size_t length = 1 + random.Below(3);
      const std::string ready = stream.Push(std::string_view(bytes).substr(at, length));
      for (size_t i = 0; i < ready.size(); i += DecodeUtf8(ready, i).length) {
        ASSERT_TRUE(DecodeUtf8(ready, i).valid);
      }
      pieces += ready;
      at += length;
    }
    pieces += stream.Finish();
    EXPECT_EQ(pieces, Whole(bytes));
  }
}

}  // namespace
}  // namespace tern
