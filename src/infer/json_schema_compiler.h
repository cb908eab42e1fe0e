// From the branches of a schema to the expressions of a grammar.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "infer/grammar_builder.h"
#include "infer/json_schema_branches.h"
#include "infer/json_schema_document.h"
#include "infer/json_schema_strings.h"
#include "infer/json_schema_values.h"
#include "infer/regular_numbers.h"

namespace tern {

/// One compilation, used once. The document must outlive it.
class SchemaCompiler {
 public:
  explicit SchemaCompiler(const SchemaDocument& document)
      : document_(document), brancher_(document, &strings_), json_(&builder_) {}

  Result<std::shared_ptr<const Grammar>> Run();

 private:
  using Expr = GrammarBuilder::Expr;
  using Way = std::optional<Expr>;  ///< nothing: no value is valid

  // json_schema_compiler.cc
  Result<Way> Value(const SchemaNode& node, int32_t depth);
  Result<Way> NodeBody(const SchemaNode& node, int32_t depth);
  Status AddWays(const SchemaBranch& branch, int32_t depth, std::vector<Expr>* ways);
  void AddValues(const std::vector<Json>& values, std::vector<Expr>* ways);
  void AddBooleans(const SchemaBranch& branch, std::vector<Expr>* ways);
  Result<Way> String(const SchemaBranch& branch);
  Result<NumberRule> RuleOfNumbers(const SchemaBranch& branch, const std::string& pointer);
  Result<Way> Number(const SchemaBranch& branch);
  void LeaveOut(const SchemaBranch& branch, std::string_view key, const std::string& why);

  // json_schema_objects.cc
  /// A pattern of property names, and the schema in which it stands.
  struct NamePattern {
    std::string text;
    const Json* at;
  };
  Result<Way> Object(const SchemaBranch& branch, int32_t depth);
  Result<bool> AddProperties(const SchemaBranch& branch, int32_t depth, JsonObject* object,
                             std::set<std::string>* names);
  Status AddOthers(const SchemaBranch& branch, const std::set<std::string>& names, int32_t depth,
                   JsonObject* object);
  Status AddOthersBySplit(const SchemaBranch& branch, const std::vector<NamePattern>& patterns,
                          const RegularLanguage& language, const std::vector<std::string>& matched,
                          size_t first, int32_t depth, JsonObject* object);
  Status AddOther(const SchemaNode& node, const RegularLanguage& language, const Json& at, int32_t depth,
                  JsonObject* object);
  Result<SchemaNode> OtherNode(const SchemaBranch& branch, const std::vector<std::string>& matched);
  Status SetCounts(const SchemaBranch& branch, JsonObject* object);

  // json_schema_arrays.cc
  Result<Way> Array(const SchemaBranch& branch, int32_t depth);
  Result<Way> ArrayWith(const SchemaBranch& branch, const JsonArray& array, int32_t depth);
  Result<Way> UniqueArray(const SchemaBranch& branch, const JsonArray& array);
  Result<std::vector<Json>> FewValues(const SchemaNode& node);
  Expr UniqueItems(const std::vector<Expr>& values, const JsonArray& array, size_t used,
                   std::map<size_t, GrammarBuilder::Rule>* rules);

  const SchemaDocument& document_;
  JsonStringLanguages strings_;
  SchemaBrancher brancher_;
  GrammarBuilder builder_;
  JsonExpressions json_;
  /// By node: its rule; none where nothing is valid.
  std::map<SchemaNode, std::optional<GrammarBuilder::Rule>> rules_;
  std::set<GrammarBuilder::Rule> called_;  // while they were being compiled
  std::vector<const Json*> places_;        // for errors
  std::optional<Expr> any_string_;
  std::vector<std::pair<NumberRule, Way>> numbers_;  // what was compiled
  Status left_out_;                                  // why values are left out that are valid by the standard
};

/// The value of a count that a branch has, at most the largest that a grammar can count to. A minimum beyond
/// it is refused.
Result<int32_t> CountLimit(const SchemaBrancher& brancher, const SchemaBranch& branch, const char* key,
                           int32_t absent);

}  // namespace tern
