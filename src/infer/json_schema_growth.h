// The state of SchemaBrancher while it finds branches.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "infer/json_schema_branches.h"

namespace tern {

/// One step of an alternative. About a type: it has no effect on values of other types, except kKinds.
struct SchemaBrancher::Atom {
  enum Kind : uint8_t {
    kTerm,         ///< `term` holds
    kKinds,        ///< the value is of one of `kinds`
    kRequire,      ///< property `text` is there
    kForbid,       ///< property `text` is not there
    kMember,       ///< `term` holds for property `text`, if it is there
    kLimit,        ///< the keyword `text` with the value `limit`
    kExclude,      ///< the value is not `value`
    kNotPattern,   ///< the pattern `text` does not match
    kNotMultiple,  ///< the value is no multiple of `limit`
    kEachItem,     ///< `term` holds for each item
    kContains,     ///< `term` holds for some item
  };
  Kind kind;
  SchemaTerm term = {nullptr};
  uint32_t kinds = 0;
  std::string text = {};
  Json limit = {};
  const Json* value = nullptr;
  int32_t parent = -1;  ///< of `term` or the schema that a pattern stands in, among the terms of the growth
  SchemaOrder order = {};

  static Atom Kinds(uint32_t kinds) { return {.kind = kKinds, .kinds = kinds}; }
  static Atom Require(std::string name) { return {.kind = kRequire, .text = std::move(name)}; }
  static Atom Forbid(std::string name) { return {.kind = kForbid, .text = std::move(name)}; }
  static Atom Member(std::string name, SchemaTerm term) {
    return {.kind = kMember, .term = term, .text = std::move(name)};
  }
  static Atom Limit(std::string key, Json limit) {
    return {.kind = kLimit, .text = std::move(key), .limit = std::move(limit)};
  }
};

/// A branch that is not finished: terms that were not looked at, and disjunctions of which no alternative was
/// chosen.
struct SchemaBrancher::Growth {
  SchemaBranch branch = {};
  std::vector<bool> done = {};  ///< by term
  std::vector<Disjunction> open = {};
};

}  // namespace tern
