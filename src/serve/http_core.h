// What all connections of one server share.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "serve/api_keys.h"
#include "serve/http.h"
#include "serve/http_origin.h"
#include "serve/http_router.h"
#include "serve/http_stream.h"

namespace tern::serve {

class Connection;

struct HttpCounters {
  std::atomic<int64_t> connections{0}, connections_total{0}, refused_connections{0};
  std::atomic<int64_t> requests{0}, bad_requests{0}, unauthorized{0}, timeouts{0}, vanished{0};
  std::atomic<int64_t> responses_2xx{0}, responses_3xx{0}, responses_4xx{0}, responses_5xx{0};
  std::atomic<size_t> body_bytes{0};  ///< of requests, held now

  void CountResponse(int status);
  HttpStats Snapshot() const;
};

/// The connections that are open. Thread-safe.
class ConnectionSet {
 public:
  void Add(const std::shared_ptr<Connection>& connection);
  void Remove(const Connection* connection);
  std::vector<std::shared_ptr<Connection>> All() const;
  /// True when there are none left before `deadline`.
  bool WaitUntilEmpty(std::chrono::steady_clock::time_point deadline);

 private:
  mutable std::mutex mutex_;
  std::condition_variable emptied_;
  std::unordered_map<const Connection*, std::weak_ptr<Connection>> open_;
};

/// What can be renewed while the server runs. Immutable.
struct Credentials {
  KeyRing keys;
  TlsContext tls;  ///< null: no TLS
};

struct ServerCore {
  ServerCore(const HttpOptions& http_options, std::vector<Route> routes, AccessLog access_log,
             std::shared_ptr<const Credentials> first_credentials)
      : options(http_options),
        router(std::move(routes)),
        origins(http_options),
        log(std::move(access_log)),
        credentials_(std::move(first_credentials)) {}

  /// Unlike any other of this or another run. Thread-safe.
  std::string NewRequestId();

  bool speaks_tls() const { return !options.certificate_file.empty(); }
  /// Those that hold now. Thread-safe, as is Renew.
  std::shared_ptr<const Credentials> credentials() const {
    const std::lock_guard lock(credentials_mutex_);
    return credentials_;
  }
  void Renew(std::shared_ptr<const Credentials> credentials) {
    const std::lock_guard lock(credentials_mutex_);
    credentials_ = std::move(credentials);
  }

  const HttpOptions options;
  const Router router;
  const OriginPolicy origins;
  const AccessLog log;
  HttpCounters counters;
  ConnectionSet connections;
  std::atomic<bool> stopping{false};

 private:
  mutable std::mutex credentials_mutex_;
  std::shared_ptr<const Credentials> credentials_;
  const uint64_t id_seed_ = RandomSeed();
  std::atomic<uint64_t> next_id_{1};
  static uint64_t RandomSeed();
};

}  // namespace tern::serve
