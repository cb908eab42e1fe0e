// An automaton that reads a number's digits and knows what the number is compared with a bound or a divisor.
#pragma once

#include <cstdint>
#include <optional>

#include "base/status.h"
#include "infer/decimal.h"
#include "infer/regular_automaton.h"
#include "infer/regular_numbers.h"

namespace tern {

/// Which numbers are wanted, and which of their texts.
struct NumberReading {
  static constexpr uint32_t kUnlimited = UINT32_MAX;

  std::optional<NumberRule::Bound> low = {}, high = {};
  std::optional<Decimal> divisor = {};  ///< above zero
  bool divisible = true;                ///< multiples of the divisor are wanted; or the others are

  bool whole = false;  ///< digits alone, and no -0
  enum class Exponents : uint8_t {
    kNone,
    kNormal,  ///< after one digit that is not 0
    kFree,    ///< after all; there must be no bounds
  };
  Exponents exponents = Exponents::kNone;  ///< others than kNone: there must be no divisor
  uint32_t whole_digits = kUnlimited, fraction_digits = kUnlimited;
  uint32_t all_digits = kUnlimited;  ///< before and after the point, but for a single 0 before it
};

/// Minimal.
Result<RegularAutomaton> NumberAutomaton(const NumberReading& reading, RegularBudget* budget);

}  // namespace tern
