// Models on disk for the program, and what its answers must look like.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "tests/cli/run_program.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/test_data.h"

namespace tern::testing {

/// A folder with a small random model of 256 symbols (a token is a byte).
class CliTest : public ::testing::Test {
 protected:
  static RandomModel Rwkv7(int64_t width = 32) {
    return {.generation = Generation::kRwkv7,
            .vocab = 256,
            .width = width,
            .layers = 2,
            .ffn = 2 * width,
            .head_size = 16,
            .decay_rank = 8,
            .iclr_rank = 8,
            .value_rank = 8,
            .gate_rank = 8,
            .seed = 5};
  }

  CliTest() { Write(Rwkv7(), model_); }

  void Write(const RandomModel& model, const std::string& path) const {
    const Status written = WritePth(path, RandomTensors(model));
    ASSERT_TRUE(written.ok()) << written.message();
  }
  std::string File(const std::string& name) const { return dir_.File(name); }
  std::string Text(const std::string& name) const {
    const auto bytes = ReadBytes(File(name));
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  void WriteText(const std::string& name, const std::string& text) const {
    const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
    WriteBytes(File(name), {bytes, bytes + text.size()});
  }

  TempDir dir_;
  std::string model_ = dir_.File("model.pth");
};

/// Standard output of a run that succeeded in silence.
inline std::string Output(const std::vector<std::string>& arguments, const std::string& input = {}) {
  const Outcome outcome = RunTern(arguments, input);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  return outcome.out;
}
/// The same as JSON.
inline nlohmann::json Json(const std::vector<std::string>& arguments, const std::string& input = {}) {
  const std::string out = Output(arguments, input);
  auto json = nlohmann::json::parse(out, nullptr, /*allow_exceptions=*/false);
  EXPECT_FALSE(json.is_discarded()) << out;
  return json;
}

/// A failure: nothing on standard output, one line on standard error that names what it is about.
inline void ExpectOneLine(const Outcome& outcome, const std::string& names) {
  EXPECT_GT(outcome.code, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, ::testing::StartsWith("tern: "));
  EXPECT_THAT(outcome.err, ::testing::HasSubstr(names));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_THAT(outcome.err, ::testing::EndsWith("\n"));
}

}  // namespace tern::testing
