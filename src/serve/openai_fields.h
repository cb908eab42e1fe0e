// The fields of the requests: one table that checks them, describes them in /openapi.json and tells what is
// ignored and what is refused.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "serve/api_result.h"

namespace tern::serve {

/// Types that a field may have, as bits. null is always taken for absent.
enum JsonType : unsigned {
  kJsonBoolean = 1,
  kJsonInteger = 2,
  kJsonNumber = 4,
  kJsonString = 8,
  kJsonArray = 16,
  kJsonObject = 32,
  kJsonAny = 63,
};

enum class Treatment {
  kRead,
  kIgnored,  ///< it would change nothing that Tern does
  kRefused,  ///< leaving it out would change what the answer means
};

/// No bound.
inline constexpr double kUnlimited = 1e300;

struct Field {
  const char* name;
  unsigned types;  ///< JsonType
  Treatment treatment = Treatment::kRead;
  /// Of numbers; of strings and arrays: of their length in bytes or items.
  double low = -kUnlimited, high = kUnlimited;
  const char* about = "";  ///< a phrase for people; for kRefused: why
  /// kRefused: the JSON value that asks for nothing special and is taken (null: none).
  const char* harmless = nullptr;
  bool required = false;
  bool own = false;  ///< not in OpenAI's interface
};

/// The most that a request's n may be, whatever the engine would take.
inline constexpr int kMaxChoices = 128;

std::span<const Field> ChatFields();
std::span<const Field> CompletionFields();
std::span<const Field> EmbeddingFields();
std::span<const Field> MessageFields();
std::span<const Field> NewStateFields();
std::span<const Field> ForkFields();
std::span<const Field> RollbackFields();
std::span<const Field> TokenizeFields();
std::span<const Field> DetokenizeFields();

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
