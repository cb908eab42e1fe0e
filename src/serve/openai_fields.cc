#include "serve/openai_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <iterator>
#include <set>
#include <vector>

#include "infer/decimal.h"
#include "serve/answer_fields.h"
#include "serve/http_text.h"

namespace tern::serve {
namespace {

using nlohmann::ordered_json;  // schemas mean the order of their properties

using field::Ignored;
using field::Own;
using field::Read;
using field::Refused;
using field::Required;

constexpr Field kModel = Read("model", kJsonString, 0, 512, "a model's name; absent: the first one");
constexpr Field kUser = Ignored("user", kJsonString, "states are kept apart by API key");

constexpr Field kChat[] = {
    kModel,
    Required(Read("messages", kJsonArray, 1, 100000, "the conversation")),
    Read("logprobs", kJsonBoolean, "the log-probability of each token"),
    Read("top_logprobs", kJsonInteger, 0, 20, "and of so many others that might have come; needs logprobs"),
    Read("tools", kJsonArray, 0, 128, "functions that may be called"),
    Read("tool_choice", kJsonString | kJsonObject, 0, 64, "auto, none, required, or one function"),
    Read("reasoning_effort", kJsonString, 0, 16, "none and minimal: answer at once; else think first"),
    Own(Read("thinking", kJsonBoolean | kJsonObject, "think before the answer (G1 models); or {type: enabled}")),
    Own(Read("enable_thinking", kJsonBoolean, "the same")),
    Own(Read("think", kJsonBoolean, "the same (Ollama's name)")),
    Own(Read("chat_template_kwargs", kJsonObject, "{enable_thinking, thinking}: the same; others are refused")),
    Own(Read("reasoning", kJsonObject, "{effort, enabled}: as reasoning_effort; others are refused")),
    Own(Read("continue_final_message", kJsonBoolean, "go on in the assistant's last message; always done")),
    Own(Read("template", kJsonString, 0, 32, "raven, world, g1, g1-think or none; absent: the model's own")),
    Read("parallel_tool_calls", kJsonBoolean, "false: calls after the first are left out; the model decides"),
    Ignored("prompt_cache_key", kJsonString, "kept beginnings are found by their tokens"),
    Ignored("prompt_cache_retention", kJsonString, "the least recently used go first"),
    Ignored("safety_identifier", kJsonString, "nobody is told"),
    Ignored("verbosity", kJsonString, "say it in the system message"),
    Ignored("prediction", kJsonObject, "it would not make the answer quicker"),
    Refused("functions", "[]", "use tools"),
    Refused("function_call", "\"none\"", "use tool_choice"),
    Refused("modalities", "[\"text\"]", "there is text only"),
    Refused("audio", nullptr, "there is text only"),
    Refused("web_search_options", nullptr, "the model cannot search"),
    Refused("plugins", "[]", "the model cannot search"),
    Refused("echo", "false", "ask /v1/completions"),
    Refused("chat_template", "\"\"", "templates are chosen by name: template"),
    Refused("add_generation_prompt", "true", "a chat ends where the assistant writes"),
    Refused("documents", "[]", "put them into the messages"),
    Refused("reasoning_format", "\"auto\"|\"deepseek\"", "thoughts come as reasoning_content"),
    Refused("include_reasoning", "true", "thoughts come as reasoning_content"),
    Refused("separate_reasoning", "true", "thoughts come as reasoning_content"),
    Refused("parse_tool_calls", "true", "calls of known functions come as tool_calls"),
};

constexpr Field kCompletion[] = {
    kModel,
    Read("prompt", kJsonString | kJsonArray, "a text, tokens, or several of either; absent: a new document"),
    Read("logprobs", kJsonInteger, 0, 20, "log-probabilities of the tokens and of so many others"),
    Read("echo", kJsonBoolean, "begin the text with the prompt"),
    Refused("suffix", "\"\"", "the model reads forwards only, so it cannot write towards a given end"),
};

constexpr Field kEmbedding[] = {
    kModel,
    Required(Read("input", kJsonString | kJsonArray, 1, kUnlimited, "a text, tokens, or several of either")),
    Read("encoding_format", kJsonString, 0, 16, "float or base64 (little-endian float32)"),
    Read("dimensions", kJsonInteger, 1, 1e6, "the model's width; it was not trained for shortened vectors"),
    kUser,
    Refused("normalize", "true", "vectors have length 1"),
    Refused("embd_normalize", "2", "vectors have length 1"),
    Refused("truncate_prompt_tokens", "-1|null", "texts are read to their end"),
    Refused("output_dimension", nullptr, "vectors have the model's width"),
    Refused("output_dtype", "\"float\"", "encoding_format says how a vector is written"),
    Refused("input_type", nullptr, "all texts are read the same way"),
    Refused("prompt_name", nullptr, "put it into the text"),
    Refused("instruction", "\"\"", "put it into the text"),
    Refused("task", nullptr, "all texts are read the same way"),
    Refused("messages", nullptr, "give texts: input"),
};

constexpr Field kMessage[] = {
    Required(Read("role", kJsonString, 0, 32, "system, developer, user, assistant or tool")),
    Read("content", kJsonString | kJsonArray, "a text, or its parts"),
    Read("tool_calls", kJsonArray, 0, 128, "of the assistant"),
    Read("tool_call_id", kJsonString, 0, 256, "of a tool's answer"),
    Ignored("name", kJsonString, "the templates have no names"),
    Ignored("refusal", kJsonString, "part of earlier answers"),
    Ignored("annotations", kJsonArray, "part of earlier answers"),
    Own(Ignored("reasoning_content", kJsonString, "earlier thoughts are not read again")),
    Own(Ignored("reasoning", kJsonString, "earlier thoughts are not read again")),
    Refused("function_call", nullptr, "use tool_calls"),
    Refused("audio", nullptr, "there is text only"),
};

constexpr Field kEvictable = Read(
    "evictable", kJsonBoolean, "forget the state when other states need its memory or disk; false if absent");

constexpr Field kNewState[] = {
    kModel,
    Read("prompt", kJsonString | kJsonArray, "a text or tokens to read"),
    Read("messages", kJsonArray, 1, 100000, "or a conversation"),
    Read("template", kJsonString, 0, 32, "how to write the conversation"),
    Read("state", kJsonString, 1, 128, "a kept state to begin at"),
    Read("note", kJsonString, 0, 4096, "free text, shown in lists"),
    kEvictable,
};

constexpr Field kNote = Read("note", kJsonString, 0, 4096, "free text, shown in lists; absent: the old one");
constexpr Field kFork[] = {kNote, kEvictable};
constexpr Field kRollback[] = {
    Required(Read("tokens", kJsonInteger, 1, kMaxTokens, "how many of its tokens the new place has read")),
    kNote,
    kEvictable,
};
constexpr Field kTokenize[] = {
    kModel,
    Required(Read("text", kJsonString, "any text")),
};
constexpr Field kDetokenize[] = {
    kModel,
    Required(Read("tokens", kJsonArray, "token ids")),
};

constexpr Field kRootTokenize[] = {
    kModel,
    Read("prompt", kJsonString, "any text; the name of the document's end in it is that token"),
    Read("messages", kJsonArray, 1, 100000, "or a conversation"),
    Ignored("add_special_tokens", kJsonBoolean, "nothing is put in front of a text"),
    Read("add_generation_prompt", kJsonBoolean, "end where the assistant writes; true when absent"),
    Read("return_token_strs", kJsonBoolean, "also each token's text"),
    Refused("tools", "[]", "only texts and conversations"),
    Refused("chat_template", "\"\"", "the model's own template is used"),
    Refused("chat_template_kwargs", "{}", "the model's own template is used"),
    Refused("continue_final_message", "false", "give add_generation_prompt"),
};
constexpr Field kRootDetokenize[] = {
    kModel,
    Required(Read("tokens", kJsonArray, "token ids")),
};

/// The lists of one request as one.
std::vector<Field> Joined(std::initializer_list<std::span<const Field>> lists) {
  std::vector<Field> all;
  for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

/// Names are looked for one by one in objects that keep their order: many of them would take long.
constexpr size_t kMaxNames = 1024;

/// What the parser is stopped with: names, or numbers.
struct BadNames {
  const char* message;
};

/// Looks for objects that have a name twice (readers disagree which of the two counts) or too many of them.
/// Before the body is parsed: a callback of the parser itself would make it look through all that stands
/// before each object in a list, and a list of a million would take hours.
class NameWatch final : public nlohmann::json_sax<ordered_json> {
 public:
  bool start_object(size_t) override {
    names_.emplace_back();
    return true;
  }
  bool end_object() override {
    names_.pop_back();
    return true;
  }
  bool key(std::string& name) override {
    if (!names_.back().insert(std::move(name)).second) {
      throw BadNames{"the body has the same name twice in one object"};
    }
    if (names_.back().size() > kMaxNames) throw BadNames{"the body has an object of more than 1024 names"};
    return true;
  }
  /// That is for the parser to tell.
  bool parse_error(size_t, const std::string&, const ordered_json::exception&) override { return false; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(ordered_json::number_integer_t) override { return true; }
  bool number_unsigned(ordered_json::number_unsigned_t) override { return true; }
  bool number_float(ordered_json::number_float_t, const std::string& text) override {
    // The bounds of a schema would silently be others.
    if (!IsHeldExactly(text)) throw BadNames{"the body has a whole number that 64 bits cannot hold"};
    return true;
  }
  bool string(std::string&) override { return true; }
  bool binary(ordered_json::binary_t&) override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }

 private:
  std::vector<std::set<std::string>> names_;  // of the objects that are open
};

/// Before any parser sees the body: how deep it is, by counting brackets outside of texts.
bool TooDeep(std::string_view body) {
  int depth = 0;
  bool in_text = false;
  for (size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (in_text) {
      if (c == '\\') ++i;
      if (c == '"') in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

unsigned TypeOf(const ordered_json& value) {
  switch (value.type()) {
    case ordered_json::value_t::boolean:
      return kJsonBoolean;
    case ordered_json::value_t::number_integer:
    case ordered_json::value_t::number_unsigned:
      return kJsonInteger | kJsonNumber;
    case ordered_json::value_t::number_float: {
      // 1.0 is a whole number too; some clients have only one kind.
      const auto number = value.get<double>();
      return std::floor(number) == number && std::fabs(number) < 0x1p53 ? kJsonInteger | kJsonNumber
                                                                        : kJsonNumber;
    }
    case ordered_json::value_t::string:
      return kJsonString;
    case ordered_json::value_t::array:
      return kJsonArray;
    case ordered_json::value_t::object:
      return kJsonObject;
    default:
      return 0;
  }
}

std::string TypeNames(unsigned types) {
  constexpr std::pair<unsigned, const char*> kNames[] = {
      {kJsonBoolean, "true or false"}, {kJsonInteger, "a whole number"}, {kJsonNumber, "a number"},
      {kJsonString, "a string"},       {kJsonArray, "an array"},         {kJsonObject, "an object"}};
  std::string names;
  for (const auto& [bit, name] : kNames) {
    if ((types & bit) != 0) names += (names.empty() ? "" : " or ") + std::string(name);
  }
  return names;
}

std::string Bound(double bound) { return fmt::format("{:.10g}", bound); }

/// "at least 1", "from 0 to 2".
std::string RangeText(const Field& field) {
  if (field.high >= kUnlimited) return "at least " + Bound(field.low);
  if (field.low <= -kUnlimited) return "at most " + Bound(field.high);
  return fmt::format("from {} to {}", Bound(field.low), Bound(field.high));
}

/// What must lie in the range; for texts and lists their length.
double Measure(const ordered_json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return static_cast<double>(value.get_ref<const std::string&>().size());
  return static_cast<double>(value.size());
}

std::string MeasureName(const ordered_json& value) {
  return value.is_number() ? "" : value.is_string() ? "'s length in bytes" : "'s number of items";
}

/// Whether a refused field's value asks for nothing special.
bool IsHarmless(const ordered_json& value, const Field& field) {
  std::string_view rest = field.harmless == nullptr ? "" : field.harmless;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('|'), rest.size());
    if (value == ordered_json::parse(rest.substr(0, end))) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

/// An empty message when all is well.
ApiError CheckField(const ordered_json& value, const Field& field, const std::string& name) {
  if (field.treatment == Treatment::kRefused) {
    if (IsHarmless(value, field)) return {};
    ApiError error = BadRequest(name, fmt::format("{} is not supported: {}", name, field.about));
    error.code = "unsupported_parameter";
    return error;
  }
  if (field.treatment == Treatment::kIgnored) return {};
  if ((TypeOf(value) & field.types) == 0) {
    ApiError error = BadRequest(name, fmt::format("{} must be {}", name, TypeNames(field.types)));
    error.code = "invalid_type";
    return error;
  }
  // A bound of a text's length is for texts, not for the object that may stand in its place.
  if (value.is_boolean() || value.is_object()) return {};
  const double measure = Measure(value);
  if (measure >= field.low && measure <= field.high) return {};
  ApiError error =
      BadRequest(name, fmt::format("{}{} must be {}", name, MeasureName(value), RangeText(field)));
  error.code = "invalid_value";
  return error;
}

}  // namespace

std::span<const Field> ChatFields() {
  static const std::vector<Field> fields = Joined({kChat, SharedAnswerFields()});
  return fields;
}
std::span<const Field> CompletionFields() {
  static const std::vector<Field> fields = Joined({kCompletion, SharedAnswerFields()});
  return fields;
}
std::span<const Field> EmbeddingFields() { return kEmbedding; }
std::span<const Field> MessageFields() { return kMessage; }
std::span<const Field> NewStateFields() { return kNewState; }
std::span<const Field> ForkFields() { return kFork; }
std::span<const Field> RollbackFields() { return kRollback; }
std::span<const Field> TokenizeFields() { return kTokenize; }
std::span<const Field> DetokenizeFields() { return kDetokenize; }
std::span<const Field> RootTokenizeFields() { return kRootTokenize; }
std::span<const Field> RootDetokenizeFields() { return kRootDetokenize; }

ApiResult<ordered_json> ParseJson(std::string_view text) {
  if (TooDeep(text))
    return BadRequest("", fmt::format("the body is nested deeper than {} levels", kMaxJsonDepth));
  ordered_json value;
  try {
    NameWatch watch;
    ordered_json::sax_parse(text, &watch);
    value = ordered_json::parse(text);
  } catch (const BadNames& bad) {
    return BadRequest("", bad.message);
  } catch (const ordered_json::parse_error& error) {
    return BadRequest("", fmt::format("the body is not valid JSON (at its byte {})", error.byte));
  } catch (const ordered_json::exception&) {
    return BadRequest("", "the body is not valid JSON: a number is out of range");
  }
  return value;
}

ApiResult<ordered_json> ParseBody(std::string_view body) {
  TERN_ASSIGN_OR_RETURN(ordered_json value, ParseJson(body));
  if (!value.is_object()) return BadRequest("", "the body must be a JSON object");
  return value;
}

ApiResult<ordered_json> CheckFields(ordered_json object, std::span<const Field> fields, const std::string& where) {
  for (const Field& field : fields) {
    const auto found = object.find(field.name);
    if (found != object.end() && found->is_null()) object.erase(found);
    if (!object.contains(field.name)) {
      if (!field.required) continue;
      ApiError error = BadRequest(where + field.name, fmt::format("{}{} is missing", where, field.name));
      error.code = "missing_required_parameter";
      return error;
    }
    ApiError error = CheckField(object[field.name], field, where + field.name);
    if (!error.message.empty()) return error;
  }
  return object;
}

ApiResult<ordered_json> ReadRequest(const HttpRequest& request, std::span<const Field> fields) {
  const std::string type = LowerAscii(request.Header("content-type"));  // media types ignore case
  if (!type.empty() && type.find("json") == std::string::npos) {
    ApiError error = BadRequest("", "the body must be JSON: send it with Content-Type: application/json");
    error.status = 415;
    return error;
  }
  TERN_ASSIGN_OR_RETURN(ordered_json body, ParseBody(request.body));
  return CheckFields(std::move(body), fields);
}

}  // namespace tern::serve
