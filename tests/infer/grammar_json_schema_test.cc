// Whatever is written under a schema's masks is JSON and valid; what cannot be promised is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "infer/json_schema.h"
#include "tests/infer/grammar_json_validator.h"
#include "tests/infer/grammar_testing.h"
#include "tests/testing/test_data.h"

namespace tern {
namespace {

using testing::Accepts;
using ::testing::HasSubstr;
using testing::IsValid;
using testing::SchemaJson;
using ::testing::StartsWith;

std::shared_ptr<const Grammar> SchemaOf(const std::string& text) {
  auto grammar = JsonSchemaGrammar(text);
  EXPECT_TRUE(grammar.ok()) << grammar.status().message() << "\nin\n" << text;
  return grammar.ok() ? *grammar : nullptr;
}

const std::vector<std::string>& Schemas() {
  static const std::vector<std::string> schemas = {
      R"(true)",
      R"({})",
      R"({"type": "object"})",
      R"({"type": "string", "minLength": 2, "maxLength": 5})",
      R"({"type": "string", "maxLength": 0})",
      R"({"type": ["integer", "null", "boolean"]})",
      R"({"type": "number"})",
      R"({"type": "integer", "minimum": -17, "maximum": 1234})",
      R"({"type": "integer", "exclusiveMinimum": 99, "exclusiveMaximum": 101})",
      R"({"type": "integer", "minimum": 7.5, "maximum": 1e3})",
      R"({"type": "integer", "maximum": -100})",
      R"({"type": "number", "minimum": -2, "maximum": 10})",
      R"({"type": "number", "minimum": 0})",
      R"({"enum": ["red", "green\n", 5, null, [1, "a"], {"b": 2.5}]})",
      R"({"type": "string", "enum": ["x", 1]})",
      R"({"const": {"a": [true, {"é": "\u0001\""}]}})",
      R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {"type": "boolean"}},
          "required": ["b"], "additionalProperties": false})",
      R"({"properties": {"a": {}, "ab": {"type": "null"}, "é\"": {"type": "number"}}, "required": ["ab"],
          "additionalProperties": {"type": "integer"}})",
      R"({"type": "object", "properties": {"name": {"const": 1}}, "additionalProperties": true})",
      R"({"type": "object", "required": ["x", "y"], "additionalProperties": {"type": "array", "items": {"type": "null"}}})",
      R"({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4})",
      R"({"type": "array", "items": false})",
      R"({"type": "array", "maxItems": 0})",
      R"({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": {"type": "null"}, "minItems": 1,
          "maxItems": 5})",
      R"({"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}], "minItems": 2, "items": false})",
      R"({"type": "array", "prefixItems": [{"type": "null"}], "minItems": 3})",
      R"({"anyOf": [{"type": "string", "maxLength": 3}, {"type": "object", "properties": {"z": {"type": "null"}}}]})",
      R"({"oneOf": [{"type": "string"}, {"type": "integer"}, {"const": null}]})",
      R"({"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "n": {"type": "integer"}}, "required": ["kind"]},
                    {"type": "object", "properties": {"kind": {"const": "b"}, "s": {"type": "string"}}, "required": ["kind"]}]})",
      R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
          "anyOf": [{"required": ["a"]}, {"required": ["b"]}]})",
      R"({"allOf": [{"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]},
                    {"properties": {"a": {"maximum": 5}, "b": {"type": "string"}}, "required": ["b"]}]})",
      R"({"$defs": {"base": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}},
          "allOf": [{"$ref": "#/$defs/base"}, {"properties": {"tag": {"enum": ["x", "y"]}}}]})",
      R"({"$defs": {"tree": {"type": "object", "properties": {"v": {"type": "integer"},
                    "left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["v", "left"],
                    "additionalProperties": false}}, "$ref": "#/$defs/tree"})",
      R"({"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": false})",
      R"({"definitions": {"a/b~c": {"type": "boolean"}}, "type": "array", "items": {"$ref": "#/definitions/a~1b~0c"}})",
      R"({"type": "string", "pattern": "^[a-z]{2,4}(-[0-9]+)?$"})",
      R"({"type": "string", "pattern": "[a-y]|^c"})",
      R"({"type": "string", "pattern": "^\\d{3}[ \\t]\\w+[^\\x00-\\x7a]?\\\\\"/$"})",
      R"({"type": "string", "pattern": "^(?:a|b)*?(c.){1,2}$"})",
      R"({"type": "string", "format": "date"})",
      R"({"type": "string", "format": "time"})",
      R"({"type": "string", "format": "date-time"})",
      R"({"type": "string", "format": "uuid"})",
      R"({"type": "string", "format": "email"})",
      R"({"type": "string", "format": "ipv4"})",
      R"({"type": "string", "format": "ipv6"})",
      R"({"type": "string", "format": "hostname"})",
      R"({"type": "string", "format": "duration"})",
      R"({"title": "a person", "type": "object", "properties": {"name": {"type": "string", "description": "all of it"},
          "age": {"type": "integer", "minimum": 0, "maximum": 130}, "tags": {"type": "array", "items": {"type": "string",
          "maxLength": 8}, "maxItems": 3}, "address": {"type": "object", "properties": {"city": {"type": "string"}, "zip":
          {"type": "string", "pattern": "^[0-9]{5}$"}}, "required": ["city", "zip"], "additionalProperties": false}},
          "required": ["name", "age", "address"], "additionalProperties": false, "x-order": 1})",
  };
  return schemas;
}

/// Random texts under the masks, complete ones checked. Returns how many were complete.
int WriteAndCheck(const std::string& schema_text, const std::shared_ptr<const TokenTree>& tree, uint64_t seed,
                  int texts) {
  SCOPED_TRACE(schema_text + "\nseed " + std::to_string(seed));
  const auto grammar = SchemaOf(schema_text);
  if (!grammar) return 0;
  const SchemaJson schema = SchemaJson::parse(schema_text);
  const auto masks = std::make_shared<TokenMasks>(grammar, tree);
  Random random(seed);
  int complete = 0;
  for (int i = 0; i < texts; ++i) {
    const testing::Written written = testing::WriteAtRandom(masks, &random, 300, 0.3, 0.5);
    if (!written.complete) continue;
    ++complete;
    const auto value = SchemaJson::parse(written.text, nullptr, /*allow_exceptions=*/false);
    EXPECT_FALSE(value.is_discarded()) << "no JSON: " << written.text;
    if (value.is_discarded()) continue;
    EXPECT_TRUE(IsValid(schema, value, schema)) << "not valid: " << written.text;
  }
  return complete;
}

TEST(GrammarJsonSchema, WritesNothingButValidJson) {
  const auto tokenizer = testing::JsonVocabulary();
  const auto tree = std::make_shared<const TokenTree>(*tokenizer);
  uint64_t seed = 1000;
  for (const std::string& schema : Schemas()) {
    EXPECT_GT(WriteAndCheck(schema, tree, ++seed, 30), 0) << "no text was complete: " << schema;
  }
}

TEST(GrammarJsonSchema, WritesNothingButValidJsonInWorldsVocabulary) {
  TERN_REQUIRE_TEST_DATA(data);
  const auto tokenizer = LoadWorldTokenizer(data + "/tokenizer/rwkv_vocab_v20230424.txt");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  const auto tree = std::make_shared<const TokenTree>(**tokenizer);
  uint64_t seed = 2000;
  int complete = 0;
  for (const std::string& schema : Schemas()) complete += WriteAndCheck(schema, tree, ++seed, 3);
  EXPECT_GT(complete, 50);
}

TEST(GrammarJsonSchema, LeavesOutNoIntegerBetweenItsBounds) {
  Random random(77);
  for (int round = 0; round < 60; ++round) {
    int64_t low = static_cast<int64_t>(random.Below(round % 2 == 0 ? 300 : 3000)) - 150;
    int64_t high = low + static_cast<int64_t>(random.Below(round % 3 == 0 ? 10 : 1200));
    const SchemaJson schema = {{"type", "integer"}, {"minimum", low}, {"maximum", high}};
    const auto grammar = SchemaOf(schema.dump());
    for (int64_t n = low - 30; n <= high + 30; ++n) {
      EXPECT_EQ(Accepts(grammar, std::to_string(n)), low <= n && n <= high) << n << " in " << schema;
    }
    EXPECT_FALSE(Accepts(grammar, "0" + std::to_string(high)));
    EXPECT_FALSE(Accepts(grammar, "-0"));
  }
  const auto wide =
      SchemaOf(R"({"type": "integer", "minimum": -9223372036854775808, "maximum": 18446744073709551615})");
  EXPECT_TRUE(Accepts(wide, "18446744073709551615"));
  EXPECT_FALSE(Accepts(wide, "18446744073709551616"));
  EXPECT_TRUE(Accepts(wide, "-9223372036854775808"));
  EXPECT_FALSE(Accepts(wide, "-9223372036854775809"));
}

struct Row {
  const char* schema;
  std::vector<std::string> texts;
  std::vector<std::string> others;
};

TEST(GrammarJsonSchema, MeansWhatItsKeywordsSay) {
  const std::vector<Row> table = {
      {R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "required": ["b"]})",
       {R"({"a":1,"b":null})", R"({"b": null})", R"( { "a": 1, "b": null })"},
       {R"({"b":null,"a":1})", R"({"a":1})", R"({})", R"({"b":null,})", R"({"c":1,"b":null})",
        R"({"a":1,  "b":null})", "{\"b\":\nnull}"}},
      {R"({"properties": {"ab": {}}, "additionalProperties": {"type": "null"}})",
       {R"({})", R"({"a":null,"abc":null})", R"({"ab":[1,{}],"b":null})", R"({"":null})"},
       {R"({"a":null,"ab":null})", R"({"a":1})", R"({"a\u0062":null})"}},
      {R"({"type": "string", "minLength": 1, "maxLength": 2})",
       {R"("a")", R"("é漢")", R"("😀\n")", R"("\ud83d\ude00x")", R"("\u00e9")"},
       {R"("")", R"("abc")", R"("\ud83d")", R"("\ude00\ud83d")", "\"a\n\"", "\"\xC3\""}},
      {R"({"type": "number"})",
       {"0", "-0.5", "1e10", "12.25E-3", "-7"},
       {"01", "1.", ".5", "1e", "1e308", "+1", "--1", "NaN"}},
      {R"({"type": "number", "minimum": -1, "maximum": 2})",
       {"-1", "-1.0", "-0.99", "0", "1.999", "2", "2.00"},
       {"-1.01", "2.01", "3", "1e1", "0.1e1"}},
      {R"({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5})",
       {"0.1", "0.49999999999999994", "1e-7"},
       {"0", "0.5", "-0.1", "0.4999999999999999999"}},  // the last is read as 0.5
      {R"({"type": "number", "minimum": 0.1, "maximum": 10, "exclusiveMaximum": true})",
       {"0.1", "9.9", "1.5e-1"},
       {"10", "0.09", "1e1"}},
      {R"({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": {"const": 3}})",
       {"[]", "[1]", "[1, 2]", "[1,2,3,3]", "[ 1 ]"},
       {"[2]", "[1,3]", "[1,2,4]", "[1,]", "[,1]"}},
      {R"({"items": [{"const": 1}], "additionalItems": {"const": 2}, "minItems": 2, "maxItems": 3})",
       {"[1,2]", "[1,2,2]"},
       {"[1]", "[1,2,2,2]"}},
      {R"({"type": "string", "pattern": "b"})", {R"("b")", R"("abc")", R"("a\"b")"}, {R"("ac")", R"("")"}},
      {R"({"type": "string", "pattern": "ab|^c"})", {R"("c")", R"("xab")"}, {R"("xc")", R"("ac")"}},
      {R"({"type": "string", "pattern": "^(?<n>\\s)\\S\\D\\W$"})",
       {R"(" aa-")", "\"\u3000\u00e9b \""},
       {R"(" a1-")", R"("aaa-")"}},
      {R"({"type": "string", "pattern": "^a"})", {R"("a")", R"("ab")"}, {R"("ba")"}},
      {R"({"type": "string", "pattern": "^\\u0041\\x42[\\]\\-\\d]+$"})", {R"("AB]-7")"}, {R"("AB")"}},
      {R"({"type": "string", "format": "date"})",
       {R"("2024-02-29")", R"("2000-02-29")", R"("2023-12-31")"},
       {R"("2023-02-29")", R"("1900-02-29")", R"("2023-04-31")", R"("2023-13-01")", R"("2023-00-10")"}},
      {R"({"type": "string", "format": "ipv6"})",
       {R"("::")", R"("::1")", R"("1:2:3:4:5:6:7:8")", R"("fe80::a:b")", R"("1::")", R"("1:2:3:4:5:6:7::")"},
       {R"("1:2:3:4:5:6:7:8:9")", R"("1::2::3")", R"(":1")", R"("1:2:3:4:5:6:7")", R"("12345::")"}},
      {R"({"allOf": [{"type": "object", "properties": {"a": {"type": ["integer", "null"]}}, "additionalProperties": false},
                     {"properties": {"a": {"type": ["number", "string"]}, "b": {}}}]})",
       {R"({"a":1})", "{}"},
       {R"({"a":1.5})", R"({"a":null})", R"({"b":1})"}},
  };
  for (const Row& row : table) {
    const auto grammar = SchemaOf(row.schema);
    ASSERT_TRUE(grammar);
    for (const std::string& text : row.texts)
      EXPECT_TRUE(Accepts(grammar, text)) << row.schema << "\n" << text;
    for (const std::string& text : row.others)
      EXPECT_FALSE(Accepts(grammar, text)) << row.schema << "\n" << text;
  }
}

TEST(GrammarJsonSchema, RefusesWhatItCannotPromise) {
  const std::vector<std::pair<const char*, const char*>> table = {
      {R"({"type": "array", "uniqueItems": true})", "#/uniqueItems: only for"},
      {R"({"properties": {"a/b": {"contains": {}, "maxContains": 3}}})", "#/properties/a~1b/maxContains: "},
      {R"({"type": "object", "minProperties": 2})", "#/minProperties: "},
      {R"({"unevaluatedProperties": false})", "#/unevaluatedProperties: "},
      {R"({"$dynamicRef": "#a"})", "#/$dynamicRef: "},
      {R"({"type": "string", "pattern": "(?<=a)b"})", "#/pattern: "},
      {R"({"type": "string", "pattern": "a\\1"})", "#/pattern: "},
      {R"({"patternProperties": {"(a)\\1": {}}})", "#/patternProperties/(a)\\1: "},
      {R"-({"type": "string", "pattern": "a)"})-", "#/pattern: "},
      {R"({"type": "string", "pattern": "a{2,1}"})", "#/pattern: "},
      {R"({"type": "array", "minItems": 100000})", "#/minItems: "},
      {R"({"$ref": "http://example.com/s"})", "#/$ref: 'http://example.com/s' is not within"},
      // Values that fail a format, or the only ones that do not.
      {R"({"type": "string", "not": {"format": "date"}})", "#/not/format: "},
      {R"({"not": {"patternProperties": {"a": {"type": "null"}}}})", "#/not/patternProperties: "},
  };
  for (const auto& [schema, message] : table) {
    auto grammar = JsonSchemaGrammar(schema);
    ASSERT_FALSE(grammar.ok()) << schema;
    EXPECT_THAT(grammar.status().message(), StartsWith(message)) << schema;
  }
}

TEST(GrammarJsonSchema, NamesWhatMakesNoSense) {
  const std::vector<std::pair<const char*, const char*>> table = {
      {R"({"type": "strin"})", "#/type: not a type"},
      {R"({"type": []})", "#/type: an empty list"},
      {R"({"type": 5})", "#/type: not a type"},
      {R"({"enum": []})", "#/enum: "},
      {R"({"items": {"$ref": "#/$defs/x"}})", "#/items/$ref: there is nothing at"},
      {R"({"$ref": "#"})", "#: the schema refers to itself"},
      {R"({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}, "$ref": "#/$defs/a"})",
       "#/$defs/a: the schema refers to itself"},
      {R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})",
       "#: the schema can never end"},
      {R"({"type": "string", "minLength": -1})", "#/minLength: not a count"},
      {R"({"type": "integer", "multipleOf": 0})", "#/multipleOf: not above 0"},
      {R"({"minimum": "1"})", "#/minimum: not a number"},
      {R"({"properties": []})", "#/properties: "},
      {R"({"properties": {"a": 1}})", "#/properties: "},
      {R"({"patternProperties": []})", "#/patternProperties: "},
      {R"({"propertyNames": 1})", "#/propertyNames: "},
      {R"({"required": [1]})", "#/required: "},
      {R"({"required": true})", "#/required: "},
      {R"({"items": 1})", "#/items: "},
      {R"({"contains": 1})", "#/contains: "},
      {R"({"uniqueItems": 1})", "#/uniqueItems: "},
      {R"({"dependencies": {"a": 1}})", "#/dependencies/a: "},
      {R"({"not": 1})", "#/not: "},
      {R"({"if": 1, "then": true})", "#/if: "},
      {R"({"pattern": 1})", "#/pattern: "},
      {R"([])", "#: a schema is"},
      {R"({"anyOf": []})", "#/anyOf: "},
      {R"({"allOf": 1})", "#/allOf: "},
      {R"({"type")", "the schema is not JSON"},
      {"\"\xff\"", "the schema is not JSON"},
      // Nothing is valid.
      {R"(false)", "#: nothing is valid"},
      {R"({"not": {}})", "#: nothing is valid"},
      {R"({"type": "null", "enum": ["a"]})", "#: nothing is valid"},
      {R"({"enum": ["a"], "minLength": 3})", "#: nothing is valid"},
      {R"({"type": "integer", "minimum": 5, "maximum": 4})", "#: nothing is valid"},
      {R"({"type": "array", "minItems": 3, "maxItems": 2})", "#: nothing is valid"},
      {R"({"type": "string", "minLength": 2, "maxLength": 1})", "#: nothing is valid"},
      {R"({"allOf": [{"type": "string"}, {"type": "null"}]})", "#: nothing is valid"},
      {R"({"type": "object", "properties": {"a": false}, "required": ["a"]})", "#: nothing is valid"},
      {R"({"type": "object", "required": ["b"], "additionalProperties": false})", "#: nothing is valid"},
      {R"({"oneOf": [{"type": "integer"}, {"type": "integer"}]})", "#: nothing is valid"},
  };
  for (const auto& [schema, message] : table) {
    auto grammar = JsonSchemaGrammar(schema);
    ASSERT_FALSE(grammar.ok()) << schema;
    EXPECT_THAT(grammar.status().message(), StartsWith(message)) << schema;
  }
}

TEST(GrammarJsonSchema, AnEnumMayHaveMoreValuesThanATextHasPlaces) {
  std::string schema = R"({"type": "array", "items": {"enum": [)";
  for (int i = 10000; i < 19000; ++i) schema += "\"v" + std::to_string(i) + "\",";
  const auto grammar = SchemaOf(schema + "\"v1\"]}}");
  ASSERT_TRUE(grammar);
  GrammarMatcher matcher(grammar);
  ASSERT_TRUE(matcher.Advance("[\"v1"));
  EXPECT_FALSE(matcher.too_ambiguous());
  EXPECT_EQ(testing::NextBytes(matcher), "\"012345678");
  EXPECT_TRUE(Accepts(grammar, R"(["v10000", "v18999", "v1"])"));
  for (const char* text : {R"(["v19000"])", R"(["v1000"])", R"([""])", R"(["v"])"}) {
    EXPECT_FALSE(Accepts(grammar, text)) << text;
  }
}

TEST(GrammarJsonSchema, ValuesThatBeginAlikeAreAllThere) {
  const auto grammar =
      SchemaOf(R"({"enum": [1, 12, 123, 12, "a", "ab", "é", "è", true, null, -1, [1], {"a": 1}]})");
  ASSERT_TRUE(grammar);
  for (const char* text :
       {"1", "12", "123", "\"a\"", "\"ab\"", "\"é\"", "\"è\"", "true", "null", "-1", "[1]", "{\"a\":1}"}) {
    EXPECT_TRUE(Accepts(grammar, text)) << text;
  }
  for (const char* text : {"", "2", "1234", "13", "\"\"", "\"b\"", "\"\xC3", "tru", "-", "[12]"}) {
    EXPECT_FALSE(Accepts(grammar, text)) << text;
  }
}

TEST(GrammarJsonSchema, BoundsWhatASchemaMayCost) {
  EXPECT_FALSE(JsonSchemaGrammar(std::string(100000, '[')).ok());
  EXPECT_FALSE(JsonSchemaGrammar(std::string(5000000, ' ')).ok());
  EXPECT_TRUE(JsonSchemaGrammar("{}" + std::string(4000000, ' ')).ok());
  std::string deep;
  for (int i = 0; i < 90; ++i) deep += "{\"items\": ";
  EXPECT_TRUE(JsonSchemaGrammar(deep + "{}" + std::string(90, '}')).ok());
  // Every alternative brings two more with it.
  std::string powers = R"({"type": "object", "allOf": [true)";
  for (int i = 0; i < 40; ++i) {
    const std::string a = "\"a" + std::to_string(i) + "\"", b = "\"b" + std::to_string(i) + "\"";
    powers += R"(, {"anyOf": [{"required": [)" + a + R"(]}, {"required": [)" + b + "]}]}";
  }
  EXPECT_EQ(JsonSchemaGrammar(powers + "]}").status().code(), StatusCode::kExhausted);
  // Equal names are looked for among all members of an object.
  std::string wide = R"({"properties": {"a": true)";
  for (int i = 0; i < 100000; ++i) wide += ",\"" + std::to_string(i) + "\":true";
  EXPECT_EQ(JsonSchemaGrammar(wide + "}}").status().code(), StatusCode::kExhausted);
  // A maximum beyond all reason asks for no more than the largest there is.
  const auto text = SchemaOf(R"({"type": "string", "maxLength": 1000000000000})");
  EXPECT_TRUE(Accepts(text, "\"" + std::string(60000, 'a') + "\""));
}

TEST(GrammarJsonObject, IsAnyObjectAndNothingElse) {
  auto made = JsonObjectGrammar();
  ASSERT_TRUE(made.ok()) << made.status().message();
  for (const char* text : {R"({})", R"({"a":[1,{"b":[]}],"c":null})", R"( {"": "", "x": -1.5e3})"}) {
    EXPECT_TRUE(Accepts(*made, text)) << text;
  }
  for (const char* text :
       {"[]", "1", "{", "{\"a\"}", "{\"a\":}", "{a:1}", "  {}", "{}{}", "{\"a\":1 ,\"b\":2}"}) {
    EXPECT_FALSE(Accepts(*made, text)) << text;
  }
  // As deep as the stack goes, and no opening that could not be closed again.
  GrammarMatcher matcher(*made);
  ASSERT_TRUE(matcher.Advance("{\"a\":"));
  size_t depth = 0;
  while (depth < 1000 && matcher.Advance("[")) ++depth;
  EXPECT_GT(depth, 200u);
  EXPECT_LT(depth, 300u);
  EXPECT_TRUE(matcher.Advance(std::string(depth, ']') + "}"));
  EXPECT_TRUE(matcher.complete());
}

}  // namespace
}  // namespace tern
