// Arrays: items by position, and what must be among them.
#include <algorithm>
#include <bit>
#include <utility>

#include "infer/json_schema_compiler.h"

namespace tern {
namespace {

constexpr int32_t kCountedItems = 200;  // items of an array with "contains"
constexpr size_t kUniqueValues = 8;     // values of unique items; there is a rule for each set of them

}  // namespace

Result<SchemaCompiler::Way> SchemaCompiler::Array(const SchemaBranch& branch, int32_t depth) {
  JsonArray array;
  TERN_ASSIGN_OR_RETURN(array.min, CountLimit(brancher_, branch, "minItems", 0));
  TERN_ASSIGN_OR_RETURN(array.max, CountLimit(brancher_, branch, "maxItems", kUnlimited));
  const size_t listed = SchemaBrancher::ListedItems(branch);
  const auto limit = [&array](size_t count) {
    const auto most = static_cast<int32_t>(count);
    array.max = array.max == kUnlimited ? most : std::min(array.max, most);
  };
  for (size_t i = 0; i <= listed; ++i) {
    TERN_ASSIGN_OR_RETURN(const Way item, Value(SchemaBrancher::Item(branch, i), depth + 1));
    if (!item) {
      limit(i);
      break;
    }
    if (i < listed) array.first.push_back(*item);
    if (i == listed) array.rest = *item;
  }
  if (array.max != kUnlimited && array.min > array.max) return Way();
  if (branch.unique && (array.max == kUnlimited || array.max > 1)) return UniqueArray(branch, array);
  return branch.contains.empty() ? Result<Way>(json_.Array(array)) : ArrayWith(branch, array, depth);
}

/// Rules by the number of items, and by whether an item that satisfies "contains" was written.
Result<SchemaCompiler::Way> SchemaCompiler::ArrayWith(const SchemaBranch& branch, const JsonArray& array,
                                                      int32_t depth) {
  const Json& schema = *branch.terms.front().term.schema;
  if (branch.contains.size() > 1)
    return brancher_.Refuse(schema, "contains", "only one at a time is supported");
  const bool limited = array.max != kUnlimited;
  const int32_t last = std::max({1, static_cast<int32_t>(array.first.size()), array.min, array.max});
  if (last > kCountedItems) return brancher_.Refuse(schema, "contains", "too many items to count");
  std::vector<std::array<GrammarBuilder::Rule, 2>> rules;
  for (int32_t i = 0; i <= last; ++i) {
    rules.push_back({builder_.NewRule("(items)", GrammarBuilder::kNoPlace),
                     builder_.NewRule("(items)", GrammarBuilder::kNoPlace)});
  }
  std::vector<std::array<Way, 2>> possible(rules.size());
  for (int32_t i = last; i >= 0; --i) {
    const auto at = static_cast<size_t>(i);
    const bool loops = i == last && !limited;
    SchemaNode wanted = SchemaBrancher::Item(branch, at);
    wanted.push_back(branch.contains.front());
    TERN_ASSIGN_OR_RETURN(const Way hit, Value(wanted, depth + 1));
    const Way item = at < array.first.size() ? Way(array.first[at]) : array.rest;
    for (size_t seen : {1u, 0u}) {
      std::vector<Expr> ways;
      const auto add = [&](const Way& value, size_t then) {
        if (!value || (!loops && i == last)) return;
        if (!loops && !possible[at + 1][then]) return;
        const Expr next = builder_.Call(loops ? rules[at][then] : rules[at + 1][then]);
        ways.push_back(i == 0 ? builder_.Sequence({*value, next})
                              : builder_.Sequence({json_.Comma(), *value, next}));
      };
      if (seen == 1 && i >= array.min) ways.push_back(json_.CloseArray());
      if (!loops || seen == 1 || hit) add(item, seen);
      if (seen == 0) add(hit, 1);
      builder_.Define(rules[at][seen], ways.empty() ? builder_.Empty() : builder_.Choice(ways));
      if (!ways.empty()) possible[at][seen] = builder_.Call(rules[at][seen]);
    }
  }
  if (!possible[0][0]) return Way();
  return Way(json_.Rule(builder_.Sequence({builder_.Text("["), json_.OptionalSpace(), *possible[0][0]})));
}

/// The values of a node that has only a few; an error where it has more.
Result<std::vector<Json>> SchemaCompiler::FewValues(const SchemaNode& node) {
  TERN_ASSIGN_OR_RETURN(const SchemaNode shorter, brancher_.Shorten(node));
  const Status many = Unsupported("only for items that have few values");
  if (shorter.empty()) return many;
  TERN_ASSIGN_OR_RETURN(const auto found, brancher_.Branches(shorter));
  std::vector<Json> values;
  const auto add = [&](const Json& value) {
    const auto same = [&](const Json& known) { return JsonEqual(known, value); };
    if (std::none_of(values.begin(), values.end(), same)) values.push_back(value);
  };
  for (const SchemaBranch& branch : found->branches) {
    const bool few = branch.finite || branch.Is(kJsonBoolean | kJsonNull);
    if (!few) return many;
    if (branch.finite) {
      for (const Json& value : brancher_.Values(branch)) add(value);
      continue;
    }
    for (bool value : {true, false}) {
      const bool excluded = std::any_of(branch.excluded.begin(), branch.excluded.end(),
                                        [&](const Json* one) { return *one == BooleanSchema(value); });
      if ((branch.kinds & kJsonBoolean) != 0 && !excluded) add(value);
    }
    if ((branch.kinds & kJsonNull) != 0) add(nullptr);
  }
  return values.size() <= kUniqueValues ? Result<std::vector<Json>>(values) : many;
}

Result<SchemaCompiler::Way> SchemaCompiler::UniqueArray(const SchemaBranch& branch, const JsonArray& array) {
  const Json& schema = *branch.terms.front().term.schema;
  if (!array.first.empty() || !branch.contains.empty())
    return brancher_.Refuse(schema, "uniqueItems", "not beside contains or items by position");
  const auto values = FewValues(SchemaBrancher::Item(branch, 0));
  if (!values.ok()) return brancher_.Refuse(schema, "uniqueItems", values.status().message());
  if (array.min > static_cast<int32_t>(values->size())) return Way();
  std::vector<Expr> texts;
  for (const Json& value : *values) texts.push_back(json_.Literal(value));
  std::map<size_t, GrammarBuilder::Rule> rules;
  return Way(json_.Rule(
      builder_.Sequence({builder_.Text("["), json_.OptionalSpace(), UniqueItems(texts, array, 0, &rules)})));
}

/// What may follow when the values whose bits are set in `used` were written.
SchemaCompiler::Expr SchemaCompiler::UniqueItems(const std::vector<Expr>& values, const JsonArray& array,
                                                 size_t used, std::map<size_t, GrammarBuilder::Rule>* rules) {
  const auto known = rules->find(used);
  if (known != rules->end()) return builder_.Call(known->second);
  const auto count = static_cast<int32_t>(std::popcount(used));
  std::vector<Expr> ways;
  if (count >= array.min) ways.push_back(json_.CloseArray());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t bit = size_t{1} << i;
    if ((used & bit) != 0 || (array.max != kUnlimited && count >= array.max)) continue;
    const Expr next = UniqueItems(values, array, used | bit, rules);
    ways.push_back(used == 0 ? builder_.Sequence({values[i], next})
                             : builder_.Sequence({json_.Comma(), values[i], next}));
  }
  const GrammarBuilder::Rule rule =
      builder_.RuleOf(builder_.Choice(std::move(ways)), "(unique items)", GrammarBuilder::kNoPlace);
  rules->emplace(used, rule);
  return builder_.Call(rule);
}

}  // namespace tern
