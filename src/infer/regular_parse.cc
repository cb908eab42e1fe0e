#include "infer/regular_parse.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "infer/grammar.h"
#include "infer/regular_properties.h"
#include "text/utf8.h"

namespace tern {
namespace {

using Kind = RegularTree::Kind;

CharSet OneChar(int32_t c) { return CharSet({{c, c}}); }
CharSet RegularDigits() { return CharSet({{'0', '9'}}); }
CharSet RegularWordChars() { return CharSet({{'0', '9'}, {'A', 'Z'}, {'a', 'z'}, {'_', '_'}}); }
/// ECMAScript's WhiteSpace and LineTerminator.
CharSet RegularSpaces() {
  return CharSet({{9, 13},
                  {32, 32},
                  {0xA0, 0xA0},
                  {0x1680, 0x1680},
                  {0x2000, 0x200A},
                  {0x2028, 0x2029},
                  {0x202F, 0x202F},
                  {0x205F, 0x205F},
                  {0x3000, 0x3000},
                  {0xFEFF, 0xFEFF}});
}
CharSet RegularLineEnds() { return CharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}); }

int32_t HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

class RegularReader {
 public:
  explicit RegularReader(std::string_view text) : text_(text) {}

  Result<RegularTree> Read() {
    if (!IsUtf8(text_)) return Error("not valid UTF-8");
    if (Is("(?i)") || Is("(?s)") || Is("(?is)") || Is("(?si)")) {
      at_ += 2;
      TERN_RETURN_IF_ERROR(ReadFlags(")"));
    }
    TERN_ASSIGN_OR_RETURN(tree_.root, ReadChoice(0));
    if (at_ < text_.size()) return Error("unexpected " + Found());
    return std::move(tree_);
  }

 private:
  Status Error(const std::string& what) const {
    constexpr size_t kShown = 120;
    const std::string shown =
        text_.size() <= kShown ? std::string(text_) : "of " + std::to_string(text_.size()) + " bytes";
    return Unsupported("pattern '" + shown + "', byte " + std::to_string(at_ + 1) + ": " + what);
  }
  std::string Found() const {
    return at_ < text_.size() ? "'" + std::string(text_.substr(at_, DecodeUtf8(text_, at_).length)) + "'"
                              : "the end";
  }
  bool Is(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  bool Take(std::string_view what) {
    if (!Is(what)) return false;
    at_ += what.size();
    return true;
  }
  bool IsDigit(size_t at) const { return at < text_.size() && text_[at] >= '0' && text_[at] <= '9'; }

  uint32_t Add(RegularTree::Node node) {
    tree_.nodes.push_back(std::move(node));
    return static_cast<uint32_t>(tree_.nodes.size() - 1);
  }
  uint32_t AddSet(const CharSet& set) {
    std::vector<std::pair<int32_t, int32_t>> key;
    for (const CharRange range : set.ranges()) key.emplace_back(range.first, range.last);
    const auto [it, added] = sets_.try_emplace(std::move(key), static_cast<uint32_t>(tree_.sets.size()));
    if (added) tree_.sets.push_back(set);
    return Add({.kind = Kind::kSet, .set = it->second});
  }

  Result<uint32_t> ReadChoice(int32_t depth) {
    if (depth > GrammarLimits::kNesting) return Error("groups are nested too deep");
    std::vector<uint32_t> alternatives;
    do {
      TERN_ASSIGN_OR_RETURN(const uint32_t sequence, ReadSequence(depth));
      alternatives.push_back(sequence);
    } while (Take("|"));
    if (alternatives.size() == 1) return alternatives.front();
    return Add({.kind = Kind::kChoice, .children = std::move(alternatives)});
  }

  Result<uint32_t> ReadSequence(int32_t depth) {
    std::vector<uint32_t> parts;
    while (at_ < text_.size() && !Is("|") && !Is(")")) {
      TERN_ASSIGN_OR_RETURN(const std::optional<uint32_t> assertion, ReadAssertion(depth));
      if (assertion) {
        if (IsQuantifier()) return Error(Found() + " after what has no length");
        parts.push_back(*assertion);
        continue;
      }
      TERN_ASSIGN_OR_RETURN(const uint32_t atom, ReadAtom(depth));
      TERN_ASSIGN_OR_RETURN(const uint32_t part, ReadQuantifier(atom));
      parts.push_back(part);
    }
    if (parts.size() == 1) return parts.front();
    return Add({.kind = Kind::kSequence, .children = std::move(parts)});
  }

  Result<std::optional<uint32_t>> ReadAssertion(int32_t depth) {
    using Assertion = std::optional<uint32_t>;
    if (Take("^")) return Assertion(Add({.kind = Kind::kStart}));
    if (Take("$")) return Assertion(Add({.kind = Kind::kEnd}));
    if (Is("\\b") || Is("\\B")) {
      at_ += 2;
      return Assertion(Add({.kind = Kind::kBoundary, .negated = text_[at_ - 1] == 'B'}));
    }
    if (!Is("(?=") && !Is("(?!")) return Assertion();
    at_ += 3;
    const bool negated = text_[at_ - 1] == '!';
    TERN_ASSIGN_OR_RETURN(const uint32_t body, ReadChoice(depth + 1));
    if (!Take(")")) return Error("expected ), found " + Found());
    return Assertion(Add({.kind = Kind::kLookAhead, .negated = negated, .children = {body}}));
  }

  Result<uint32_t> ReadAtom(int32_t depth) {
    if (Take(".")) return AddSet(dot_all_ ? CharSet::All() : RegularLineEnds().Complement());
    if (Take("[")) return ReadClass();
    if (Take("(")) {
      const bool ignore_case = ignore_case_, dot_all = dot_all_;  // a group's flags end with it
      if (Take("?")) TERN_RETURN_IF_ERROR(ReadGroupKind());
      TERN_ASSIGN_OR_RETURN(const uint32_t group, ReadChoice(depth + 1));
      if (!Take(")")) return Error("expected ), found " + Found());
      ignore_case_ = ignore_case;
      dot_all_ = dot_all;
      return group;
    }
    if (IsQuantifier()) return Error(Found() + " has nothing before it to repeat");
    TERN_ASSIGN_OR_RETURN(const CharSet set, ReadChar(/*in_class=*/false));
    return AddSet(ignore_case_ ? WithOtherCases(set) : set);
  }

  /// After "(?": ?: and names mean nothing here.
  Status ReadGroupKind() {
    if (Take(":")) return OkStatus();
    if (Is("<=") || Is("<!")) return Error("look-behind is not supported");
    if (Take("<") || Take("P<")) {
      const size_t end = text_.find('>', at_);
      if (end == std::string_view::npos) return Error("the name of a group has no end");
      at_ = end + 1;
      return OkStatus();
    }
    const bool flags = Is("-") || (at_ < text_.size() && text_[at_] >= 'a' && text_[at_] <= 'z');
    if (flags) return ReadFlags(":");
    return Error("this kind of group is not supported");
  }

  /// Flags to set, "-" and flags to clear, `end`.
  Status ReadFlags(std::string_view end) {
    for (bool set = true; !Take(end);) {
      if (Take("i")) {
        ignore_case_ = set;
      } else if (Take("s")) {
        dot_all_ = set;
      } else if (set && Take("-")) {
        set = false;
      } else {
        return Error("the flag " + Found() + " is not supported");
      }
    }
    return OkStatus();
  }

  /// A character or a class like \d.
  Result<CharSet> ReadChar(bool in_class) {
    if (!Take("\\")) {
      const Utf8Char c = DecodeUtf8(text_, at_);
      at_ += c.length;
      return OneChar(c.codepoint);
    }
    if (at_ >= text_.size()) return Error("a \\ at the end");
    const char kind = text_[at_++];
    switch (kind) {
      case 'd':
        return RegularDigits();
      case 'D':
        return RegularDigits().Complement();
      case 'w':
        return RegularWordChars();
      case 'W':
        return RegularWordChars().Complement();
      case 's':
        return RegularSpaces();
      case 'S':
        return RegularSpaces().Complement();
      case 'n':
        return OneChar('\n');
      case 'r':
        return OneChar('\r');
      case 't':
        return OneChar('\t');
      case 'f':
        return OneChar('\f');
      case 'v':
        return OneChar('\v');
      case 'c':
        return ReadControl();
      case 'x':
        return ReadHex(2);
      case 'u':
        return ReadUnicode();
      case 'p':
      case 'P':
        return ReadProperty(kind == 'P');
      default:
        break;
    }
    if (kind == 'b' && in_class) return OneChar('\b');
    if (kind == '0' && !IsDigit(at_)) return OneChar(0);
    --at_;
    if ((kind >= '1' && kind <= '9') || kind == 'k') return Error("back references are not supported");
    const bool letter = (kind >= 'a' && kind <= 'z') || (kind >= 'A' && kind <= 'Z') || kind == '0';
    if (letter) return Error("the escape \\ before " + Found() + " is not supported");
    const Utf8Char c = DecodeUtf8(text_, at_);
    at_ += c.length;
    return OneChar(c.codepoint);
  }

  Result<CharSet> ReadControl() {
    const char c = at_ < text_.size() ? static_cast<char>(text_[at_] | 0x20) : '\0';
    if (c < 'a' || c > 'z') return Error("expected a letter after \\c, found " + Found());
    ++at_;
    return OneChar(c & 0x1F);
  }

  Result<int32_t> ReadHexDigits(size_t digits) {
    int32_t value = 0;
    for (size_t i = 0; i < digits; ++i, ++at_) {
      const int32_t digit = at_ < text_.size() ? HexDigit(text_[at_]) : -1;
      if (digit < 0) return Error("expected a hexadecimal digit, found " + Found());
      value = value * 16 + digit;
    }
    return value;
  }
  Result<CharSet> ReadHex(size_t digits) {
    TERN_ASSIGN_OR_RETURN(const int32_t value, ReadHexDigits(digits));
    return OneChar(value);
  }

  /// \uHHHH, a pair of surrogates written so, or \u{H…}.
  Result<CharSet> ReadUnicode() {
    int32_t value = 0;
    if (Take("{")) {
      const size_t begin = at_;
      while (at_ < text_.size() && HexDigit(text_[at_]) >= 0 && value <= 0x10FFFF)
        value = value * 16 + HexDigit(text_[at_++]);
      if (at_ == begin || value > 0x10FFFF) return Error("not a character's number");
      if (!Take("}")) return Error("expected }, found " + Found());
    } else {
      TERN_ASSIGN_OR_RETURN(value, ReadHexDigits(4));
    }
    if (value >= 0xD800 && value <= 0xDBFF && Take("\\u")) {
      TERN_ASSIGN_OR_RETURN(const int32_t low, ReadHexDigits(4));
      if (low < 0xDC00 || low > 0xDFFF)
        return Error("half of a character (a surrogate without its other half)");
      value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
    }
    if (value >= 0xD800 && value <= 0xDFFF)
      return Error("half of a character (a surrogate without its other half)");
    return OneChar(value);
  }

  Result<CharSet> ReadProperty(bool negated) {
    if (!Take("{")) return Error("expected { after \\p, found " + Found());
    const size_t end = text_.find('}', at_);
    if (end == std::string_view::npos) return Error("the name of the property has no closing }");
    const auto set = GeneralCategory(text_.substr(at_, end - at_));
    if (!set) return Error("only general categories of Unicode are supported here, as in \\p{L}");
    at_ = end + 1;
    return negated ? set->Complement() : *set;
  }

  /// Many ranges are joined once.
  Result<uint32_t> ReadClass() {
    const bool negated = Take("^");
    std::vector<CharRange> ranges;
    const auto add = [&](const CharSet& set) {
      ranges.insert(ranges.end(), set.ranges().begin(), set.ranges().end());
    };
    while (!Take("]")) {
      if (at_ >= text_.size()) return Error("the class has no closing ]");
      TERN_ASSIGN_OR_RETURN(const CharSet part, ReadChar(true));
      if (!Is("-") || Is("-]")) {
        add(part);
        continue;
      }
      ++at_;
      if (at_ >= text_.size()) return Error("the class has no closing ]");
      TERN_ASSIGN_OR_RETURN(const CharSet last, ReadChar(true));
      const auto single = [](const CharSet& s) {
        return s.ranges().size() == 1 && s.ranges()[0].first == s.ranges()[0].last;
      };
      if (single(part) && single(last)) {
        if (part.ranges()[0].first > last.ranges()[0].first)
          return Error("a range whose end is before its beginning");
        add(CharSet({{part.ranges()[0].first, last.ranges()[0].first}}));
      } else {  // beside a class like \d the - stands for itself
        add(part);
        add(OneChar('-'));
        add(last);
      }
    }
    CharSet set(std::move(ranges));
    if (ignore_case_) set = WithOtherCases(set);
    return AddSet(negated ? set.Complement() : set);
  }

  /// "{" digits [ "," [ digits ] ] "}": other braces stand for themselves.
  bool IsCounted() const {
    if (!Is("{") || !IsDigit(at_ + 1)) return false;
    size_t at = at_ + 1;
    while (IsDigit(at)) ++at;
    if (at < text_.size() && text_[at] == ',') ++at;
    while (IsDigit(at)) ++at;
    return at < text_.size() && text_[at] == '}';
  }
  bool IsQuantifier() const { return Is("*") || Is("+") || Is("?") || IsCounted(); }

  Result<uint32_t> ReadQuantifier(uint32_t atom) {
    uint32_t min = 1;
    uint32_t max = 1;
    if (IsCounted()) {
      Take("{");
      TERN_ASSIGN_OR_RETURN(min, ReadCount());
      max = min;
      if (Take(",")) {
        max = RegularTree::kUnbounded;
        if (!Is("}")) {
          TERN_ASSIGN_OR_RETURN(max, ReadCount());
        }
      }
      Take("}");
      if (max < min) return Error("a repetition whose end is before its beginning");
    } else if (Is("{,")) {
      return Error("{, is read differently by different programs: write {0, or \\{,");
    } else if (Take("*")) {
      min = 0;
      max = RegularTree::kUnbounded;
    } else if (Take("+")) {
      max = RegularTree::kUnbounded;
    } else if (Take("?")) {
      min = 0;
    } else {
      return atom;
    }
    Take("?");  // lazy: the same texts
    if (IsQuantifier()) return Error(Found() + " after a repetition");
    return Add({.kind = Kind::kRepeat, .min = min, .max = max, .children = {atom}});
  }

  Result<uint32_t> ReadCount() {
    uint32_t value = 0;
    while (IsDigit(at_)) {
      value = value * 10 + static_cast<uint32_t>(text_[at_++] - '0');
      if (value > static_cast<uint32_t>(GrammarLimits::kRepeats))
        return Error("a repetition of more than " + std::to_string(GrammarLimits::kRepeats));
    }
    return value;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool ignore_case_ = false, dot_all_ = false;  // flags where we are
  RegularTree tree_;
  std::map<std::vector<std::pair<int32_t, int32_t>>, uint32_t> sets_;  // by ranges
};

}  // namespace

Result<RegularTree> ParseRegular(std::string_view pattern) { return RegularReader(pattern).Read(); }

}  // namespace tern
