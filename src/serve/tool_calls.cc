#include "serve/tool_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/random.h"

namespace tern::serve {
namespace {

using nlohmann::ordered_json;

template <size_t N>
bool IsAmong(const std::string_view (&words)[N], std::string_view word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

/// Keywords whose values are any JSON, not schemas; and those whose names are the client's, not keywords.
constexpr std::string_view kDataKeywords[] = {"enum", "const", "default", "examples"};
constexpr std::string_view kNamingKeywords[] = {"properties", "patternProperties", "dependentSchemas",
                                                "$defs", "definitions"};

/// "#" and "#/…". An anchor ("#name") is found wherever it stands.
bool IsPointer(const ordered_json& reference) {
  return reference == "#" || (reference.is_string() && reference.get_ref<const std::string&>().starts_with("#/"));
}

/// Pointers within a function's own schema still fit where it stands now.
void MoveReferences(ordered_json* schema, const std::string& to) {
  if (schema->is_array()) {
    for (auto& entry : *schema) MoveReferences(&entry, to);
  }
  if (!schema->is_object()) return;
  for (auto& [key, value] : schema->items()) {
    if (IsAmong(kDataKeywords, key)) continue;
    if (IsAmong(kNamingKeywords, key) && value.is_object()) {
      for (auto& entry : value) MoveReferences(&entry, to);
    } else if (key == "$ref" && IsPointer(value)) {
      value = "#" + to + value.get<std::string>().substr(1);
    } else {
      MoveReferences(&value, to);
    }
  }
}

ordered_json CallSchema(const ChatTool& tool, const std::string& pointer) {
  auto parameters = ordered_json::parse(tool.parameters.empty() ? R"({"type": "object", "additionalProperties": false})"
                                                                : tool.parameters);
  // Arguments are an object, whatever else the schema would allow.
  if (!parameters.contains("$ref") || parameters.contains("type")) parameters["type"] = "object";
  MoveReferences(&parameters, pointer + "/properties/arguments");
  ordered_json schema;
  schema["type"] = "object";
  schema["properties"]["name"]["const"] = tool.name;
  schema["properties"]["arguments"] = std::move(parameters);
  schema["required"] = {"name", "arguments"};
  schema["additionalProperties"] = false;
  return schema;
}

/// Reads the beginning of a JSON text as far as it is there.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  enum Outcome { kYes, kNo, kMore };

  void SkipWhiteSpace() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  Outcome Take(std::string_view word) {
    SkipWhiteSpace();
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with(word)) {
      at_ += word.size();
      return kYes;
    }
    return word.starts_with(rest) ? kMore : kNo;
  }
  /// A string without escapes: no function's name has any.
  Outcome TakeString(std::string* value) {
    if (const Outcome quote = Take("\""); quote != kYes) return quote;
    const size_t end = text_.find_first_of("\"\\", at_);
    if (end == std::string_view::npos) return kMore;
    if (text_[end] == '\\') return kNo;
    *value = text_.substr(at_, end - at_);
    at_ = end + 1;
    return kYes;
  }
  bool at_end() const { return at_ >= text_.size(); }
  size_t at() const { return at_; }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

/// What may stand around a call.
constexpr std::string_view kWrappers[] = {"```json", "```", "<tool_call>", "[", ","};
constexpr std::string_view kClosers[] = {"}", "]", "```", "</tool_call>"};

/// Takes any of the words, in any order; kMore when the text ends in the middle of one.
template <size_t N>
Scanner::Outcome TakeAny(const std::string_view (&words)[N], Scanner* scanner) {
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view word : words) {
      scanner->SkipWhiteSpace();
      if (scanner->at_end()) return Scanner::kYes;
      const Scanner::Outcome outcome = scanner->Take(word);
      if (outcome == Scanner::kMore) return outcome;
      again = again || outcome == Scanner::kYes;
    }
  }
  return Scanner::kYes;
}

/// `{"name": "…", "arguments": {`, up to the last bracket.
Scanner::Outcome TakeCallHead(Scanner* scanner, std::string* name) {
  std::string name_key, arguments_key;
  for (const auto& step : std::initializer_list<std::function<Scanner::Outcome()>>{
           [&] { return scanner->Take("{"); },
           [&] { return scanner->TakeString(&name_key); },
           [&] { return name_key == "name" ? scanner->Take(":") : Scanner::kNo; },
           [&] { return scanner->TakeString(name); },
           [&] { return scanner->Take(","); },
           [&] { return scanner->TakeString(&arguments_key); },
           [&] {
             const bool known = arguments_key == "arguments" || arguments_key == "parameters";
             return known ? scanner->Take(":") : Scanner::kNo;
           },
           [&] { return scanner->Take("{"); },
       }) {
    if (const Scanner::Outcome outcome = step(); outcome != Scanner::kYes) return outcome;
  }
  return Scanner::kYes;
}

}  // namespace

std::string ToolCallSchema(const std::vector<ChatTool>& tools, std::string_view name) {
  std::vector<const ChatTool*> chosen;
  for (const ChatTool& tool : tools) {
    if (name.empty() || tool.name == name) chosen.push_back(&tool);
  }
  if (chosen.size() == 1) return CallSchema(*chosen.front(), "").dump();
  ordered_json schema;
  schema["anyOf"] = ordered_json::array();
  for (size_t i = 0; i < chosen.size(); ++i)
    schema["anyOf"].push_back(CallSchema(*chosen[i], fmt::format("/anyOf/{}", i)));
  return schema.dump();
}

ToolCallReader::ToolCallReader(const std::vector<ChatTool>& tools, uint64_t id_seed) : id_seed_(id_seed) {
  for (const ChatTool& tool : tools) names_.push_back(tool.name);
  if (names_.empty()) state_ = State::kText;
}

ToolCallReader::Found ToolCallReader::Push(std::string_view text) {
  Found found;
  pending_ += text;
  Advance(/*last=*/false, &found);
  return found;
}

ToolCallReader::Found ToolCallReader::Finish() {
  Found found;
  Advance(/*last=*/true, &found);
  return found;
}

void ToolCallReader::Advance(bool last, Found* found) {
  for (;;) {
    switch (state_) {
      case State::kOpening:
        if (!TryOpening(last, found)) return;
        break;
      case State::kArguments:
        TakeArguments(found);
        if (state_ == State::kArguments) return;
        break;
      case State::kAfter:
        if (!TryAfter(last)) return;
        break;
      case State::kMembers:
        if (pending_.empty()) return;
        TakeMembers();
        break;
      case State::kBetween:
        if (!TryBetween(last)) return;
        break;
      case State::kText:
        found->text += pending_;
        pending_.clear();
        return;
    }
  }
}

/// False: more must come.
bool ToolCallReader::TryOpening(bool last, Found* found) {
  Scanner scanner(pending_);
  std::string name;
  Scanner::Outcome outcome = TakeAny(kWrappers, &scanner);
  if (outcome == Scanner::kYes) outcome = TakeCallHead(&scanner, &name);
  if (outcome == Scanner::kMore && !last) return false;
  if (outcome != Scanner::kYes || std::find(names_.begin(), names_.end(), name) == names_.end()) {
    state_ = State::kText;
    return true;
  }
  found->calls.push_back({.index = calls_, .id = NewId(), .name = name, .arguments = {}});
  ++calls_;
  pending_.erase(0, scanner.at() - 1);  // its bracket belongs to the arguments
  state_ = State::kArguments;
  depth_ = 0;
  in_string_ = escaped_ = false;
  return true;
}

/// How far the object goes that is `depth_` brackets deep where `pending_` begins.
size_t ToolCallReader::ScanObject(bool* closed) {
  size_t end = 0;
  *closed = false;
  for (; end < pending_.size() && !*closed; ++end) {
    const char c = pending_[end];
    if (in_string_) {
      in_string_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      *closed = --depth_ == 0;
    }
  }
  return end;
}

void ToolCallReader::TakeArguments(Found* found) {
  bool closed = false;
  const size_t end = ScanObject(&closed);
  if (end > 0) {
    const size_t index = calls_ - 1;
    if (found->calls.empty() || found->calls.back().index != index) found->calls.push_back({.index = index});
    found->calls.back().arguments += pending_.substr(0, end);
  }
  pending_.erase(0, end);
  if (closed) state_ = State::kAfter;
}

/// False: more must come. Whether the call has members beside its name and its arguments: an id, say.
bool ToolCallReader::TryAfter(bool last) {
  Scanner scanner(pending_);
  Scanner::Outcome outcome = scanner.Take(",");
  if (outcome == Scanner::kYes) outcome = scanner.Take("\"");
  if (outcome == Scanner::kMore && !last) return false;
  state_ = outcome == Scanner::kYes ? State::kMembers : State::kBetween;
  depth_ = 1;  // the call's own bracket is open
  return true;
}

/// Drops the further members, up to the bracket that closes the call.
void ToolCallReader::TakeMembers() {
  bool closed = false;
  pending_.erase(0, ScanObject(&closed));
  if (closed) state_ = State::kBetween;
}

/// False: more must come. What closes the call is dropped; then another may begin.
bool ToolCallReader::TryBetween(bool last) {
  Scanner scanner(pending_);
  if (TakeAny(kClosers, &scanner) == Scanner::kMore && !last) return false;
  scanner.SkipWhiteSpace();
  pending_.erase(0, scanner.at());
  if (pending_.empty()) return false;
  state_ = State::kOpening;
  return true;
}

std::string ToolCallReader::NewId() const {
  const uint64_t high = Mix64(id_seed_ + (2 * calls_ + 1) * kGoldenStep);
  const uint64_t low = Mix64(id_seed_ + (2 * calls_ + 2) * kGoldenStep);
  return fmt::format("call_{:016x}{:08x}", high, low >> 32);
}

}  // namespace tern::serve
