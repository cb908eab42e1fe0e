#include "infer/grammar_pattern.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/utf8.h"

namespace tern {
namespace {

using Expr = GrammarBuilder::Expr;

CharSet Digits() { return CharSet({{'0', '9'}}); }
CharSet WordChars() { return CharSet({{'0', '9'}, {'A', 'Z'}, {'a', 'z'}, {'_', '_'}}); }
/// ECMAScript's WhiteSpace and LineTerminator.
CharSet Spaces() {
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
CharSet LineEnds() { return CharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}); }

class PatternReader {
 public:
  PatternReader(std::string_view text, GrammarBuilder* builder, FunctionRef<Expr(const CharSet&)> one_of)
      : text_(text), builder_(*builder), one_of_(one_of) {}

  Result<Expr> Read() {
    for (size_t at = 0; at < text_.size(); at += DecodeUtf8(text_, at).length) {
      if (!DecodeUtf8(text_, at).valid) return Error("not valid UTF-8");
    }
    std::vector<Expr> alternatives;
    do {
      std::vector<Expr> parts;
      if (!Take("^")) parts.push_back(Anything());
      TERN_ASSIGN_OR_RETURN(const Expr body, ReadSequence(0));
      parts.push_back(body);
      if (!Take("$")) parts.push_back(Anything());
      alternatives.push_back(builder_.Sequence(std::move(parts)));
    } while (Take("|"));
    if (at_ < text_.size())
      return Error(Is("$") || Is("^") ? "^ and $ are supported at a pattern's ends alone"
                                      : "unexpected " + Found());
    return builder_.Choice(std::move(alternatives));
  }

 private:
  Status Error(const std::string& what) const {
    return Unsupported("pattern '" + std::string(text_) + "', byte " + std::to_string(at_ + 1) + ": " + what);
  }
  std::string Found() const {
    return at_ < text_.size() ? "'" + std::string(1, text_[at_]) + "'" : "the end";
  }
  bool Is(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  bool Take(std::string_view what) {
    if (!Is(what)) return false;
    at_ += what.size();
    return true;
  }
  Expr Anything() { return builder_.Repeat(one_of_(CharSet::All()), 0, GrammarBuilder::kUnbounded); }

  Result<Expr> ReadChoice(int32_t depth) {
    if (depth > GrammarLimits::kNesting) return Error("groups are nested too deep");
    std::vector<Expr> alternatives;
    do {
      TERN_ASSIGN_OR_RETURN(const Expr sequence, ReadSequence(depth));
      alternatives.push_back(sequence);
    } while (Take("|"));
    return builder_.Choice(std::move(alternatives));
  }

  Result<Expr> ReadSequence(int32_t depth) {
    std::vector<Expr> parts;
    while (at_ < text_.size() && !Is("|") && !Is(")") && !Is("$") && !Is("^")) {
      TERN_ASSIGN_OR_RETURN(const Expr atom, ReadAtom(depth));
      TERN_ASSIGN_OR_RETURN(const Expr part, ReadQuantifier(atom));
      parts.push_back(part);
    }
    return builder_.Sequence(std::move(parts));
  }

  Result<Expr> ReadAtom(int32_t depth) {
    if (Take(".")) return one_of_(LineEnds().Complement());
    if (Take("[")) return ReadClass();
    if (Take("(")) {
      if (Take("?")) TERN_RETURN_IF_ERROR(ReadGroupKind());
      TERN_ASSIGN_OR_RETURN(const Expr group, ReadChoice(depth + 1));
      if (Is("$") || Is("^")) return Error("^ and $ are supported at a pattern's ends alone");
      if (!Take(")")) return Error("expected ), found " + Found());
      return group;
    }
    if (Is("*") || Is("+") || Is("?") || Is("{")) return Error(Found() + " has nothing before it to repeat");
    if (Is("]") || Is("}")) return Error(Found() + " stands alone: write \\ before it");
    TERN_ASSIGN_OR_RETURN(const CharSet set, ReadChar(/*in_class=*/false));
    return one_of_(set);
  }

  /// After "(?": ?: and names mean nothing here.
  Status ReadGroupKind() {
    if (Take(":")) return OkStatus();
    if (Is("<") && !Is("<=") && !Is("<!")) {
      const size_t end = text_.find('>', at_);
      if (end == std::string_view::npos) return Error("the name of a group has no end");
      at_ = end + 1;
      return OkStatus();
    }
    return Error("look-around and flags are not supported");
  }

  /// A character or a class like \d.
  Result<CharSet> ReadChar(bool in_class) {
    if (!Take("\\")) {
      const Utf8Char c = DecodeUtf8(text_, at_);
      at_ += c.length;
      return CharSet({{c.codepoint, c.codepoint}});
    }
    if (at_ >= text_.size()) return Error("a \\ at the end");
    const char kind = text_[at_++];
    const auto one = [](int32_t c) { return CharSet({{c, c}}); };
    switch (kind) {
      case 'd':
        return Digits();
      case 'D':
        return Digits().Complement();
      case 'w':
        return WordChars();
      case 'W':
        return WordChars().Complement();
      case 's':
        return Spaces();
      case 'S':
        return Spaces().Complement();
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 't':
        return one('\t');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case 'x':
        return ReadHex(2);
      case 'u':
        return ReadHex(4);
      default:
        break;
    }
    if (kind == 'b' && in_class) return one('\b');
    const bool letter =
        (kind >= 'a' && kind <= 'z') || (kind >= 'A' && kind <= 'Z') || (kind >= '0' && kind <= '9');
    if (letter || (static_cast<uint8_t>(kind) & 0x80) != 0) {
      --at_;
      return Error("the escape \\ before " + Found() + " is not supported");
    }
    return one(kind);
  }

  Result<CharSet> ReadHex(size_t digits) {
    if (text_.size() - at_ < digits)
      return Error("expected " + std::to_string(digits) + " hexadecimal digits");
    int32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      const char c = text_[at_];
      const size_t digit =
          std::string_view("0123456789abcdef").find(static_cast<char>(c >= 'A' && c <= 'F' ? c + 32 : c));
      if (digit == std::string_view::npos) return Error("expected a hexadecimal digit, found " + Found());
      value = value * 16 + static_cast<int32_t>(digit);
      ++at_;
    }
    if (value >= 0xD800 && value <= 0xDFFF)
      return Error("halves of characters (surrogates) are not supported");
    return CharSet({{value, value}});
  }

  Result<Expr> ReadClass() {
    const bool negated = Take("^");
    CharSet set;
    while (!Take("]")) {
      if (at_ >= text_.size()) return Error("the class has no closing ]");
      TERN_ASSIGN_OR_RETURN(CharSet part, ReadChar(true));
      if (Is("-") && !Is("-]")) {
        ++at_;
        if (at_ >= text_.size()) return Error("the class has no closing ]");
        TERN_ASSIGN_OR_RETURN(const CharSet last, ReadChar(true));
        const auto single = [](const CharSet& s) {
          return s.ranges().size() == 1 && s.ranges()[0].first == s.ranges()[0].last;
        };
        if (!single(part) || !single(last)) return Error("a range between classes");
        if (part.ranges()[0].first > last.ranges()[0].first)
          return Error("a range whose end is before its beginning");
        part = CharSet({{part.ranges()[0].first, last.ranges()[0].first}});
      }
      set = set.Union(part);
    }
    if (negated) set = set.Complement();
    if (set.empty()) return Error("a class without any character");
    return one_of_(set);
  }

  Result<Expr> ReadQuantifier(Expr atom) {
    int32_t min = 1;
    int32_t max = 1;
    if (Take("*")) {
      min = 0;
      max = GrammarBuilder::kUnbounded;
    } else if (Take("+")) {
      max = GrammarBuilder::kUnbounded;
    } else if (Take("?")) {
      min = 0;
    } else if (Take("{")) {
      TERN_ASSIGN_OR_RETURN(min, ReadCount());
      max = min;
      if (Take(",")) {
        max = GrammarBuilder::kUnbounded;
        if (!Is("}")) {
          TERN_ASSIGN_OR_RETURN(max, ReadCount());
        }
      }
      if (!Take("}")) return Error("expected }, found " + Found());
      if (max != GrammarBuilder::kUnbounded && max < min)
        return Error("a repetition whose end is before its beginning");
    } else {
      return atom;
    }
    Take("?");  // lazy: the same texts
    if (Is("*") || Is("+") || Is("?") || Is("{")) return Error(Found() + " after a repetition");
    return builder_.Repeat(atom, min, max);
  }

  Result<int32_t> ReadCount() {
    const size_t begin = at_;
    int32_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      value = value * 10 + (text_[at_++] - '0');
      if (value > GrammarLimits::kRepeats)
        return Error("a repetition of more than " + std::to_string(GrammarLimits::kRepeats));
    }
    if (at_ == begin) return Error("expected a number, found " + Found());
    return value;
  }

  std::string_view text_;
  size_t at_ = 0;
  GrammarBuilder& builder_;
  FunctionRef<Expr(const CharSet&)> one_of_;
};

}  // namespace

Result<Expr> PatternExpr(std::string_view pattern, GrammarBuilder* builder,
                         FunctionRef<Expr(const CharSet&)> one_of) {
  return PatternReader(pattern, builder, one_of).Read();
}

}  // namespace tern
