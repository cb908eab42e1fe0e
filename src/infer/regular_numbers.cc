#include "infer/regular_numbers.h"

#include <algorithm>
#include <utility>

#include "infer/regular_automaton.h"
#include "infer/regular_number_reader.h"

namespace tern {
namespace {

/// The forms of texts that are read: the same for all parts of a rule, so that their languages can be subtracted.
NumberReading TextsOf(const NumberRule& rule) {
  NumberReading reading;
  reading.whole = rule.whole;
  bool counted = true;
  int32_t whole_digits = kNumberDigits, fraction_digits = kNumberDigits;
  const auto look_at = [&](const Decimal& number) {
    const auto size = static_cast<int32_t>(number.digits().size());
    whole_digits = std::max(whole_digits, number.point());
    fraction_digits = std::max(fraction_digits, size - number.point());
  };
  for (const auto* bound : {&rule.low, &rule.high}) {
    if (*bound) look_at((*bound)->value);
  }
  std::for_each(rule.excluded.begin(), rule.excluded.end(), look_at);
  for (const auto* divisors : {&rule.multiples, &rule.not_multiples}) {
    for (const Decimal& divisor : *divisors) {
      look_at(divisor);
      counted = counted && divisor.digits() == "1";
    }
  }
  if (counted) {
    reading.whole_digits = static_cast<uint32_t>(whole_digits);
    reading.fraction_digits = static_cast<uint32_t>(fraction_digits);
  }
  // Two different numbers of up to 15 digits are different doubles.
  constexpr uint32_t kExactDigits = 15;
  const bool leaves_out = !rule.excluded.empty() && !rule.whole && rule.multiples.empty();
  if (leaves_out || !rule.not_multiples.empty()) reading.all_digits = kExactDigits;
  const bool bounded = rule.low || rule.high || !rule.excluded.empty();
  const bool divided = rule.whole || !rule.multiples.empty() || !rule.not_multiples.empty();
  reading.exponents = divided   ? NumberReading::Exponents::kNone
                      : bounded ? NumberReading::Exponents::kNormal
                                : NumberReading::Exponents::kFree;
  return reading;
}

using Operation = bool (*)(bool, bool);
bool InBoth(bool a, bool b) { return a && b; }
bool InFirstAlone(bool a, bool b) { return a && !b; }

}  // namespace

void NumberRule::AtLeast(const Bound& bound) {
  const bool narrower = !low || bound.value > low->value || (bound.value == low->value && bound.exclusive);
  if (narrower) low = bound;
}
void NumberRule::AtMost(const Bound& bound) {
  const bool narrower = !high || bound.value < high->value || (bound.value == high->value && bound.exclusive);
  if (narrower) high = bound;
}

Result<RegularLanguage> NumberTexts(const NumberRule& rule, RegularBudget* budget) {
  for (const auto* divisors : {&rule.multiples, &rule.not_multiples}) {
    for (const Decimal& divisor : *divisors) {
      if (divisor.zero() || divisor.negative()) return InvalidArgument("a divisor must be above zero");
    }
  }
  const NumberReading texts = TextsOf(rule);
  std::vector<std::pair<NumberReading, Operation>> further;
  NumberReading first = texts;
  first.low = rule.low;
  first.high = rule.high;
  for (const bool wanted : {true, false}) {
    for (const Decimal& divisor : wanted ? rule.multiples : rule.not_multiples) {
      NumberReading reading = first.divisor ? texts : first;
      reading.divisor = divisor;
      reading.divisible = wanted;
      if (first.divisor)
        further.emplace_back(std::move(reading), InBoth);
      else
        first = std::move(reading);
    }
  }
  for (const Decimal& number : rule.excluded) {
    NumberReading reading = texts;
    reading.low = reading.high = NumberRule::Bound{number};
    further.emplace_back(std::move(reading), InFirstAlone);
  }
  TERN_ASSIGN_OR_RETURN(RegularAutomaton automaton, NumberAutomaton(first, budget));
  for (const auto& [reading, operation] : further) {
    TERN_ASSIGN_OR_RETURN(const RegularAutomaton other, NumberAutomaton(reading, budget));
    TERN_ASSIGN_OR_RETURN(automaton, Combined(automaton, other, operation, budget));
  }
  return RegularLanguage::OfAutomaton(std::move(automaton), budget);
}

}  // namespace tern
