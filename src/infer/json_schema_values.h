// The parts that grammars of JSON are made of.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/status.h"
#include "infer/grammar_builder.h"
#include "infer/regular_language.h"

namespace tern {

using Json = nlohmann::ordered_json;

/// A bound that is not there.
inline constexpr int32_t kUnlimited = GrammarBuilder::kUnbounded;

struct JsonProperty {
  std::string name;
  GrammarBuilder::Expr value;
  bool required;
};
/// Properties whose names are not listed.
struct JsonOther {
  GrammarBuilder::Expr name, value;
};
struct JsonObject {
  std::vector<JsonProperty> properties = {};  ///< in the order in which they come
  std::vector<JsonOther> others = {};         ///< after them, in any order
  int32_t min = 0, max = kUnlimited;          ///< of all properties
};
struct JsonArray {
  std::vector<GrammarBuilder::Expr> first = {};  ///< the items in front
  std::optional<GrammarBuilder::Expr> rest{};    ///< those after them
  int32_t min = 0;                               ///< of all items; at most first.size() without `rest`
  int32_t max = kUnlimited;                      ///< ≥ min
};

/// Makes expressions of a builder, which must outlive it. Values are small expressions: calls of rules where
/// they are not.
class JsonExpressions {
 public:
  using Expr = GrammarBuilder::Expr;
  explicit JsonExpressions(GrammarBuilder* builder) : builder_(*builder) {}

  Expr String(int32_t min, int32_t max);  ///< counted in characters, however they are escaped
  /// Strings of the texts of a language, which is not empty. Where it is bound by more than a length, each
  /// text is written in one way (regular_bytes.h).
  Result<Expr> StringOf(const RegularLanguage& language, RegularBudget* budget);
  /// The same, each text written in one way in any case: the names of properties.
  Result<Expr> NameOf(const RegularLanguage& language, RegularBudget* budget);
  /// Texts of a language, which is not empty, without quotes and escapes.
  Result<Expr> PlainOf(const RegularLanguage& language, RegularBudget* budget);
  Expr Number();  ///< any: NumberTexts of a rule that says nothing
  Expr Literal(const Json& value);
  /// Nothing when `min` cannot be reached. Other names may repeat, so that only one of them counts for `min`.
  std::optional<Expr> Object(const JsonObject& object);
  /// A name that is none of these; written without escapes, so that there is one way to write each.
  Expr OtherName(const std::set<std::string>& names);
  Expr Array(const JsonArray& array);
  Expr AnyValue();
  Expr AnyObject();
  Expr AnyArray();
  Expr OptionalSpace();
  Expr Comma();
  Expr CloseArray();
  Expr Rule(Expr body) { return builder_.Call(builder_.RuleOf(body, "(a value)", GrammarBuilder::kNoPlace)); }

 private:
  Expr AnyChar();
  Expr CharOf(const CharSet& set);
  Result<Expr> CountedOf(Expr character, TextLength length);
  std::optional<Expr> Others(const JsonObject& object, int32_t count);
  Expr Member(std::string_view name, Expr value);
  Expr NameExcept(const std::set<std::vector<int32_t>>& names, size_t depth);

  GrammarBuilder& builder_;
  std::optional<GrammarBuilder::Rule> any_char_, any_value_, any_object_, any_array_;
  using LanguageKey = std::tuple<std::shared_ptr<const RegularAutomaton>, uint32_t, uint32_t>;
  std::map<LanguageKey, Expr> languages_, plain_languages_;
  std::map<std::set<std::string>, Expr> other_names_;
};

}  // namespace tern
