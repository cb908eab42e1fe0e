// Sets of numbers as languages of the texts that write them in JSON.
#pragma once

#include <optional>
#include <vector>

#include "base/status.h"
#include "infer/decimal.h"
#include "infer/regular_language.h"

namespace tern {

/// A set of numbers: all that are within the bounds, multiples of some numbers and no multiples of others.
struct NumberRule {
  struct Bound {
    Decimal value;
    bool exclusive = false;  ///< the bound itself is outside
    bool operator==(const Bound&) const = default;
  };
  std::optional<Bound> low = {}, high = {};
  bool whole = false;  ///< whole numbers, written without a decimal point
  /// Numbers above zero. (A number that is not whole is no multiple of 1.)
  std::vector<Decimal> multiples = {}, not_multiples = {};
  std::vector<Decimal> excluded = {};

  void AtLeast(const Bound& bound);  ///< narrows `low`
  void AtMost(const Bound& bound);   ///< narrows `high`
  bool operator==(const NumberRule&) const = default;
};

/// The texts that write the numbers of a set; may be empty. Every text is a JSON number, is of the set by its
/// exact decimal value, and fits a double. In turn every number of the set that has a text as described here
/// has it in the language:
/// - Up to kNumberDigits digits before the decimal point (more where a bound has more) and as many after it.
///   Where a divisor is no power of ten, whatever their number. Where something is left out of numbers that
///   need not be whole, 15 digits in all: what is left out is not written with a tail that a double does not
///   hold.
/// - Whole numbers (`whole`) are written without a point, an exponent and as 0, not -0.
/// - An exponent may stand where no multiple is asked for. After one digit that is not 0 (with or without a
///   fraction) it is from -307 to 307; without bounds and exclusions it may follow all digits, up to ± 99.
///
/// kExhausted when it needs too many states or too much work.
Result<RegularLanguage> NumberTexts(const NumberRule& rule, RegularBudget* budget);

/// Numbers that programs print have no more: a double needs 17 digits behind up to 5 zeros.
inline constexpr uint32_t kNumberDigits = 22;
inline constexpr int32_t kMaxExponent = 307;

}  // namespace tern
