// Reads grammars as llama.cpp's users write them.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "infer/grammar.h"
#include "infer/grammar_builder.h"
#include "text/utf8.h"

namespace tern {
namespace {

using Expr = GrammarBuilder::Expr;

bool IsWordChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/// One pass over the text. Every function stands at its first character and leaves behind its last.
class GrammarReader {
 public:
  explicit GrammarReader(std::string_view text) : text_(text) {}

  Result<std::shared_ptr<const Grammar>> Read() {
    if (text_.size() > GrammarLimits::kTextBytes) {
      return Exhausted("the grammar has " + std::to_string(text_.size()) + " bytes, more than " +
                       std::to_string(GrammarLimits::kTextBytes));
    }
    for (size_t at = 0; at < text_.size(); at += DecodeUtf8(text_, at).length) {
      if (!DecodeUtf8(text_, at).valid) return ErrorAt(at, "not valid UTF-8");
    }
    SkipSpace(/*lines=*/true);
    while (at_ < text_.size()) {
      TERN_RETURN_IF_ERROR(ReadRule());
      SkipSpace(true);
    }
    for (const auto& [name, rule] : rules_) {
      if (!rule.defined) return ErrorAt(rule.first_use, "rule '" + name + "' is not defined");
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) return InvalidArgument("the grammar has no rule 'root'");
    return builder_.Build(root->second.number, [this](size_t at) { return Place(at); });
  }

 private:
  struct Named {
    GrammarBuilder::Rule number;
    size_t first_use;
    bool defined = false;
  };

  /// "line 3, column 7"; columns count characters.
  std::string Place(size_t at) const {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < text_.size(); ++i) {
      const auto byte = static_cast<uint8_t>(text_[i]);
      if (byte == '\n') {
        ++line;
        column = 1;
      } else if ((byte & 0xC0) != 0x80) {
        ++column;
      }
    }
    return "line " + std::to_string(line) + ", column " + std::to_string(column);
  }
  Status ErrorAt(size_t at, const std::string& what) const {
    return InvalidArgument(Place(at) + ": " + what);
  }
  Status Error(const std::string& what) const { return ErrorAt(at_, what); }
  std::string Found() const {
    if (at_ >= text_.size()) return "the end";
    if (text_[at_] == '\n' || text_[at_] == '\r') return "the end of the line";
    return "'" + std::string(text_.substr(at_, DecodeUtf8(text_, at_).length)) + "'";
  }

  bool Is(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  bool Take(std::string_view what) {
    if (!Is(what)) return false;
    at_ += what.size();
    return true;
  }

  /// Spaces and comments; with `lines` their ends too.
  void SkipSpace(bool lines) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
      } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  Result<std::string> ReadName() {
    const size_t begin = at_;
    while (at_ < text_.size() && IsWordChar(text_[at_])) ++at_;
    if (at_ == begin) return Error("expected the name of a rule, found " + Found());
    return std::string(text_.substr(begin, at_ - begin));
  }

  Named& Lookup(const std::string& name, size_t at) {
    const auto found = rules_.find(name);
    if (found != rules_.end()) return found->second;
    return rules_.emplace(name, Named{builder_.NewRule("'" + name + "'", at), at}).first->second;
  }

  Status ReadRule() {
    const size_t begin = at_;
    TERN_ASSIGN_OR_RETURN(const std::string name, ReadName());
    SkipSpace(false);
    if (!Take("::=")) return Error("expected ::= after '" + name + "', found " + Found());
    Named& rule = Lookup(name, begin);
    if (rule.defined) return ErrorAt(begin, "rule '" + name + "' is defined twice");
    rule.defined = true;
    builder_.SetPlace(rule.number, begin);
    SkipSpace(true);
    TERN_ASSIGN_OR_RETURN(const Expr body, ReadChoice(/*depth=*/0));
    builder_.Define(rule.number, body);
    if (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r') {
      return Error("expected the end of the line after the rule '" + name + "', found " + Found());
    }
    return OkStatus();
  }

  /// a | b | c. Within a group (depth > 0) lines may end anywhere, else after | alone.
  Result<Expr> ReadChoice(int32_t depth) {
    if (depth > GrammarLimits::kNesting) {
      return Error("groups are nested more than " + std::to_string(GrammarLimits::kNesting) + " deep");
    }
    std::vector<Expr> alternatives;
    do {
      SkipSpace(depth > 0 || !alternatives.empty());
      TERN_ASSIGN_OR_RETURN(const Expr sequence, ReadSequence(depth));
      alternatives.push_back(sequence);
    } while (Take("|"));
    return builder_.Choice(std::move(alternatives));
  }

  Result<Expr> ReadSequence(int32_t depth) {
    std::vector<Expr> parts;
    while (at_ < text_.size()) {
      const size_t begin = at_;
      TERN_ASSIGN_OR_RETURN(const std::optional<Expr> item, ReadItem(depth));
      if (!item) break;
      Expr part = *item;
      SkipSpace(depth > 0);
      while (true) {
        TERN_ASSIGN_OR_RETURN(const std::optional<Expr> repeated, ReadRepetition(part, begin));
        if (!repeated) break;
        part = *repeated;
        SkipSpace(depth > 0);
      }
      parts.push_back(part);
    }
    return builder_.Sequence(std::move(parts));
  }

  /// A text, a class, a group, a name; nothing where none begins.
  Result<std::optional<Expr>> ReadItem(int32_t depth) {
    const size_t begin = at_;
    if (Take("\"")) return Some(ReadString(begin));
    if (Take("[")) return Some(ReadClass(begin));
    if (Take(".")) return std::optional<Expr>(builder_.Chars(CharSet::All()));
    if (Take("(")) {
      TERN_ASSIGN_OR_RETURN(const Expr group, ReadChoice(depth + 1));
      if (!Take(")")) return Error("expected ) for the ( at " + Place(begin) + ", found " + Found());
      return std::optional<Expr>(group);
    }
    if (IsWordChar(text_[at_])) {
      TERN_ASSIGN_OR_RETURN(const std::string name, ReadName());
      const size_t after = at_;
      SkipSpace(false);
      if (Is("::=")) return ErrorAt(begin, "a rule must begin on a line of its own: '" + name + "'");
      at_ = after;
      return std::optional<Expr>(builder_.Call(Lookup(name, begin).number));
    }
    if (Is("*") || Is("+") || Is("?") || Is("{")) return Error(Found() + " has nothing before it to repeat");
    if (Is("<") || Is("!")) return Error("token literals are not supported: write the text itself");
    return std::optional<Expr>();
  }

  static Result<std::optional<Expr>> Some(Result<Expr> expr) {
    if (!expr.ok()) return expr.status();
    return std::optional<Expr>(*expr);
  }

  Result<Expr> ReadString(size_t begin) {
    std::string bytes;
    while (!Take("\"")) {
      if (AtLineEnd()) return ErrorAt(begin, "the text that begins here has no closing \"");
      TERN_ASSIGN_OR_RETURN(const int32_t character, ReadChar());
      AppendUtf8(character, &bytes);
    }
    return builder_.Text(bytes);
  }

  Result<Expr> ReadClass(size_t begin) {
    const bool negated = Take("^");
    std::vector<CharRange> ranges;
    while (!Take("]")) {
      if (AtLineEnd()) return ErrorAt(begin, "the class that begins here has no closing ]");
      const size_t at = at_;
      TERN_ASSIGN_OR_RETURN(const int32_t first, ReadChar());
      CharRange range{first, first};
      if (Is("-") && !Is("-]")) {
        ++at_;
        if (AtLineEnd()) return ErrorAt(begin, "the class that begins here has no closing ]");
        TERN_ASSIGN_OR_RETURN(range.last, ReadChar());
      }
      if (range.first > range.last) return ErrorAt(at, "a range whose end is before its beginning");
      ranges.push_back(range);
    }
    const CharSet set(std::move(ranges));
    const CharSet chosen = negated ? set.Complement() : set;
    if (chosen.empty()) return ErrorAt(begin, "a class without any character");
    return builder_.Chars(chosen);
  }

  bool AtLineEnd() const { return at_ >= text_.size() || text_[at_] == '\n' || text_[at_] == '\r'; }

  /// A character of a text or a class, escaped or not.
  Result<int32_t> ReadChar() {
    if (!Take("\\")) {
      const Utf8Char decoded = DecodeUtf8(text_, at_);
      at_ += decoded.length;
      return decoded.codepoint;
    }
    if (AtLineEnd()) return Error("a \\ at the end of the line");
    const char kind = text_[at_++];
    switch (kind) {
      case 'n':
        return int32_t{'\n'};
      case 'r':
        return int32_t{'\r'};
      case 't':
        return int32_t{'\t'};
      case 'x':
        return ReadHex(2);
      case 'u':
        return ReadHex(4);
      case 'U':
        return ReadHex(8);
      case '\\':
      case '"':
      case '[':
      case ']':
      case '^':
      case '-':
        return int32_t{kind};
      default:
        --at_;
        return Error("unknown escape \\ before " + Found());
    }
  }

  Result<int32_t> ReadHex(int digits) {
    const size_t begin = at_;
    uint64_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = at_ < text_.size() ? text_[at_] : '\0';
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0)
        return Error("expected " + std::to_string(digits) + " hexadecimal digits, found " + Found());
      value = value * 16 + static_cast<uint64_t>(digit);
      ++at_;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      return ErrorAt(begin, "the escape names no Unicode character");
    }
    return static_cast<int32_t>(value);
  }

  /// * + ? {m} {m,} {m,n} {,n}; nothing where none of them stands. `begin`: where the repeated part does.
  Result<std::optional<Expr>> ReadRepetition(Expr part, size_t begin) {
    constexpr int32_t kUnbounded = GrammarBuilder::kUnbounded;
    if (Take("*")) return std::optional<Expr>(builder_.Repeat(part, 0, kUnbounded, begin));
    if (Take("+")) return std::optional<Expr>(builder_.Repeat(part, 1, kUnbounded, begin));
    if (Take("?")) return std::optional<Expr>(builder_.Optional(part));
    const size_t brace = at_;
    if (!Take("{")) return std::optional<Expr>();
    TERN_ASSIGN_OR_RETURN(const std::optional<int32_t> low, ReadCount());
    std::optional<int32_t> high = low;
    if (Take(",")) {
      TERN_ASSIGN_OR_RETURN(high, ReadCount());
      if (!low && !high) return ErrorAt(brace, "a repetition without a number");
      if (!high) high = kUnbounded;
    }
    if (!high) return Error("expected a number, found " + Found());
    if (!Take("}")) return Error("expected }, found " + Found());
    if (*high != kUnbounded && low.value_or(0) > *high)
      return ErrorAt(brace, "a repetition whose end is before its beginning");
    return std::optional<Expr>(builder_.Repeat(part, low.value_or(0), *high, begin));
  }

  Result<std::optional<int32_t>> ReadCount() {
    SkipSpace(false);
    const size_t begin = at_;
    int32_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      value = value * 10 + (text_[at_++] - '0');
      if (value > GrammarLimits::kRepeats) {
        return ErrorAt(begin, "a repetition of more than " + std::to_string(GrammarLimits::kRepeats));
      }
    }
    const bool any = at_ > begin;
    SkipSpace(false);
    return any ? std::optional<int32_t>(value) : std::nullopt;
  }

  std::string_view text_;
  size_t at_ = 0;
  GrammarBuilder builder_;
  std::map<std::string, Named> rules_;
};

}  // namespace

Result<std::shared_ptr<const Grammar>> ParseGrammar(std::string_view text) {
  return GrammarReader(text).Read();
}

}  // namespace tern
