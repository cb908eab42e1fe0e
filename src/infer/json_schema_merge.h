// Schemas as values: references, both of two schemas at once, and whether two exclude each other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/json_schema_values.h"

namespace tern {

/// A schema and the JSON pointer by which errors name it.
struct PlacedSchema {
  Json schema;
  std::string pointer;
};

/// Bits for the types that a value may be of.
enum JsonTypes : uint32_t {
  kJsonNull = 1,
  kJsonBoolean = 2,
  kJsonObject = 4,
  kJsonArray = 8,
  kJsonString = 16,
  kJsonInteger = 32,
  kJsonNumber = 64,  ///< whole numbers included
  kJsonAnyType = 1 | 2 | 4 | 8 | 16 | 64,
};
/// "string" …; 0: there is no such type.
uint32_t JsonTypeByName(std::string_view name);
uint32_t JsonTypeOf(const Json& value);

/// Keywords that say nothing about which values are valid.
bool IsAnnotation(std::string_view keyword);
/// Whether any keyword of the schema is more than an annotation.
bool Asserts(const Json& schema);
/// Appends a step to a JSON pointer.
std::string PointerTo(const std::string& pointer, std::string_view step);

/// Operations on the parts of one schema document, with a common bound on what they may cost. Not
/// thread-safe.
class JsonSchemaAlgebra {
 public:
  explicit JsonSchemaAlgebra(const Json& document) : document_(document) {}

  /// What "#/…" points to. `at` is the pointer of the reference.
  Result<PlacedSchema> Resolve(const std::string& reference, const std::string& at);
  /// The schema with $ref and allOf at its top carried out.
  Result<Json> Flatten(const Json& schema, const std::string& pointer, int32_t depth = 0);
  /// Values valid against both. Both are flat.
  Result<Json> Merge(const Json& a, const Json& b, const std::string& pointer, int32_t depth = 0);
  /// Whether nothing that is written for `a` can be valid against `b`; false when unsure.
  bool Excludes(const Json& a, const Json& b, int32_t depth = 0);
  /// Counts a step of work; kExhausted beyond kMaxSteps.
  Status Spend(const std::string& pointer);

  static constexpr size_t kMaxSteps = 20000;
  static constexpr int32_t kMaxDepth = 100;

 private:
  Status MergeKeyword(const std::string& key, const Json& value, const std::string& pointer, int32_t depth,
                      Json* into);
  Status MergeObjects(const Json& a, const Json& b, const std::string& pointer, int32_t depth, Json* into);
  Result<Json> MergeProperty(const std::string& name, const Json& a, const Json& b,
                             const std::string& pointer, int32_t depth);

  const Json& document_;
  size_t steps_ = 0;
};

/// The types of the values that are written for a schema, which is flat: where it names none, those its
/// keywords are about.
uint32_t WrittenTypes(const Json& schema);

}  // namespace tern
