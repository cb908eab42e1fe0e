#include "formats/checkpoint_encoding.h"

#include <cmath>
#include <limits>

namespace tern {
namespace {

// exp(p) leaves fp32's range just beyond these.
constexpr float kUnderflows = -105.0f;  // exp rounds to 0
constexpr float kOverflows = 89.0f;     // exp is infinite

double Inverse(double x) {
  if (x == 0) return kUnderflows;
  if (std::isinf(x)) return kOverflows;
  return std::log(x);  // NaN for negative x
}

// The exact inverse, kept within what fp32's exp tells apart.
double ExactInverse(Encoding encoding, float x) {
  switch (encoding) {
    case Encoding::kPlain:
      return x;
    case Encoding::kExp:
      return Inverse(x);
    case Encoding::kNegExp:
      return Inverse(-static_cast<double>(x));
    case Encoding::kExpNegExp:
      if (x == 0) return 5.0;    // exp(-148) is 0
      if (x == 1) return -20.0;  // exp(-2e-9) is 1
      return Inverse(-std::log(static_cast<double>(x)));
  }
  return x;
}

}  // namespace

float Encode(Encoding encoding, float p) {
  switch (encoding) {
    case Encoding::kPlain:
      return p;
    case Encoding::kExp:
      return std::exp(p);
    case Encoding::kNegExp:
      return -std::exp(p);
    case Encoding::kExpNegExp:
      return std::exp(-std::exp(p));
  }
  return p;
}

float Decode(Encoding encoding, float x) {
  if (encoding == Encoding::kPlain) return x;
  const float guess = static_cast<float>(ExactInverse(encoding, x));
  if (std::isnan(guess)) return guess;
  for (float candidate : {Bf16ToFloat(FloatToBf16(guess)), Fp16ToFloat(FloatToFp16(guess)), guess}) {
    if (Encode(encoding, candidate) == x) return candidate;
  }
  // fp32's exp is off by an ulp here and there: the neighbours, nearest first.
  constexpr int kNeighbours = 64;
  float below = guess, above = guess;
  for (int i = 0; i < kNeighbours; ++i) {
    below = std::nextafter(below, -std::numeric_limits<float>::infinity());
    above = std::nextafter(above, std::numeric_limits<float>::infinity());
    if (Encode(encoding, below) == x) return below;
    if (Encode(encoding, above) == x) return above;
  }
  return guess;
}

}  // namespace tern
