// Data parallelism on one machine. Work is cut into chunks by index, never by thread, so that no result depends
// on how many threads there are or which of them ran what.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace tern {

/// A non-owning reference to something callable: a pointer pair, no allocation. The referent must outlive the call.
template <typename Signature>
class FunctionRef;

template <typename R, typename... Args>
class FunctionRef<R(Args...)> {
 public:
  template <typename F, typename = std::enable_if_t<!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>>>
  FunctionRef(F&& f)  // NOLINT: implicit
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))), call_([](void* o, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(o))(std::forward<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// Threads that ParallelFor uses, the caller's included. Default: the cores this process may run on.
int NumThreads();
/// Sets it (1 or more; less means the default). Not to be called while a ParallelFor runs.
void SetNumThreads(int threads);

/// Calls fn(begin, end) for [0, grain), [grain, 2·grain), … up to n, on NumThreads() threads, and returns when all
/// are done. Each thread walks through one run of chunks, and then takes what others have not come to, from the end of
/// theirs: so a slow or stolen core delays by one chunk at most. A call from inside a
/// chunk, or while another thread's call runs, is done by its own thread alone. fn must not throw.
void ParallelFor(int64_t n, int64_t grain, FunctionRef<void(int64_t begin, int64_t end)> fn);

}  // namespace tern
