#include "infer/json_schema_compiler.h"

#include <algorithm>
#include <utility>

#include "infer/json_schema_numbers.h"

namespace tern {
namespace {

using Expr = GrammarBuilder::Expr;

/// Nodes within nodes: each takes a few kilobytes of the thread's stack.
constexpr int32_t kMaxNodes = 500;
constexpr size_t kKeptNumbers = 64;  // searched one by one

}  // namespace

Result<std::shared_ptr<const Grammar>> SchemaCompiler::Run() {
  TERN_ASSIGN_OR_RETURN(const Way value, Value({{&document_.root()}}, 0));
  if (!value) return left_out_.ok() ? InvalidArgument("#: nothing is valid here") : left_out_;
  const Expr text = builder_.Sequence({json_.OptionalSpace(), *value});
  return builder_.Build(builder_.RuleOf(text, "the text", GrammarBuilder::kNoPlace),
                        [this](size_t place) { return document_.PointerOf(*places_[place]); });
}

Result<SchemaCompiler::Way> SchemaCompiler::Value(const SchemaNode& node, int32_t depth) {
  TERN_ASSIGN_OR_RETURN(const SchemaNode shorter, brancher_.Shorten(node));
  if (shorter.empty()) return Way(json_.AnyValue());
  const Json& first = *shorter.front().schema;
  if (first == BooleanSchema(false) && !shorter.front().negated) return Way();
  const auto known = rules_.find(shorter);
  if (known != rules_.end()) {
    if (known->second) called_.insert(*known->second);
    return known->second ? Way(builder_.Call(*known->second)) : Way();
  }
  if (depth > kMaxNodes) return Unsupported(document_.PointerOf(first) + ": schemas are nested too deep");
  places_.push_back(&first);
  const GrammarBuilder::Rule rule = builder_.NewRule("the schema", places_.size() - 1);
  rules_.emplace(shorter, rule);
  TERN_ASSIGN_OR_RETURN(const Way body, NodeBody(shorter, depth));
  if (!body && called_.contains(rule))
    return InvalidArgument(document_.PointerOf(first) + ": the schema can never end");
  builder_.Define(rule, body ? *body : builder_.Empty());
  if (!body) rules_[shorter] = std::nullopt;
  return body ? Way(builder_.Call(rule)) : Way();
}

Result<SchemaCompiler::Way> SchemaCompiler::NodeBody(const SchemaNode& node, int32_t depth) {
  TERN_ASSIGN_OR_RETURN(const auto found, brancher_.Branches(node));
  if (left_out_.ok()) left_out_ = found->left_out;
  std::vector<Expr> ways;
  for (const SchemaBranch& branch : found->branches) TERN_RETURN_IF_ERROR(AddWays(branch, depth, &ways));
  std::sort(ways.begin(), ways.end());
  ways.erase(std::unique(ways.begin(), ways.end()), ways.end());
  return ways.empty() ? Way() : Way(builder_.Choice(std::move(ways)));
}

Status SchemaCompiler::AddWays(const SchemaBranch& branch, int32_t depth, std::vector<Expr>* ways) {
  if (branch.finite) {
    AddValues(brancher_.Values(branch), ways);
    return OkStatus();
  }
  const auto add = [&](Result<Way> way) -> Status {
    if (way.ok() && *way) ways->push_back(**way);
    return way.status();
  };
  if ((branch.kinds & kJsonObject) != 0) TERN_RETURN_IF_ERROR(add(Object(branch, depth)));
  if ((branch.kinds & kJsonArray) != 0) TERN_RETURN_IF_ERROR(add(Array(branch, depth)));
  if ((branch.kinds & kJsonString) != 0) TERN_RETURN_IF_ERROR(add(String(branch)));
  if ((branch.kinds & kJsonNumber) != 0) TERN_RETURN_IF_ERROR(add(Number(branch)));
  if ((branch.kinds & kJsonBoolean) != 0) AddBooleans(branch, ways);
  if ((branch.kinds & kJsonNull) != 0) ways->push_back(builder_.Text("null"));
  return OkStatus();
}

void SchemaCompiler::AddValues(const std::vector<Json>& values, std::vector<Expr>* ways) {
  std::vector<std::string> texts;
  for (const Json& value : values) {
    if (value.is_structured())
      ways->push_back(json_.Literal(value));
    else
      texts.push_back(value.dump());
  }
  if (!texts.empty()) ways->push_back(builder_.OneOf(std::move(texts)));
}

void SchemaCompiler::AddBooleans(const SchemaBranch& branch, std::vector<Expr>* ways) {
  for (bool value : {true, false}) {
    const bool excluded = std::any_of(branch.excluded.begin(), branch.excluded.end(),
                                      [&](const Json* one) { return *one == BooleanSchema(value); });
    if (!excluded) ways->push_back(builder_.Text(value ? "true" : "false"));
  }
}

void SchemaCompiler::LeaveOut(const SchemaBranch& branch, std::string_view key, const std::string& why) {
  if (left_out_.ok()) left_out_ = brancher_.Refuse(*branch.terms.front().term.schema, key, why);
}

Result<SchemaCompiler::Way> SchemaCompiler::String(const SchemaBranch& branch) {
  const bool excludes = std::any_of(branch.excluded.begin(), branch.excluded.end(),
                                    [](const Json* one) { return one->is_string(); });
  const bool any = branch.patterns.empty() && branch.other_patterns.empty() && branch.formats.empty() &&
                   !excludes && !branch.limits.contains("minLength") && !branch.limits.contains("maxLength");
  if (any) {
    if (!any_string_) any_string_ = json_.String(0, kUnlimited);
    return Way(any_string_);
  }
  TERN_ASSIGN_OR_RETURN(const RegularLanguage language, brancher_.Strings(branch));
  if (language.empty()) return Way();
  auto string = json_.StringOf(language, strings_.budget());
  if (string.ok()) return Way(*string);
  const Json* at = branch.terms.front().term.schema;
  const char* key = "minLength";
  if (!branch.formats.empty()) at = branch.formats.front().at, key = "format";
  if (!branch.patterns.empty()) at = branch.patterns.front().at, key = "pattern";
  return string.status().WithContext(PointerTo(document_.PointerOf(*at), key));
}

Result<NumberRule> SchemaCompiler::RuleOfNumbers(const SchemaBranch& branch, const std::string& pointer) {
  const uint32_t kinds = branch.kinds & kJsonNumber;
  PlacedSchema placed{Json::object(), pointer};
  for (const char* key : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}) {
    if (branch.limits.contains(key)) placed.schema[key] = branch.limits[key];
  }
  TERN_ASSIGN_OR_RETURN(NumberRule rule, JsonNumberRule(placed, kinds == kJsonInteger));
  const auto add = [&](const Json& number, std::vector<Decimal>* to) -> Status {
    TERN_ASSIGN_OR_RETURN(const Decimal decimal, JsonDecimal(number));
    to->push_back(decimal);
    return OkStatus();
  };
  for (const Json& step : branch.multiples) TERN_RETURN_IF_ERROR(add(step, &rule.multiples));
  for (const Json& step : branch.other_multiples) TERN_RETURN_IF_ERROR(add(step, &rule.not_multiples));
  if (kinds == kJsonFraction) TERN_RETURN_IF_ERROR(add(Json(1), &rule.not_multiples));
  for (const Json* value : branch.excluded) {
    if ((JsonTypeOf(*value) & kinds) != 0) TERN_RETURN_IF_ERROR(add(*value, &rule.excluded));
  }
  return rule;
}

Result<SchemaCompiler::Way> SchemaCompiler::Number(const SchemaBranch& branch) {
  const std::string pointer = document_.PointerOf(*branch.terms.front().term.schema);
  const auto rule = RuleOfNumbers(branch, pointer);
  if (!rule.ok()) return rule.status().WithContext(pointer);
  for (const auto& [known, way] : numbers_) {
    if (known == *rule) return way;
  }
  Way way;
  if (*rule == NumberRule()) {
    way = json_.Number();
  } else {
    const auto texts = NumberTexts(*rule, strings_.budget());
    if (!texts.ok()) return texts.status().WithContext(pointer);
    if (!texts->empty()) {
      const auto expr = json_.PlainOf(*texts, strings_.budget());
      if (!expr.ok()) return expr.status().WithContext(pointer);
      way = *expr;
    }
  }
  if (numbers_.size() < kKeptNumbers) numbers_.emplace_back(*rule, way);
  return way;
}

Result<int32_t> CountLimit(const SchemaBrancher& brancher, const SchemaBranch& branch, const char* key,
                           int32_t absent) {
  const auto found = branch.limits.find(key);
  if (found == branch.limits.end()) return absent;
  const double count = found->get<double>();
  if (count <= GrammarLimits::kRepeats) return static_cast<int32_t>(count);
  if (std::string_view(key).starts_with("max")) return GrammarLimits::kRepeats;
  return brancher.Refuse(*branch.terms.front().term.schema, key,
                         "more than " + std::to_string(GrammarLimits::kRepeats));
}

}  // namespace tern
