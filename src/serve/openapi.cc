#include "serve/openapi.h"

#include <algorithm>
#include <span>
#include <string>

#include "serve/answer_fields.h"
#include "serve/handler.h"
#include "serve/openai_fields.h"
#include "serve/openapi_answers.h"
#include "serve/state_api.h"

namespace tern::serve {
namespace {

using nlohmann::ordered_json;

struct Operation {
  const char* method;
  const char* path;
  const char* summary;
  std::span<const Field> (*fields)() = nullptr;  ///< of the body; null: none
  const char* body = nullptr;                    ///< its schema's name
  Access access = Access::kKeyed;
  const char* content = "application/json";
  const char* id = nullptr;           ///< names the operation in clients that are generated
  const char* answer = nullptr;       ///< its schema's name; null: no JSON
  const char* event = nullptr;        ///< the schema's name of a stream's events; null: no stream
  ordered_json (*query)() = nullptr;  ///< a list of parameters; null: none
};

ordered_json ListQuery() {
  const auto parameter = [](const char* name, const char* about, ordered_json schema) {
    return ordered_json{
        {"name", name}, {"in", "query"}, {"description", about}, {"schema", std::move(schema)}};
  };
  ordered_json limit = {{"type", "integer"}, {"minimum", 1}, {"maximum", kMaxStatesInAnswer}};
  ordered_json owners = {{"type", "string"}, {"enum", {"own", "all"}}, {"default", "own"}};
  return ordered_json::array(
      {parameter("limit", "how many states at most; all if absent", std::move(limit)),
       parameter("after", "the id of the state that the list begins after", {{"type", "string"}}),
       parameter("owners", "all: the states of all keys, for an admin", std::move(owners))});
}

constexpr Operation kOperations[] = {
    {.method = "get",
     .path = "/v1/models",
     .summary = "The models",
     .id = "listModels",
     .answer = "ModelList"},
    {.method = "get", .path = "/v1/models/{id}", .summary = "A model", .id = "getModel", .answer = "Model"},
    {.method = "post",
     .path = "/v1/models/{id}/load",
     .summary = "Load a model",
     .access = Access::kAdmin,
     .id = "loadModel",
     .answer = "Model"},
    {.method = "post",
     .path = "/v1/models/{id}/unload",
     .summary = "Unload a model",
     .access = Access::kAdmin,
     .id = "unloadModel",
     .answer = "Model"},
    {.method = "post",
     .path = "/v1/chat/completions",
     .summary = "Continue a conversation",
     .fields = ChatFields,
     .body = "ChatRequest",
     .id = "createChatCompletion",
     .answer = "ChatAnswer",
     .event = "ChatChunk"},
    {.method = "post",
     .path = "/v1/completions",
     .summary = "Continue a text",
     .fields = CompletionFields,
     .body = "CompletionRequest",
     .id = "createCompletion",
     .answer = "CompletionAnswer",
     .event = "CompletionAnswer"},
    {.method = "post",
     .path = "/v1/embeddings",
     .summary = "Texts as vectors",
     .fields = EmbeddingFields,
     .body = "EmbeddingRequest",
     .id = "createEmbeddings",
     .answer = "EmbeddingAnswer"},
    {.method = "post",
     .path = "/v1/tokenize",
     .summary = "A text's tokens",
     .fields = TokenizeFields,
     .body = "TokenizeRequest",
     .id = "tokenizeText",
     .answer = "TokenizeAnswer"},
    {.method = "post",
     .path = "/v1/detokenize",
     .summary = "Tokens' text",
     .fields = DetokenizeFields,
     .body = "DetokenizeRequest",
     .id = "detokenizeText",
     .answer = "DetokenizeAnswer"},
    {.method = "post",
     .path = "/tokenize",
     .summary = "The tokens of a text or a conversation, in vLLM's shape",
     .fields = RootTokenizeFields,
     .body = "RootTokenizeRequest",
     .id = "tokenizeAtRoot",
     .answer = "RootTokenizeAnswer"},
    {.method = "post",
     .path = "/detokenize",
     .summary = "Tokens' text, in vLLM's shape",
     .fields = RootDetokenizeFields,
     .body = "RootDetokenizeRequest",
     .id = "detokenizeAtRoot",
     .answer = "RootDetokenizeAnswer"},
    {.method = "get",
     .path = "/tokenizer_info",
     .summary = "The tokenizer's special tokens, in vLLM's shape",
     .id = "getTokenizerInfo",
     .answer = "TokenizerInfo"},
    {.method = "get",
     .path = "/v1/states",
     .summary = "The kept states of this key, in the order they were made",
     .id = "listStates",
     .answer = "StateList",
     .query = ListQuery},
    {.method = "post",
     .path = "/v1/states",
     .summary = "Read a text and keep the place",
     .fields = NewStateFields,
     .body = "NewStateRequest",
     .id = "createState",
     .answer = "State"},
    {.method = "get",
     .path = "/v1/states/{id}",
     .summary = "A kept state with its tokens and its text",
     .id = "getState",
     .answer = "StateWithText"},
    {.method = "delete",
     .path = "/v1/states/{id}",
     .summary = "Delete a kept state",
     .id = "deleteState",
     .answer = "StateDeleted"},
    {.method = "get",
     .path = "/v1/states/{id}/file",
     .summary = "A kept state as a file",
     .content = "application/octet-stream",
     .id = "downloadState"},
    {.method = "post",
     .path = "/v1/states/{id}/fork",
     .summary = "Another name for the same place",
     .fields = ForkFields,
     .body = "ForkRequest",
     .id = "forkState",
     .answer = "State"},
    {.method = "post",
     .path = "/v1/states/{id}/rollback",
     .summary = "A new place after its first tokens",
     .fields = RollbackFields,
     .body = "RollbackRequest",
     .id = "rollBackState",
     .answer = "State"},
    {.method = "get",
     .path = "/v1/status",
     .summary = "Machine, models, speed, memory",
     .id = "getStatus",
     .answer = "Status"},
    {.method = "get",
     .path = "/metrics",
     .summary = "Metrics for Prometheus",
     .content = "text/plain",
     .id = "getMetrics"},
    {.method = "get",
     .path = "/health",
     .summary = "Whether requests are taken",
     .access = Access::kPublic,
     .id = "getHealth",
     .answer = "Health"},
};

ordered_json Types(unsigned types) {
  constexpr std::pair<unsigned, const char*> kNames[] = {{kJsonBoolean, "boolean"}, {kJsonInteger, "integer"},
                                                         {kJsonNumber, "number"},   {kJsonString, "string"},
                                                         {kJsonArray, "array"},     {kJsonObject, "object"}};
  ordered_json names = ordered_json::array();
  for (const auto& [bit, name] : kNames) {
    if ((types & bit) != 0) names.push_back(name);
  }
  names.push_back("null");
  return names;
}

/// The bounds under the names that fit the type.
void AddBounds(const Field& field, ordered_json* schema) {
  const bool number = (field.types & (kJsonInteger | kJsonNumber)) != 0;
  const bool list = !number && (field.types & kJsonArray) != 0 && (field.types & kJsonString) == 0;
  if (!number && !list && field.types != kJsonString) return;
  const char* low = number ? "minimum" : list ? "minItems" : "minLength";
  const char* high = number ? "maximum" : list ? "maxItems" : "maxLength";
  const auto value = [&](double bound) {
    return number && (field.types & kJsonNumber) != 0 ? ordered_json(bound)
                                                      : ordered_json(static_cast<int64_t>(bound));
  };
  if (field.low > (number ? -kUnlimited : 0)) (*schema)[low] = value(field.low);
  if (field.high < kUnlimited) (*schema)[high] = value(field.high);
}

ordered_json FieldSchema(const Field& field) {
  ordered_json schema;
  std::string about = field.about;
  if (field.treatment == Treatment::kIgnored) about = "Ignored: " + about;
  if (field.treatment == Treatment::kRefused) about = "Not supported: " + about;
  if (field.own) about += " (Tern's own)";
  schema["description"] = about;
  if (field.treatment == Treatment::kRefused) {
    schema["deprecated"] = true;
    return schema;
  }
  schema["type"] = Types(field.types);
  AddBounds(field, &schema);
  return schema;
}

ordered_json BodySchema(std::span<const Field> fields) {
  ordered_json schema;
  schema["type"] = "object";
  schema["properties"] = ordered_json::object();
  for (const Field& field : fields) {
    schema["properties"][field.name] = FieldSchema(field);
    if (field.required) schema["required"].push_back(field.name);
  }
  return schema;
}

ordered_json Reference(const std::string& name) { return {{"$ref", "#/components/schemas/" + name}}; }

/// The media types of a good answer. The schema of a stream is that of one event's data; the last event is
/// [DONE].
ordered_json Content(const Operation& operation) {
  ordered_json content;
  content[operation.content] = ordered_json::object();
  if (operation.answer != nullptr) content[operation.content]["schema"] = Reference(operation.answer);
  if (operation.event != nullptr) content["text/event-stream"]["schema"] = Reference(operation.event);
  return content;
}

/// Any one of the schemes listed suffices; an empty list: none is needed.
ordered_json Security(Access access) {
  ordered_json schemes = ordered_json::array();
  if (access == Access::kPublic) return schemes;
  schemes.push_back({{access == Access::kAdmin ? "adminKey" : "key", ordered_json::array()}});
  return schemes;
}

ordered_json SecuritySchemes() {
  const auto bearer = [](const char* about) {
    return ordered_json{{"type", "http"}, {"scheme", "bearer"}, {"description", about}};
  };
  return {
      {"key", bearer("An API key, or an admin's; none where the service was started without keys")},
      {"adminKey", bearer("An admin's API key; none where the service was started without keys, for clients "
                          "of its own machine")}};
}

ordered_json Describe(const Operation& operation) {
  ordered_json described;
  described["operationId"] = operation.id;
  described["summary"] = operation.summary;
  if (std::string_view(operation.path).find("{id}") != std::string_view::npos) {
    described["parameters"].push_back(
        {{"name", "id"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}});
  }
  if (operation.query != nullptr) {
    for (const ordered_json& parameter : operation.query()) described["parameters"].push_back(parameter);
  }
  if (operation.body != nullptr) {
    described["requestBody"]["content"]["application/json"]["schema"] = Reference(operation.body);
  }
  described["responses"]["200"] = {{"description", "The answer"}, {"content", Content(operation)}};
  described["responses"]["default"] = {{"description", "An error"},
                                       {"content", {{"application/json", {{"schema", Reference("Error")}}}}}};
  described["security"] = Security(operation.access);
  return described;
}

Task<void> ShowOpenApi(ServiceContext& context, Exchange& exchange) {
  co_await SendJson(exchange, OpenApiDocument(context.version, std::min(context.max_batch, kMaxChoices)));
}

}  // namespace

ordered_json OpenApiDocument(const std::string& version, int max_choices) {
  ordered_json document;
  document["openapi"] = "3.1.0";
  document["info"] = {{"title", "Tern"}, {"version", version}};
  document["security"] = Security(Access::kKeyed);
  for (const Operation& operation : kOperations) {
    document["paths"][operation.path][operation.method] = Describe(operation);
    if (operation.body == nullptr) continue;
    document["components"]["schemas"][operation.body] = BodySchema(operation.fields());
  }
  for (const char* body : {"ChatRequest", "CompletionRequest"})
    document["components"]["schemas"][body]["properties"]["n"]["maximum"] = max_choices;
  document["components"]["schemas"]["Message"] = BodySchema(MessageFields());
  document["components"]["schemas"]["ChatRequest"]["properties"]["messages"]["items"] = Reference("Message");
  document["components"]["schemas"].update(AnswerSchemas());
  document["components"]["securitySchemes"] = SecuritySchemes();
  return document;
}

Route OpenApiRoute(const std::shared_ptr<ServiceContext>& context) {
  return MakeRoute(context, "GET", "/openapi.json", ShowOpenApi, Access::kPublic);
}

}  // namespace tern::serve
