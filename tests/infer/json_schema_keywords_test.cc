// Each keyword of JSON Schema through the matcher: what may be written, and what may not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "infer/json_schema.h"
#include "tests/infer/grammar_testing.h"

namespace tern {
namespace {

struct KeywordRow {
  const char* schema;
  std::vector<const char*> texts, others;
};

void Check(const std::vector<KeywordRow>& table) {
  for (const KeywordRow& row : table) {
    SCOPED_TRACE(row.schema);
    const auto grammar = JsonSchemaGrammar(row.schema);
    EXPECT_TRUE(grammar.ok()) << grammar.status().message();
    if (!grammar.ok()) continue;
    for (const char* text : row.texts) EXPECT_TRUE(testing::Accepts(*grammar, text)) << text;
    for (const char* text : row.others) EXPECT_FALSE(testing::Accepts(*grammar, text)) << text;
  }
}

TEST(JsonSchemaKeywords, NumbersAreComparedExactly) {
  Check({
      {R"({"type":"integer","allOf":[{"maximum":-5},{"maximum":10000000000000000000}]})", {"-5", "-77"}, {"77", "-4"}},
      {R"({"enum":[-5,7],"maximum":10000000000000000000})", {"-5", "7"}, {}},
      {R"({"type":"integer","allOf":[{"minimum":9007199254740992.0},{"minimum":9007199254740993}]})",
       {"9007199254740993"},
       {"9007199254740992"}},
      {R"({"enum":[18446744073709551615,1],"not":{"multipleOf":3}})", {"1"}, {"18446744073709551615"}},
      {R"({"enum":[0.3,0.35],"multipleOf":0.1})", {"0.3"}, {"0.35"}},
      {R"({"enum":[-1,18446744073709551615],"const":-1})", {"-1"}, {"18446744073709551615"}},
  });
}

TEST(JsonSchemaKeywords, AMultipleOfWhatIsNotAboveZeroIsRefused) {
  for (const char* schema : {R"({"enum":[{"a":-9223372036854775808}],"properties":{"a":{"multipleOf":-1}}})",
                             R"({"enum":[1],"multipleOf":0})", R"({"type":"integer","multipleOf":-2})"}) {
    EXPECT_FALSE(JsonSchemaGrammar(schema).ok()) << schema;
  }
}

TEST(JsonSchemaKeywords, ANumberThatIsNotHeldExactlyIsRefusedByItsDigits) {
  const auto grammar = JsonSchemaGrammar(R"({"type":"integer","minimum":123456789012345678901234567890})");
  ASSERT_FALSE(grammar.ok());
  EXPECT_THAT(grammar.status().message(), ::testing::HasSubstr("123456789012345678901234567890"));
}

TEST(JsonSchemaKeywords, UnknownOnesAreAnnotations) {
  Check({
      {R"({"type": "null", "name": 1, "self": {"vendor": "x"}, "javaType": [], "x-y": false})",
       {"null"},
       {"1"}},
      {R"({"type": "string", "format": "credit-card"})", {R"("a")"}, {"1"}},
      {R"({"then": false, "else": false, "additionalItems": false})", {"1", "[1]"}, {}},
      {R"({"$defs": {"a": {"type": "nothing"}}, "type": "null"})", {"null"}, {}},
  });
}

TEST(JsonSchemaKeywords, Types) {
  Check({
      {R"({"type": ["integer", "null"]})", {"1", "null"}, {"1.5", "true", R"("a")"}},
      {R"({"minLength": 2})", {"1", "null", "{}", R"("ab")"}, {R"("a")"}},
      {R"({"properties": {"a": {"type": "null"}}})", {"[]", R"({"a":null})"}, {R"({"a":1})"}},
      {R"({"type": "string", "nullable": true})", {"null", R"("a")"}, {"1"}},
      {R"({"type": "string", "nullable": false})", {R"("a")"}, {"null"}},
      {R"({"type": "string", "nullable": true, "enum": ["a"]})", {R"("a")"}, {"null"}},
  });
}

TEST(JsonSchemaKeywords, EnumAndConstBesideOthers) {
  Check({
      {R"({"enum": [1, 2.5, "a", "abc", null, [1], {"a": 1}], "minLength": 2, "maximum": 2, "minItems": 2})",
       {"1", R"("abc")", "null", R"({"a":1})"},
       {"2.5", R"("a")", "[1]"}},
      {R"({"const": 1, "enum": [1.0, 2]})", {"1"}, {"2"}},
      {R"({"enum": ["a", "b", "c"], "not": {"const": "b"}})", {R"("a")", R"("c")"}, {R"("b")"}},
      {R"({"enum": ["2024-01-01", "x"], "format": "date"})", {R"("2024-01-01")"}, {R"("x")"}},
      {R"({"enum": [{"a": 1}, {"b": 2}], "required": ["b"]})", {R"({"b":2})"}, {R"({"a":1})"}},
  });
}

TEST(JsonSchemaKeywords, AdditionalAndPatternProperties) {
  Check({
      {R"({"type": "object", "properties": {"a": {"type": "null"}}})",
       {R"({"a":null,"b":1})", R"({"b":1,"c":[]})", "{}"},
       {R"({"a":1})", R"({"b":1,"a":null})"}},
      {R"({"type": "object", "additionalProperties": false})", {"{}"}, {R"({"a":1})"}},
      {R"({"type": "object", "patternProperties": {"^n": {"type": "null"}}, "additionalProperties": {"type": "boolean"}})",
       {R"({"n":null,"m":true,"no":null})", "{}"},
       {R"({"n":true})", R"({"m":null})"}},
      {R"({"type": "object", "patternProperties": {"^a": {"minimum": 1}, "b$": {"maximum": 2}}, "additionalProperties": false})",
       {R"({"a":9,"b":-9,"ab":2})"},
       {R"({"ab":3})", R"({"ab":0})", R"({"c":1})"}},
      {R"({"type": "object", "properties": {"ab": {"type": "integer"}}, "patternProperties": {"^a": {"minimum": 5}}})",
       {R"({"ab":5})", R"({"a":5.5})", R"({"c":0})"},
       {R"({"ab":4})", R"({"ab":5.5})", R"({"a":4})"}},
      {R"({"type": "object", "required": ["x"], "properties": {"a": {}}})",
       {R"({"x":1})", R"({"a":1,"x":2,"y":3})"},
       {R"({"a":1})", "{}"}},
      {R"({"type": "object", "properties": {"a": false, "b": true}})", {"{}", R"({"b":1})"}, {R"({"a":1})"}},
  });
}

TEST(JsonSchemaKeywords, NamesAndCountsOfProperties) {
  Check({
      {R"({"type": "object", "propertyNames": {"pattern": "^[a-c]$"}})",
       {R"({"a":1,"c":null})", "{}"},
       {R"({"d":1})", R"({"ab":1})"}},
      {R"({"type": "object", "propertyNames": {"enum": ["x", "yy"]}, "additionalProperties": {"type": "null"}})",
       {R"({"x":null,"yy":null})"},
       {R"({"x":1})", R"({"y":null})"}},
      {R"({"type": "object", "propertyNames": {"maxLength": 1}, "properties": {"ab": {}, "c": {}}})",
       {R"({"c":1,"d":1})"},
       {R"({"ab":1})"}},
      {R"({"type": "object", "minProperties": 1})", {R"({"a":1})", R"({"a":1,"b":2})"}, {"{}"}},
      {R"({"type": "object", "maxProperties": 1})", {"{}", R"({"a":1})"}, {R"({"a":1,"b":2})"}},
      {R"({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "additionalProperties": false, "minProperties": 2,
          "maxProperties": 2})",
       {R"({"a":1,"b":2})", R"({"a":1,"c":2})", R"({"b":1,"c":2})"},
       {"{}", R"({"a":1})", R"({"a":1,"b":2,"c":3})"}},
      {R"({"type": "object", "properties": {"a": {}}, "required": ["a"], "minProperties": 2})",
       {R"({"a":1,"b":2})"},
       {R"({"a":1})", R"({"b":1,"b":2})"}},
      // A name that comes twice counts once.
      {R"({"type": "object", "properties": {"a": {}}, "minProperties": 2})",
       {R"({"a":1,"b":2})"},
       {R"({"b":1,"b":2})", R"({"a":1})"}},
  });
}

TEST(JsonSchemaKeywords, Dependencies) {
  for (const char* key : {"dependencies", "dependentRequired"}) {
    const std::string schema = R"({"type": "object", "properties": {"a": {}, "b": {}}, ")" +
                               std::string(key) + R"(": {"a": ["b", "c"]}})";
    Check({{schema.c_str(),
            {"{}", R"({"b":1})", R"({"a":1,"b":2,"c":3})"},
            {R"({"a":1})", R"({"a":1,"b":2})"}}});
  }
  for (const char* key : {"dependencies", "dependentSchemas"}) {
    const std::string schema = R"({"type": "object", "properties": {"a": {}, "b": {}}, ")" +
                               std::string(key) + R"(": {"a": {"properties": {"b": {"type": "null"}}}}})";
    Check({{schema.c_str(), {R"({"b":1})", R"({"a":1,"b":null})", R"({"a":1})"}, {R"({"a":1,"b":2})"}}});
  }
}

TEST(JsonSchemaKeywords, Items) {
  Check({
      {R"({"type": "array", "prefixItems": [{"type": "null"}, false, {}]})", {"[]", "[null]"}, {"[null,1]"}},
      {R"({"type": "array", "items": [{"type": "null"}], "additionalItems": false})",
       {"[]", "[null]"},
       {"[null,1]"}},
      {R"({"type": "array", "prefixItems": [{"type": "null"}]})", {"[null,1,2]"}, {"[1]"}},
      {R"({"type": "array", "contains": {"const": 1}})", {"[1]", "[2,1,3]", "[1,1]"}, {"[]", "[2]"}},
      {R"({"type": "array", "contains": {"const": 1}, "minItems": 2, "maxItems": 3})",
       {"[1,2]", "[2,3,1]"},
       {"[1]", "[2,3]", "[1,2,3,4]", "[2,3,4,1]"}},
      {R"({"type": "array", "contains": {"type": "null"}, "prefixItems": [{"type": "integer"}]})",
       {"[1,null]"},
       {"[null]", "[1]", "[1,2]"}},
      {R"({"type": "array", "items": {"enum": ["a", "b", 1]}, "uniqueItems": true, "minItems": 1})",
       {R"(["a"])", R"(["b",1,"a"])"},
       {"[]", R"(["a","a"])", R"(["a","b","a"])"}},
      {R"({"type": "array", "items": {"type": "boolean"}, "uniqueItems": true})",
       {"[true,false]"},
       {"[true,true]"}},
      {R"({"type": "array", "uniqueItems": true, "maxItems": 1})", {"[]", "[{}]"}, {"[1,2]"}},
  });
}

TEST(JsonSchemaKeywords, NumbersOfBothDrafts) {
  Check({
      {R"({"type": "integer", "minimum": 1, "exclusiveMinimum": true, "maximum": 3, "exclusiveMaximum": false})",
       {"2", "3"},
       {"1", "4"}},
      {R"({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5})", {"0.25", "0.5"}, {"0", "0.75", "-1"}},
      {R"({"type": "integer", "allOf": [{"multipleOf": 2}, {"multipleOf": 3}]})",
       {"6", "0", "-12"},
       {"2", "3"}},
      {R"({"type": "number", "not": {"type": "integer"}})", {"1.5"}, {"1", "1.0"}},
      {R"({"type": "integer", "not": {"enum": [1, 2]}})", {"3", "12"}, {"1", "2"}},
      {R"({"type": "integer", "not": {"multipleOf": 5}})", {"1", "12"}, {"5", "10", "0"}},
  });
}

TEST(JsonSchemaKeywords, OneOfMayOverlap) {
  Check({
      {R"({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]})", {"1", "2.5"}, {"2", "1.5"}},
      {R"({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]})",
       {R"({"a":1})", R"({"b":1})", R"({"a":1,"c":1})"},
       {R"({"a":1,"b":1})", "{}"}},
      {R"({"oneOf": [{"type": "string", "maxLength": 3}, {"type": "string", "pattern": "^a"}]})",
       {R"("b")", R"("abcd")"},
       {R"("a")", R"("bcde")"}},
      {R"({"oneOf": [{"const": "a"}, {"enum": ["a", "b"]}]})", {R"("b")"}, {R"("a")", R"("c")"}},
      {R"({"oneOf": [{"type": "object", "properties": {"k": {"const": 1}, "x": {"type": "null"}}, "required": ["k"]},
                     {"type": "object", "properties": {"k": {"const": 2}, "y": {"type": "null"}}, "required": ["k"]}]})",
       {R"({"k":1,"x":null})", R"({"k":2,"y":null,"x":1})"},
       {R"({"k":1,"x":1})", R"({"k":3})", "{}"}},
  });
}

TEST(JsonSchemaKeywords, AnyOfAndAllOfBesideOthers) {
  Check({
      {R"({"type": "object", "properties": {"a": {"type": "integer"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]})",
       {R"({"a":1})", R"({"b":1})", R"({"a":1,"b":1})"},
       {"{}", R"({"a":null,"b":1})"}},
      {R"({"anyOf": [{"minimum": 5}, {"multipleOf": 2}], "type": "integer", "maximum": 7})",
       {"5", "2", "7", "-2"},
       {"3", "8"}},
      {R"({"allOf": [{"pattern": "a"}, {"pattern": "b"}, {"maxLength": 3}], "type": "string"})",
       {R"("ab")", R"("xba")"},
       {R"("a")", R"("abxx")"}},
      {R"({"allOf": [{"anyOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "null"}, {"type": "integer"}]}]})",
       {"null"},
       {"1", R"("a")"}},
      {R"({"allOf": [{"type": "object", "properties": {"a": {"minimum": 1}}}, {"properties": {"a": {"maximum": 2}}}]})",
       {R"({"a":1})", R"({"a":"x"})"},
       {R"({"a":0})", R"({"a":3})"}},
  });
}

TEST(JsonSchemaKeywords, NotOfSimpleThings) {
  Check({
      {R"({"not": {"type": ["string", "object"]}})", {"1", "[]", "null"}, {R"("a")", "{}"}},
      {R"({"type": "string", "not": {"pattern": "^a"}})", {R"("b")", R"("")"}, {R"("a")", R"("ab")"}},
      {R"({"type": "string", "not": {"enum": ["a", "b"]}})", {R"("c")", R"("ab")"}, {R"("a")", R"("b")"}},
      {R"({"type": "object", "properties": {"a": {}, "b": {}}, "not": {"required": ["a", "b"]}})",
       {"{}", R"({"a":1})", R"({"b":1})"},
       {R"({"a":1,"b":1})"}},
      {R"({"type": "object", "properties": {"a": {}}, "not": {"properties": {"a": {"type": "null"}}}})",
       {R"({"a":1})"},
       {R"({"a":null})", "{}"}},
      {R"({"type": "array", "not": {"items": {"type": "null"}}})", {"[1]", "[null,1]"}, {"[]", "[null]"}},
      {R"({"type": "array", "not": {"contains": {"type": "null"}}})", {"[]", "[1]"}, {"[1,null]"}},
      {R"({"type": "array", "not": {"minItems": 2}})", {"[]", "[1]"}, {"[1,2]"}},
      {R"({"not": {"anyOf": [{"type": "null"}, {"minimum": 3}]}, "type": ["null", "integer"]})",
       {"2"},
       {"null", "3"}},
      {R"({"not": {"not": {"type": "null"}}})", {"null"}, {"1"}},
      {R"({"type": "object", "properties": {"a": {"not": {}}, "b": {}}})", {R"({"b":1})"}, {R"({"a":1})"}},
  });
}

TEST(JsonSchemaKeywords, IfThenElse) {
  Check({
      {R"({"type": "object", "properties": {"k": {"enum": ["a", "b", "c"]}, "v": {}}, "required": ["k"],
           "if": {"properties": {"k": {"const": "a"}}}, "then": {"properties": {"v": {"type": "null"}}},
           "else": {"required": ["v"]}})",
       {R"({"k":"a","v":null})", R"({"k":"a"})", R"({"k":"b","v":1})"},
       {R"({"k":"a","v":1})", R"({"k":"b"})"}},
      {R"({"type": "integer", "if": {"minimum": 10}, "then": {"multipleOf": 10}})", {"3", "20"}, {"11"}},
      {R"({"if": {"type": "string"}, "else": {"type": "null"}})", {R"("a")", "null"}, {"1"}},
  });
}

TEST(JsonSchemaKeywords, References) {
  Check({
      {R"({"$ref": "#/definitions/Partial%3CFoo%3E", "definitions": {"Partial<Foo>": {"type": "boolean"}}})",
       {"true"},
       {"1"}},
      {R"({"$ref": "#/$defs/a", "maxLength": 2, "$defs": {"a": {"type": "string"}}})",
       {R"("ab")"},
       {R"("abc")", "1"}},
      // Drafts up to 7 ignore what stands beside a reference.
      {R"({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "maxLength": 2,
           "definitions": {"a": {"type": "string"}}})",
       {R"("abc")"},
       {"1"}},
      {R"({"$id": "http://example.com/root.json", "items": {"$ref": "part.json#/$defs/b"}, "type": "array",
           "$defs": {"p": {"$id": "part.json", "$defs": {"b": {"type": "null"}}}}})",
       {"[null]"},
       {"[1]"}},
      {R"({"$ref": "#here", "$defs": {"x": {"$anchor": "here", "type": "null"}}})", {"null"}, {"1"}},
      {R"({"definitions": {"x": {"id": "#old", "type": "null"}}, "$ref": "#old"})", {"null"}, {"1"}},
      {R"({"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": false})",
       {R"({"next":{"next":{}}})"},
       {R"({"next":1})"}},
      {R"({"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/b"}}, "b": {"anyOf": [{"$ref": "#/$defs/a"},
           {"type": "null"}]}}, "$ref": "#/$defs/b"})",
       {"[[null],[]]", "null"},
       {"[1]"}},
  });
}

}  // namespace
}  // namespace tern
