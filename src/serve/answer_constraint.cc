#include "serve/answer_constraint.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/openai_fields.h"

namespace tern::serve {
namespace {

using nlohmann::ordered_json;  // schemas mean the order of their properties
using ConstraintKind = ConstraintText::Kind;

/// Reads one member's value. `param`: the field of the request; `name`: the member's whole name, for
/// messages.
using ReadValue = ApiResult<ConstraintText> (*)(const ordered_json& value, const std::string& param,
                                                const std::string& name);

struct ConstraintMember {
  const char* name;
  ReadValue read;
};

/// Whether this is OpenAI's wrapper {name, schema} in place of a schema. Read as a schema it would allow
/// everything, as it has no known keyword.
bool IsWrapper(const ordered_json& value) {
  const auto schema = value.find("schema");
  if (!value.is_object() || schema == value.end() || !schema->is_object()) return false;
  constexpr std::string_view kMembers[] = {"name", "description", "strict", "schema"};
  return std::all_of(value.items().begin(), value.items().end(), [&](const auto& member) {
    return std::find(std::begin(kMembers), std::end(kMembers), member.key()) != std::end(kMembers);
  });
}

ApiResult<ConstraintText> ReadSchema(const ordered_json& value, const std::string& param,
                                     const std::string& name) {
  if (IsWrapper(value)) return ReadSchema(value["schema"], param, name + ".schema");
  if (value.is_object() || value.is_boolean()) return ConstraintText{ConstraintKind::kJsonSchema, value.dump(), param};
  if (value.is_string()) {
    auto schema = ParseJson(value.get_ref<const std::string&>());
    if (schema.ok() && (schema->is_object() || schema->is_boolean()))
      return ConstraintText{ConstraintKind::kJsonSchema, schema->dump(), param};
  }
  return BadRequest(param, name + " must be a JSON Schema: an object, or the JSON text of one");
}

ApiResult<ConstraintText> ReadJsonFlag(const ordered_json& value, const std::string& param,
                                       const std::string& name) {
  if (!value.is_boolean()) return BadRequest(param, name + " must be true or false");
  return value.get<bool>() ? ConstraintText{ConstraintKind::kJsonObject, {}, param} : ConstraintText{};
}

ApiResult<ConstraintText> ReadChoices(const ordered_json& value, const std::string& param,
                                      const std::string& name) {
  const bool texts =
      value.is_array() && !value.empty() &&
      std::all_of(value.begin(), value.end(), [](const auto& text) { return text.is_string(); });
  if (!texts) return BadRequest(param, name + " must be an array of at least one text");
  return ConstraintText{ConstraintKind::kChoice, value.dump(), param};
}

ApiResult<ConstraintText> ReadRegex(const ordered_json& value, const std::string& param,
                                    const std::string& name) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty())
    return BadRequest(param, name + " must be a regular expression that is not empty");
  return ConstraintText{ConstraintKind::kRegex, value.get<std::string>(), param};
}

/// Clients send an empty text when they want no grammar.
ApiResult<ConstraintText> ReadGrammarText(const ordered_json& value, const std::string& param,
                                          const std::string& name) {
  if (!value.is_string()) return BadRequest(param, name + " must be a grammar's text (GBNF)");
  if (value.get_ref<const std::string&>().empty()) return ConstraintText{};
  return ConstraintText{ConstraintKind::kGrammar, value.get<std::string>(), param};
}

/// Ollama's: "json", or a schema.
ApiResult<ConstraintText> ReadOllamaFormat(const ordered_json& value, const std::string& param,
                                           const std::string& name) {
  if (value == "") return ConstraintText{};
  if (value == "json") return ConstraintText{ConstraintKind::kJsonObject, {}, param};
  if (value.is_string()) return BadRequest(param, name + " must be json or a JSON Schema");
  return ReadSchema(value, param, name);
}

/// Reads the members of an object that say what the answer must be; those that ask for nothing are left out.
ApiResult<std::vector<ConstraintText>> ReadMembers(const ordered_json& object,
                                                   std::span<const ConstraintMember> members,
                                                   const std::string& param) {
  std::vector<ConstraintText> read;
  for (const ConstraintMember& member : members) {
    const auto value = object.find(member.name);
    if (value == object.end() || value->is_null()) continue;
    const std::string name = param.empty() ? member.name : param + "." + member.name;
    TERN_ASSIGN_OR_RETURN(ConstraintText one, member.read(*value, param.empty() ? name : param, name));
    if (one.kind != ConstraintKind::kNone) read.push_back(std::move(one));
  }
  return read;
}

/// An error for the first member that is not known: it could ask for something that would be left out.
std::optional<ApiError> UnknownMember(const ordered_json& object, std::span<const std::string_view> known,
                                      const std::string& param) {
  for (const auto& [name, value] : object.items()) {
    if (value.is_null() || std::find(known.begin(), known.end(), name) != known.end()) continue;
    ApiError error = BadRequest(param, fmt::format("{}.{} is not supported", param, name));
    error.code = "unsupported_parameter";
    return error;
  }
  return std::nullopt;
}

// ---- response_format

/// OpenAI's wrapper of a schema: {name, strict, schema}.
ApiResult<ConstraintText> ReadWrappedSchema(const ordered_json& value, const std::string& param,
                                            const std::string& name) {
  if (!value.is_object() || !value.contains("schema") || value["schema"].is_null())
    return BadRequest(param, name + ".schema is missing");
  return ReadSchema(value["schema"], param, name + ".schema");
}

constexpr ConstraintMember kSchemaMembers[] = {
    {"json_schema", ReadWrappedSchema}, {"schema", ReadSchema}, {"value", ReadSchema}};
constexpr ConstraintMember kGrammarMembers[] = {{"grammar", ReadGrammarText}, {"value", ReadGrammarText}};
constexpr ConstraintMember kRegexMembers[] = {
    {"pattern", ReadRegex}, {"regex", ReadRegex}, {"value", ReadRegex}};

/// The types of response_format: their members, and what each type means without any of them.
struct FormatType {
  const char* name;
  std::span<const ConstraintMember> members;
  ConstraintKind bare;            ///< kNone with `missing`: one of the members is needed
  const char* missing;  ///< the member that the error names
};
constexpr FormatType kFormatTypes[] = {
    {"text", {}, ConstraintKind::kNone, nullptr},
    {"json_object", kSchemaMembers, ConstraintKind::kJsonObject, nullptr},
    {"json", kSchemaMembers, ConstraintKind::kJsonObject, nullptr},
    {"json_schema", kSchemaMembers, ConstraintKind::kNone, "json_schema.schema"},
    {"grammar", kGrammarMembers, ConstraintKind::kNone, "grammar"},
    {"regex", kRegexMembers, ConstraintKind::kNone, "pattern"},
};

/// The members that a type takes, and those that only describe.
std::vector<std::string_view> KnownMembers(const FormatType& type) {
  std::vector<std::string_view> known = {"type", "name", "description", "strict"};
  for (const ConstraintMember& member : type.members) known.push_back(member.name);
  return known;
}

ApiResult<ConstraintText> ReadResponseFormat(const ordered_json& format, const std::string& param,
                                             const std::string& /*name*/) {
  const auto named = format.find("type");
  const auto type =
      std::find_if(std::begin(kFormatTypes), std::end(kFormatTypes),
                   [&](const FormatType& known) { return named != format.end() && *named == known.name; });
  if (type == std::end(kFormatTypes)) {
    return BadRequest(param, param + ".type must be text, json_object, json_schema, grammar or regex");
  }
  if (auto wrong = UnknownMember(format, KnownMembers(*type), param)) return *std::move(wrong);
  TERN_ASSIGN_OR_RETURN(std::vector<ConstraintText> said, ReadMembers(format, type->members, param));
  if (said.size() > 1) return BadRequest(param, param + " holds more than one schema: give one");
  if (said.size() == 1) return std::move(said.front());
  if (type->missing != nullptr)
    return BadRequest(param, fmt::format("{}.{} is missing", param, type->missing));
  return ConstraintText{type->bare, {}, param};
}

// ---- vLLM's structured_outputs

constexpr ConstraintMember kStructuredMembers[] = {{"json", ReadSchema},
                                                   {"json_object", ReadJsonFlag},
                                                   {"choice", ReadChoices},
                                                   {"regex", ReadRegex},
                                                   {"grammar", ReadGrammarText}};

ApiResult<ConstraintText> ReadStructuredOutputs(const ordered_json& object, const std::string& param,
                                                const std::string& /*name*/) {
  // They choose a backend, of which there is one.
  std::vector<std::string_view> known = {"disable_fallback", "backend"};
  for (const ConstraintMember& member : kStructuredMembers) known.push_back(member.name);
  for (const char* harmless : {"disable_any_whitespace", "disable_additional_properties"}) {
    if (object.value(harmless, ordered_json()) == false) known.push_back(harmless);
  }
  if (auto wrong = UnknownMember(object, known, param)) return *std::move(wrong);
  TERN_ASSIGN_OR_RETURN(std::vector<ConstraintText> said, ReadMembers(object, kStructuredMembers, param));
  if (said.size() != 1) {
    return BadRequest(param,
                      param + " must have exactly one of json, json_object, choice, regex and grammar");
  }
  return std::move(said.front());
}

// ---- The request

constexpr ConstraintMember kRequestMembers[] = {
    {"response_format", ReadResponseFormat},
    {"structured_outputs", ReadStructuredOutputs},
    {"json_schema", ReadSchema},
    {"guided_json", ReadSchema},
    {"guided_json_object", ReadJsonFlag},
    {"guided_choice", ReadChoices},
    {"guided_regex", ReadRegex},
    {"regex", ReadRegex},
    {"guided_grammar", ReadGrammarText},
    {"grammar", ReadGrammarText},
    {"grammar_string", ReadGrammarText},
    {"ebnf", ReadGrammarText},
    {"format", ReadOllamaFormat},
};

}  // namespace

ApiResult<ConstraintText> ReadConstraint(const ordered_json& body) {
  TERN_ASSIGN_OR_RETURN(std::vector<ConstraintText> said, ReadMembers(body, kRequestMembers, ""));
  if (said.size() > 1) {
    return BadRequest(said[0].param, fmt::format("{} and {} each say what the answer must be: give one",
                                                 said[0].param, said[1].param));
  }
  return said.empty() ? ConstraintText{} : std::move(said.front());
}

}  // namespace tern::serve
