// The requests that wait for room in the batch.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "infer/engine_task.h"

namespace tern {

/// In the order of arrival, but the owner who has the least in the batch comes first: nobody's flood keeps
/// the others out. What was submitted together waits as one request. Not thread-safe.
class EngineQueue {
 public:
  using Tasks = std::deque<std::shared_ptr<EngineTask>>;

  /// At least one; all of one owner, their tickets rising and above those that came before.
  void Push(Tasks tasks) { waiting_.push_back(std::move(tasks)); }
  /// The next to be admitted (it stays in the queue), or null. `in_batch`: places of the batch by owner. It
  /// must be waited for even when it is large and a later one would fit: else it might never be its turn.
  std::shared_ptr<EngineTask> Next(const std::map<std::string, int>& in_batch) const;
  /// Takes one out; null when it is not here.
  std::shared_ptr<EngineTask> Remove(Engine::Ticket ticket);
  /// Takes out what makes room for a request of `owner`: the newest of the owner who has the most waiting.
  /// Nothing where `owner` would then have more than that one: the two would drive each other out by turns.
  Tasks GiveWay(const std::string& owner);

  size_t size() const { return waiting_.size(); }
  bool empty() const { return waiting_.empty(); }
  /// Any of them; null when there is none.
  std::shared_ptr<EngineTask> PopFront();

 private:
  std::deque<Tasks> waiting_;  // none of them empty
};

}  // namespace tern
