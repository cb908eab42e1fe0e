// What the server is made of, piece by piece: keys, metrics.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "base/file.h"
#include "serve/api_keys.h"
#include "serve/metrics.h"
#include "tests/testing/test_data.h"

namespace tern::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ApiKeys, ComeFromLinesAndLists) {
  const auto keys =
      ParseApiKeys("# the team\nalpha-key-1  # Ann\n\n  beta-key-22, gamma_key.3~+/=\r\n", "keys.txt");
  ASSERT_TRUE(keys.ok()) << keys.status().message();
  EXPECT_THAT(keys->users, ElementsAre("alpha-key-1", "beta-key-22", "gamma_key.3~+/="));
  EXPECT_TRUE(keys->admins.empty());
}

TEST(ApiKeys, SomeAreAdmins) {
  const std::string text = "alpha-key-1, admin:beta-key-22\nadmin:gamma-key-3 # Ann";
  const auto keys = ParseApiKeys(text, "keys.txt");
  ASSERT_TRUE(keys.ok()) << keys.status().message();
  EXPECT_THAT(keys->users, ElementsAre("alpha-key-1"));
  EXPECT_THAT(keys->admins, ElementsAre("beta-key-22", "gamma-key-3"));
  const auto all = ParseApiKeys(text, "keys.txt", KeyClass::kAdmin);
  ASSERT_TRUE(all.ok());
  EXPECT_THAT(all->admins, ElementsAre("alpha-key-1", "beta-key-22", "gamma-key-3"));
  for (const char* wrong : {"admin:", "admin:short", "user:alpha-key-1", "admin:admin:alpha-key-1"})
    EXPECT_THAT(ParseApiKeys(wrong, "keys.txt").status().message(), HasSubstr("keys.txt, line 1")) << wrong;
}

TEST(ApiKeys, OnesOfBothClassesAreAdmins) {
  const KeyRing ring({.users = {"alpha-key-1", "beta-key-22"}, .admins = {"alpha-key-1"}});
  EXPECT_TRUE(ring.HolderOf("alpha-key-1").admin);
  EXPECT_FALSE(ring.HolderOf("beta-key-22").admin);
  EXPECT_FALSE(ring.HolderOf("gamma-key-3").admin);
  EXPECT_EQ(ring.HolderOf("alpha-key-1").owner,
            KeyRing({.users = {"alpha-key-1"}}).HolderOf("alpha-key-1").owner);
}

TEST(ApiKeys, ErrorsNameTheLineAndNoKey) {
  const auto failure = [](const std::string& text) {
    return ParseApiKeys(text, "keys.txt").status().message();
  };
  EXPECT_THAT(failure(""), HasSubstr("keys.txt"));
  EXPECT_THAT(failure("# nothing\n"), HasSubstr("no API key"));
  EXPECT_THAT(failure("alpha-key-1\nsecret\n"),
              ::testing::AllOf(HasSubstr("line 2"), Not(HasSubstr("secret"))));
  EXPECT_THAT(failure("secr\xc3\xa9t-key-1"), ::testing::AllOf(HasSubstr("line 1"), Not(HasSubstr("secr"))));
}

TEST(ApiKeys, ComeFromFiles) {
  const testing::TempDir dir;
  EXPECT_THAT(ReadApiKeys(dir.File("none")).status().message(), HasSubstr("none"));
  ASSERT_TRUE(WriteStringToFile(dir.File("keys"), "alpha-key-1\n").ok());
  ::chmod(dir.File("keys").c_str(), 0600);
  const auto keys = ReadApiKeys(dir.File("keys"));
  ASSERT_TRUE(keys.ok());
  EXPECT_THAT(keys->users, ElementsAre("alpha-key-1"));
}

TEST(ApiKeys, OwnersAreStableAndTellNothingOfTheKey) {
  const KeyRing ring({.users = {"alpha-key-1", "beta-key-22"}}), again({.users = {"beta-key-22"}});
  const auto owner = [&](const char* key) { return ring.HolderOf(key).owner; };
  EXPECT_EQ(owner("beta-key-22"), again.HolderOf("beta-key-22").owner);
  EXPECT_NE(owner("alpha-key-1"), owner("beta-key-22"));
  EXPECT_EQ(owner("alpha-key-1").find_first_not_of("0123456789abcdef"), std::string::npos);
  for (const char* wrong : {"", "alpha-key-", "alpha-key-11", "ALPHA-KEY-1"}) EXPECT_EQ(owner(wrong), "");
}

TEST(Metrics, AreWrittenAsPrometheusReadsThem) {
  MetricsWriter writer;
  writer.Counter("tern_tokens_total", "Tokens, by \\ kind\nand model")
      .Sample(12, {{"kind", "prompt"}, {"model", "a \"b\" \\ c\nd"}})
      .Sample(1e15, {{"kind", "generated"}});
  writer.Gauge("tern_queue", "Waiting").Sample(0.25);
  writer.Add("tern_wait_seconds", "Time", {.bounds = {0.1, 1}, .counts = {2, 1, 1}, .sum = 7.65},
             {{"model", "m"}});
  EXPECT_EQ(writer.text(),
            "# HELP tern_tokens_total Tokens, by \\\\ kind\\nand model\n"
            "# TYPE tern_tokens_total counter\n"
            "tern_tokens_total{kind=\"prompt\",model=\"a \\\"b\\\" \\\\ c\\nd\"} 12\n"
            "tern_tokens_total{kind=\"generated\"} 1e+15\n"
            "# HELP tern_queue Waiting\n"
            "# TYPE tern_queue gauge\n"
            "tern_queue 0.25\n"
            "# HELP tern_wait_seconds Time\n"
            "# TYPE tern_wait_seconds histogram\n"
            "tern_wait_seconds_bucket{model=\"m\",le=\"0.1\"} 2\n"
            "tern_wait_seconds_bucket{model=\"m\",le=\"1\"} 3\n"
            "tern_wait_seconds_bucket{model=\"m\",le=\"+Inf\"} 4\n"
            "tern_wait_seconds_sum{model=\"m\"} 7.65\n"
            "tern_wait_seconds_count{model=\"m\"} 4\n");
}

TEST(Metrics, OfTheServerStandTogether) {
  MetricsWriter writer;
  WriteHttpMetrics({.connections = 3, .responses_4xx = 2}, &writer);
  EXPECT_THAT(writer.text(), HasSubstr("tern_http_connections 3\n"));
  EXPECT_THAT(writer.text(), HasSubstr("tern_http_responses_total{status=\"4xx\"} 2\n"));
}

}  // namespace
}  // namespace tern::serve
