// What the kernels' loops share. Included after a Vec.
#pragma once

namespace tern::kernels {
namespace {

#if defined(TERN_NO_UNROLL)
#define TERN_UNROLL
#define TERN_UNROLL_ALL
#elif defined(__clang__)
#define TERN_UNROLL _Pragma("unroll")
#define TERN_UNROLL_ALL _Pragma("unroll")
#else
#define TERN_UNROLL _Pragma("GCC unroll 8")
#define TERN_UNROLL_ALL _Pragma("GCC unroll 16")
#endif

TERN_INLINE int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }
/// The size of the parts when n is cut into as few parts of at most `most` as will do, all but the last
/// equal.
TERN_INLINE int64_t EqualParts(int64_t n, int64_t most) {
  const int64_t parts = (n + most - 1) / most;
  return parts == 0 ? most : (n + parts - 1) / parts;
}

/// A vector at p, of which n elements (or all, when n is larger) are there.
TERN_INLINE Vec LoadUpTo(const float* p, int64_t n) { return n >= kLanes ? Load(p) : Load(p, n); }
TERN_INLINE void StoreUpTo(float* p, Vec a, int64_t n) {
  if (n >= kLanes) {
    Store(p, a);
  } else {
    Store(p, a, n);
  }
}

/// Into the second-level cache.
TERN_INLINE void Prefetch(const std::byte* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }

}  // namespace
}  // namespace tern::kernels
