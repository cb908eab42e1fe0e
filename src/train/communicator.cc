#include "train/communicator.h"

#include <algorithm>

namespace tern::train {

OwnedRange Communicator::Owned(int64_t total, int rank, int size) {
  constexpr int64_t kAlignment = 16;  // floats of a cache line
  const int64_t lines = (total + kAlignment - 1) / kAlignment;
  const auto border = [&](int64_t r) { return std::min(total, lines * r / size * kAlignment); };
  return {border(rank), border(rank + 1)};
}

OwnedRange Communicator::Rows(int64_t rows, int rank, int size) {
  return {rows * rank / size, rows * (rank + 1) / size};
}

}  // namespace tern::train
