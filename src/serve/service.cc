#include "serve/service.h"

#include <iterator>
#include <utility>

#include "serve/embedding_api.h"
#include "serve/model_api.h"
#include "serve/openapi.h"
#include "serve/page.h"
#include "serve/state_api.h"
#include "serve/status_api.h"
#include "serve/text_api.h"
#include "serve/tokenizer_api.h"

namespace tern::serve {

std::vector<Route> ServiceRoutes(const std::shared_ptr<ServiceContext>& context,
                                 const std::string& page_folder) {
  std::vector<Route> routes = TextRoutes(context);
  const auto add = [&](std::vector<Route> more) {
    std::move(more.begin(), more.end(), std::back_inserter(routes));
  };
  add(TokenizerRoutes(context));
  add(EmbeddingRoutes(context));
  add(ModelRoutes(context));
  add(StateRoutes(context));
  add(StatusRoutes(context));
  add({OpenApiRoute(context)});
  add(PageRoutes(page_folder));
  return routes;
}

namespace {

/// What clients have to take their last event in.
constexpr std::chrono::milliseconds kLastWords{1000};

/// Every answer that runs ends as cancelled, and no other is begun.
void StopEngines(const ModelHost& host) {
  for (const ModelEntry& entry : host.List()) {
    if (entry.served) entry.served->engine().Drain(std::chrono::steady_clock::now());
  }
}

}  // namespace

void StopService(ServiceContext& context, HttpServer& server, std::chrono::milliseconds grace) {
  context.stopping = true;
  const bool ended = server.Drain(grace);
  // The engines before the connections: who is cut off first never hears why.
  if (!ended) StopEngines(context.host);
  server.Stop(kLastWords);
  StopService(context);
}

void StopService(ServiceContext& context) {
  context.stopping = true;
  context.loading.Join();
  context.preparing.Join();
  context.host.Stop(std::chrono::steady_clock::now());
}

}  // namespace tern::serve
