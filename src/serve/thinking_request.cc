#include "serve/thinking_request.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "serve/request_values.h"

namespace tern::serve {
namespace {

using nlohmann::ordered_json;

bool WantsEffort(const std::string& effort) { return effort != "none" && effort != "minimal"; }

ApiError UnsupportedMember(const std::string& param, const std::string& member) {
  ApiError error = BadRequest(param, fmt::format("{}.{} is not supported", param, member));
  error.code = "unsupported_parameter";
  return error;
}

/// Gathers what the fields say.
class Gathered {
 public:
  /// `hint`: templates that cannot think do without.
  Checked Add(bool wanted, bool hint, const std::string& name) {
    if (request_.wanted && *request_.wanted != wanted)
      return BadRequest(name, fmt::format("{} and {} disagree on thinking", name_, name));
    if (!request_.wanted) name_ = name;
    request_.hint = request_.hint && hint;
    request_.wanted = wanted;
    return kFine;
  }
  const ThinkingRequest& request() const { return request_; }

 private:
  ThinkingRequest request_;
  std::string name_;
};

/// true, false, or {type: enabled | disabled}.
Checked AddThinking(const ordered_json& value, Gathered* gathered) {
  if (value.is_boolean()) return gathered->Add(value.get<bool>(), /*hint=*/false, "thinking");
  for (const auto& [name, member] : value.items()) {
    if (name != "type" && !member.is_null()) return UnsupportedMember("thinking", name);
  }
  const std::string type = TextOf(value, "type");
  if (type != "enabled" && type != "disabled")
    return BadRequest("thinking", "thinking.type must be enabled or disabled");
  return gathered->Add(type == "enabled", /*hint=*/false, "thinking");
}

Checked AddTemplateWords(const ordered_json& words, Gathered* gathered) {
  for (const auto& [name, value] : words.items()) {
    if (value.is_null()) continue;
    if ((name != "enable_thinking" && name != "thinking") || !value.is_boolean())
      return UnsupportedMember("chat_template_kwargs", name);
    if (Checked wrong = gathered->Add(value.get<bool>(), /*hint=*/false, "chat_template_kwargs"))
      return wrong;
  }
  return kFine;
}

/// {effort, enabled}. `exclude: false` asks for what is done anyway.
Checked AddReasoning(const ordered_json& reasoning, Gathered* gathered) {
  for (const auto& [name, value] : reasoning.items()) {
    if (value.is_null() || (name == "exclude" && value == false)) continue;
    Checked wrong = kFine;
    if (name == "effort" && value.is_string()) {
      wrong = gathered->Add(WantsEffort(value.get<std::string>()), /*hint=*/true, "reasoning");
    } else if (name == "enabled" && value.is_boolean()) {
      wrong = gathered->Add(value.get<bool>(), /*hint=*/true, "reasoning");
    } else {
      wrong = UnsupportedMember("reasoning", name);
    }
    if (wrong) return wrong;
  }
  return kFine;
}

}  // namespace

ApiResult<ThinkingRequest> ReadThinking(const ordered_json& body) {
  Gathered gathered;
  Checked wrong = kFine;
  if (body.contains("thinking")) wrong = AddThinking(body["thinking"], &gathered);
  for (const char* name : {"enable_thinking", "think"}) {
    if (!wrong && body.contains(name)) wrong = gathered.Add(FlagOf(body, name), /*hint=*/false, name);
  }
  if (!wrong && body.contains("chat_template_kwargs"))
    wrong = AddTemplateWords(body["chat_template_kwargs"], &gathered);
  if (!wrong && body.contains("reasoning")) wrong = AddReasoning(body["reasoning"], &gathered);
  if (wrong) return *wrong;
  const std::string effort = TextOf(body, "reasoning_effort");
  // Many clients always send reasoning_effort, so the other fields take precedence.
  if (!effort.empty() && !gathered.request().wanted)
    return ThinkingRequest{.wanted = WantsEffort(effort), .hint = true};
  return gathered.request();
}

}  // namespace tern::serve
