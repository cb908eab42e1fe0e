#include "base/lfs_pointer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/file.h"
#include "tests/testing/test_data.h"

namespace tern {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kPointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 381012345\n";

TEST(LfsPointer, IsNamedWhereverAFileIsRead) {
  const testing::TempDir dir;
  const std::string path = dir.File("w");
  ASSERT_TRUE(WriteStringToFile(path, kPointer).ok());
  for (const Status& status : {MappedFile::Open(path).status(), ReadFileToString(path).status()}) {
    EXPECT_EQ(status.code(), StatusCode::kUnsupported);
    EXPECT_THAT(status.message(),
                AllOf(HasSubstr(path), HasSubstr("Git LFS pointer"), HasSubstr("381012345 bytes"), HasSubstr("git lfs pull")));
  }
}

TEST(LfsPointer, IsToldByItsFirstLineAndItsLength) {
  EXPECT_FALSE(CheckNotLfsPointer("version https://git-lfs.github.com/spec/v1\r\n", "w").ok());
  EXPECT_FALSE(CheckNotLfsPointer("version https://hawser.github.com/spec/v1\n", "w").ok());
  for (const std::string& other : {std::string(), std::string("version 1\n"), " " + std::string(kPointer),
                                   kPointer + std::string(2000, 'x')}) {
    EXPECT_TRUE(CheckNotLfsPointer(other, "w").ok()) << other.substr(0, 80);
  }
}

TEST(LfsPointer, MayPromiseNoSize) {
  for (const char* size : {"", "size\n", "size x\n", "size 99999999999999999999999\n"}) {
    const Status status = CheckNotLfsPointer("version https://git-lfs.github.com/spec/v1\n" + std::string(size), "w");
    EXPECT_THAT(status.message(), AllOf(HasSubstr("Git LFS pointer"), ::testing::Not(HasSubstr("bytes"))));
  }
}

}  // namespace
}  // namespace tern
