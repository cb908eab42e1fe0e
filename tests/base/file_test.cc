#include "base/file.h"

#include <cstring>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/testing/test_data.h"

namespace tern {
namespace {

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text.data(), text.size())); }

size_t FilesIn(const std::string& folder) {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++n;
  return n;
}

TEST(MappedFile, ShowsTheWholeFile) {
  testing::TempDir dir;
  const std::string path = dir.File("a");
  ASSERT_TRUE(WriteStringToFile(path, "abc").ok());
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ((*file)->size(), 3u);
  EXPECT_EQ(std::memcmp((*file)->bytes().data(), "abc", 3), 0);
  EXPECT_EQ((*file)->path(), path);
}

TEST(MappedFile, NamesWhatItCannotOpen) {
  testing::TempDir dir;
  const std::string missing = dir.File("missing"), empty = dir.File("empty");
  ASSERT_TRUE(WriteStringToFile(empty, "").ok());
  for (const auto& [path, code] : std::initializer_list<std::pair<std::string, StatusCode>>{
           {missing, StatusCode::kNotFound},
           {empty, StatusCode::kCorrupt},
           {dir.path(), StatusCode::kInvalidArgument},
           {"/dev/null", StatusCode::kInvalidArgument}}) {
    auto file = MappedFile::Open(path);
    ASSERT_FALSE(file.ok()) << path;
    EXPECT_EQ(file.status().code(), code) << path;
    EXPECT_NE(file.status().message().find(path), std::string::npos) << file.status().message();
  }
}

TEST(MappedFile, KeepsItsBytesAfterForget) {
  testing::TempDir dir;
  const std::string path = dir.File("a"), content(100000, 'x');
  ASSERT_TRUE(WriteStringToFile(path, content).ok());
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  (*file)->Forget((*file)->bytes().subspan(5000, 50000));
  EXPECT_EQ(std::memcmp((*file)->bytes().data(), content.data(), content.size()), 0);
}

TEST(AtomicFile, ReplacesOnlyOnCommit) {
  testing::TempDir dir;
  const std::string path = dir.File("a");
  ASSERT_TRUE(WriteStringToFile(path, "old").ok());
  {
    auto file = AtomicFile::Create(path);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Append("half").ok());
    EXPECT_EQ(*ReadFileToString(path), "old");
  }
  EXPECT_EQ(*ReadFileToString(path), "old");
  EXPECT_EQ(FilesIn(dir.path()), 1u) << "an abandoned file stays behind";
  auto file = AtomicFile::Create(path);
  ASSERT_TRUE((*file)->Append("new content").ok());
  ASSERT_TRUE((*file)->PadTo(16).ok());
  ASSERT_TRUE((*file)->WriteAt(0, Bytes("NEW")).ok());
  EXPECT_EQ((*file)->size(), 16u);
  ASSERT_TRUE((*file)->Commit().ok());
  EXPECT_EQ(*ReadFileToString(path), std::string("NEW content\0\0\0\0\0", 16));
  EXPECT_EQ(FilesIn(dir.path()), 1u);
}

TEST(AtomicFile, WritesMoreThanItsBuffer) {
  testing::TempDir dir;
  const std::string path = dir.File("big");
  std::string expected;
  {
    auto file = AtomicFile::Create(path);
    for (int i = 0; i < 50; ++i) {
      const std::string part(static_cast<size_t>(i) * 9001, static_cast<char>('a' + i % 26));
      ASSERT_TRUE((*file)->Append(part).ok());
      expected += part;
    }
    const std::string huge(3 << 20, 'z');
    ASSERT_TRUE((*file)->Append(huge).ok());
    expected += huge;
    ASSERT_TRUE((*file)->Commit().ok());
  }
  EXPECT_EQ(*ReadFileToString(path), expected);
}

TEST(AtomicFile, RefusesToWriteBeyondTheEndOrOntoAFolder) {
  testing::TempDir dir;
  auto file = AtomicFile::Create(dir.File("a"));
  ASSERT_TRUE((*file)->Append("abc").ok());
  EXPECT_FALSE((*file)->WriteAt(2, Bytes("xy")).ok());
  EXPECT_FALSE((*file)->WriteAt(~uint64_t{0}, Bytes("x")).ok());
  EXPECT_FALSE(AtomicFile::Create(dir.path()).ok());
  EXPECT_FALSE(AtomicFile::Create(dir.File("missing/b")).ok());
}

TEST(AtomicFile, SaysWhenTheDiskIsFull) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  testing::TempDir dir;
  // The temporary name is "<path>.tmp-<pid>"; a link of that name to the full device stands in for a full disk.
  const std::string path = dir.File("a");
  std::filesystem::create_symlink("/dev/full", path + ".tmp-" + std::to_string(::getpid()));
  auto file = AtomicFile::Create(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_TRUE((*file)->Append("x").ok());
  const Status status = (*file)->Commit();
  EXPECT_EQ(status.code(), StatusCode::kExhausted) << status.message();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ReadFileToString, KeepsToItsLimit) {
  testing::TempDir dir;
  ASSERT_TRUE(WriteStringToFile(dir.File("a"), std::string(1000, 'x')).ok());
  EXPECT_TRUE(ReadFileToString(dir.File("a"), 1000).ok());
  EXPECT_FALSE(ReadFileToString(dir.File("a"), 999).ok());
  EXPECT_FALSE(ReadFileToString(dir.path()).ok());
}

TEST(AtomicFile, KeepsASymbolicLinkAndReplacesWhatItLeadsTo) {
  testing::TempDir dir;
  const std::string target = dir.File("target"), link = dir.File("link"), second = dir.File("second");
  ASSERT_TRUE(WriteStringToFile(target, "before").ok());
  std::filesystem::create_symlink("target", link);
  std::filesystem::create_symlink(link, second);
  ASSERT_TRUE(WriteStringToFile(second, "after").ok());
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_TRUE(std::filesystem::is_symlink(second));
  EXPECT_EQ(*ReadFileToString(target), "after");
  EXPECT_EQ(FilesIn(dir.path()), 3u);
}

TEST(AtomicFile, ALinkToNothingMakesTheFileThatItNames) {
  testing::TempDir dir;
  std::filesystem::create_symlink("new", dir.File("link"));
  ASSERT_TRUE(WriteStringToFile(dir.File("link"), "content").ok());
  EXPECT_EQ(*ReadFileToString(dir.File("new")), "content");
  EXPECT_TRUE(std::filesystem::is_symlink(dir.File("link")));
}

TEST(AtomicFile, WritesToWhatIsNoRegularFileAsItIs) {
  testing::TempDir dir;
  const std::string fifo = dir.File("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  ASSERT_TRUE(WriteStringToFile(fifo, "through").ok());
  char got[16] = {};
  EXPECT_EQ(::read(reader, got, sizeof got), 7);
  EXPECT_STREQ(got, "through");
  ::close(reader);
  EXPECT_TRUE(std::filesystem::is_fifo(fifo));
  EXPECT_EQ(FilesIn(dir.path()), 1u);
  EXPECT_TRUE(WriteStringToFile("/dev/null", "gone").ok());
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  EXPECT_EQ(WriteStringToFile("/dev/full", "no room").code(), StatusCode::kExhausted);
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
}

}  // namespace
}  // namespace tern
