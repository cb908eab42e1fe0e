#include "infer/regular_language.h"

#include <algorithm>
#include <set>
#include <utility>

#include "infer/regular_automaton.h"
#include "infer/regular_determinise.h"
#include "infer/regular_parse.h"
#include "text/utf8.h"

namespace tern {
namespace {

/// Every text: one state.
const std::shared_ptr<const RegularAutomaton>& Everything() {
  static const auto kAll = [] {
    auto all = std::make_shared<RegularAutomaton>();
    all->next = {0};
    all->accepts = {true};
    return std::shared_ptr<const RegularAutomaton>(std::move(all));
  }();
  return kAll;
}

bool IsEverything(const RegularAutomaton& automaton) { return automaton == *Everything(); }

/// One state, over and over: any number of the characters of a set.
bool IsRepetition(const RegularAutomaton& automaton) {
  return automaton.states() == 1 && automaton.accepts[0];
}

RegularAutomaton RepetitionOf(const CharSet& set) {
  RegularAutomaton automaton;
  automaton.classes = CharClasses::OfSets({&set, 1});
  automaton.next.assign(automaton.classes.count(), kNowhere);
  for (const uint32_t c : automaton.classes.ClassesOf(set)) automaton.next[c] = 0;
  automaton.accepts = {true};
  return automaton;
}

/// The bounds of a language that says of its characters only that they are of one set, and how many they are.
std::optional<TextLength> LengthsOfOneSet(const RegularAutomaton& automaton, uint32_t* char_class) {
  std::optional<uint32_t> used;
  for (size_t i = 0; i < automaton.next.size(); ++i) {
    const auto c = static_cast<uint32_t>(i % automaton.classes.count());
    if (automaton.next[i] == kNowhere) continue;
    if (used.value_or(c) != c) return std::nullopt;
    used = c;
  }
  if (!used) return std::nullopt;
  *char_class = *used;
  // A chain, in the order of the states: minimal automata are numbered so.
  TextLength length;
  const auto states = static_cast<uint32_t>(automaton.states());
  while (!automaton.accepts[length.min]) ++length.min;
  for (uint32_t state = length.min; state < states; ++state) {
    if (!automaton.accepts[state]) return std::nullopt;
  }
  const uint32_t last = automaton.Next(states - 1, *used);
  if (last != kNowhere && last != states - 1) return std::nullopt;
  length.max = last == kNowhere ? states - 1 : TextLength::kUnlimited;
  return length;
}

TextLength Both(TextLength a, TextLength b) { return {std::max(a.min, b.min), std::min(a.max, b.max)}; }

}  // namespace

RegularLanguage::RegularLanguage() = default;

RegularLanguage RegularLanguage::All() {
  RegularLanguage all;
  all.automaton_ = Everything();
  return all;
}

RegularLanguage RegularLanguage::OfLength(TextLength length) {
  if (length.min > length.max) return None();
  RegularLanguage language = All();
  language.length_ = length;
  return language;
}

Result<RegularLanguage> RegularLanguage::Make(RegularAutomaton automaton, TextLength length,
                                              RegularBudget* budget) {
  TERN_ASSIGN_OR_RETURN(const bool any, AcceptsLength(automaton, length, budget));
  if (!any) return None();
  RegularLanguage language;
  uint32_t char_class = 0;
  if (const auto lengths = LengthsOfOneSet(automaton, &char_class)) {
    length = Both(length, *lengths);
    if (!IsRepetition(automaton)) automaton = RepetitionOf(automaton.classes.SetOf(char_class));
  }
  const TextLength own = RemainingLengths(automaton)[0];
  if (length.min <= own.min) length.min = 0;
  if (own.max != TextLength::kUnlimited && length.max >= own.max) length.max = TextLength::kUnlimited;
  language.automaton_ =
      IsEverything(automaton) ? Everything() : std::make_shared<const RegularAutomaton>(std::move(automaton));
  language.length_ = length;
  return language;
}

/// A tree of the texts' beginnings, minimised.
Result<RegularLanguage> RegularLanguage::OfTexts(std::span<const std::string> texts, RegularBudget* budget) {
  std::vector<std::vector<int32_t>> all;
  std::set<int32_t> characters;
  for (const std::string& text : texts) {
    std::vector<int32_t> one;
    for (size_t at = 0; at < text.size();) {
      const Utf8Char c = DecodeUtf8(text, at);
      if (!c.valid) return InvalidArgument("a text that is not UTF-8");
      one.push_back(c.codepoint);
      characters.insert(c.codepoint);
      at += c.length;
    }
    all.push_back(std::move(one));
  }
  std::vector<CharSet> sets;
  for (const int32_t c : characters) sets.push_back(CharSet({{c, c}}));
  RegularAutomaton tree;
  TERN_RETURN_IF_ERROR(budget->Spend(sets.size() * sets.size()));
  tree.classes = CharClasses::OfSets(sets);
  const size_t classes = tree.classes.count();
  const auto add = [&] {
    tree.accepts.push_back(false);
    tree.next.insert(tree.next.end(), classes, kNowhere);
    return static_cast<uint32_t>(tree.states() - 1);
  };
  add();
  for (const std::vector<int32_t>& text : all) {
    uint32_t state = 0;
    for (const int32_t c : text) {
      const size_t edge = state * classes + tree.classes.ClassOf(c);
      if (tree.next[edge] == kNowhere) {
        TERN_RETURN_IF_ERROR(budget->Spend(classes));
        const uint32_t added = add();
        tree.next[edge] = added;
      }
      state = tree.next[edge];
    }
    tree.accepts[state] = true;
  }
  TERN_ASSIGN_OR_RETURN(RegularAutomaton minimal, Minimised(std::move(tree), budget));
  return Make(std::move(minimal), {}, budget);
}

namespace {

/// ^[set]{min,max}$: counted, not unrolled.
struct RepeatedSet {
  uint32_t set;
  TextLength length;
};
std::optional<RepeatedSet> CountedSet(const RegularTree& tree) {
  using NodeKind = RegularTree::Kind;
  const RegularTree::Node& root = tree.nodes[tree.root];
  if (root.kind != NodeKind::kSequence || root.children.size() != 3) return std::nullopt;
  const auto part = [&](size_t i) -> const RegularTree::Node& { return tree.nodes[root.children[i]]; };
  const bool whole =
      part(0).kind == NodeKind::kStart && part(1).kind == NodeKind::kRepeat && part(2).kind == NodeKind::kEnd;
  if (!whole || tree.nodes[part(1).children[0]].kind != NodeKind::kSet) return std::nullopt;
  static_assert(RegularTree::kUnbounded == TextLength::kUnlimited);
  return RepeatedSet{tree.nodes[part(1).children[0]].set, {part(1).min, part(1).max}};
}

}  // namespace

Result<RegularLanguage> RegularLanguage::OfPattern(std::string_view pattern, RegularBudget* budget) {
  TERN_ASSIGN_OR_RETURN(const RegularTree tree, ParseRegular(pattern));
  if (const auto repeated = CountedSet(tree)) {
    if (tree.sets[repeated->set].empty()) return repeated->length.min == 0 ? OfTexts({{""}}, budget) : None();
    return Make(RepetitionOf(tree.sets[repeated->set]), repeated->length, budget);
  }
  TERN_ASSIGN_OR_RETURN(RegularAutomaton automaton, AutomatonOf(tree, budget));
  return Make(std::move(automaton), {}, budget);
}

Result<RegularLanguage> RegularLanguage::OfAutomaton(RegularAutomaton automaton, RegularBudget* budget) {
  return Make(std::move(automaton), {}, budget);
}

Result<RegularAutomaton> RegularLanguage::WithLength(RegularBudget* budget) const {
  if (!automaton_) return RegularAutomaton();
  if (length_ == TextLength{}) return *automaton_;
  return Bounded(*automaton_, length_, budget);
}

Result<RegularLanguage> RegularLanguage::Intersection(const RegularLanguage& other,
                                                      RegularBudget* budget) const {
  if (empty() || other.empty()) return None();
  const TextLength length = Both(length_, other.length_);
  if (IsEverything(*automaton_)) return Make(*other.automaton_, length, budget);
  if (IsEverything(*other.automaton_) || *automaton_ == *other.automaton_)
    return Make(*automaton_, length, budget);
  TERN_ASSIGN_OR_RETURN(RegularAutomaton both,
                        Combined(
                            *automaton_, *other.automaton_, [](bool a, bool b) { return a && b; }, budget));
  return Make(std::move(both), length, budget);
}

Result<RegularLanguage> RegularLanguage::Union(const RegularLanguage& other, RegularBudget* budget) const {
  if (empty()) return other;
  if (other.empty()) return *this;
  const auto either = [](bool a, bool b) { return a || b; };
  if (length_ == other.length_) {
    TERN_ASSIGN_OR_RETURN(RegularAutomaton any, Combined(*automaton_, *other.automaton_, either, budget));
    return Make(std::move(any), length_, budget);
  }
  TERN_ASSIGN_OR_RETURN(const RegularAutomaton mine, WithLength(budget));
  TERN_ASSIGN_OR_RETURN(const RegularAutomaton others, other.WithLength(budget));
  TERN_ASSIGN_OR_RETURN(RegularAutomaton any, Combined(mine, others, either, budget));
  return Make(std::move(any), {}, budget);
}

Result<RegularLanguage> RegularLanguage::Complement(RegularBudget* budget) const {
  return All().Difference(*this, budget);
}

Result<RegularLanguage> RegularLanguage::Difference(const RegularLanguage& other,
                                                    RegularBudget* budget) const {
  if (empty() || other.empty()) return *this;
  TERN_ASSIGN_OR_RETURN(const RegularAutomaton others, other.WithLength(budget));
  TERN_ASSIGN_OR_RETURN(RegularAutomaton rest,
                        Combined(
                            *automaton_, others, [](bool a, bool b) { return a && !b; }, budget));
  return Make(std::move(rest), length_, budget);
}

Result<RegularLanguage> RegularLanguage::Concatenation(const RegularLanguage& other,
                                                       RegularBudget* budget) const {
  TERN_ASSIGN_OR_RETURN(const RegularAutomaton mine, WithLength(budget));
  TERN_ASSIGN_OR_RETURN(const RegularAutomaton others, other.WithLength(budget));
  TERN_ASSIGN_OR_RETURN(RegularAutomaton both, Concatenated(mine, others, budget));
  return Make(std::move(both), {}, budget);
}

std::optional<CharSet> RegularLanguage::OnlySet() const {
  if (!automaton_ || !IsRepetition(*automaton_)) return std::nullopt;
  std::vector<CharRange> ranges;
  for (uint32_t c = 0; c < automaton_->classes.count(); ++c) {
    if (automaton_->Next(0, c) == kNowhere) continue;
    const CharSet set = automaton_->classes.SetOf(c);
    ranges.insert(ranges.end(), set.ranges().begin(), set.ranges().end());
  }
  return CharSet(std::move(ranges));
}

bool RegularLanguage::all() const {
  return automaton_ && length_ == TextLength{} && IsEverything(*automaton_);
}

bool RegularLanguage::Contains(std::string_view text) const {
  if (!automaton_) return false;
  uint32_t state = 0;
  uint32_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) {
    const Utf8Char c = DecodeUtf8(text, at);
    if (!c.valid) return false;
    state = automaton_->Next(state, automaton_->classes.ClassOf(c.codepoint));
    if (state == kNowhere) return false;
    at += c.length;
  }
  return automaton_->accepts[state] && length_.min <= count && count <= length_.max;
}

Result<bool> RegularLanguage::Includes(const RegularLanguage& other, RegularBudget* budget) const {
  if (other.empty()) return true;
  // Often the lengths tell: then no automaton has to count.
  const bool by_length = length_.min <= other.length_.min && length_.max >= other.length_.max;
  if (by_length && !empty()) {
    TERN_ASSIGN_OR_RETURN(const RegularAutomaton rest, Combined(
                                                           *other.automaton_, *automaton_,
                                                           [](bool a, bool b) { return a && !b; }, budget));
    TERN_ASSIGN_OR_RETURN(const bool any, AcceptsLength(rest, other.length_, budget));
    return !any;
  }
  TERN_ASSIGN_OR_RETURN(const RegularLanguage rest, other.Difference(*this, budget));
  return rest.empty();
}

Result<bool> RegularLanguage::Intersects(const RegularLanguage& other, RegularBudget* budget) const {
  TERN_ASSIGN_OR_RETURN(const RegularLanguage both, Intersection(other, budget));
  return !both.empty();
}

Result<bool> RegularLanguage::Equals(const RegularLanguage& other, RegularBudget* budget) const {
  if (empty() || other.empty()) return empty() == other.empty();
  if (length_ == other.length_ && *automaton_ == *other.automaton_) return true;
  if (length_ == other.length_ && length_ == TextLength{}) return false;  // minimal automata are unique
  TERN_ASSIGN_OR_RETURN(const bool includes, Includes(other, budget));
  if (!includes) return false;
  return other.Includes(*this, budget);
}

std::optional<std::vector<std::string>> RegularLanguage::Texts(size_t limit) const {
  std::vector<std::string> texts;
  if (!automaton_) return texts;
  const TextLength own = RemainingLengths(*automaton_)[0];
  const uint32_t longest = std::min(own.max, length_.max);
  constexpr uint32_t kLongest = 1 << 12;  // of texts that are worth listing
  if (longest == TextLength::kUnlimited || longest > kLongest) return std::nullopt;
  RegularBudget budget;
  const auto bounded = WithLength(&budget);  // all that is walked leads to a text
  if (!bounded.ok()) return std::nullopt;
  std::vector<CharSet> sets;
  for (uint32_t c = 0; c < bounded->classes.count(); ++c) sets.push_back(bounded->classes.SetOf(c));
  std::vector<std::pair<uint32_t, std::vector<int32_t>>> now = {{0, {}}}, then;
  while (!now.empty()) {
    then.clear();
    std::sort(now.begin(), now.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    for (const auto& [state, text] : now) {
      if (bounded->accepts[state]) {
        std::string encoded;
        for (const int32_t c : text) AppendUtf8(c, &encoded);
        texts.push_back(std::move(encoded));
      }
      for (uint32_t c = 0; c < bounded->classes.count(); ++c) {
        const uint32_t target = bounded->Next(state, c);
        if (target == kNowhere) continue;
        for (const CharRange range : sets[c].ranges()) {
          if (static_cast<size_t>(range.last - range.first) > limit) return std::nullopt;
          for (int32_t character = range.first; character <= range.last; ++character) {
            then.emplace_back(target, text);
            then.back().second.push_back(character);
          }
          if (then.size() + texts.size() > limit) return std::nullopt;
        }
      }
    }
    if (texts.size() > limit) return std::nullopt;
    std::swap(now, then);
  }
  return texts;
}

}  // namespace tern
