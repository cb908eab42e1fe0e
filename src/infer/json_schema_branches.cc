#include "infer/json_schema_branches.h"

#include <algorithm>
#include <compare>
#include <limits>
#include <string_view>
#include <utility>

#include "infer/json_schema_growth.h"
#include "infer/json_schema_numbers.h"

namespace tern {
namespace {

bool Contains(const auto& list, const auto& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

bool HasTerm(const SchemaBranch& branch, const SchemaTerm& term) {
  return std::any_of(branch.terms.begin(), branch.terms.end(),
                     [&](const SchemaBranch::Derived& derived) { return derived.term == term; });
}

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

double LimitOf(const SchemaBranch& branch, const char* key, double absent) {
  const auto found = branch.limits.find(key);
  return found == branch.limits.end() ? absent : found->get<double>();
}

}  // namespace

bool SchemaBranch::Requires(const std::string& name) const { return Contains(required, name); }

const Json& BooleanSchema(bool allows) {
  static const Json yes(true), no(false);
  return allows ? yes : no;
}

bool SaysNothing(const Json& schema) {
  if (schema.is_boolean()) return schema.get<bool>();
  return schema.is_object() && std::none_of(schema.items().begin(), schema.items().end(),
                                            [](const auto& item) { return IsAssertion(item.key()); });
}

Status SchemaBrancher::Spend() {
  if (++steps_ <= kMaxSteps) return OkStatus();
  return Exhausted("the schema is too large once its references and combinations are carried out");
}

Status SchemaBrancher::Refuse(const Json& schema, std::string_view key, const std::string& why) const {
  return Unsupported(PointerTo(document_.PointerOf(schema), key) + ": " + why);
}

void SchemaBrancher::LeaveOut(const Json& schema, std::string_view key, const std::string& why) {
  if (found_ && found_->left_out.ok()) found_->left_out = Refuse(schema, key, why);
}

Result<SchemaNode> SchemaBrancher::Shorten(const SchemaNode& node) {
  SchemaNode shorter;
  for (SchemaTerm term : node) {
    for (int32_t i = 0; term.schema->is_object() && term.schema->contains("$ref"); ++i) {
      const auto says_more = [](const auto& item) { return item.key() != "$ref" && IsAssertion(item.key()); };
      const auto items = term.schema->items();
      const bool alone =
          document_.reference_stands_alone() || std::none_of(items.begin(), items.end(), says_more);
      if (!alone || !(*term.schema)["$ref"].is_string()) break;
      if (i == kMaxDepth)
        return InvalidArgument(document_.PointerOf(*term.schema) + ": the schema refers to itself");
      TERN_RETURN_IF_ERROR(Spend());
      TERN_ASSIGN_OR_RETURN(term.schema,
                            document_.Resolve((*term.schema)["$ref"].get<std::string>(), *term.schema));
    }
    const bool everything = SaysNothing(*term.schema), nothing = *term.schema == BooleanSchema(false);
    if (term.negated ? everything : nothing) return SchemaNode{{&BooleanSchema(false)}};
    if (!(term.negated ? nothing : everything) && !Contains(shorter, term)) shorter.push_back(term);
  }
  return shorter;
}

Result<std::shared_ptr<const SchemaBranches>> SchemaBrancher::Branches(const SchemaNode& node) {
  const auto known = known_.find(node);
  if (known != known_.end()) return known->second;
  if (Contains(open_, node) || open_.size() > static_cast<size_t>(kMaxDepth))
    return InvalidArgument(document_.PointerOf(*node.front().schema) + ": the schema refers to itself");
  open_.push_back(node);
  const auto outer = std::exchange(found_, std::make_shared<SchemaBranches>());
  Growth growth;
  Status status;
  for (const SchemaTerm& term : node) {
    if (status.ok()) status = AddTerm(&growth, term, -1, {});
  }
  if (status.ok()) status = Grow(std::move(growth), 0);
  const auto found = std::exchange(found_, outer);
  open_.pop_back();
  TERN_RETURN_IF_ERROR(status);
  known_.emplace(node, found);
  return std::shared_ptr<const SchemaBranches>(found);
}

bool SchemaBrancher::IsEmpty(const SchemaNode& node) {
  constexpr size_t kDeepest = 12;  // deeper it is unsure
  const auto shorter = Shorten(node);
  if (!shorter.ok() || shorter->empty()) return false;
  if (*shorter->front().schema == BooleanSchema(false) && !shorter->front().negated) return true;
  if (shorter->size() == 1 && known_.find(*shorter) == known_.end()) return false;
  if (Contains(open_, *shorter) || open_.size() > kDeepest) return false;
  const auto branches = Branches(*shorter);
  return branches.ok() && (*branches)->branches.empty() && (*branches)->left_out.ok();
}

/// Terms, then whatever has one way, until disjunctions with several ways are all that is left.
Status SchemaBrancher::Grow(Growth growth, int32_t depth) {
  if (depth > kMaxDepth) return Exhausted("the schema has alternatives within alternatives beyond a limit");
  for (bool applied = true; applied;) {
    TERN_RETURN_IF_ERROR(Spend());
    TERN_ASSIGN_OR_RETURN(bool possible, ProcessTerms(&growth));
    if (!possible) return OkStatus();
    TERN_RETURN_IF_ERROR(DropEmptyKinds(&growth.branch));
    if (growth.branch.kinds == 0) return OkStatus();
    TERN_ASSIGN_OR_RETURN(possible, Reduce(&growth, &applied));
    if (!possible) return OkStatus();
  }
  if (!growth.open.empty()) return Split(growth, depth);
  if (found_->branches.size() == kMaxBranches)
    return Exhausted(document_.PointerOf(*growth.branch.terms.front().term.schema) +
                     ": the schema has too many alternatives");
  auto& shapes = growth.branch.shapes;
  std::stable_sort(shapes.begin(), shapes.end(),
                   [](const auto& a, const auto& b) { return a.order < b.order; });
  found_->branches.push_back(std::move(growth.branch));
  return OkStatus();
}

/// Splits a growth by the disjunction that has the fewest alternatives.
Status SchemaBrancher::Split(const Growth& growth, int32_t depth) {
  const auto fewest = std::min_element(growth.open.begin(), growth.open.end(),
                                       [](const auto& a, const auto& b) { return a.size() < b.size(); });
  for (const Alternative& alternative : *fewest) {
    Growth with = growth;
    with.open.erase(with.open.begin() + (fewest - growth.open.begin()));
    TERN_ASSIGN_OR_RETURN(const bool possible, Apply(&with, alternative));
    if (possible) TERN_RETURN_IF_ERROR(Grow(std::move(with), depth + 1));
  }
  return OkStatus();
}

/// Positive terms come before negated ones: a negation uses the properties that are known.
Result<bool> SchemaBrancher::ProcessTerms(Growth* growth) {
  for (bool negated : {false, true}) {
    for (size_t i = 0; i < growth->branch.terms.size(); ++i) {
      const SchemaBranch::Derived derived = growth->branch.terms[i];  // a copy: the list grows
      if (growth->done[i] || derived.term.negated != negated) continue;
      growth->done[i] = true;
      TERN_RETURN_IF_ERROR(Spend());
      const Source source{derived.term.schema, static_cast<int32_t>(i), derived.order};
      TERN_ASSIGN_OR_RETURN(const bool possible,
                            negated ? ApplyNegation(growth, source) : ApplySchema(growth, source));
      if (!possible || growth->branch.kinds == 0) return false;
    }
  }
  const bool all = std::all_of(growth->done.begin(), growth->done.end(), [](bool done) { return done; });
  return all ? Result<bool>(true) : ProcessTerms(growth);  // a negation may have led to a schema
}

Result<bool> SchemaBrancher::Reduce(Growth* growth, bool* applied) {
  *applied = false;
  for (size_t i = 0; i < growth->open.size();) {
    TERN_RETURN_IF_ERROR(Spend());
    Disjunction possible;
    bool implied = false;
    for (Alternative& alternative : growth->open[i]) {
      const Fit fit = FitOf(growth->branch, alternative);
      implied |= fit == Fit::kImplied;
      if (fit == Fit::kPossible) possible.push_back(std::move(alternative));
    }
    if (!implied && possible.empty()) return false;
    if (!implied && possible.size() > 1) {
      growth->open[i++] = std::move(possible);
      continue;
    }
    growth->open.erase(growth->open.begin() + static_cast<ptrdiff_t>(i));
    if (implied) continue;
    *applied = true;
    TERN_ASSIGN_OR_RETURN(const bool possible_still, Apply(growth, possible.front()));
    if (!possible_still) return false;
  }
  return true;
}

Status SchemaBrancher::AddTerm(Growth* growth, SchemaTerm term, int32_t parent, SchemaOrder order) {
  auto& terms = growth->branch.terms;
  for (size_t i = 0; i < terms.size(); ++i) {
    if (terms[i].term != term) continue;
    for (int32_t above = parent; above >= 0; above = terms[static_cast<size_t>(above)].parent) {
      if (static_cast<size_t>(above) == i)
        return InvalidArgument(document_.PointerOf(*term.schema) + ": the schema refers to itself");
    }
    return OkStatus();
  }
  terms.push_back({term, parent, std::move(order)});
  growth->done.push_back(false);
  return OkStatus();
}

Result<bool> SchemaBrancher::Apply(Growth* growth, const Alternative& alternative) {
  for (const Atom& atom : alternative) {
    TERN_ASSIGN_OR_RETURN(const bool possible, ApplyAtom(growth, atom));
    if (!possible) return false;
  }
  return true;
}

Result<bool> SchemaBrancher::ApplyAtom(Growth* growth, const Atom& atom) {
  SchemaBranch& branch = growth->branch;
  switch (atom.kind) {
    case Atom::kTerm:
      TERN_RETURN_IF_ERROR(AddTerm(growth, atom.term, atom.parent, atom.order));
      break;
    case Atom::kKinds:
      branch.kinds &= atom.kinds;
      break;
    case Atom::kRequire:
      if (!branch.Requires(atom.text)) branch.required.push_back(atom.text);
      break;
    case Atom::kForbid:
      branch.forbidden.insert(atom.text);
      break;
    case Atom::kMember:
      branch.members.emplace_back(atom.text, atom.term);
      break;
    case Atom::kLimit:
      TERN_RETURN_IF_ERROR(ApplyLimit(&branch, BooleanSchema(true), atom.text, atom.limit));
      break;
    case Atom::kExclude:
      Exclude(&branch, *atom.value);
      break;
    case Atom::kNotPattern:
      branch.other_patterns.push_back(
          {atom.text, branch.terms[static_cast<size_t>(atom.parent)].term.schema});
      break;
    case Atom::kNotMultiple:
      branch.other_multiples.push_back(atom.limit);
      break;
    case Atom::kEachItem:
      branch.each_item.push_back(atom.term);
      break;
    case Atom::kContains:
      branch.contains.push_back(atom.term);
      break;
  }
  return branch.kinds != 0;
}

/// Of objects and arrays only the empty ones can be excluded alone; of a finite branch Values leaves it out.
void SchemaBrancher::Exclude(SchemaBranch* branch, const Json& value) {
  branch->excluded.push_back(&value);
  if (value.is_null()) branch->kinds &= ~uint32_t{kJsonNull};
  if (!value.is_structured() || branch->finite) return;
  const char* key = value.is_object() ? "minProperties" : "minItems";
  if (value.empty()) {
    if (!branch->limits.contains(key) || branch->limits[key] < Json(1)) branch->limits[key] = 1;
  } else if ((branch->kinds & JsonTypeOf(value)) != 0) {
    branch->kinds &= ~JsonTypeOf(value);
    LeaveOut(*branch->terms.front().term.schema, "not", "a single object or array cannot be excluded");
  }
}

SchemaBrancher::Fit SchemaBrancher::FitOf(const SchemaBranch& branch, const Alternative& alternative) {
  Fit all = Fit::kImplied;
  for (const Atom& atom : alternative) all = std::min(all, FitOfAtom(branch, atom));
  return all;
}

SchemaBrancher::Fit SchemaBrancher::FitOfAtom(const SchemaBranch& branch, const Atom& atom) {
  const bool object = (branch.kinds & kJsonObject) != 0;
  const bool only_object = branch.Is(kJsonObject);
  switch (atom.kind) {
    case Atom::kTerm:
      return FitOfTerm(branch, atom.term);
    case Atom::kKinds:
      if ((branch.kinds & atom.kinds) == 0) return Fit::kImpossible;
      return (branch.kinds & ~atom.kinds) == 0 ? Fit::kImplied : Fit::kPossible;
    case Atom::kRequire:
      if (!object || branch.Requires(atom.text)) return Fit::kImplied;
      return only_object && branch.forbidden.contains(atom.text) ? Fit::kImpossible : Fit::kPossible;
    case Atom::kForbid: {
      if (!object || branch.forbidden.contains(atom.text)) return Fit::kImplied;
      if (branch.Requires(atom.text)) return only_object ? Fit::kImpossible : Fit::kPossible;
      const auto node = Property(branch, atom.text);
      const bool none = node.ok() && node->size() == 1 && *node->front().schema == BooleanSchema(false);
      return none ? Fit::kImplied : Fit::kPossible;
    }
    case Atom::kExclude:
      return (JsonTypeOf(*atom.value) & branch.kinds) == 0 ? Fit::kImplied : Fit::kPossible;
    case Atom::kMember:
      return object && !branch.forbidden.contains(atom.text) ? Fit::kPossible : Fit::kImplied;
    default:
      return Fit::kPossible;
  }
}

SchemaBrancher::Fit SchemaBrancher::FitOfTerm(const SchemaBranch& branch, const SchemaTerm& term) {
  if (SaysNothing(*term.schema)) return term.negated ? Fit::kImpossible : Fit::kImplied;
  if (HasTerm(branch, term)) return Fit::kImplied;
  if (HasTerm(branch, {term.schema, !term.negated})) return Fit::kImpossible;
  return (KindsOf(term) & branch.kinds) == 0 ? Fit::kImpossible : Fit::kPossible;
}

/// A superset of the kinds of a term's values.
uint32_t SchemaBrancher::KindsOf(const SchemaTerm& term) {
  const auto shorter = Shorten({term});
  if (!shorter.ok() || shorter->empty()) return kJsonAnyKind;
  const auto& [schema, negated] = shorter->front();
  if (!schema->is_object()) return *schema == BooleanSchema(negated) ? 0 : uint32_t{kJsonAnyKind};
  SchemaBranch branch;
  if (schema->contains("type") && !ApplyType(&branch, *schema).ok()) return kJsonAnyKind;
  if (negated) {
    const auto assertions = std::count_if(schema->items().begin(), schema->items().end(),
                                          [](const auto& item) { return IsAssertion(item.key()); });
    return assertions == 1 && schema->contains("type") ? kJsonAnyKind & ~branch.kinds : kJsonAnyKind;
  }
  for (const char* key : {"const", "enum"}) {
    const bool counts = !document_.reference_stands_alone() || !schema->contains("$ref");
    if (counts && schema->contains(key))
      static_cast<void>(ApplyValues(&branch, *schema, key, (*schema)[key]));
  }
  return branch.kinds;
}

/// Kinds of which every value is excluded.
Status SchemaBrancher::DropEmptyKinds(SchemaBranch* branch) {
  uint32_t& kinds = branch->kinds;
  if (branch->finite) {
    if (branch->terms.size() > 1 && Values(*branch).empty()) kinds = 0;
    return OkStatus();
  }
  if ((kinds & kJsonNumber) != 0 && NoNumbers(*branch)) kinds &= ~uint32_t{kJsonNumber};
  if ((kinds & kJsonArray) != 0 && NoArrays(*branch)) kinds &= ~uint32_t{kJsonArray};
  if ((kinds & kJsonString) != 0) {
    TERN_ASSIGN_OR_RETURN(const bool none, NoStrings(*branch));
    if (none) kinds &= ~uint32_t{kJsonString};
  }
  if ((kinds & kJsonObject) != 0) {
    TERN_ASSIGN_OR_RETURN(const bool none, NoObjects(*branch));
    if (none) kinds &= ~uint32_t{kJsonObject};
  }
  return OkStatus();
}

bool SchemaBrancher::NoNumbers(const SchemaBranch& branch) {
  for (const char* low : {"minimum", "exclusiveMinimum"}) {
    for (const char* high : {"maximum", "exclusiveMaximum"}) {
      const auto least = branch.limits.find(low), most = branch.limits.find(high);
      if (least == branch.limits.end() || most == branch.limits.end()) continue;
      const auto order = CompareNumbers(*least, *most);
      const bool both_included = low == std::string_view("minimum") && high == std::string_view("maximum");
      if (std::is_gt(order) || (!both_included && std::is_eq(order))) return true;
    }
  }
  return false;
}

bool SchemaBrancher::NoArrays(const SchemaBranch& branch) {
  const double most = LimitOf(branch, "maxItems", kNoLimit);
  return LimitOf(branch, "minItems", 0) > most || (!branch.contains.empty() && most < 1);
}

/// Formats do not count: those known here are narrower than the standard's.
Result<bool> SchemaBrancher::NoStrings(const SchemaBranch& branch) {
  if (LimitOf(branch, "minLength", 0) > LimitOf(branch, "maxLength", kNoLimit)) return true;
  if (branch.patterns.size() + branch.other_patterns.size() + branch.excluded.size() < 2) return false;
  SchemaBranch without = branch;
  without.formats.clear();
  TERN_ASSIGN_OR_RETURN(const RegularLanguage language, Strings(without));
  return language.empty();
}

Result<bool> SchemaBrancher::NoObjects(const SchemaBranch& branch) {
  const double most = LimitOf(branch, "maxProperties", kNoLimit);
  if (static_cast<double>(branch.required.size()) > most || LimitOf(branch, "minProperties", 0) > most)
    return true;
  for (const std::string& name : branch.required) {
    if (branch.forbidden.contains(name)) return true;
    const bool undecided = std::any_of(branch.names.begin(), branch.names.end(), [&](const SchemaTerm& term) {
      return validator_.Check(*term.schema, Json(name)) == Verdict::kUnknown;
    });
    if (undecided) continue;  // whether the name is allowed: nothing is shown
    TERN_ASSIGN_OR_RETURN(const SchemaNode node, Property(branch, name));
    if (IsEmpty(node)) return true;
  }
  return false;
}

}  // namespace tern
