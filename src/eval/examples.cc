#include "eval/examples.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/parallel.h"
#include "text/json_records.h"

namespace tern::eval {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kWhite = " \t\r\n\f\v";

std::string_view TrimEnd(std::string_view text) { return text.substr(0, text.find_last_not_of(kWhite) + 1); }
std::string_view TrimStart(std::string_view text) {
  return text.substr(std::min(text.size(), text.find_first_not_of(kWhite)));
}

/// Without the one line break that may end it.
std::string_view WithoutLineBreak(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

/// Calls use(object) for every record; one that is no JSON object, and every error of `use`, is reported with
/// the file's name and the record's line.
Status ForEachRecord(std::string_view text, const std::string& path, FunctionRef<Status(const Json&)> use) {
  JsonRecordCutter records(text, path);
  for (;;) {
    TERN_ASSIGN_OR_RETURN(const auto record, records.Next());
    if (!record) return OkStatus();
    TERN_ASSIGN_OR_RETURN(const Json json, ParseJsonRecord(*record, path));
    TERN_RETURN_IF_ERROR(use(json).WithContext(ShowLine(path, record->place)));
  }
}

Result<std::vector<std::string>> GetStrings(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return Corrupt(fmt::format("there is no \"{}\"", key));
  if (!found->is_array()) return Corrupt(fmt::format("\"{}\" is no array of strings", key));
  std::vector<std::string> strings;
  for (const Json& item : *found) {
    const std::string what = fmt::format("item {} of \"{}\"", strings.size(), key);
    TERN_ASSIGN_OR_RETURN(std::string string, JsonStringValue(item, what));
    strings.push_back(std::move(string));
  }
  if (strings.size() < 2) {
    return Corrupt(fmt::format("\"{}\" has {} items, a choice needs two or more", key, strings.size()));
  }
  return strings;
}

Result<size_t> GetGold(const Json& object, size_t choices) {
  const auto found = object.find("gold");
  if (found == object.end()) return Corrupt("there is no \"gold\"");
  if (!found->is_number_unsigned() || found->get<uint64_t>() >= choices) {
    return Corrupt(
        fmt::format("\"gold\" is {}, not one of the choices 0 to {}", ShowJson(*found), choices - 1));
  }
  return static_cast<size_t>(found->get<uint64_t>());
}

/// Adds a choice after `context`, moving the white space between them to its start.
Status AddChoice(std::string_view context, std::string_view choice, ChoiceExample* example) {
  choice = TrimStart(choice);
  if (choice.empty()) return Corrupt("a choice is empty");
  example->continuations.push_back(std::string(context.substr(TrimEnd(context).size())) +
                                   std::string(choice));
  example->answer_bytes.push_back(choice.size());
  return OkStatus();
}

Result<ChoiceExample> ParseQuery(const Json& json, std::string_view delimiter) {
  ChoiceExample example;
  TERN_ASSIGN_OR_RETURN(const std::string query, JsonString(json, "query"));
  TERN_ASSIGN_OR_RETURN(const std::vector<std::string> choices, GetStrings(json, "choices"));
  const std::string context = std::string(TrimStart(TrimEnd(query))) + std::string(delimiter);
  example.contexts.emplace_back(TrimEnd(context));
  for (const std::string& choice : choices) TERN_RETURN_IF_ERROR(AddChoice(context, choice, &example));
  return example;
}

Result<ChoiceExample> ParseSchema(const Json& json) {
  ChoiceExample example;
  TERN_ASSIGN_OR_RETURN(const std::vector<std::string> contexts, GetStrings(json, "context_options"));
  TERN_ASSIGN_OR_RETURN(const std::string continuation, JsonString(json, "continuation"));
  for (const std::string& context : contexts) example.contexts.emplace_back(TrimEnd(context));
  TERN_RETURN_IF_ERROR(AddChoice(" ", continuation, &example));
  return example;
}

}  // namespace

std::vector<std::string> ParseText(std::string_view text, std::string_view separator) {
  std::vector<std::string> documents;
  const auto add = [&](std::string_view document) {
    if (!TrimEnd(document).empty()) documents.emplace_back(document);
  };
  if (separator.empty()) {
    add(text);
    return documents;
  }
  size_t start = 0;  // of the document
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.size(), text.find('\n', begin));
    const size_t next = std::min(text.size(), end + 1);
    if (WithoutLineBreak(text.substr(begin, next - begin)) == separator) {
      add(WithoutLineBreak(text.substr(start, begin - start)));
      start = next;
    }
    begin = next;
  }
  add(WithoutLineBreak(text.substr(start)));
  return documents;
}

Result<std::vector<std::string>> ParseDocuments(std::string_view text, const std::string& path) {
  std::vector<std::string> documents;
  TERN_RETURN_IF_ERROR(ForEachRecord(text, path, [&](const Json& json) -> Status {
    TERN_ASSIGN_OR_RETURN(std::string document, JsonString(json, "text"));
    if (!TrimEnd(document).empty()) documents.push_back(std::move(document));
    return OkStatus();
  }));
  return documents;
}

Result<std::vector<LambadaExample>> ParseLambada(std::string_view text, const std::string& path) {
  std::vector<LambadaExample> examples;
  TERN_RETURN_IF_ERROR(ForEachRecord(text, path, [&](const Json& json) -> Status {
    TERN_ASSIGN_OR_RETURN(const std::string passage, JsonString(json, "text"));
    const size_t space = passage.rfind(' ');
    if (space == std::string::npos) return Corrupt("\"text\" has no space before a last word");
    examples.push_back({passage.substr(0, space), passage.substr(space)});
    return OkStatus();
  }));
  return examples;
}

Result<std::vector<ChoiceExample>> ParseChoices(std::string_view text, const std::string& path,
                                                std::string_view delimiter) {
  std::vector<ChoiceExample> examples;
  TERN_RETURN_IF_ERROR(ForEachRecord(text, path, [&](const Json& json) -> Status {
    if (!json.contains("query") && !json.contains("context_options")) {
      return Corrupt("there is neither \"query\" nor \"context_options\"");
    }
    TERN_ASSIGN_OR_RETURN(ChoiceExample example,
                          json.contains("query") ? ParseQuery(json, delimiter) : ParseSchema(json));
    const size_t choices = std::max(example.contexts.size(), example.continuations.size());
    TERN_ASSIGN_OR_RETURN(example.gold, GetGold(json, choices));
    examples.push_back(std::move(example));
    return OkStatus();
  }));
  return examples;
}

}  // namespace tern::eval
