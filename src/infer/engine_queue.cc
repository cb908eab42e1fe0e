#include "infer/engine_queue.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

namespace tern {

std::shared_ptr<EngineTask> EngineQueue::Next(const std::map<std::string, int>& in_batch) const {
  const auto share = [&](const Tasks& tasks) {
    const auto found = in_batch.find(tasks.front()->request.owner);
    return found == in_batch.end() ? 0 : found->second;
  };
  const auto next = std::min_element(waiting_.begin(), waiting_.end(),
                                     [&](const auto& a, const auto& b) { return share(a) < share(b); });
  return next == waiting_.end() ? nullptr : next->front();
}

std::shared_ptr<EngineTask> EngineQueue::Remove(Engine::Ticket ticket) {
  const auto list = std::find_if(waiting_.begin(), waiting_.end(), [ticket](const Tasks& tasks) {
    return tasks.front()->ticket <= ticket && ticket <= tasks.back()->ticket;
  });
  if (list == waiting_.end()) return nullptr;
  const auto found = std::lower_bound(list->begin(), list->end(), ticket,
                                      [](const auto& task, Engine::Ticket t) { return task->ticket < t; });
  if (found == list->end() || (*found)->ticket != ticket) return nullptr;
  std::shared_ptr<EngineTask> task = std::move(*found);
  list->erase(found);
  if (list->empty()) waiting_.erase(list);
  return task;
}

EngineQueue::Tasks EngineQueue::GiveWay(const std::string& owner) {
  std::map<std::string_view, size_t> counts = {{owner, 0}};
  for (const Tasks& tasks : waiting_) ++counts[tasks.front()->request.owner];
  const auto most = std::max_element(counts.begin(), counts.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most->second < counts[owner] + 2) return {};
  const auto newest = std::find_if(waiting_.rbegin(), waiting_.rend(), [&](const Tasks& tasks) {
    return tasks.front()->request.owner == most->first;
  });
  Tasks tasks = std::move(*newest);
  waiting_.erase(std::next(newest).base());
  return tasks;
}

std::shared_ptr<EngineTask> EngineQueue::PopFront() {
  if (waiting_.empty()) return nullptr;
  Tasks& first = waiting_.front();
  std::shared_ptr<EngineTask> task = std::move(first.front());
  first.pop_front();
  if (first.empty()) waiting_.pop_front();
  return task;
}

}  // namespace tern
