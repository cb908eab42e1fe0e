// A schema as a choice of branches: each says for every type which values it allows, without combinators.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "infer/json_schema_document.h"
#include "infer/json_schema_merge.h"
#include "infer/json_schema_strings.h"
#include "infer/json_schema_validator.h"

namespace tern {

/// A schema of the document, or its negation.
struct SchemaTerm {
  const Json* schema;
  bool negated = false;
  auto operator<=>(const SchemaTerm&) const = default;
};
/// Values that are valid for all terms. Without terms: all values.
using SchemaNode = std::vector<SchemaTerm>;
/// The position of a keyword in the schemas around it. Properties are written in the order of positions.
using SchemaOrder = std::vector<uint32_t>;

/// A pattern or a format, and the schema that has it.
struct StringRule {
  std::string text;
  const Json* at;
};

/// What one branch says. A rule about a type has no effect on values of other types.
struct SchemaBranch {
  uint32_t kinds = kJsonAnyKind;  ///< bits of JsonTypes
  bool finite = false;            ///< only `values`, of those the ones that are valid for all terms
  std::vector<const Json*> values = {}, excluded = {};
  const Json* value_source = nullptr;  ///< the schema that lists `values`

  /// Counts and bounds (minLength … maximum) by keyword; exclusiveMinimum and exclusiveMaximum are numbers.
  Json limits = Json::object();
  std::vector<Json> multiples = {}, other_multiples = {};  ///< no multiple of any of other_multiples
  std::vector<StringRule> patterns = {}, other_patterns = {}, formats = {};  ///< other_patterns do not match

  /// A schema with properties, patternProperties or additionalProperties.
  struct Shape {
    const Json* schema;
    SchemaOrder order;
  };
  std::vector<Shape> shapes = {};
  std::vector<std::string> required = {};
  std::set<std::string, std::less<>> forbidden = {};
  std::vector<std::pair<std::string, SchemaTerm>> members = {};  ///< further terms of properties by name
  SchemaNode names = {};                                         ///< terms of the names of properties

  std::vector<const Json*> tuples = {};  ///< schemas with items, prefixItems or additionalItems
  SchemaNode each_item = {};
  std::vector<SchemaTerm> contains = {};
  bool unique = false;

  /// All terms that led here; the terms of properties and items are not among them.
  struct Derived {
    SchemaTerm term;
    int32_t parent;  ///< index of the term that has it; -1: the node
    SchemaOrder order;
  };
  std::vector<Derived> terms = {};

  bool Requires(const std::string& name) const;
  bool Is(uint32_t kind) const { return (kinds & ~kind) == 0; }
};

/// The branches of a node.
struct SchemaBranches {
  std::vector<SchemaBranch> branches;
  /// Why values are left out that are valid by the standard; OK: none are.
  Status left_out = OkStatus();
};

/// Finds the branches of nodes of one document, with a common bound on the work. Not thread-safe.
class SchemaBrancher {
 public:
  SchemaBrancher(const SchemaDocument& document, JsonStringLanguages* strings)
      : document_(document), strings_(*strings), validator_(document, strings) {}

  /// The same node in its shortest form: references that say nothing else are followed, and schemas that
  /// allow everything are left out. A node that allows nothing is the single schema `false`.
  Result<SchemaNode> Shorten(const SchemaNode& node);
  Result<std::shared_ptr<const SchemaBranches>> Branches(const SchemaNode& node);
  /// The values of a property or an item in a branch. A term that is `false`: there is none.
  Result<SchemaNode> Property(const SchemaBranch& branch, const std::string& name);
  static SchemaNode Item(const SchemaBranch& branch, size_t index);
  /// How many items at the front have terms of their own.
  static size_t ListedItems(const SchemaBranch& branch);
  /// The values of a finite branch.
  std::vector<Json> Values(const SchemaBranch& branch);
  /// The strings of a branch.
  Result<RegularLanguage> Strings(const SchemaBranch& branch);
  /// The strings of a node.
  Result<RegularLanguage> StringsOf(const SchemaNode& node);
  /// Whether no value is known to be valid for the node; false when unsure.
  bool IsEmpty(const SchemaNode& node);
  /// Counts a step of work; kExhausted beyond kMaxSteps.
  Status Spend();
  Status Refuse(const Json& schema, std::string_view key, const std::string& why) const;

  const SchemaDocument& document() const { return document_; }
  JsonStringLanguages& strings() { return strings_; }

  static constexpr size_t kMaxSteps = 100'000;
  static constexpr size_t kMaxBranches = 2000;  ///< of one node
  static constexpr int32_t kMaxDepth = 200;  ///< of alternatives within alternatives, of nodes within nodes

 private:
  struct Atom;
  using Alternative = std::vector<Atom>;
  using Disjunction = std::vector<Alternative>;
  struct Growth;
  /// A term with its place among the growth's terms.
  struct Source {
    const Json* schema;
    int32_t index;
    SchemaOrder order;
  };
  enum class Fit { kImpossible, kPossible, kImplied };

  // json_schema_branches.cc
  Status Grow(Growth growth, int32_t depth);
  Status Split(const Growth& growth, int32_t depth);
  Result<bool> ProcessTerms(Growth* growth);
  Result<bool> Reduce(Growth* growth, bool* applied);
  Status AddTerm(Growth* growth, SchemaTerm term, int32_t parent, SchemaOrder order);
  Result<bool> Apply(Growth* growth, const Alternative& alternative);
  Result<bool> ApplyAtom(Growth* growth, const Atom& atom);
  void Exclude(SchemaBranch* branch, const Json& value);
  Fit FitOf(const SchemaBranch& branch, const Alternative& alternative);
  Fit FitOfAtom(const SchemaBranch& branch, const Atom& atom);
  Fit FitOfTerm(const SchemaBranch& branch, const SchemaTerm& term);
  uint32_t KindsOf(const SchemaTerm& term);
  Status DropEmptyKinds(SchemaBranch* branch);
  Result<bool> NoStrings(const SchemaBranch& branch);
  Result<bool> NoObjects(const SchemaBranch& branch);
  bool NoArrays(const SchemaBranch& branch);
  static bool NoNumbers(const SchemaBranch& branch);
  void LeaveOut(const Json& schema, std::string_view key, const std::string& why);

  // json_schema_members.cc
  Result<RegularLanguage> PlainStrings(const SchemaBranch& branch);
  static bool ListsValuesAlone(const Json& schema);

  // json_schema_keywords.cc
  Result<bool> ApplySchema(Growth* growth, const Source& source);
  Result<bool> ApplyKeyword(Growth* growth, const Source& source, const std::string& key, const Json& value);
  Status ApplyType(SchemaBranch* branch, const Json& schema);
  Status ApplyValues(SchemaBranch* branch, const Json& schema, const std::string& key, const Json& value);
  Status ApplyLimit(SchemaBranch* branch, const Json& schema, const std::string& key, const Json& value);
  Status ApplyStringKeyword(SchemaBranch* branch, const Json& schema, const std::string& key,
                            const Json& value);
  Status ApplyObjectKeyword(Growth* growth, const Source& source, const std::string& key, const Json& value);
  Status ApplyArrayKeyword(SchemaBranch* branch, const Json& schema, const std::string& key,
                           const Json& value);
  Status AddAll(Growth* growth, const Source& source, const Json& value);
  Status AddAny(Growth* growth, const Source& source, const std::string& key, const Json& value);
  Result<std::vector<Disjunction>> ExclusiveTerms(const Source& source, const Json& value);
  Status AddCondition(Growth* growth, const Source& source);
  Status AddDependencies(Growth* growth, const Source& source, const std::string& key, const Json& value);
  bool AreDisjoint(const Json& a, const Json& b);

  // json_schema_negation.cc
  Result<bool> ApplyNegation(Growth* growth, const Source& source);
  Status NegateKeyword(const Growth& growth, const Source& source, const std::string& key, const Json& value,
                       Disjunction* ways);
  void NegateObjectKeyword(const Growth& growth, const Source& source, const std::string& key,
                           const Json& value, Disjunction* ways);
  void NegateProperties(const Source& source, const Json& value, Disjunction* ways);
  void NegateAdditional(const Growth& growth, const Source& source, const Json& value, Disjunction* ways);
  void NegateCombinator(const Source& source, const std::string& key, const Json& value, Disjunction* ways);
  void NegateDependencies(const Source& source, const std::string& key, const Json& value, Disjunction* ways);
  bool NegateLimit(const Json& schema, const std::string& key, const Json& value, Disjunction* ways);

  const SchemaDocument& document_;
  JsonStringLanguages& strings_;
  SchemaValidator validator_;
  size_t steps_ = 0;
  std::map<SchemaNode, std::shared_ptr<const SchemaBranches>> known_;
  std::vector<SchemaNode> open_;           // whose branches are being found
  std::shared_ptr<SchemaBranches> found_;  // of the innermost of them
  std::map<std::pair<const Json*, const Json*>, bool> disjoint_;
};

/// The schema that allows everything, or nothing.
const Json& BooleanSchema(bool allows);
/// Whether a schema says nothing about values.
bool SaysNothing(const Json& schema);
/// The keywords that the compiler knows, and ignores the others.
bool IsAssertion(std::string_view keyword);

}  // namespace tern
