// Any bytes as a grammar or a schema: refused or compiled, and what is compiled keeps its promises. Shared by
// the fuzzers and the tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/random.h"
#include "base/status.h"
#include "infer/grammar.h"
#include "infer/grammar_matcher.h"
#include "infer/json_schema.h"

namespace tern {

/// Writes at random: until the matcher is at its limit, from every place some byte must lead on, or the text
/// is complete. Returns the first contradiction; empty when there is none. `text` is what was written when it
/// is complete.
inline std::string WalkGrammar(const std::shared_ptr<const Grammar>& grammar, uint64_t seed, size_t steps,
                               std::string* text) {
  Random random(seed);
  GrammarMatcher matcher(grammar);
  text->clear();
  size_t work = 0;
  for (size_t step = 0; step < steps && work < 200000; ++step) {
    if (matcher.complete() && (matcher.exhausted() || random.Below(8) == 0)) return {};
    const auto first = static_cast<uint32_t>(random.Below(256));
    bool moved = false;
    for (uint32_t i = 0; i < 256 && !moved; ++i) {
      const auto byte = static_cast<uint8_t>(first + i);
      moved = matcher.Advance(byte);
      work += matcher.work();
      if (moved) text->push_back(static_cast<char>(byte));
    }
    if (!moved && !matcher.complete() && matcher.places().items.size() < 2000)
      return "a dead end after " + *text;
  }
  if (!matcher.complete()) text->clear();
  return {};
}

inline std::string AttackGrammar(const uint8_t* data, size_t size) {
  auto grammar = ParseGrammar({reinterpret_cast<const char*>(data), size});
  std::string text;
  return grammar.ok() ? WalkGrammar(*grammar, size, 60, &text) : std::string();
}

inline std::string AttackJsonSchema(const uint8_t* data, size_t size) {
  auto grammar = JsonSchemaGrammar({reinterpret_cast<const char*>(data), size});
  std::string text;
  if (!grammar.ok()) return {};
  std::string contradiction = WalkGrammar(*grammar, size, 200, &text);
  if (contradiction.empty() && !text.empty() && !nlohmann::json::accept(text))
    contradiction = "no JSON: " + text;
  return contradiction;
}

}  // namespace tern
