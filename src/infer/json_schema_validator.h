// Whether a value that is at hand is valid against a schema.
#pragma once

#include <cstddef>
#include <cstdint>

#include "infer/json_schema_document.h"
#include "infer/json_schema_strings.h"

namespace tern {

/// Whether two values are equal as JSON Schema means it: 1 and 1.0 are, the order of properties does not
/// count.
bool JsonEqual(const Json& a, const Json& b);

enum class Verdict { kInvalid, kUnknown, kValid };

/// By the definitions of the keywords, drafts 4 to 2020-12. kUnknown where a keyword is not supported, a
/// reference leads nowhere, a text fails a format (those known here are narrower than the standard's), or the
/// work is too much. The document and the languages must outlive it. Not thread-safe.
class SchemaValidator {
 public:
  SchemaValidator(const SchemaDocument& document, JsonStringLanguages* languages)
      : document_(document), languages_(*languages) {}

  Verdict Check(const Json& schema, const Json& value) { return Check(schema, value, 0); }

  static constexpr size_t kMaxSteps = 1'000'000;  ///< of one validator
  static constexpr int kMaxDepth = 200;

 private:
  Verdict Check(const Json& schema, const Json& value, int depth);
  Verdict CheckCombinators(const Json& schema, const Json& value, int depth);
  Verdict CheckAnyType(const Json& schema, const Json& value);
  Verdict CheckString(const Json& schema, const Json& value);
  Verdict CheckArray(const Json& schema, const Json& value, int depth);
  Verdict CheckObject(const Json& schema, const Json& value, int depth);
  Verdict CheckMember(const Json& schema, const std::string& name, const Json& member, int depth);
  Verdict CheckDependencies(const Json& schema, const Json& value, int depth);
  Verdict CheckContains(const Json& schema, const Json& value, int depth);
  Verdict Matches(const std::string& pattern, const std::string& text);

  const SchemaDocument& document_;
  JsonStringLanguages& languages_;
  size_t steps_ = 0;
};

}  // namespace tern
