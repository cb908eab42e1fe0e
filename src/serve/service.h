// The service: every route over the models of a host.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serve/answer_stream.h"
#include "serve/http.h"
#include "serve/model_host.h"

namespace tern::serve {

/// What all handlers share. Thread-safe.
struct ServiceContext {
  ServiceContext(std::vector<ModelSource> sources, ModelLoader load, HostOptions options)
      : max_batch(options.engine.max_batch), host(std::move(sources), std::move(load), std::move(options)) {}

  const int max_batch;  ///< of every model's engine
  ModelHost host;
  Aside preparing;  ///< requests that take long to prepare, states that are written
  Aside loading;    ///< models
  std::string version = {};
  /// After so long a silence a stream says something, so that nobody in between takes it for dead.
  std::chrono::milliseconds longest_silence{10'000};
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
  std::function<HttpStats()> http_stats = {};  ///< set once the server runs, before `ready`
  std::atomic<bool> ready = false;             ///< the models that were wanted are loaded
  std::atomic<bool> stopping = false;
};

/// OpenAI's interface, the states, the service's own state and its description, and the page.
/// `page_folder`: files of the page to serve instead of the program's own (page.h).
std::vector<Route> ServiceRoutes(const std::shared_ptr<ServiceContext>& context,
                                 const std::string& page_folder = {});

/// The end, after the server has stopped: cancels what still runs, writes states out.
void StopService(ServiceContext& context);
/// The whole end: running answers may end until `grace` has passed; those that do not are cancelled and their
/// clients told so (`stopping`), for which they have a second. Then server and service are stopped.
void StopService(ServiceContext& context, HttpServer& server, std::chrono::milliseconds grace);

}  // namespace tern::serve
