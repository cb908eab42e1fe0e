// Random schemas of all keywords at once: whatever the grammar lets through is valid.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "infer/json_schema.h"
#include "tests/infer/grammar_json_validator.h"
#include "tests/infer/grammar_testing.h"

namespace tern {
namespace {

using testing::IsValid;
using testing::SchemaJson;

/// Small schemas and small values with the same few names, texts and numbers, so that they often meet.
class Maker {
 public:
  explicit Maker(uint64_t seed) : random_(seed) {}

  SchemaJson Schema(int depth) {
    if (random_.Uniform() < 0.06) return random_.Uniform() < 0.8;
    SchemaJson schema = SchemaJson::object();
    const int keywords = 1 + static_cast<int>(random_.Below(3));
    if (random_.Uniform() < 0.6) schema["type"] = Type();
    for (int i = 0; i < keywords; ++i) AddKeyword(&schema, depth);
    if (depth == kDepth) schema["$defs"] = {{"a", Schema(1)}, {"b", Schema(1)}};
    return schema;
  }

  SchemaJson Value(int depth) {
    switch (random_.Below(depth > 0 ? 9 : 6)) {
      case 0:
        return nullptr;
      case 1:
        return random_.Uniform() < 0.5;
      case 2:
        return Integer();
      case 3:
        return 0.5 * static_cast<double>(Integer());
      case 4:
      case 5:
        return Text();
      case 6: {
        SchemaJson array = SchemaJson::array();
        for (uint64_t i = random_.Below(4); i > 0; --i) array.push_back(Value(depth - 1));
        return array;
      }
      default: {
        SchemaJson object = SchemaJson::object();
        for (uint64_t i = random_.Below(4); i > 0; --i) object[Name()] = Value(depth - 1);
        return object;
      }
    }
  }

  static constexpr int kDepth = 3;

 private:
  int Integer() { return static_cast<int>(random_.Below(7)) - 2; }
  std::string OneOf(std::vector<std::string> texts) { return texts[random_.Below(texts.size())]; }
  std::string Name() { return OneOf({"a", "b", "ab", "c", "x1"}); }
  std::string Text() { return OneOf({"", "a", "b", "ab", "abc", "x1", "2024-02-29"}); }
  std::string Pattern() { return OneOf({"^a", "b$", "^[ab]+$", "[0-9]", "^.{2}$", "c|^x"}); }
  SchemaJson Names() {
    SchemaJson names = SchemaJson::array({Name()});
    if (random_.Uniform() < 0.3 && names[0] != "c") names.push_back("c");
    return names;
  }
  SchemaJson Type() {
    static const std::vector<std::string> types = {"object", "object",  "array",   "string",
                                                   "number", "integer", "boolean", "null"};
    if (random_.Uniform() < 0.8) return OneOf(types);
    return {"object", OneOf({"array", "string", "integer", "null"})};
  }
  SchemaJson Schemas(int depth) {
    SchemaJson schemas = SchemaJson::array();
    for (uint64_t i = 1 + random_.Below(3); i > 0; --i) schemas.push_back(Schema(depth - 1));
    return schemas;
  }
  SchemaJson Properties(int depth) {
    SchemaJson properties = SchemaJson::object();
    for (uint64_t i = 1 + random_.Below(3); i > 0; --i) properties[Name()] = Schema(depth - 1);
    return properties;
  }

  void AddKeyword(SchemaJson* schema, int depth) {
    static const std::vector<const char*> flat = {
        "enum",          "const",         "minLength",        "maxLength",        "pattern",
        "minimum",       "maximum",       "exclusiveMinimum", "exclusiveMaximum", "required",
        "minProperties", "maxProperties", "minItems",         "maxItems",         "uniqueItems",
        "multipleOf",    "format",        "dependentRequired"};
    static const std::vector<const char*> deep = {"properties",
                                                  "properties",
                                                  "additionalProperties",
                                                  "patternProperties",
                                                  "propertyNames",
                                                  "items",
                                                  "prefixItems",
                                                  "contains",
                                                  "anyOf",
                                                  "oneOf",
                                                  "oneOf",
                                                  "allOf",
                                                  "not",
                                                  "if",
                                                  "$ref",
                                                  "dependentSchemas"};
    if (depth <= 0 || random_.Uniform() < 0.45)
      AddFlat(schema, flat[random_.Below(flat.size())]);
    else
      AddDeep(schema, deep[random_.Below(deep.size())], depth);
  }

  void AddFlat(SchemaJson* schema, const std::string& key) {
    SchemaJson& value = (*schema)[key];
    if (key == "enum") {
      value = SchemaJson::array();
      for (uint64_t i = 1 + random_.Below(4); i > 0; --i) value.push_back(Value(1));
    } else if (key == "const") {
      value = Value(2);
    } else if (key == "pattern") {
      value = Pattern();
    } else if (key == "format") {
      value = "date";
    } else if (key == "required") {
      value = Names();
    } else if (key == "uniqueItems") {
      value = random_.Uniform() < 0.7;
    } else if (key == "dependentRequired") {
      value = {{Name(), Names()}};
    } else if (key == "multipleOf") {
      value = 1 + random_.Below(3);
    } else if (key.starts_with("m") && key != "minimum" && key != "maximum") {
      value = random_.Below(4);
    } else {
      value = Integer();
    }
  }

  void AddDeep(SchemaJson* schema, const std::string& key, int depth) {
    SchemaJson& value = (*schema)[key];
    if (key == "properties" || key == "dependentSchemas") {
      value = Properties(depth);
    } else if (key == "patternProperties") {
      value = {{Pattern(), Schema(depth - 1)}};
    } else if (key == "propertyNames") {
      value = {{"pattern", Pattern()}};
    } else if (key == "prefixItems" || key.ends_with("Of")) {
      value = Schemas(depth);
    } else if (key == "$ref") {
      value = random_.Uniform() < 0.5 ? "#/$defs/a" : "#/$defs/b";
    } else {
      value = Schema(depth - 1);
      if (key == "if") (*schema)["then"] = Schema(depth - 1);
      if (key == "if" && random_.Uniform() < 0.5) (*schema)["else"] = Schema(depth - 1);
    }
  }

  Random random_;
};

/// References of the schemas within "$defs" may go in circles: then there is no answer to look for.
bool GoesInCircles(const SchemaJson& schema) {
  return schema.is_object() && schema.contains("$defs") &&
         schema["$defs"].dump().find("$ref") != std::string::npos;
}

TEST(JsonSchemaRandom, AcceptsNothingThatIsNotValid) {
  constexpr uint64_t kSeed = 20261;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  const auto tree = std::make_shared<const TokenTree>(*testing::JsonVocabulary());
  Random random(kSeed);
  int compiled = 0, written = 0, accepted = 0, valid = 0;
  for (uint64_t round = 0; round < 1500; ++round) {
    Maker maker(kSeed + round);
    const SchemaJson schema = maker.Schema(Maker::kDepth);
    if (GoesInCircles(schema)) continue;
    const auto grammar = JsonSchemaGrammar(schema.dump());
    if (!grammar.ok()) continue;
    ++compiled;
    for (int i = 0; i < 40; ++i) {
      const SchemaJson value = maker.Value(3);
      const bool is_valid = IsValid(schema, value, schema);
      const bool accepts = testing::Accepts(*grammar, value.dump());
      EXPECT_TRUE(is_valid || !accepts) << schema << "\naccepts " << value << "\nround " << round;
      valid += is_valid ? 1 : 0;
      accepted += accepts ? 1 : 0;
    }
    const auto masks = std::make_shared<TokenMasks>(*grammar, tree);
    for (int i = 0; i < 6; ++i) {
      const testing::Written text = testing::WriteAtRandom(masks, &random, 60, 0.3, 0.5);
      if (!text.complete) continue;
      ++written;
      const auto value = SchemaJson::parse(text.text, nullptr, /*allow_exceptions=*/false);
      ASSERT_FALSE(value.is_discarded()) << "no JSON: " << text.text;
      EXPECT_TRUE(IsValid(schema, value, schema))
          << schema << "\nwrites " << text.text << "\nround " << round;
    }
  }
  // Most schemas are enforced, and most valid values may be written (properties come in an order, and a model
  // need not write what only the negation of a schema allows).
  EXPECT_GT(compiled, 600);
  EXPECT_GT(written, 1000);
  EXPECT_GT(accepted, valid / 2);
  RecordProperty("compiled", compiled);
  std::cout << compiled << " compiled, " << written << " written, " << accepted << " of " << valid
            << " accepted\n";
}

}  // namespace
}  // namespace tern
