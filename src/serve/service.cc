#include "serve/service.h"

#include <iterator>
#include <utility>

#include "serve/openai_api.h"
#include "serve/openapi.h"
#include "serve/page.h"
#include "serve/state_api.h"
#include "serve/status_api.h"

namespace tern::serve {

std::vector<Route> ServiceRoutes(const std::shared_ptr<ServiceContext>& context,
                                 const std::string& page_folder) {
  std::vector<Route> routes = OpenAiRoutes(context);
  const auto add = [&](std::vector<Route> more) {
    std::move(more.begin(), more.end(), std::back_inserter(routes));
  };
  add(StateRoutes(context));
  add(StatusRoutes(context));
  add({OpenApiRoute(context)});
  add(PageRoutes(page_folder));
  return routes;
}

void StopService(ServiceContext& context) {
  context.stopping = true;
  context.loading.Join();
  context.preparing.Join();
  context.host.Stop(std::chrono::steady_clock::now());
}

}  // namespace tern::serve
