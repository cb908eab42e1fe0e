// A submitted request on its way through the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "infer/engine.h"

namespace tern {

/// Either a generation (listener) or an embedding (embedded). Submit fills it in; from then on it is the
/// engine thread's.
struct EngineTask {
  Engine::Ticket ticket = 0;
  EngineRequest request;
  /// All tokens before the answer: those of request.from, then the prompt. Of an embedding: what is read for
  /// it.
  std::vector<int32_t> text;
  int64_t pooled = 0;  ///< of an embedding: its vector is made of so many tokens at the end
  std::shared_ptr<EngineListener> listener;
  std::function<void(EmbeddingResult)> embedded;
  Clock::time_point submitted = Clock::now();

  bool embeds() const { return listener == nullptr; }
  /// Whether the place where a choice ends is of use to anybody.
  bool wants_end_place() const { return request.keep_states || request.cache; }
};

}  // namespace tern
