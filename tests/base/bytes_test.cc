#include "base/bytes.h"

#include <array>

#include <gtest/gtest.h>

#include "base/status.h"

namespace tern {
namespace {

TEST(ByteReader, ReadsOnlyWhatIsThere) {
  const std::array<std::byte, 6> bytes = {std::byte{1}, std::byte{2}, std::byte{0}, std::byte{0}, std::byte{'h'},
                                          std::byte{'i'}};
  ByteReader reader(bytes);
  uint32_t value = 0;
  ASSERT_TRUE(reader.Read(&value));
  EXPECT_EQ(value, 0x201u);
  EXPECT_FALSE(reader.Read(&value));
  EXPECT_EQ(reader.position(), 4u) << "a failed read must not move";
  std::string_view text;
  EXPECT_FALSE(reader.ReadString(3, &text));
  EXPECT_FALSE(reader.ReadString(~uint64_t{0}, &text));
  ASSERT_TRUE(reader.ReadString(2, &text));
  EXPECT_EQ(text, "hi");
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_FALSE(reader.Seek(7));
  EXPECT_TRUE(reader.Seek(6));
}

TEST(CheckedArithmetic, RefusesWhatDoesNotFit) {
  EXPECT_EQ(CheckedMul(uint64_t{1} << 32, uint64_t{1} << 31), uint64_t{1} << 63);
  EXPECT_FALSE(CheckedMul(uint64_t{1} << 32, uint64_t{1} << 32));
  EXPECT_FALSE(CheckedAdd(~uint64_t{0}, 1));
  EXPECT_EQ(CheckedAdd(~uint64_t{0}, 0), ~uint64_t{0});
}

Result<int> Half(int x) { return x % 2 ? Result<int>(InvalidArgument("odd")) : x / 2; }
Result<int> Quarter(int x) {
  TERN_ASSIGN_OR_RETURN(const int half, Half(x));
  return Half(half);
}

TEST(Result, CarriesAValueOrTheFirstError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(7).status().message(), "odd");
  EXPECT_EQ(Quarter(6).status().WithContext("file 'x'").message(), "file 'x': odd");
  EXPECT_TRUE(OkStatus().WithContext("anything").ok());
}

}  // namespace
}  // namespace tern
