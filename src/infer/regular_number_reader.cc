#include "infer/regular_number_reader.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tern {
namespace {

/// A bound as the reader meets it digit by digit, without its sign.
struct NumberEdge {
  explicit NumberEdge(const NumberRule::Bound& bound)
      : exclusive(bound.exclusive), digits(bound.value.digits()), point(bound.value.point()) {
    const auto size = static_cast<int32_t>(digits.size());
    whole = point <= 0 ? "0" : digits.substr(0, static_cast<size_t>(std::min(point, size)));
    if (point > size) whole.append(static_cast<size_t>(point - size), '0');
    if (point < 0) fraction.assign(static_cast<size_t>(-point), '0');
    if (point < size) fraction += digits.substr(static_cast<size_t>(std::max(point, 0)));
  }
  bool zero() const { return digits.empty(); }

  bool exclusive;
  std::string digits;  ///< as in Decimal
  int32_t point;
  std::string whole, fraction;  ///< around the decimal point
};

/// The numbers of one sign that are wanted, by their magnitude.
struct MagnitudeRange {
  bool empty = false;
  std::optional<NumberEdge> low, high;
};

MagnitudeRange RangeOf(const NumberReading& reading, bool negative) {
  // Of negative numbers the bounds change places.
  const auto& toward_zero = negative ? reading.high : reading.low;
  const auto& away = negative ? reading.low : reading.high;
  const auto behind_zero = [negative](const Decimal& value) { return value.negative() != negative; };
  MagnitudeRange range;
  if (away) {
    range.empty = away->value.zero() ? away->exclusive : behind_zero(away->value);
    range.high.emplace(*away);
  }
  const bool always =
      toward_zero && (toward_zero->value.zero() ? !toward_zero->exclusive : behind_zero(toward_zero->value));
  if (toward_zero && !always) range.low.emplace(*toward_zero);
  return range;
}

/// The remainder of the digits so far by the divisor p·10^e, e ≥ 0, or how far they are from a multiple of
/// p·10^e, e < 0, when -e digits of a fraction belong to them.
class NumberDivisor {
 public:
  explicit NumberDivisor(const Decimal& divisor) {
    const auto size = static_cast<int32_t>(divisor.digits().size());
    const int32_t exponent = divisor.point() - size;
    zeros_ = static_cast<uint32_t>(std::max(exponent, 0));
    places_ = static_cast<uint32_t>(std::max(-exponent, 0));
    constexpr size_t kMost = 9;
    fits_ = divisor.digits().size() <= kMost;
    if (fits_) factor_ = static_cast<uint32_t>(std::stoul(divisor.digits()));
  }
  bool fits() const { return fits_; }  ///< otherwise nothing else may be called
  uint32_t factor() const { return factor_; }
  uint32_t places() const { return places_; }  ///< of a fraction that matter; zeros must follow

  struct State {
    uint32_t remainder = 0;  ///< by p
    uint32_t zeros = 0;      ///< how often 10 divides the digits that p divides, up to e
    bool never = false;      ///< whatever follows
    bool operator==(const State&) const = default;
  };
  State Start() const { return {.zeros = zeros_}; }
  State AfterWhole(State state, uint32_t digit) const {
    const bool again = digit == 0 && state.remainder == 0;
    state.remainder = Shifted(state.remainder, digit);
    state.zeros = again ? std::min(state.zeros + 1, zeros_) : 0;
    return state;
  }
  /// `place` counts from 1.
  State AfterFraction(State state, uint32_t digit, uint32_t place) const {
    if (place <= places_)
      state.remainder = Shifted(state.remainder, digit);
    else if (digit != 0)
      state = {.never = true};
    return state;
  }
  bool Divides(const State& state, uint32_t places_read) const {
    if (state.never || state.zeros < zeros_) return false;
    uint32_t remainder = state.remainder;
    for (uint32_t place = places_read; place < places_ && remainder != 0; ++place)
      remainder = Shifted(remainder, 0);
    return remainder == 0;
  }

 private:
  uint32_t Shifted(uint32_t remainder, uint32_t digit) const {
    return static_cast<uint32_t>((uint64_t{remainder} * 10 + digit) % factor_);
  }
  bool fits_ = false;
  uint32_t factor_ = 1, zeros_ = 0, places_ = 0;
};

enum class NumberPhase : uint8_t {
  kStart,
  kMinus,
  kZero,   // the whole part is 0
  kWhole,  // in the whole part
  kPoint,
  kFraction,
  kExponent,      // after e
  kExponentSign,  // after the sign behind it
  kExponentDigits,
};

/// Where a text stands. Comparisons are -1, 0, 1: the number so far against a bound.
struct NumberState {
  NumberPhase phase = NumberPhase::kStart;
  bool negative = false;
  bool normal = false;  // one digit that is not 0 before the point
  int8_t low = 0, high = 0;
  int8_t mantissa_low = 0, mantissa_high = 0;  // the same for the digits alone, whatever the exponent
  uint32_t digits = 0;                         // read in this phase; no more than matter
  uint32_t all_digits = 0;                     // if they are limited
  NumberDivisor::State division = {};
  // In an exponent: from and to are the values that are wanted, without its sign.
  int32_t from = 0, to = 0, exponent = 0;
  // After e: the same for both signs, {from, to} without a minus.
  int32_t minus_from = 0, minus_to = 0;
  bool operator==(const NumberState&) const = default;
};

struct NumberStateHash {
  size_t operator()(const NumberState& state) const {
    uint64_t hash = 0;
    const auto add = [&hash](uint64_t value) {
      hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
      hash ^= hash >> 29;
    };
    const auto byte = [](int8_t value) { return static_cast<uint64_t>(value + 1); };
    add(static_cast<uint64_t>(state.phase) | uint64_t{state.negative} << 8 | uint64_t{state.normal} << 9 |
        byte(state.low) << 10 | byte(state.high) << 12 | byte(state.mantissa_low) << 14 |
        byte(state.mantissa_high) << 16 | uint64_t{state.digits} << 20);
    add(state.division.remainder | uint64_t{state.division.zeros} << 32 |
        uint64_t{state.division.never} << 63);
    add(static_cast<uint64_t>(state.from) << 32 ^ static_cast<uint64_t>(state.to) << 10 ^
        static_cast<uint64_t>(state.exponent));
    add(uint64_t{state.all_digits} << 48 ^ static_cast<uint64_t>(state.minus_from) << 32 ^
        static_cast<uint64_t>(state.minus_to));
    return hash;
  }
};

int8_t CompareChars(char a, char b) { return static_cast<int8_t>(a < b ? -1 : a > b ? 1 : 0); }

/// The transitions; states are values.
class NumberReader {
 public:
  explicit NumberReader(const NumberReading& reading)
      : reading_(reading), ranges_{RangeOf(reading, false), RangeOf(reading, true)} {
    if (reading.divisor) divisor_.emplace(*reading.divisor);
    // Beyond these the number of digits read makes no difference.
    size_t whole = 1, fraction = divisor_ ? divisor_->places() : 0;
    for (const MagnitudeRange& range : ranges_) {
      for (const auto* edge : {&range.low, &range.high}) {
        if (!*edge) continue;
        whole = std::max(whole, (*edge)->whole.size());
        fraction = std::max({fraction, (*edge)->fraction.size(), (*edge)->digits.size()});
      }
    }
    whole_cap_ = static_cast<uint32_t>(whole) + 1;
    fraction_cap_ = static_cast<uint32_t>(fraction) + 1;
  }
  const std::optional<NumberDivisor>& divisor() const { return divisor_; }

  /// Digits that must be told apart, each with the last one that is not told from it.
  std::vector<std::pair<char, char>> DigitRanges() const {
    std::set<char> begins = {'0', '1'};
    const auto single = [&begins](char digit) {
      begins.insert(digit);
      begins.insert(static_cast<char>(digit + 1));
    };
    for (const MagnitudeRange& range : ranges_) {
      for (const auto* edge : {&range.low, &range.high}) {
        if (!*edge) continue;
        std::for_each((*edge)->digits.begin(), (*edge)->digits.end(), single);
        for (int32_t less = 0; has_exponents() && less <= 2; ++less)  // see AfterE
          for (const char digit : std::to_string(std::abs((*edge)->point - less))) single(digit);
      }
    }
    for (const char digit : std::to_string(kMaxExponent) + "9") {
      if (has_exponents()) single(digit);
    }
    const bool all = divisor_ && divisor_->factor() > 1;
    for (char digit = '0'; all && digit <= '9'; ++digit) single(digit);
    begins.insert(static_cast<char>('9' + 1));
    std::vector<std::pair<char, char>> digits;
    for (auto begin = begins.begin(); *begin <= '9'; ++begin)
      digits.emplace_back(*begin, static_cast<char>(*std::next(begin) - 1));
    return digits;
  }

  NumberState Start() const {
    NumberState state;
    if (divisor_) state.division = divisor_->Start();
    return state;
  }

  /// Nothing where the character may not follow.
  std::optional<NumberState> Next(const NumberState& state, char c) const {
    if (c == '-') return AfterMinus(state);
    if (c == '+') return AfterExponentSign(state, false);
    if (c == '.') return AfterPoint(state);
    if (c == 'e') return AfterE(state);
    switch (state.phase) {
      case NumberPhase::kStart:
      case NumberPhase::kMinus:
      case NumberPhase::kWhole:
        return AfterWholeDigit(state, c);
      case NumberPhase::kPoint:
      case NumberPhase::kFraction:
        return AfterFractionDigit(state, c);
      case NumberPhase::kExponent:
      case NumberPhase::kExponentSign:
      case NumberPhase::kExponentDigits:
        return AfterExponentDigit(state, c);
      case NumberPhase::kZero:
        break;
    }
    return std::nullopt;
  }

  bool Accepts(NumberState state) const {
    if (state.phase == NumberPhase::kExponentDigits)
      return state.from <= state.exponent && state.exponent <= state.to;
    const bool in_whole = state.phase == NumberPhase::kWhole || state.phase == NumberPhase::kZero;
    if (!in_whole && state.phase != NumberPhase::kFraction) return false;
    const MagnitudeRange& range = RangeFor(state);
    if (in_whole) FinishWhole(&state);
    const uint32_t places = in_whole ? 0 : state.digits;
    if (range.low && !AtLeast(*range.low, AtEnd(state.low, places, range.low->fraction))) return false;
    if (range.high && !AtMost(*range.high, AtEnd(state.high, places, range.high->fraction))) return false;
    if (reading_.whole && state.negative && state.phase == NumberPhase::kZero) return false;  // -0
    return !divisor_ || divisor_->Divides(state.division, places) == reading_.divisible;
  }

 private:
  bool has_exponents() const { return reading_.exponents != NumberReading::Exponents::kNone; }
  const MagnitudeRange& RangeFor(const NumberState& state) const { return ranges_[state.negative ? 1 : 0]; }

  static bool AtLeast(const NumberEdge& low, int8_t compared) {
    return compared > 0 || (compared == 0 && !low.exclusive);
  }
  static bool AtMost(const NumberEdge& high, int8_t compared) {
    return compared < 0 || (compared == 0 && !high.exclusive);
  }
  /// The bound's digits that were not read are not all 0.
  static int8_t AtEnd(int8_t compared, uint32_t read, const std::string& digits) {
    return compared == 0 && read < digits.size() ? int8_t{-1} : compared;
  }
  /// After the digit that is the read-th (from 1).
  static int8_t AfterDigit(int8_t compared, char c, uint32_t read, const std::string& digits) {
    if (compared != 0) return compared;
    return CompareChars(c, read <= digits.size() ? digits[read - 1] : '0');
  }

  /// False when there would be too many.
  bool CountDigit(NumberState* state) const {
    if (reading_.all_digits == NumberReading::kUnlimited) return true;
    return ++state->all_digits <= reading_.all_digits;
  }

  std::optional<NumberState> AfterMinus(NumberState state) const {
    if (state.phase == NumberPhase::kExponent) return AfterExponentSign(state, true);
    if (state.phase != NumberPhase::kStart) return std::nullopt;
    state.phase = NumberPhase::kMinus;
    state.negative = true;
    return state;
  }

  std::optional<NumberState> AfterWholeDigit(NumberState state, char c) const {
    const MagnitudeRange& range = RangeFor(state);
    if (range.empty || state.digits >= reading_.whole_digits) return std::nullopt;
    ++state.digits;
    const bool zero = state.phase != NumberPhase::kWhole && c == '0';
    if (!zero && !CountDigit(&state)) return std::nullopt;
    const auto compare = [&](const std::optional<NumberEdge>& edge, int8_t* compared) {
      if (!edge) return;
      const bool longer = state.digits > edge->whole.size();  // no 0 in front
      *compared = longer ? int8_t{1} : AfterDigit(*compared, c, state.digits, edge->whole);
    };
    compare(range.low, &state.low);
    compare(range.high, &state.high);
    state.normal = has_exponents() && state.digits == 1 && c != '0';
    if (state.normal && reading_.exponents == NumberReading::Exponents::kNormal) {
      if (range.low) state.mantissa_low = AfterDigit(0, c, 1, range.low->digits);
      if (range.high) state.mantissa_high = AfterDigit(0, c, 1, range.high->digits);
    } else {
      state.mantissa_low = state.mantissa_high = 0;
    }
    if (reading_.whole_digits == NumberReading::kUnlimited) state.digits = std::min(state.digits, whole_cap_);
    state.phase = zero ? NumberPhase::kZero : NumberPhase::kWhole;
    if (divisor_) state.division = divisor_->AfterWhole(state.division, static_cast<uint32_t>(c - '0'));
    return state;
  }

  /// Fewer digits than a bound has: the number is less.
  void FinishWhole(NumberState* state) const {
    const MagnitudeRange& range = RangeFor(*state);
    if (range.low && state->digits < range.low->whole.size()) state->low = -1;
    if (range.high && state->digits < range.high->whole.size()) state->high = -1;
    state->digits = 0;
  }

  std::optional<NumberState> AfterPoint(NumberState state) const {
    const bool in_whole = state.phase == NumberPhase::kWhole || state.phase == NumberPhase::kZero;
    if (!in_whole || reading_.whole) return std::nullopt;
    FinishWhole(&state);
    state.phase = NumberPhase::kPoint;
    return state;
  }

  std::optional<NumberState> AfterFractionDigit(NumberState state, char c) const {
    if (state.digits >= reading_.fraction_digits || !CountDigit(&state)) return std::nullopt;
    ++state.digits;
    state.phase = NumberPhase::kFraction;
    const MagnitudeRange& range = RangeFor(state);
    if (range.low) state.low = AfterDigit(state.low, c, state.digits, range.low->fraction);
    if (range.high) state.high = AfterDigit(state.high, c, state.digits, range.high->fraction);
    if (state.normal && reading_.exponents == NumberReading::Exponents::kNormal) {
      if (range.low)
        state.mantissa_low = AfterDigit(state.mantissa_low, c, state.digits + 1, range.low->digits);
      if (range.high)
        state.mantissa_high = AfterDigit(state.mantissa_high, c, state.digits + 1, range.high->digits);
    }
    if (divisor_)
      state.division = divisor_->AfterFraction(state.division, static_cast<uint32_t>(c - '0'), state.digits);
    if (reading_.fraction_digits == NumberReading::kUnlimited)
      state.digits = std::min(state.digits, fraction_cap_);
    return state;
  }

  /// The exponents that put the digits within the bounds.
  std::optional<NumberState> AfterE(const NumberState& state) const {
    const bool in_whole = state.phase == NumberPhase::kWhole || state.phase == NumberPhase::kZero;
    if (!in_whole && state.phase != NumberPhase::kFraction) return std::nullopt;
    const bool free = reading_.exponents == NumberReading::Exponents::kFree;
    if (!free && (reading_.exponents == NumberReading::Exponents::kNone || !state.normal))
      return std::nullopt;
    constexpr int32_t kShort = 99;
    const int32_t most = state.normal ? kMaxExponent : kShort;
    int32_t from = -most, to = most;
    const MagnitudeRange& range = RangeFor(state);
    const uint32_t read = in_whole ? 1 : state.digits + 1;
    if (range.low && !range.low->zero()) {
      const bool at_bound = AtLeast(*range.low, AtEnd(state.mantissa_low, read, range.low->digits));
      from = std::max(from, range.low->point - (at_bound ? 1 : 0));
    }
    if (range.high) {
      if (range.high->zero()) return std::nullopt;  // the digits are not 0
      const bool at_bound = AtMost(*range.high, AtEnd(state.mantissa_high, read, range.high->digits));
      to = std::min(to, range.high->point - (at_bound ? 1 : 2));
    }
    if (from > to) return std::nullopt;
    NumberState after;
    after.phase = NumberPhase::kExponent;
    after.from = std::max(from, 0);
    after.to = to;
    after.minus_from = std::max(-to, 0);
    after.minus_to = -from;
    return after;
  }

  static std::optional<NumberState> AfterExponentSign(NumberState state, bool negative) {
    if (state.phase != NumberPhase::kExponent) return std::nullopt;
    state.phase = NumberPhase::kExponentSign;
    if (negative) {
      state.from = state.minus_from;
      state.to = state.minus_to;
    }
    state.minus_from = state.minus_to = 0;
    return state;
  }

  /// Up to three digits. Where all that may follow is alike, the state does not say which digits were read.
  static std::optional<NumberState> AfterExponentDigit(NumberState state, char c) {
    constexpr uint32_t kDigits = 3;
    if (state.phase == NumberPhase::kExponentDigits && state.digits == kDigits) return std::nullopt;
    state.digits = state.phase == NumberPhase::kExponentDigits ? state.digits + 1 : 1;
    state.phase = NumberPhase::kExponentDigits;
    state.minus_from = state.minus_to = 0;
    state.exponent = state.exponent * 10 + (c - '0');
    bool all = true, none = true;
    int32_t first = state.exponent, last = state.exponent;
    for (uint32_t digits = state.digits; digits <= kDigits; ++digits) {
      all = all && state.from <= first && last <= state.to;
      none = none && (last < state.from || first > state.to);
      first *= 10;
      last = last * 10 + 9;
    }
    if (none) return std::nullopt;
    if (all) {
      state.from = state.exponent = 0;
      state.to = 999;
    }
    return state;
  }

  const NumberReading& reading_;
  std::array<MagnitudeRange, 2> ranges_;  // without and with a minus
  std::optional<NumberDivisor> divisor_;
  uint32_t whole_cap_ = 0, fraction_cap_ = 0;
};

/// The characters of a number, those that the reader does not tell apart as one set.
struct NumberAlphabet {
  explicit NumberAlphabet(const NumberReader& reader) {
    std::vector<CharSet> sets = {CharSet({{'-', '-'}}), CharSet({{'+', '+'}}), CharSet({{'.', '.'}}),
                                 CharSet({{'E', 'E'}, {'e', 'e'}})};
    std::vector<char> firsts = {'-', '+', '.', 'e'};
    for (const auto& [first, last] : reader.DigitRanges()) {
      sets.push_back(CharSet({{first, last}}));
      firsts.push_back(first);
    }
    classes = CharClasses::OfSets(sets);
    for (const char first : firsts) characters.emplace_back(first, classes.ClassOf(first));
  }
  CharClasses classes;
  std::vector<std::pair<char, uint32_t>> characters;  ///< one of each class
};

}  // namespace

Result<RegularAutomaton> NumberAutomaton(const NumberReading& reading, RegularBudget* budget) {
  const NumberReader reader(reading);
  if (reader.divisor() && !reader.divisor()->fits())
    return Exhausted("multiples of a number with more than 9 digits need too many states");
  const NumberAlphabet alphabet(reader);
  const size_t classes = alphabet.classes.count();
  RegularAutomaton automaton;
  automaton.classes = alphabet.classes;
  std::unordered_map<NumberState, uint32_t, NumberStateHash> names = {{reader.Start(), 0}};
  std::vector<NumberState> order = {reader.Start()};
  for (size_t i = 0; i < order.size(); ++i) {
    if (order.size() > RegularBudget::kStates) return Exhausted("the numbers need too many states");
    TERN_RETURN_IF_ERROR(budget->Spend(classes));
    const NumberState state = order[i];
    automaton.accepts.push_back(reader.Accepts(state));
    automaton.next.insert(automaton.next.end(), classes, RegularAutomaton::kNowhere);
    for (const auto& [character, char_class] : alphabet.characters) {
      const auto next = reader.Next(state, character);
      if (!next) continue;
      const auto [it, added] = names.try_emplace(*next, static_cast<uint32_t>(order.size()));
      if (added) order.push_back(*next);
      automaton.next[i * classes + char_class] = it->second;
    }
  }
  return Minimised(std::move(automaton), budget);
}

}  // namespace tern
