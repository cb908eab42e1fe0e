// Split GGUF files: every part leads to the whole model.
#include "formats/gguf_split.h"

#include <filesystem>

#include "tests/formats/container_testing.h"

namespace tern {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::RandomOutput;
using testing::TempDir;

class SplitGguf : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 3; ++i) WritePart(i, i, 3);
  }

  /// Part `place` by its name, part `number` by its keys; it holds the tensor "t<place>".
  void WritePart(int place, int number, int count, uint64_t tensors = 3) {
    Random random(static_cast<uint64_t>(place) + 1);
    const std::vector<OutputTensor> outputs = {
        RandomOutput("t" + std::to_string(place), DType::kF32, {2}, &random)};
    Metadata keys = {{"split.no", static_cast<uint64_t>(number)},
                     {"split.count", static_cast<uint64_t>(count)},
                     {"split.tensors.count", tensors}};
    if (place == 0) keys["general.architecture"] = std::string("rwkv7");
    const Status written = WriteGguf(PathOf(place), outputs, keys);
    ASSERT_TRUE(written.ok()) << written.message();
  }
  std::string PathOf(int place) const { return FormatGgufPartName({dir_.File("m"), place + 1, 3}); }
  std::string ErrorOf(int place) const {
    const Status status = OpenTensorSource(PathOf(place)).status();
    EXPECT_FALSE(status.ok());
    return status.message();
  }
  TempDir dir_;
};

TEST_F(SplitGguf, IsOneModelFromAnyPartAndFromItsFolder) {
  for (const std::string& path : {PathOf(0), PathOf(1), PathOf(2), dir_.path()}) {
    const auto source = OpenTensorSource(path);
    ASSERT_TRUE(source.ok()) << source.status().message();
    ASSERT_EQ((*source)->tensors().size(), 3u) << path;
    for (const char* name : {"t0", "t1", "t2"}) EXPECT_NE((*source)->Find(name), nullptr) << name;
    EXPECT_EQ((*source)->metadata().count("general.architecture"), 1u);
    EXPECT_EQ((*source)->metadata().count("split.count"), 0u) << "the whole is not a part";
  }
}

TEST_F(SplitGguf, NamesThePartThatIsMissing) {
  std::filesystem::remove(PathOf(1));
  EXPECT_THAT(ErrorOf(0), AllOf(HasSubstr("part 2 of 3"), HasSubstr("m-00002-of-00003.gguf")));
  EXPECT_THAT(ErrorOf(2), HasSubstr("m-00002-of-00003.gguf"));
}

TEST_F(SplitGguf, RefusesPartsThatDoNotBelongTogether) {
  WritePart(1, 2, 3);
  EXPECT_THAT(ErrorOf(0), HasSubstr("says that it is part 3 of 3"));
  WritePart(1, 1, 4);
  EXPECT_THAT(ErrorOf(0), HasSubstr("part 2 of 4"));
  WritePart(1, 1, 3);
  WritePart(0, 0, 3, 4);
  EXPECT_THAT(ErrorOf(0), AllOf(HasSubstr("3 tensors"), HasSubstr("says 4")));
}

TEST_F(SplitGguf, RefusesAPartUnderAnotherName) {
  const std::string other = dir_.File("renamed.gguf");
  std::filesystem::rename(PathOf(1), other);
  const Status status = OpenTensorSource(other).status();
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("part 2 of 3"), HasSubstr("-00002-of-00003.gguf")));
}

TEST_F(SplitGguf, RefusesNonsenseInItsKeys) {
  Random random(1);
  const std::vector<OutputTensor> outputs = {RandomOutput("t", DType::kF32, {2}, &random)};
  for (const MetaValue& value : {MetaValue(0.5), MetaValue(int64_t{-1}), MetaValue(uint64_t{1} << 40)}) {
    ASSERT_TRUE(WriteGguf(PathOf(0), outputs, {{"split.no", uint64_t{0}}, {"split.count", value}}).ok());
    EXPECT_THAT(ErrorOf(0), HasSubstr("split.count"));
    ASSERT_TRUE(WriteGguf(PathOf(0), outputs, {{"split.no", value}, {"split.count", uint64_t{3}}}).ok());
    EXPECT_THAT(ErrorOf(0), HasSubstr("split.no"));
  }
}

TEST(GgufPartName, IsParsedAndFormatted) {
  const auto name = ParseGgufPartName("a/b-00002-of-00010.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->stem, "a/b");
  EXPECT_EQ(name->number, 2);
  EXPECT_EQ(name->count, 10);
  EXPECT_EQ(FormatGgufPartName(*name), "a/b-00002-of-00010.gguf");
  for (const char* other :
       {"b.gguf", "b-0002-of-00010.gguf", "b-00011-of-00010.gguf", "b-00000-of-00010.gguf",
        "b-0000x-of-00010.gguf", "b-00001-of-00010.bin", "-of-.gguf", ""}) {
    EXPECT_FALSE(ParseGgufPartName(other)) << other;
  }
}

}  // namespace
}  // namespace tern
