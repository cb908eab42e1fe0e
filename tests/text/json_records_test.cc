// Records of data files: lines or an array, and JSON that a program has no type for.
#include "text/json_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "text/json_parser.h"

namespace tern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// "line:column raw" of every record, and the error that ends them.
std::vector<std::string> Records(const std::string& text) {
  JsonRecordCutter cutter(text, "d.json");
  std::vector<std::string> all;
  for (;;) {
    const auto record = cutter.Next();
    if (!record.ok()) all.push_back("error: " + record.status().message());
    if (!record.ok() || !*record) return all;
    const TextPlace place = (*record)->place;
    all.push_back(std::to_string(place.line) + ":" + std::to_string(place.column) + " " +
                  std::string((*record)->raw));
  }
}

Result<nlohmann::json> Parse(const std::string& text) { return ParseJsonRecord({text, {}}, "d.json"); }

std::string Error(const std::string& text) {
  const auto json = Parse(text);
  return json.ok() ? "none" : json.status().message();
}

TEST(JsonRecords, KnowsItsFilesByTheirEnding) {
  for (const char* path : {"a.jsonl", "a.JSONL", "b/c.Json", "a.ndjson"})
    EXPECT_TRUE(NamesJson(path)) << path;
  for (const char* path : {"a.txt", "jsonl", "a.jsonl.txt", ""}) EXPECT_FALSE(NamesJson(path)) << path;
}

TEST(JsonRecords, CutsLines) {
  EXPECT_THAT(Records("{\"a\":1}\n\n  \n{\"b\":2}"), ElementsAre("1:1 {\"a\":1}", "4:1 {\"b\":2}"));
  EXPECT_THAT(Records(" \n"), ElementsAre());
}

TEST(JsonRecords, CutsAnArray) {
  EXPECT_THAT(Records("[{\"a\":\"]},{\\\"\"},{\"b\":[1,{}]}]"),
              ElementsAre("1:2 {\"a\":\"]},{\\\"\"}", "1:17 {\"b\":[1,{}]}"));
  EXPECT_THAT(Records("\n[\n  {\"é\": 1},\n  {}\n]\n"), ElementsAre("3:3 {\"é\": 1}", "4:3 {}"));
  EXPECT_THAT(Records("[]"), ElementsAre());
  EXPECT_THAT(Records("[1, \"a\"]"), ElementsAre("1:2 1", "1:5 \"a\""));
}

TEST(JsonRecords, NamesWhereAnArrayIsNone) {
  EXPECT_THAT(Records("[{}"), ElementsAre("1:2 {}", HasSubstr("'d.json' line 1, column 4: expected ','")));
  EXPECT_THAT(Records("[{} {}]"), ElementsAre("1:2 {}", HasSubstr("column 5: expected ','")));
  EXPECT_THAT(Records("[{},]"), ElementsAre("1:2 {}", HasSubstr("column 5: expected a value")));
  EXPECT_THAT(Records("[{\"a\": 1"), ElementsAre(HasSubstr("column 2: the array does not end")));
  EXPECT_THAT(Records("["), ElementsAre(HasSubstr("the array does not end")));
  EXPECT_THAT(Records("[{}]\n{}"),
              ElementsAre("1:2 {}", HasSubstr("line 2, column 1: there is something after")));
}

TEST(JsonRecords, ReadsWhatTheStandardParserReads) {
  for (const char* text : {"{}", "{\"a\": [1, -2, 3.5e2, true, false, null, \"x\"], \"b\": {\"c\": {}}}",
                           " {\"a\":0} ", R"({"text": "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"})",
                           "{\"n\": 18446744073709551615, \"m\": -9223372036854775808}",
                           "{\"big\": 123456789012345678901234567890, \"small\": 1e-400}",
                           "{\"a\":1,\"a\":2}", "{\"é\":\"夏\"}"}) {
    const auto json = Parse(text);
    ASSERT_TRUE(json.ok()) << json.status().message();
    EXPECT_EQ(*json, nlohmann::json::parse(text)) << text;
  }
}

TEST(JsonRecords, RefusesWhatTheStandardParserRefuses) {
  for (const std::string text : {"{\"a\":}",
                                 "{\"a\" 1}",
                                 "{a:1}",
                                 "{\"a\":1,}",
                                 "{\"a\":01}",
                                 "{\"a\":1.}",
                                 "{\"a\":+1}",
                                 "{\"a\":1e}",
                                 "{\"a\":.5}",
                                 "{\"a\":\"\\x\"}",
                                 "{\"a\":\"\\u12g4\"}",
                                 "{\"a\":\"\n\"}",
                                 "{\"a\":\"",
                                 "{\"a\":tru}",
                                 "{} {}",
                                 "{\"a\":[1 2]}",
                                 "{",
                                 "nul",
                                 "",
                                 "{\"a\":nan}",
                                 "{\"a\":-Inf}",
                                 "{\"a\":\"\\u12"}) {
    EXPECT_FALSE(Parse(text).ok()) << text;
    EXPECT_FALSE(nlohmann::json::accept(text)) << text;
  }
}

TEST(JsonRecords, DamagedRecordsAreReadAsTheStandardParserReadsThem) {
  const std::string good = R"({"text":"a\u00e9\n","list":[1,-2.5e3,{"x":null}],"flag":true})";
  Random random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string text = good;
    const uint64_t edits = 1 + random.Below(3);
    for (uint64_t i = 0; i < edits; ++i)
      text[random.Below(text.size())] = "\"\\{}[],:0e-.u dT"[random.Below(16)];
    const auto json = Parse(text);
    const auto expected = nlohmann::json::parse(text, nullptr, false);
    ASSERT_EQ(json.ok(), expected.is_object()) << text << " (seed 11)";
    if (json.ok()) {
      EXPECT_EQ(*json, expected) << text;
    }
  }
}

TEST(JsonRecords, NamesThePlaceOfAnError) {
  EXPECT_EQ(Error("{\"é\": 1 x}"), "'d.json' line 1, column 9: expected ',' or '}' in the object");
  EXPECT_THAT(Error("[1]"), HasSubstr("'d.json' line 1, column 1: no JSON object"));
  const auto later = ParseJsonRecord({"{\n!}", {7, 3}}, "d.json");
  EXPECT_THAT(later.status().message(), HasSubstr("'d.json' line 8, column 1: expected a key"));
  EXPECT_THAT(Error(std::string(300, '[')), HasSubstr("nested deeper"));
}

TEST(JsonRecords, KeepsWhatIsNotAskedForAndNamesItWhereItIs) {
  const auto json = Parse(
      R"({"n": 1e400, "m": -1E+999, "x": [NaN, -Infinity, Infinity], "bad": "\ud800x", "pair": "\udc00\ud800", "text": "one", "\ud800": 1})");
  ASSERT_TRUE(json.ok()) << json.status().message();
  EXPECT_EQ(*JsonString(*json, "text"), "one");
  EXPECT_THAT(JsonString(*json, "bad").status().message(), HasSubstr("\"bad\" holds a lone surrogate"));
  EXPECT_THAT(JsonString(*json, "pair").status().message(), HasSubstr("\"pair\" holds a lone surrogate"));
  EXPECT_THAT(JsonString(*json, "n").status().message(), HasSubstr("\"n\" is no string"));
  EXPECT_THAT(JsonString(*json, "none").status().message(), HasSubstr("there is no \"none\""));
  EXPECT_EQ(ShowJson((*json)["n"]), "1e400");
  EXPECT_EQ(ShowJson((*json)["x"][1]), "-Infinity");
  EXPECT_EQ(ShowJson((*json)["bad"]), "\"\\ud800x\"");
}

}  // namespace
}  // namespace tern
