// torch's format before 1.6: pickles one after another, then the storages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "tests/formats/container_testing.h"
#include "tests/formats/pickle_assembler.h"

namespace tern {
namespace {

using namespace pickle_op;  // NOLINT: the opcodes' own names
using testing::AsBytes;
using ::testing::HasSubstr;
using testing::PickleAssembler;

constexpr std::string_view kMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);

/// What a file is put together from.
struct Parts {
  int64_t version = 1001;
  bool little_endian = true;
  std::string key = "94";  ///< in the list of storages
  int64_t count = 6;       ///< before the storage's bytes
  size_t values = 6;       ///< that follow
};

std::string Build(const Parts& parts) {
  std::string file(kMagic);
  file += PickleAssembler().Proto().Int(parts.version).Stop();
  file += PickleAssembler()
              .Proto()
              .Op(kEmptyDict)
              .Text("little_endian")
              .Op(parts.little_endian ? kNewTrue : kNewFalse)
              .Op(kSetItem)
              .Stop();
  PickleAssembler object = PickleAssembler().Proto().Op(kEmptyDict).Text("w");
  file += object.Tensor("FloatStorage", "94", 6, 0, {2, 3}, {3, 1}).Op(kSetItem).Stop();
  file += PickleAssembler().Proto().Op(kEmptyList).Text(parts.key).Op(kAppend).Stop();
  file.append(reinterpret_cast<const char*>(&parts.count), sizeof parts.count);
  for (size_t i = 0; i < parts.values; ++i) {
    const auto value = static_cast<float>(i);
    file.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return file;
}

testing::SourceResult Open(std::string_view file) {
  const auto bytes = AsBytes(file);
  return testing::OpenBytes({bytes.begin(), bytes.end()},
                            [](std::shared_ptr<const MappedFile> f) { return OpenPth(std::move(f)); });
}

void ExpectError(const Parts& parts, StatusCode code, const std::string& text) {
  const auto source = Open(Build(parts));
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.status().code(), code) << source.status().message();
  EXPECT_THAT(source.status().message(), HasSubstr(text));
}

TEST(LegacyPth, IsRead) {
  const auto source = Open(Build({}));
  ASSERT_TRUE(source.ok()) << source.status().message();
  const TensorInfo* w = (*source)->Find("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->shape, (Shape{2, 3}));
  ASSERT_EQ(w->bytes.size(), 24u);
  float last = 0;
  std::memcpy(&last, w->bytes.data() + 20, sizeof last);
  EXPECT_EQ(last, 5.0f);
  EXPECT_FALSE((*source)->HasChecksums());
}

TEST(LegacyPth, IsRefusedWhenItIsNotWhole) {
  ExpectError({.version = 1000}, StatusCode::kUnsupported, "version 1001");
  ExpectError({.little_endian = false}, StatusCode::kUnsupported, "big-endian");
  ExpectError({.key = "95"}, StatusCode::kUnsupported, "storage '95'");
  ExpectError({.values = 5}, StatusCode::kCorrupt, "storage '94'");
  ExpectError({.count = -1}, StatusCode::kCorrupt, "storage '94'");
  ExpectError({.count = INT64_MAX}, StatusCode::kCorrupt, "storage '94'");
  ExpectError({.count = 5}, StatusCode::kCorrupt, "6 elements");
}

TEST(LegacyPth, SurvivesDamage) {
  const std::string file = Build({});
  const auto bytes = AsBytes(file);
  testing::AttackReader({bytes.begin(), bytes.end()}, file.size() - 24,
                        [](std::shared_ptr<const MappedFile> f) { return OpenPth(std::move(f)); });
}

}  // namespace
}  // namespace tern
