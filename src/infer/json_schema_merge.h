// What the readers of schemas have in common: types, keywords and pointers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "infer/json_schema_document.h"
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
  kJsonFraction = 64,  ///< a number that is not whole
  kJsonNumber = kJsonInteger | kJsonFraction,
  kJsonAnyKind = 127,
};
/// "string" …; 0: there is no such type.
uint32_t JsonTypeByName(std::string_view name);
/// One bit: 1.0 is whole.
uint32_t JsonTypeOf(const Json& value);
/// The type that a keyword is about; 0: of none or several.
uint32_t TypeAbout(std::string_view keyword);

}  // namespace tern
