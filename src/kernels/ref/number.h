// What the reference kernels ask of a number: float (the oracle of the vector kernels), double, or
// std::complex<double> (gradients by complex step: a comparison then looks at the real part, so every branch
// is the real function's).
#pragma once

#include <complex>
#include <type_traits>

namespace tern::kernels::ref {

template <typename T>
struct NumberTraits {
  using Sum = T;  ///< the type that long sums are accumulated in
};
template <>
struct NumberTraits<float> {
  using Sum = double;
};

template <typename T>
T RealPart(T x) {
  return x;
}
template <typename T>
T RealPart(std::complex<T> x) {
  return x.real();
}

/// The larger of a and b; a NaN in either is kept.
template <typename T>
T Max(T a, T b) {
  return RealPart(a) < RealPart(b) || RealPart(b) != RealPart(b) ? b : a;
}

}  // namespace tern::kernels::ref
