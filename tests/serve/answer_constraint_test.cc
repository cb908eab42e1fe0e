// Every field that says what an answer must be is honoured or refused by name.
#include "serve/answer_constraint.h"

#include <gmock/gmock.h>

#include <string>

#include "serve/openai_request.h"
#include "tests/serve/service_testing.h"

namespace tern::serve {
namespace {

using Kind = ConstraintText::Kind;
using ::testing::HasSubstr;

struct Said {
  const char* fields;
  Kind kind;
  const char* text;
};

TEST(AnswerConstraint, IsReadUnderEachOfItsNames) {
  const char* schema = R"({"type":"integer"})";
  const Said cases[] = {
      {R"({})", Kind::kNone, ""},
      {R"({"response_format":{"type":"text"}})", Kind::kNone, ""},
      {R"({"response_format":{"type":"json_object"}})", Kind::kJsonObject, ""},
      {R"({"response_format":{"type":"json_object","schema":{"type":"integer"}}})", Kind::kJsonSchema,
       schema},
      {R"({"response_format":{"type":"json_schema","schema":{"type":"integer"}}})", Kind::kJsonSchema,
       schema},
      {R"({"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"integer"}}}})",
       Kind::kJsonSchema, schema},
      {R"({"response_format":{"type":"grammar","grammar":"root ::= \"a\""}})", Kind::kGrammar,
       "root ::= \"a\""},
      {R"({"response_format":{"type":"regex","pattern":"a+"}})", Kind::kRegex, "a+"},
      {R"({"json_schema":{"type":"integer"}})", Kind::kJsonSchema, schema},
      {R"({"json_schema":"{\"type\":\"integer\"}"})", Kind::kJsonSchema, schema},
      {R"({"json_schema":{"name":"n","schema":{"type":"integer"}}})", Kind::kJsonSchema, schema},
      {R"({"guided_json":{"type":"integer"}})", Kind::kJsonSchema, schema},
      {R"({"guided_json":"{\"type\": \"integer\"}"})", Kind::kJsonSchema, schema},
      {R"({"guided_json_object":true})", Kind::kJsonObject, ""},
      {R"({"guided_json_object":false})", Kind::kNone, ""},
      {R"({"guided_choice":["yes","no"]})", Kind::kChoice, R"(["yes","no"])"},
      {R"({"guided_regex":"\\d+"})", Kind::kRegex, "\\d+"},
      {R"({"regex":"a"})", Kind::kRegex, "a"},
      {R"({"guided_grammar":"root ::= \"a\""})", Kind::kGrammar, "root ::= \"a\""},
      {R"({"grammar":"root ::= \"a\""})", Kind::kGrammar, "root ::= \"a\""},
      {R"({"grammar":""})", Kind::kNone, ""},
      {R"({"ebnf":"root ::= \"a\""})", Kind::kGrammar, "root ::= \"a\""},
      {R"({"structured_outputs":{"json":{"type":"integer"}}})", Kind::kJsonSchema, schema},
      {R"({"structured_outputs":{"json_object":true}})", Kind::kJsonObject, ""},
      {R"({"structured_outputs":{"choice":["a"],"regex":null}})", Kind::kChoice, R"(["a"])"},
      {R"({"structured_outputs":{"regex":"a","disable_any_whitespace":false}})", Kind::kRegex, "a"},
      {R"({"structured_outputs":{"grammar":"root ::= \"a\""}})", Kind::kGrammar, "root ::= \"a\""},
      {R"({"format":"json"})", Kind::kJsonObject, ""},
      {R"({"format":{"type":"integer"}})", Kind::kJsonSchema, schema},
  };
  for (const Said& said : cases) {
    SCOPED_TRACE(said.fields);
    const auto read = ReadConstraint(nlohmann::ordered_json::parse(said.fields));
    ASSERT_TRUE(read.ok()) << read.status().message;
    EXPECT_EQ(read->kind, said.kind);
    EXPECT_EQ(read->text, said.text);
  }
}

struct Wrong {
  const char* fields;
  const char* param;
};

TEST(AnswerConstraint, WhatCannotBeHonouredIsRefusedByName) {
  const Wrong cases[] = {
      {R"({"response_format":{}})", "response_format"},
      {R"({"response_format":{"type":"structural_tag","structures":[]}})", "response_format"},
      {R"({"response_format":{"type":"text","schema":{}}})", "response_format"},
      {R"({"response_format":{"type":"json_object","shema":{}}})", "response_format"},
      {R"({"response_format":{"type":"json_object","schema":5}})", "response_format"},
      {R"({"response_format":{"type":"json_schema","json_schema":{"name":"n"}}})", "response_format"},
      {R"({"response_format":{"type":"json_schema","schema":{},"json_schema":{"schema":{}}}})",
       "response_format"},
      {R"({"response_format":{"type":"grammar","grammar":{"a":1}}})", "response_format"},
      {R"({"json_schema":"no JSON"})", "json_schema"},
      {R"({"json_schema":"[1]"})", "json_schema"},
      {R"({"guided_choice":[]})", "guided_choice"},
      {R"({"guided_choice":["a",1]})", "guided_choice"},
      {R"({"guided_regex":""})", "guided_regex"},
      {R"({"structured_outputs":{}})", "structured_outputs"},
      {R"({"structured_outputs":{"json":{},"regex":"a"}})", "structured_outputs"},
      {R"({"structured_outputs":{"structural_tag":"x"}})", "structured_outputs"},
      {R"({"structured_outputs":{"json":{},"disable_any_whitespace":true}})", "structured_outputs"},
      {R"({"structured_outputs":{"json":{},"whitespace_pattern":" "}})", "structured_outputs"},
      {R"({"format":"xml"})", "format"},
      {R"({"guided_json":{},"guided_regex":"a"})", "guided_json"},
      {R"({"response_format":{"type":"json_object"},"json_schema":{}})", "response_format"},
      {R"({"json_schema":{},"grammar":"root ::= \"a\""})", "json_schema"},
  };
  for (const Wrong& wrong : cases) {
    SCOPED_TRACE(wrong.fields);
    const auto read = ReadConstraint(nlohmann::ordered_json::parse(wrong.fields));
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.status().status, 400);
    EXPECT_EQ(read.status().param, wrong.param);
    EXPECT_THAT(read.status().message, HasSubstr(wrong.param));
  }
}

/// A field, and a full match of what then may come.
struct Bound {
  const char* field;
  testing::json value;
  const char* matches;
};

const testing::json kDigit = {{"enum", {3, 5}}};
const char* const kGrammar = "root ::= [0-9] [0-9]";

std::vector<Bound> Bounds() {
  return {{"response_format", {{"type", "json_object"}, {"schema", kDigit}}, " ?[35]"},
          {"response_format", {{"type", "json_schema"}, {"json_schema", {{"schema", kDigit}}}}, " ?[35]"},
          {"json_schema", kDigit, " ?[35]"},
          {"guided_json", kDigit, " ?[35]"},
          {"guided_choice", {"yes", "no"}, "yes|no"},
          {"guided_regex", "[a-c]{3}", "[abc][abc][abc]"},
          {"guided_grammar", kGrammar, "[0-9][0-9]"},
          {"structured_outputs", {{"choice", {"yes", "no"}}}, "yes|no"},
          {"structured_outputs", {{"json", kDigit}}, " ?[35]"},
          {"grammar", kGrammar, "[0-9][0-9]"},
          {"format", kDigit, " ?[35]"}};
}

TEST(AnswerConstraint, BindsChatsAndCompletions) {
  const testing::Service service;
  for (const Bound& bound : Bounds()) {
    SCOPED_TRACE(std::string(bound.field) + " " + bound.value.dump());
    testing::json chat = testing::Say("Which?", 30), completion = testing::Prompt("Which? ", 30);
    chat[bound.field] = completion[bound.field] = bound.value;
    const testing::json said = service.Post(testing::kChat, chat);
    EXPECT_THAT(testing::Content(said), ::testing::MatchesRegex(bound.matches));
    EXPECT_EQ(said["choices"][0]["finish_reason"], "stop");
    EXPECT_THAT(testing::Text(service.Post(testing::kCompletions, completion)),
                ::testing::MatchesRegex(bound.matches));
  }
}

TEST(AnswerConstraint, ALanguageThatIsNotReadIsRefusedByTheServiceToo) {
  const testing::Service service;
  const std::vector<std::pair<const char*, testing::json>> cases = {
      {"guided_grammar", "start: \"a\" | \"b\""},  // Lark
      {"guided_regex", "(a)\\1"},
      {"json_schema", {{"type", "text"}}},
      {"bnf_schema", "start ::= a"},
      {"structural_tag", {{"x", 1}}},
      {"guided_grammar", ""},
      {"extra_body", {{"guided_choice", testing::json::array({"a"})}}},
      {"json", {{"type", "integer"}}},
      {"choice", testing::json::array({"a"})}};
  for (const auto& [field, value] : cases) {
    for (testing::json request : {testing::Prompt("a", 5), testing::Say("a", 5)}) {
      request[field] = value;
      const char* path = request.contains("prompt") ? testing::kCompletions : testing::kChat;
      const testing::json error = service.Fail("POST", path, request);
      EXPECT_EQ(error["status"], 400) << field;
      EXPECT_EQ(error["param"], field);
    }
  }
}

}  // namespace
}  // namespace tern::serve
