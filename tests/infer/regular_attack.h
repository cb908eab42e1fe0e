// Any bytes as a pattern: refused or compiled, and what is compiled keeps its promises. Shared by the fuzzer
// and the tests.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/random.h"
#include "infer/regular_bytes.h"
#include "infer/regular_language.h"

namespace tern {

/// A text of the automaton, written at random. Empty when it does not come to an end within `most` bytes.
inline std::string WriteBytes(const ByteAutomaton& automaton, Random* random, size_t most) {
  std::string text;
  uint32_t state = 0, count = 0;
  while (text.size() < most) {
    const auto edges = automaton.EdgesOf(state);
    if (automaton.accepts[state] && (edges.empty() || random->Below(4) == 0)) return text;
    if (edges.empty()) return "a state that neither accepts nor goes on";
    const ByteAutomaton::Edge& edge = edges[random->Below(edges.size())];
    text.push_back(static_cast<char>(edge.low + random->Below(size_t{1} + edge.high - edge.low)));
    const bool counted =
        automaton.count > 0 && state != 0 && automaton.last[edge.target] != ByteAutomaton::kNone;
    state = counted && ++count == automaton.count ? automaton.last[edge.target] : edge.target;
  }
  return {};
}

/// The first contradiction; empty when there is none.
inline std::string AttackRegular(const uint8_t* data, size_t size) {
  const std::string pattern(reinterpret_cast<const char*>(data), size);
  RegularBudget budget(size_t{1} << 18);
  const auto language = RegularLanguage::OfPattern(pattern, &budget);
  if (!language.ok()) {
    const StatusCode code = language.status().code();
    return code == StatusCode::kUnsupported || code == StatusCode::kExhausted ? ""
                                                                              : "refused for another reason";
  }
  const auto others = language->Complement(&budget);
  if (!others.ok()) return {};  // the budget is spent
  const auto both = language->Intersects(*others, &budget);
  if (both.ok() && *both) return "a text that is in the language and in its complement";
  const auto again = others->Complement(&budget);
  if (again.ok() && again->empty() != language->empty())
    return "the complement of the complement is another language";

  Random random(size);
  const auto bounded = language->Intersection(RegularLanguage::OfLength({0, 1000}), &budget);
  if (!bounded.ok() || bounded->empty()) return {};
  const auto bytes = StringBytesOf(*bounded, &budget);
  if (!bytes.ok()) return {};
  for (int i = 0; i < 4; ++i) {
    const std::string text = WriteBytes(*bytes, &random, 10000);
    if (text.empty()) continue;
    const auto value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!value.is_string()) return "no JSON string: " + text;
    if (!bounded->Contains(value.get<std::string>())) return "not of the language: " + text;
    if (others->Contains(value.get<std::string>())) return "of the complement: " + text;
  }
  return {};
}

}  // namespace tern
