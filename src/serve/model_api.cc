#include "serve/model_api.h"

#include <chrono>
#include <map>
#include <utility>

#include "serve/handler.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 inlines one half of Asio's allocation of coroutines and misses the other.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace tern::serve {

using nlohmann::ordered_json;

namespace {

std::string TypeOfWeights(const Model& model) {
  std::map<std::string_view, size_t> bytes;
  for (const CheckpointTensor& tensor : model.checkpoint().tensors())
    bytes[Name(tensor.dtype)] += tensor.bytes.size();
  std::string_view most;
  for (const auto& [name, size] : bytes) {
    if (most.empty() || size > bytes[most]) most = name;
  }
  return std::string(most);
}

const ModelEntry* FindEntry(const std::vector<ModelEntry>& entries, const std::string& name) {
  for (const ModelEntry& entry : entries) {
    if (entry.source.name == name) return &entry;
  }
  return nullptr;
}

ApiResult<ordered_json> OneModel(const ModelHost& host, const std::string& name) {
  const std::vector<ModelEntry> entries = host.List();
  const ModelEntry* entry = FindEntry(entries, name);
  if (entry != nullptr) return DescribeModel(*entry);
  ApiError error = BadRequest("model", "there is no model of this name: GET /v1/models lists them");
  error.status = 404;
  error.code = "model_not_found";
  return error;
}

Task<void> ListModels(ServiceContext& context, Exchange& exchange) {
  ordered_json list;
  list["object"] = "list";
  list["data"] = ordered_json::array();
  for (const ModelEntry& entry : context.host.List()) list["data"].push_back(DescribeModel(entry));
  co_await SendJson(exchange, list);
}

Task<void> GetModel(ServiceContext& context, Exchange& exchange) {
  return Answer(context, exchange, /*aside=*/false, [&context](const HttpRequest& request) {
    return OneModel(context.host, request.captures[0]);
  });
}

/// Why a model that there is could not be loaded or put away.
ApiError ChangeError(const Status& status) {
  ApiError error = ServerFault(status);
  if (status.code() == StatusCode::kUnavailable) error.status = 503;
  if (status.code() == StatusCode::kExhausted) {
    error.status = 507;
    error.code = "insufficient_storage";
  }
  return error;
}

Task<void> ChangeModel(ServiceContext& context, Exchange& exchange, bool load) {
  if (context.stopping) co_return co_await SendError(exchange, Stopping());
  const std::string name = exchange.request().captures[0];
  const ApiResult<ordered_json> known = OneModel(context.host, name);
  if (!known.ok()) co_return co_await SendError(exchange, known.status());
  Status status;
  std::function<void()> work = [&] {
    constexpr std::chrono::seconds kGrace{30};
    status =
        load ? context.host.Load(name) : context.host.Unload(name, std::chrono::steady_clock::now() + kGrace);
  };
  co_await context.loading.Run(exchange.executor(), std::move(work));
  if (!status.ok()) co_return co_await SendError(exchange, ChangeError(status));
  const ApiResult<ordered_json> model = OneModel(context.host, name);
  if (!model.ok()) co_return co_await SendError(exchange, model.status());
  co_await SendJson(exchange, *model);
}

Task<void> LoadModel(ServiceContext& context, Exchange& exchange) {
  return ChangeModel(context, exchange, true);
}
Task<void> UnloadModel(ServiceContext& context, Exchange& exchange) {
  return ChangeModel(context, exchange, false);
}

}  // namespace

ordered_json DescribeModel(const ModelEntry& entry) {
  ordered_json description;
  description["id"] = entry.source.name;
  description["object"] = "model";
  description["created"] = entry.served ? entry.served->loaded_at() : 0;
  description["owned_by"] = "tern";
  ordered_json& tern = description["tern"];
  tern["loaded"] = entry.served != nullptr;
  tern["path_name"] = entry.source.path.substr(entry.source.path.find_last_of('/') + 1);
  if (!entry.served) return description;
  const Model& model = entry.served->model();
  const Footprint& footprint = model.footprint();
  tern["generation"] = Name(model.config().generation);
  tern["layers"] = model.config().layers;
  tern["width"] = model.config().width;
  tern["vocabulary"] = model.config().vocab;
  tern["type"] = TypeOfWeights(model);
  tern["parameters"] = footprint.parameters;
  tern["weight_bytes"] = footprint.weight_bytes;
  tern["memory_bytes"] = footprint.memory_bytes;
  tern["state_bytes"] = footprint.state_bytes;
  tern["tokenizer"] = entry.served->tokenizer().name();
  tern["template"] = entry.served->chat().name;
  tern["loaded_at"] = entry.served->loaded_at();
  return description;
}

std::vector<Route> ModelRoutes(const std::shared_ptr<ServiceContext>& context) {
  return {
      MakeRoute(context, "GET", "/v1/models", ListModels),
      MakeRoute(context, "GET", "/v1/models/{id}", GetModel),
      MakeRoute(context, "POST", "/v1/models/{id}/load", LoadModel, Access::kAdmin),
      MakeRoute(context, "POST", "/v1/models/{id}/unload", UnloadModel, Access::kAdmin),
  };
}

}  // namespace tern::serve
