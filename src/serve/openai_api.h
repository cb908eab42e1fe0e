// The handlers of OpenAI's interface: models, chat, completions, embeddings; and tokenize, detokenize.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "serve/answer_job.h"
#include "serve/service.h"

namespace tern::serve {

std::vector<Route> OpenAiRoutes(const std::shared_ptr<ServiceContext>& context);

/// A model in lists, with Tern's own facts under "tern".
nlohmann::ordered_json DescribeModel(const ModelEntry& entry);

/// Runs a job to its end and answers the exchange: whole or as events.
Task<void> RunJob(ServiceContext& context, Exchange& exchange, AnswerJob job);

/// A route whose handler has the context.
Route MakeRoute(const std::shared_ptr<ServiceContext>& context, std::string method, std::string pattern,
                Task<void> (*handler)(ServiceContext&, Exchange&), Access access = Access::kKeyed);
/// Sends what a function makes of the request; `aside`: it may take long.
Task<void> Answer(ServiceContext& context, Exchange& exchange, bool aside,
                  std::function<ApiResult<nlohmann::ordered_json>(const HttpRequest&)> make);
Task<void> SendError(Exchange& exchange, const ApiError& error);
Task<void> SendJson(Exchange& exchange, const nlohmann::ordered_json& document);

}  // namespace tern::serve
