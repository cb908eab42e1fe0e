// The house has one order: a room may include only rooms above it, and some pairs never see each other.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/testing/test_data.h"

namespace tern {
namespace {

// docs/architecture.md draws the same.
const std::vector<std::string> kRooms = {"base",  "tensor", "kernels", "formats", "text", "model",
                                         "infer", "train",  "eval",    "serve",   "cli"};
const std::map<std::string, std::set<std::string>> kNever = {
    {"infer", {"train"}}, {"train", {"infer"}}, {"formats", {"kernels"}}, {"text", {"kernels"}}};

size_t Rank(const std::string& room) {
  return static_cast<size_t>(std::find(kRooms.begin(), kRooms.end(), room) - kRooms.begin());
}

TEST(Rooms, IncludeOnlyRoomsAboveThem) {
  const std::regex include(R"re(^\s*#include\s+"([a-z0-9_]+)/)re");
  const std::filesystem::path src = testing::SourceDir() + "/src";
  size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(src)) {
    const std::string extension = entry.path().extension();
    if (extension != ".h" && extension != ".cc") continue;
    const std::string room = *std::filesystem::relative(entry.path(), src).begin();
    ASSERT_LT(Rank(room), kRooms.size()) << "src/" << room << " is no room of the house";
    ++files;
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line);) {
      std::smatch match;
      if (!std::regex_search(line, match, include)) continue;
      const std::string other = match[1];
      ASSERT_LT(Rank(other), kRooms.size()) << entry.path() << ": " << line;
      EXPECT_LE(Rank(other), Rank(room)) << entry.path() << ": " << line;
      const auto never = kNever.find(room);
      EXPECT_TRUE(never == kNever.end() || !never->second.count(other)) << entry.path() << ": " << line;
    }
  }
  EXPECT_GT(files, 20u);
}

}  // namespace
}  // namespace tern
