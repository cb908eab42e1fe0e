#include "infer/engine_queue.h"

#include <algorithm>

namespace tern {

std::shared_ptr<EngineTask> EngineQueue::Next(const std::map<std::string, int>& in_batch) const {
  const auto share = [&](const std::shared_ptr<EngineTask>& task) {
    const auto found = in_batch.find(task->request.owner);
    return found == in_batch.end() ? 0 : found->second;
  };
  const auto next = std::min_element(waiting_.begin(), waiting_.end(),
                                     [&](const auto& a, const auto& b) { return share(a) < share(b); });
  return next == waiting_.end() ? nullptr : *next;
}

std::shared_ptr<EngineTask> EngineQueue::Remove(Engine::Ticket ticket) {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                  [ticket](const auto& task) { return task->ticket == ticket; });
  if (found == waiting_.end()) return nullptr;
  std::shared_ptr<EngineTask> task = std::move(*found);
  waiting_.erase(found);
  return task;
}

std::shared_ptr<EngineTask> EngineQueue::PopFront() {
  if (waiting_.empty()) return nullptr;
  std::shared_ptr<EngineTask> task = std::move(waiting_.front());
  waiting_.pop_front();
  return task;
}

}  // namespace tern
