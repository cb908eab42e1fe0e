#include "infer/json_schema_values.h"

#include <fmt/format.h>

#include <algorithm>

#include "infer/regular_automaton.h"
#include "infer/regular_bytes.h"
#include "infer/regular_numbers.h"
#include "text/utf8.h"

namespace tern {
namespace {

using Expr = GrammarBuilder::Expr;

/// What a JSON string must escape.
CharSet MustEscape() { return CharSet({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}); }

}  // namespace

/// A character as free strings use it: also escaped where it need not be; surrogates in pairs alone.
Expr JsonExpressions::AnyChar() {
  if (any_char_) return builder_.Call(*any_char_);
  const auto set = [this](const char* chars) {
    std::vector<CharRange> ranges;
    for (; *chars != '\0'; chars += 2) ranges.push_back({chars[0], chars[1]});
    return builder_.Chars(CharSet(ranges));
  };
  const Expr hex = set("09afAF");
  const Expr unit = builder_.Choice({builder_.Sequence({set("09acefACEF"), hex, hex, hex}),
                                     builder_.Sequence({set("ddDD"), set("07"), hex, hex})});
  const Expr high = builder_.Sequence({set("ddDD"), set("89abAB"), hex, hex});
  const Expr low = builder_.Sequence({set("ddDD"), set("cfCF"), hex, hex});
  const Expr escaped = builder_.Choice({
      set("\"\"\\\\//bbffnnrrtt"),
      builder_.Sequence({builder_.Text("u"), unit}),
      builder_.Sequence({builder_.Text("u"), high, builder_.Text("\\u"), low}),
  });
  const Expr body = builder_.Choice(
      {builder_.Chars(MustEscape().Complement()), builder_.Sequence({builder_.Text("\\"), escaped})});
  any_char_ = builder_.RuleOf(body, "(a character)", GrammarBuilder::kNoPlace);
  return builder_.Call(*any_char_);
}

Expr JsonExpressions::String(int32_t min, int32_t max) {
  const Expr quote = builder_.Text("\"");
  return Rule(builder_.Sequence({quote, builder_.Repeat(AnyChar(), min, max), quote}));
}

/// A character of the set, escaped in one way where it must be.
Expr JsonExpressions::CharOf(const CharSet& set) {
  std::vector<Expr> ways;
  const CharSet escaped = set.Intersection(MustEscape()), plain = set.Minus(escaped);
  if (!plain.empty()) ways.push_back(builder_.Chars(plain));
  std::vector<std::string> escapes;
  for (const CharRange range : escaped.ranges()) {
    for (int32_t c = range.first; c <= range.last; ++c) escapes.push_back(JsonEscape(c));
  }
  if (!escapes.empty()) ways.push_back(builder_.OneOf(std::move(escapes)));
  return Rule(builder_.Choice(std::move(ways)));
}

/// A longer repetition of one character is counted by the matcher; unrolled, each count would be a state.
Result<Expr> JsonExpressions::CountedOf(Expr character, TextLength length) {
  constexpr uint32_t kMost = GrammarLimits::kRepeats;
  if (length.min > kMost) return Unsupported("a length of more than " + std::to_string(kMost));
  // Clamps oversized maxima; the grammar then accepts a subset.
  const int32_t most =
      length.max == TextLength::kUnlimited ? kUnlimited : static_cast<int32_t>(std::min(length.max, kMost));
  const Expr quote = builder_.Text("\"");
  const Expr all = builder_.Repeat(character, static_cast<int32_t>(length.min), most);
  return Rule(builder_.Sequence({quote, all, quote}));
}

Result<Expr> JsonExpressions::StringOf(const RegularLanguage& language, RegularBudget* budget) {
  if (language.automaton() != RegularLanguage::All().automaton()) return NameOf(language, budget);
  return CountedOf(AnyChar(), language.length());
}

Result<Expr> JsonExpressions::NameOf(const RegularLanguage& language, RegularBudget* budget) {
  const LanguageKey key{language.automaton(), language.length().min, language.length().max};
  const auto known = languages_.find(key);
  if (known != languages_.end()) return known->second;
  constexpr uint32_t kUnrolled = 64;
  const TextLength length = language.length();
  const uint32_t counts = length.max == TextLength::kUnlimited ? length.min : length.max;
  const auto set = language.OnlySet();
  if (set && counts > kUnrolled) {
    TERN_ASSIGN_OR_RETURN(const Expr expr, CountedOf(CharOf(*set), length));
    languages_.emplace(key, expr);
    return expr;
  }
  TERN_ASSIGN_OR_RETURN(ByteAutomaton bytes, StringBytesOf(language, budget));
  const Expr expr = builder_.Automaton(std::make_shared<const ByteAutomaton>(std::move(bytes)));
  languages_.emplace(key, expr);
  return expr;
}

Result<Expr> JsonExpressions::PlainOf(const RegularLanguage& language, RegularBudget* budget) {
  const LanguageKey key{language.automaton(), language.length().min, language.length().max};
  const auto known = plain_languages_.find(key);
  if (known != plain_languages_.end()) return known->second;
  TERN_ASSIGN_OR_RETURN(const RegularAutomaton automaton, language.WithLength(budget));
  TERN_ASSIGN_OR_RETURN(ByteAutomaton bytes, BytesOf(automaton, TextSpelling::kPlain, budget));
  const Expr expr = builder_.Automaton(std::make_shared<const ByteAutomaton>(std::move(bytes)));
  plain_languages_.emplace(key, expr);
  return expr;
}

Expr JsonExpressions::Number() {
  static const std::shared_ptr<const ByteAutomaton> kAll = [] {
    RegularBudget budget;
    const auto texts = NumberTexts({}, &budget);  // a few hundred states: far within the budget
    return std::make_shared<const ByteAutomaton>(
        *BytesOf(*texts->automaton(), TextSpelling::kPlain, &budget));
  }();
  return builder_.Automaton(kAll);
}

Expr JsonExpressions::OptionalSpace() { return builder_.Optional(builder_.Text(" ")); }
Expr JsonExpressions::Comma() { return builder_.Sequence({builder_.Text(","), OptionalSpace()}); }

Expr JsonExpressions::CloseArray() { return builder_.Sequence({OptionalSpace(), builder_.Text("]")}); }

Expr JsonExpressions::Literal(const Json& value) {
  if (value.is_object()) {
    JsonObject object;
    for (const auto& [name, member] : value.items())
      object.properties.push_back({name, Literal(member), true});
    return *Object(object);
  }
  if (value.is_array()) {
    JsonArray array;
    for (const Json& item : value) array.first.push_back(Literal(item));
    array.min = array.max = static_cast<int32_t>(array.first.size());
    return Array(array);
  }
  return builder_.Text(value.dump());
}

Expr JsonExpressions::Member(std::string_view name, Expr value) {
  return builder_.Sequence({builder_.Text(Json(name).dump()), builder_.Text(":"), OptionalSpace(), value});
}

/// What may follow `count` properties after the last of the listed ones.
std::optional<Expr> JsonExpressions::Others(const JsonObject& object, int32_t count) {
  const Expr close = builder_.Sequence({OptionalSpace(), builder_.Text("}")});
  const bool enough = count >= object.min, full = object.max != kUnlimited && count >= object.max;
  if (object.others.empty() || full) return enough ? std::optional(close) : std::nullopt;
  if (count + 1 < object.min) return std::nullopt;
  std::vector<Expr> members;
  for (const JsonOther& other : object.others)
    members.push_back(builder_.Sequence({other.name, builder_.Text(":"), OptionalSpace(), other.value}));
  const Expr member = Rule(builder_.Choice(std::move(members)));
  const Expr more = builder_.Sequence({Comma(), member});
  const int32_t most = object.max == kUnlimited ? kUnlimited : object.max - count;
  if (count > 0) return Rule(builder_.Sequence({builder_.Repeat(more, enough ? 0 : 1, most), close}));
  const Expr some =
      builder_.Sequence({member, builder_.Repeat(more, 0, most == kUnlimited ? most : most - 1), close});
  return Rule(enough ? builder_.Choice({some, close}) : some);
}

/// A chain of rules for each property: what may come from there on when so many were written, counted up to
/// the number that makes a difference. The closing brace is the last link of the chain, so that an object
/// takes no stack beyond its values'.
std::optional<Expr> JsonExpressions::Object(const JsonObject& object) {
  const int32_t counted = std::max({1, object.min, object.max});
  std::vector<std::optional<Expr>> next;  // by count
  for (int32_t count = 0; count <= counted; ++count) next.push_back(Others(object, count));
  for (auto property = object.properties.rbegin(); property != object.properties.rend(); ++property) {
    const Expr member = Member(property->name, property->value);
    const Expr later = builder_.Sequence({Comma(), member});
    std::vector<std::optional<Expr>> now(next.size());
    for (int32_t count = 0; count <= counted; ++count) {
      std::vector<Expr> ways;
      const auto at = static_cast<size_t>(count);
      const auto& after = next[static_cast<size_t>(std::min(count + 1, counted))];
      if (after && (object.max == kUnlimited || count < object.max))
        ways.push_back(builder_.Sequence({count == 0 ? member : later, *after}));
      if (!property->required && next[at]) ways.push_back(*next[at]);
      if (!ways.empty()) now[at] = Rule(builder_.Choice(std::move(ways)));
    }
    next = std::move(now);
  }
  if (!next.front()) return std::nullopt;
  return Rule(builder_.Sequence({builder_.Text("{"), OptionalSpace(), *next.front()}));
}

Expr JsonExpressions::OtherName(const std::set<std::string>& names) {
  const auto known = other_names_.find(names);
  if (known != other_names_.end()) return known->second;
  std::set<std::vector<int32_t>> plain;
  for (const std::string& text : names) {
    std::vector<int32_t> name;
    for (size_t at = 0; at < text.size();) {
      const Utf8Char c = DecodeUtf8(text, at);
      name.push_back(c.codepoint);
      at += c.length;
    }
    const CharSet escaped = MustEscape();
    if (std::none_of(name.begin(), name.end(), [&](int32_t c) { return escaped.Contains(c); }))
      plain.insert(name);
  }
  const Expr name = Rule(builder_.Sequence({builder_.Text("\""), NameExcept(plain, 0)}));
  other_names_.emplace(names, name);
  return name;
}

/// The rest of a name and its closing quote, when its first `depth` characters are those of all of `names`:
/// it leaves them, or goes on as some of them do, or ends where none of them does.
Expr JsonExpressions::NameExcept(const std::set<std::vector<int32_t>>& names, size_t depth) {
  const CharSet plain = MustEscape().Complement();
  const Expr quote = builder_.Text("\"");
  const Expr anything = builder_.Repeat(builder_.Chars(plain), 0, GrammarBuilder::kUnbounded);
  std::vector<Expr> ways;
  CharSet taken;
  bool ends = false;
  for (auto name = names.begin(); name != names.end();) {
    if (name->size() == depth) {
      ends = true;
      ++name;
      continue;
    }
    const int32_t c = (*name)[depth];
    std::set<std::vector<int32_t>> same;
    for (; name != names.end() && (*name)[depth] == c; ++name) same.insert(*name);
    const CharSet only({{c, c}});
    taken = taken.Union(only);
    ways.push_back(builder_.Sequence({builder_.Chars(only), Rule(NameExcept(same, depth + 1))}));
  }
  if (!ends) ways.push_back(quote);
  ways.push_back(builder_.Sequence({builder_.Chars(plain.Minus(taken)), anything, quote}));
  return builder_.Choice(std::move(ways));
}

Expr JsonExpressions::Array(const JsonArray& array) {
  const Expr close = CloseArray();
  const auto count = static_cast<int32_t>(array.first.size());
  const bool limited = array.max != kUnlimited;
  // The items beyond the first ones, when something was written and when nothing was.
  Expr after = close;
  Expr none = close;
  if (array.rest && (!limited || array.max > count)) {
    const Expr more = builder_.Sequence({Comma(), *array.rest});
    const int32_t min = std::max(array.min - count, 0);
    const int32_t max = limited ? array.max - count : kUnlimited;
    after = Rule(builder_.Sequence({builder_.Repeat(more, min, max), close}));
    const Expr begin = builder_.Sequence(
        {*array.rest, builder_.Repeat(more, std::max(min - 1, 0), limited ? max - 1 : kUnlimited), close});
    none = min > 0 ? begin : builder_.Choice({begin, close});
  }
  const int32_t used = limited ? std::min(count, array.max) : count;
  for (int32_t i = used; i-- > 0;) {
    const Expr item = array.first[static_cast<size_t>(i)];
    std::vector<Expr> ways = {i == 0 ? builder_.Sequence({item, after})
                                     : builder_.Sequence({Comma(), item, after})};
    if (i >= array.min) ways.push_back(close);
    after = Rule(builder_.Choice(std::move(ways)));
  }
  return Rule(builder_.Sequence({builder_.Text("["), OptionalSpace(), used > 0 ? after : none}));
}

Expr JsonExpressions::AnyValue() {
  if (any_value_) return builder_.Call(*any_value_);
  any_value_ = builder_.NewRule("(any value)", GrammarBuilder::kNoPlace);
  builder_.Define(*any_value_,
                  builder_.Choice({AnyObject(), AnyArray(), String(0, kUnlimited), Number(),
                                   builder_.Text("true"), builder_.Text("false"), builder_.Text("null")}));
  return builder_.Call(*any_value_);
}

Expr JsonExpressions::AnyObject() {
  if (any_object_) return builder_.Call(*any_object_);
  any_object_ = builder_.NewRule("(any object)", GrammarBuilder::kNoPlace);
  builder_.Define(*any_object_, *Object({.others = {{OtherName({}), AnyValue()}}}));
  return builder_.Call(*any_object_);
}

Expr JsonExpressions::AnyArray() {
  if (any_array_) return builder_.Call(*any_array_);
  any_array_ = builder_.NewRule("(any array)", GrammarBuilder::kNoPlace);
  builder_.Define(*any_array_, Array({{}, AnyValue()}));
  return builder_.Call(*any_array_);
}

}  // namespace tern
