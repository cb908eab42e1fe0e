// The opcodes of protocol 0, whose arguments are lines of text.
#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <limits>

#include "formats/pickle_machine.h"

namespace tern {

using namespace pickle_op;  // NOLINT: the opcodes' own names

namespace {

/// The value of the hexadecimal digits, or nothing.
std::optional<uint32_t> HexNumber(std::string_view digits) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

void AppendCodepoint(uint32_t c, std::string* out) {
  if (c < 0x80) {
    *out += static_cast<char>(c);
  } else if (c < 0x800) {
    *out += {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
  } else if (c < 0x10000) {
    *out += {static_cast<char>(0xe0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3f)),
             static_cast<char>(0x80 | (c & 0x3f))};
  } else {
    *out += {static_cast<char>(0xf0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3f)),
             static_cast<char>(0x80 | (c >> 6 & 0x3f)), static_cast<char>(0x80 | (c & 0x3f))};
  }
}

/// Python's raw-unicode-escape: bytes are Latin-1, \\uXXXX and \\UXXXXXXXX are code points.
std::optional<std::string> FromRawUnicode(std::string_view line) {
  std::string text;
  for (size_t at = 0; at < line.size();) {
    const size_t digits = !line.substr(at).starts_with('\\') || at + 1 >= line.size() ? 0
                          : line[at + 1] == 'u'                                       ? 4
                          : line[at + 1] == 'U'                                       ? 8
                                                                                      : 0;
    if (digits == 0) {
      AppendCodepoint(static_cast<uint8_t>(line[at++]), &text);
      continue;
    }
    const auto value = HexNumber(line.substr(at + 2, digits));
    if (line.size() - at - 2 < digits || !value || *value > 0x10ffff) return std::nullopt;
    AppendCodepoint(*value, &text);
    at += 2 + digits;
  }
  return text;
}

/// What a quoted Python literal stands for; only the escapes that Python's repr writes are known.
std::optional<std::string> FromQuoted(std::string_view line) {
  if (line.size() < 2 || (line.front() != '\'' && line.front() != '"') || line.back() != line.front()) {
    return std::nullopt;
  }
  line = line.substr(1, line.size() - 2);
  std::string text;
  for (size_t at = 0; at < line.size(); ++at) {
    if (line[at] != '\\') {
      text += line[at];
      continue;
    }
    if (++at == line.size()) return std::nullopt;
    constexpr std::string_view kEscapes = "n\nt\tr\r\\\\''\"\"";
    if (line[at] == 'x') {
      const auto value = HexNumber(line.substr(at + 1, 2));
      if (line.size() - at - 1 < 2 || !value) return std::nullopt;
      text += static_cast<char>(*value);
      at += 2;
      continue;
    }
    size_t known = 0;
    while (known < kEscapes.size() && kEscapes[known] != line[at]) known += 2;
    if (known >= kEscapes.size()) return std::nullopt;
    text += kEscapes[known + 1];
  }
  return text;
}

/// Takes `part` off the front of `text`.
bool Skip(std::string_view* text, std::string_view part) {
  if (!text->starts_with(part)) return false;
  text->remove_prefix(part.size());
  return true;
}

/// Takes what stands before `end`, and `end`, off the front of `text`.
bool TakeUntil(std::string_view* text, std::string_view end, std::string_view* taken) {
  const size_t at = text->find(end);
  if (at == std::string_view::npos) return false;
  *taken = text->substr(0, at);
  text->remove_prefix(at + end.size());
  return true;
}

}  // namespace

Status PickleMachine::StepLine(uint8_t opcode, bool* known) {
  switch (opcode) {
    case kIntLine:
    case kLongLine:
    case kFloatLine:
    case kStringLine:
    case kUnicodeLine:
    case kGetLine:
    case kPutLine:
    case kPersId:
      break;
    default:
      *known = false;
      return OkStatus();
  }
  std::string_view line;
  if (!ReadLine(&line, length_)) return Bad("a line without an end");
  uint64_t slot = 0;
  switch (opcode) {
    case kIntLine:
    case kLongLine:
      return PushDecimal(line);
    case kFloatLine: {
      double value = 0;
      const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
      if (error != std::errc() || end != line.data() + line.size()) return Bad("a number that is none");
      return Push(PickleKind::kFloat, std::bit_cast<int64_t>(value));
    }
    case kStringLine:
      return PushQuoted(line);
    case kUnicodeLine: {
      auto text = FromRawUnicode(line);
      return text ? PushOwnText(std::move(*text)) : Bad("a text with a bad escape");
    }
    case kPersId:
      return StorageFromLine(line);
    default:
      break;
  }
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), slot);
  if (error != std::errc() || end != line.data() + line.size())
    return Bad("a memo slot that is not a number");
  return opcode == kGetLine ? LoadMemo(slot) : StoreMemo(slot);
}

/// 12, -3, 12L; 00 and 01 are False and True.
Status PickleMachine::PushDecimal(std::string_view line) {
  if (line == "00" || line == "01") return Push(PickleKind::kBool, line == "01");
  if (line.ends_with('L')) line.remove_suffix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (line.empty() || end != line.data() + line.size()) return Bad("an integer that is none");
  return error == std::errc() ? Push(PickleKind::kInt, value) : Push(PickleKind::kOpaque, -1);
}

Status PickleMachine::PushQuoted(std::string_view line) {
  auto text = FromQuoted(line);
  return text ? PushOwnText(std::move(*text)) : Bad("a text without quotes or with a bad escape");
}

Status PickleMachine::PushOwnText(std::string text) {
  pickle_.texts_.push_back(std::move(text));
  return PushText(PickleKind::kString, pickle_.texts_.back());
}

/// In protocol 0 a persistent id is what Python's str() makes of torch's tuple:
/// ('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 12).
Status PickleMachine::StorageFromLine(std::string_view line) {
  std::string_view name, key, location, numel;
  PickleStorage storage;
  const bool well_formed = Skip(&line, "('storage', <class 'torch.") && TakeUntil(&line, "'>, '", &name) &&
                           TakeUntil(&line, "', '", &key) && TakeUntil(&line, "', ", &location) &&
                           TakeUntil(&line, ")", &numel) && line.empty();
  if (!well_formed) return RefusePersistentId();
  const auto [end, error] = std::from_chars(numel.data(), numel.data() + numel.size(), storage.numel);
  if (error != std::errc() || end != numel.data() + numel.size()) return RefusePersistentId();
  storage.key = key;
  return PushStorage(FindPickleGlobal("torch", name), storage);
}

}  // namespace tern
