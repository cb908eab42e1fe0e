// Sampling options over HTTP: the command line's, under the names of other servers too.
#include "serve/sampling_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "serve/openai_request.h"

namespace tern::serve {
namespace {

using ::testing::HasSubstr;

ApiResult<CompletionRequest> Read(const std::string& body) {
  HttpRequest request;
  request.headers = {{"content-type", "application/json"}};
  request.body = body;
  return ReadCompletionRequest(request);
}

TEST(SamplingRequest, ReadsTheCommandLinesOptions) {
  const auto read = Read(R"({"typical_p":0.5,"mirostat":2,"mirostat_tau":3,"mirostat_eta":0.25,
                             "repeat_penalty":1.25,"top_k":40,"min_p":0.125})");
  ASSERT_TRUE(read.ok()) << read.status().message;
  const SamplingOptions& sampling = read->sampling;
  EXPECT_EQ(sampling.typical_p, 0.5f);
  EXPECT_EQ(sampling.mirostat, 2);
  EXPECT_EQ(sampling.mirostat_tau, 3);
  EXPECT_EQ(sampling.mirostat_eta, 0.25f);
  EXPECT_EQ(sampling.repeat, 1.25f);
  EXPECT_EQ(sampling.top_k, 40);
  EXPECT_EQ(sampling.min_p, 0.125f);
}

TEST(SamplingRequest, ReadsOtherServersNames) {
  const auto read = Read(R"({"mirostat_mode":2,"mirostat_lr":0.5,"repetition_penalty":1.5,"top_k":-1})");
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->sampling.mirostat, 2);
  EXPECT_EQ(read->sampling.mirostat_eta, 0.5f);
  EXPECT_EQ(read->sampling.repeat, 1.5f);
  EXPECT_EQ(read->sampling.top_k, 0);  // off
}

TEST(SamplingRequest, OfNothingIsPlain) {
  const SamplingOptions sampling = Read("{}")->sampling;
  EXPECT_EQ(sampling.repeat, 1);
  EXPECT_EQ(sampling.mirostat, 0);
  EXPECT_EQ(sampling.typical_p, 1);
  EXPECT_EQ(sampling.top_k, 0);
}

TEST(SamplingRequest, ThePenaltiesWindowIsAllOrNothing) {
  EXPECT_EQ(Read(R"({"repeat_penalty":1.5,"repeat_last_n":0})")->sampling.repeat, 1);
  EXPECT_EQ(Read(R"({"repeat_penalty":1.5,"repeat_last_n":-1})")->sampling.repeat, 1.5f);
  EXPECT_TRUE(Read(R"({"repeat_last_n":64})").ok());  // there is no penalty
  EXPECT_EQ(Read(R"({"repeat_penalty":1.5,"repeat_last_n":64})").status().param, "repeat_last_n");
}

struct Wrong {
  const char* body;
  const char* param;
};

TEST(SamplingRequest, IsRefusedNamingTheField) {
  const Wrong cases[] = {
      {R"({"typical_p":0})", "typical_p"},
      {R"({"typical_p":1.5})", "typical_p"},
      {R"({"typical_p":"x"})", "typical_p"},
      {R"({"mirostat":1})", "mirostat"},
      {R"({"mirostat":3})", "mirostat"},
      {R"({"mirostat_mode":1})", "mirostat_mode"},
      {R"({"mirostat":2,"mirostat_mode":0})", "mirostat_mode"},
      {R"({"mirostat_tau":0})", "mirostat_tau"},
      {R"({"mirostat_eta":-1})", "mirostat_eta"},
      {R"({"mirostat_eta":0.5,"mirostat_lr":0.25})", "mirostat_lr"},
      {R"({"repeat_penalty":0})", "repeat_penalty"},
      {R"({"repeat_penalty":-1})", "repeat_penalty"},
      {R"({"repeat_penalty":1e300})", nullptr},  // the largest float: finite
      {R"({"repeat_penalty":1.5,"repetition_penalty":1.25})", "repetition_penalty"},
      {R"({"xtc_probability":0.5})", "xtc_probability"},
      {R"({"dry_multiplier":0.8})", "dry_multiplier"},
      {R"({"min_tokens":5})", "min_tokens"},
  };
  for (const Wrong& wrong : cases) {
    SCOPED_TRACE(wrong.body);
    const auto read = Read(wrong.body);
    ASSERT_EQ(read.ok(), wrong.param == nullptr);
    if (wrong.param == nullptr) continue;
    EXPECT_EQ(read.status().status, 400);
    EXPECT_EQ(read.status().param, wrong.param);
    EXPECT_THAT(read.status().message, HasSubstr(wrong.param));
  }
  for (const char* harmless : {R"({"xtc_probability":0})", R"({"dry_multiplier":0.0})", R"({"min_tokens":0})",
                               R"({"best_of":1,"n":1})"}) {
    EXPECT_TRUE(Read(harmless).ok()) << harmless;
  }
}

}  // namespace
}  // namespace tern::serve
