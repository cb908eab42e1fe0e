// Where the tests find things, and temporary places to write to.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace tern::testing {

/// The folder of real models and texts that are not part of the repository: $TERN_TESTDATA, else ../shared/data beside
/// the repository. Nothing when it is absent.
std::optional<std::string> TestData();

/// The repository's own folder.
std::string SourceDir();

/// Use in a test: `TERN_REQUIRE_TEST_DATA(data);` declares the string `data`. Without test data the test is skipped, saying
/// so; with CI=true its absence is a failure.
#define TERN_REQUIRE_TEST_DATA(variable)                                                             \
  const auto variable##_found = ::tern::testing::TestData();                                         \
  if (!variable##_found) {                                                                           \
    if (::tern::testing::InCi()) FAIL() << "CI=true, but the test data is absent (set TERN_TESTDATA)"; \
    GTEST_SKIP() << "no test data: set TERN_TESTDATA to its folder";                                 \
  }                                                                                                  \
  const std::string& variable = *variable##_found
bool InCi();

/// A folder that is removed with its content at the end of the scope.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Whole file as bytes; aborts the test program when it cannot be read.
std::vector<std::byte> ReadBytes(const std::string& path);
void WriteBytes(const std::string& path, const std::vector<std::byte>& bytes);

}  // namespace tern::testing
