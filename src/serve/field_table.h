// A table of the fields of a request: what each may be and what becomes of it.
#pragma once

#include <span>

namespace tern::serve {

/// Types that a field may have, as bits. null is always taken for absent.
enum JsonType : unsigned {
  kJsonBoolean = 1,
  kJsonInteger = 2,
  kJsonNumber = 4,
  kJsonString = 8,
  kJsonArray = 16,
  kJsonObject = 32,
  kJsonAny = 63,
};

enum class Treatment {
  kRead,
  kIgnored,  ///< it would change nothing that Tern does
  kRefused,  ///< leaving it out would change what the answer means
};

/// No bound.
inline constexpr double kUnlimited = 1e300;

struct Field {
  const char* name;
  unsigned types;  ///< JsonType
  Treatment treatment = Treatment::kRead;
  /// Of numbers; of strings and arrays: of their length in bytes or items.
  double low = -kUnlimited, high = kUnlimited;
  const char* about = "";  ///< a phrase for people; for kRefused: why
  /// kRefused: the JSON values that ask for nothing special and are taken, with '|' between them (null:
  /// none).
  const char* harmless = nullptr;
  bool required = false;
  bool own = false;  ///< not in OpenAI's interface
};

namespace field {

constexpr Field Read(const char* name, unsigned types, double low, double high, const char* about) {
  return {.name = name, .types = types, .low = low, .high = high, .about = about};
}
constexpr Field Read(const char* name, unsigned types, const char* about) {
  return {.name = name, .types = types, .about = about};
}
constexpr Field Own(Field field) {
  field.own = true;
  return field;
}
constexpr Field Required(Field field) {
  field.required = true;
  return field;
}
constexpr Field Ignored(const char* name, unsigned types, const char* about) {
  return {.name = name, .types = types, .treatment = Treatment::kIgnored, .about = about};
}
constexpr Field Refused(const char* name, const char* harmless, const char* about) {
  return {.name = name,
          .types = kJsonAny,
          .treatment = Treatment::kRefused,
          .about = about,
          .harmless = harmless};
}

}  // namespace field

}  // namespace tern::serve
