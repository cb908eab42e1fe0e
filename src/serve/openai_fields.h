// The fields of the requests: one table that checks them, describes them in /openapi.json and tells what is
// ignored and what is refused.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "serve/api_result.h"
#include "serve/field_table.h"

namespace tern::serve {

std::span<const Field> ChatFields();
std::span<const Field> CompletionFields();
std::span<const Field> EmbeddingFields();
std::span<const Field> MessageFields();
std::span<const Field> NewStateFields();
std::span<const Field> ForkFields();
std::span<const Field> RollbackFields();
std::span<const Field> TokenizeFields();
std::span<const Field> DetokenizeFields();
/// vLLM's /tokenize and /detokenize.
std::span<const Field> RootTokenizeFields();
std::span<const Field> RootDetokenizeFields();

/// Nesting of a body's arrays and objects.
inline constexpr int kMaxJsonDepth = 64;

/// Reads JSON of any origin: UTF-8, nested no deeper than that, no name twice in one object nor very many of
/// them, no number beyond a double's range. Its message calls it "the body" and never repeats what it says.
ApiResult<nlohmann::ordered_json> ParseJson(std::string_view text);
/// The same for a body, which must be an object.
ApiResult<nlohmann::ordered_json> ParseBody(std::string_view body);
/// Checks an object against its table and removes nulls. `where` is put before names in messages
/// ("messages[2].").
ApiResult<nlohmann::ordered_json> CheckFields(nlohmann::ordered_json object, std::span<const Field> fields,
                                              const std::string& where = {});
/// Both, and that the request says it is JSON.
ApiResult<nlohmann::ordered_json> ReadRequest(const HttpRequest& request, std::span<const Field> fields);

}  // namespace tern::serve
