#include "serve/http_core.h"

#include <random>

#include "base/random.h"

namespace tern::serve {

void HttpCounters::CountResponse(int status) {
  if (status < 400) {
    ++(status < 300 ? responses_2xx : responses_3xx);
  } else {
    ++(status < 500 ? responses_4xx : responses_5xx);
  }
}

HttpStats HttpCounters::Snapshot() const {
  return {.connections = connections,
          .connections_total = connections_total,
          .refused_connections = refused_connections,
          .requests = requests,
          .bad_requests = bad_requests,
          .responses_2xx = responses_2xx,
          .responses_3xx = responses_3xx,
          .responses_4xx = responses_4xx,
          .responses_5xx = responses_5xx,
          .unauthorized = unauthorized,
          .timeouts = timeouts,
          .vanished = vanished};
}

void ConnectionSet::Add(const std::shared_ptr<Connection>& connection) {
  const std::lock_guard lock(mutex_);
  open_.emplace(connection.get(), connection);
}

void ConnectionSet::Remove(const Connection* connection) {
  const std::lock_guard lock(mutex_);
  open_.erase(connection);
  if (open_.empty()) emptied_.notify_all();
}

std::vector<std::shared_ptr<Connection>> ConnectionSet::All() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [key, connection] : open_) {
    if (auto alive = connection.lock()) all.push_back(std::move(alive));
  }
  return all;
}

bool ConnectionSet::WaitUntilEmpty(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return emptied_.wait_until(lock, deadline, [this] { return open_.empty(); });
}

std::string ServerCore::NewRequestId() {
  const uint64_t number = next_id_.fetch_add(1, std::memory_order_relaxed);
  std::string id = "req_";
  for (uint64_t word : {Mix64(id_seed_ + number * kGoldenStep), number}) {
    const int digits = id.size() == 4 ? 16 : 8;
    for (int i = digits - 1; i >= 0; --i) id += "0123456789abcdef"[(word >> (4 * i)) & 15];
  }
  return id;
}

uint64_t ServerCore::RandomSeed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace tern::serve
