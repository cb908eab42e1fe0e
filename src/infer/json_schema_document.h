// A schema document: where each schema stands, and what references point to.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/status.h"
#include "infer/json_schema_values.h"

namespace tern {

/// Appends a step to a JSON pointer.
std::string PointerTo(const std::string& pointer, std::string_view step);

/// Knows every object and array of a document by its address; the document must outlive it and stay
/// unchanged.
class SchemaDocument {
 public:
  explicit SchemaDocument(const Json& root);

  const Json& root() const { return root_; }
  /// The JSON pointer ("#/…") of a part of the document, for errors.
  std::string PointerOf(const Json& part) const;
  /// What "$ref" of the schema `at` points to: within the schema, by $id, $anchor or a JSON pointer.
  Result<const Json*> Resolve(const std::string& reference, const Json& at) const;
  /// Whether keywords beside $ref are ignored: drafts 3 to 7.
  bool reference_stands_alone() const { return reference_stands_alone_; }

 private:
  struct Entry {
    const Json* parent;
    std::string_view name;  ///< in an object
    size_t index;           ///< in an array
    size_t base;            ///< index of the base URI
  };
  /// What the members of an object are.
  enum class Members { kOfSchema, kSchemas, kData };
  void Walk(const Json& part, Members members, Entry entry);
  void Identify(const Json& schema, Entry* entry);
  const Json* AtPointer(const Json* from, std::string_view pointer) const;

  const Json& root_;
  bool reference_stands_alone_ = false;
  std::unordered_map<const Json*, Entry> entries_;
  std::vector<std::string> bases_;
  std::map<std::string, const Json*, std::less<>> targets_;  // by absolute URI, anchors included
};

}  // namespace tern
