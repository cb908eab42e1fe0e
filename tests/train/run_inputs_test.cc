// Checkpoints hold the names of a run's files; the run's folder holds their paths.
#include "train/run_inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/testing/test_data.h"

namespace tern::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TrainOptions OptionsWithPaths() {
  TrainOptions options;
  options.data = {"/home/ada/texts/a.txt", "b.bin", "/home/ada/corpus/"};
  options.validation = "0.1";
  options.tokenizer = "../vocabularies/vocab.txt";
  options.model = "/home/ada/models/base.pth";
  return options;
}

TEST(RunInputs, OptionsWithoutFoldersKeepTheNames) {
  const TrainOptions names = WithoutFolders(OptionsWithPaths());
  EXPECT_THAT(names.data, ElementsAre("a.txt", "b.bin", "corpus"));
  EXPECT_EQ(names.validation, "0.1");
  EXPECT_EQ(names.tokenizer, "vocab.txt");
  EXPECT_EQ(names.model, "base.pth");
}

TEST(RunInputs, PathsComeBackFromTheFolder) {
  const tern::testing::TempDir dir;
  const TrainOptions whole = OptionsWithPaths();
  ASSERT_TRUE(WriteInputs(dir.path(), whole).ok());
  TrainOptions options = WithoutFolders(whole);
  ASSERT_TRUE(ReadInputs(dir.path(), &options).ok());
  EXPECT_EQ(options.data, whole.data);
  EXPECT_EQ(options.validation, whole.validation);
  EXPECT_EQ(options.tokenizer, whole.tokenizer);
  EXPECT_EQ(options.model, whole.model);
}

TEST(RunInputs, OtherNamesAndOlderPathsStayAsTheyAre) {
  const tern::testing::TempDir dir;
  TrainOptions options;
  options.data = {"/old/place/a.txt"};
  options.tokenizer = "another.txt";
  ASSERT_TRUE(ReadInputs(dir.path(), &options).ok());  // there is no file
  ASSERT_TRUE(WriteInputs(dir.path(), OptionsWithPaths()).ok());
  ASSERT_TRUE(ReadInputs(dir.path(), &options).ok());
  EXPECT_THAT(options.data, ElementsAre("/old/place/a.txt"));
  EXPECT_EQ(options.tokenizer, "another.txt");
}

TEST(RunInputs, ADamagedFileIsNamed) {
  const tern::testing::TempDir dir;
  for (const char* content : {"{", "[]", R"({"data":1,"validation":"","tokenizer":"","model":""})", R"({"data":[]})"}) {
    ASSERT_TRUE(WriteStringToFile(dir.File("inputs.json"), content).ok());
    TrainOptions options;
    const Status status = ReadInputs(dir.path(), &options);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << content;
    EXPECT_THAT(status.message(), HasSubstr("inputs.json"));
  }
}

}  // namespace
}  // namespace tern::train
