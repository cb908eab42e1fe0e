// The requests that wait for room in the batch.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "infer/engine_task.h"

namespace tern {

/// In the order of arrival, but the owner who has the least in the batch comes first: nobody's flood keeps
/// the others out. Not thread-safe.
class EngineQueue {
 public:
  void Push(std::shared_ptr<EngineTask> task) { waiting_.push_back(std::move(task)); }
  /// The next to be admitted (it stays in the queue), or null. `in_batch`: places of the batch by owner. It
  /// must be waited for even when it is large and a later one would fit: else it might never be its turn.
  std::shared_ptr<EngineTask> Next(const std::map<std::string, int>& in_batch) const;
  /// Takes a request out; null when it is not here.
  std::shared_ptr<EngineTask> Remove(Engine::Ticket ticket);

  size_t size() const { return waiting_.size(); }
  bool empty() const { return waiting_.empty(); }
  /// Any of them; null when there is none.
  std::shared_ptr<EngineTask> PopFront();

 private:
  std::deque<std::shared_ptr<EngineTask>> waiting_;
};

}  // namespace tern
