// Started by mpirun: what the processes make together, against plain loops. Every process knows what each of
// the others holds, so that each can check all. Prints what is wrong, and ends with 1.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "train/gathered_array.h"
#include "train/launch.h"

namespace tern::train {
namespace {

int g_failures = 0;

void Check(bool good, const std::string& what) {
  if (good) return;
  ++g_failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}
void CheckOk(const Status& status, const std::string& what) {
  Check(status.ok(), what + ": " + status.message());
}

/// What process `rank` holds at index i: numbers of very different sizes, so that the order of a sum shows.
float ValueOf(int rank, size_t i) {
  uint32_t x = static_cast<uint32_t>(i * 8 + static_cast<size_t>(rank)) * 2654435761u;
  x ^= x >> 15;
  x *= 2246822519u;
  x ^= x >> 13;
  const float unit = static_cast<float>(x >> 8) * 0x1p-24f - 0.5f;
  return std::ldexp(unit, static_cast<int>(x % 24) - 12);
}

std::vector<float> ValuesOf(int rank, size_t n) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = ValueOf(rank, i);
  return values;
}

/// Ranges of several sizes, from the last to the first as a backward pass finishes them, one of them empty,
/// one longer than a block of the exchange.
void CheckSums(Communicator& c, bool bf16) {
  const std::vector<size_t> sizes = {5, 0, 4'500'000, 1, 16, 4097};
  size_t n = 0;
  for (const size_t size : sizes) n += size;
  std::vector<float> values = ValuesOf(c.rank(), n);
  size_t end = n;
  for (const size_t size : sizes) {
    CheckOk(c.BeginSum(std::span(values).subspan(end - size, size)), "BeginSum");
    end -= size;
  }
  CheckOk(c.FinishSums(), "FinishSums");
  size_t wrong = 0;
  for (size_t i = 0; i < n; ++i) {
    float sum = 0, magnitude = 0;
    for (int rank = 0; rank < c.size(); ++rank) {
      sum += ValueOf(rank, i);
      magnitude += std::abs(ValueOf(rank, i));
    }
    // f32: the processes' order, exactly. bf16: every term and the sum are rounded once, by 2⁻⁸ of its size
    // at most.
    const float allowed = bf16 ? std::ldexp(magnitude, -8) * 2.01f : 0.0f;
    if (!(std::abs(values[i] - sum) <= allowed)) ++wrong;
    if (bf16 && std::memcmp(&values[i], "\0\0", 2) != 0) ++wrong;  // everybody has what travelled
  }
  Check(wrong == 0, std::to_string(wrong) + " sums differ");
  uint64_t hash = 14695981039346656037u;
  for (const float value : values) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    hash = (hash ^ bits) * 1099511628211u;
  }
  CheckOk(CheckSame(c, {hash}, "bits of a sum"), "CheckSame");
}

void CheckNumbers(Communicator& c) {
  double numbers[2] = {1.0 + c.rank(), 0.1};
  CheckOk(c.Sum(numbers), "Sum");
  Check(numbers[0] == c.size() * (c.size() + 1) / 2, "sum of ranks");
  Check(std::abs(numbers[1] - 0.1 * c.size()) < 1e-15 * c.size(), "sum of tenths");
  Check(c.size() == 1 || !CheckSame(c, {static_cast<uint64_t>(c.rank()) << 40}, "ranks").ok(),
        "ranks are not the same");
}

void CheckGather(Communicator& c) {
  for (const size_t n : {size_t{7}, size_t{100'003}}) {
    const auto total = static_cast<int64_t>(n);
    std::vector<OwnedRange> ranges;
    for (int rank = 0; rank < c.size(); ++rank) ranges.push_back(Communicator::Owned(total, rank, c.size()));
    std::vector<float> values(n, -1.0f), expected(n);
    for (int rank = 0; rank < c.size(); ++rank) {
      const OwnedRange range = ranges[static_cast<size_t>(rank)];
      for (auto i = static_cast<size_t>(range.begin); i < static_cast<size_t>(range.end); ++i) {
        expected[i] = ValueOf(rank, i);
        if (rank == c.rank()) values[i] = expected[i];
      }
    }
    CheckOk(c.AllGather(values, ranges), "AllGather");
    Check(values == expected, "all ranges of " + std::to_string(n) + " gathered");
    ranges.back().end = total + 1;
    Check(!c.AllGather(values, ranges).ok(), "a range beyond the end is refused");
  }
}

void CheckBroadcast(Communicator& c) {
  const int root = c.size() - 1;
  std::vector<float> values = ValuesOf(c.rank(), 50'001);
  CheckOk(c.Broadcast(values, root), "Broadcast");
  Check(values == ValuesOf(root, values.size()), "everybody has the last one's values");
}

/// The last process's values go to the first; those of processes between are not touched.
void CheckMove(Communicator& c) {
  const int from = c.size() - 1;
  for (const size_t n : {size_t{3}, size_t{3'000'000}}) {
    std::vector<float> values = ValuesOf(c.rank(), n);
    CheckOk(c.Move(values, from, 0), "Move");
    Check(values == ValuesOf(c.rank() == 0 ? from : c.rank(), n), "values of the last process moved");
  }
  std::vector<float> none(1);
  Check(!c.Move(none, c.size(), 0).ok(), "a process that is not there is refused");
}

/// The first process gets the whole array, in order; after an error of its sink the others still end.
void CheckGatheredArray(Communicator& c) {
  constexpr int64_t kTotal = 9'000'001;  // several pieces a process
  std::vector<OwnedRange> ranges;
  for (int rank = 0; rank < c.size(); ++rank) ranges.push_back(Communicator::Owned(kTotal, rank, c.size()));
  const OwnedRange own = ranges[static_cast<size_t>(c.rank())];
  std::vector<float> part;
  for (int64_t i = own.begin; i < own.end; ++i) part.push_back(ValueOf(7, static_cast<size_t>(i)));
  std::vector<float> all;
  GatheredArray array(c, part, ranges);
  CheckOk(array.Send([&](std::span<const float> piece) {
    all.insert(all.end(), piece.begin(), piece.end());
    return OkStatus();
  }),
          "Send");
  Check(all == (c.rank() == 0 ? ValuesOf(7, kTotal) : std::vector<float>()), "the first process has all");
  int calls = 0;
  GatheredArray refused(c, part, ranges);
  const Status status = refused.Send([&](std::span<const float>) {
    return ++calls < 2 ? OkStatus() : Exhausted("full");
  });
  Check(c.rank() != 0 || (status.code() == StatusCode::kExhausted && calls == 2), "the sink's error comes back");
  CheckOk(refused.Drop(), "Drop after Send does nothing");
}

int Run(const std::string& module, bool bf16, int expected_size) {
  LaunchOptions options;
  options.module = module;
  options.reduce_bf16 = bf16;
  auto communicator = Launch(options);
  if (!communicator.ok()) {
    std::fprintf(stderr, "FAILED: %s\n", communicator.status().message().c_str());
    return 1;
  }
  Communicator& c = **communicator;
  Check(c.size() == expected_size, "number of processes: " + std::to_string(c.size()));
  Check(c.threads() >= 1, "threads");
  for (int round = 0; round < 2; ++round) {
    CheckSums(c, bf16);
    CheckNumbers(c);
    CheckGather(c);
    CheckBroadcast(c);
    CheckMove(c);
    CheckGatheredArray(c);
  }
  CheckOk(c.Leave(), "Leave");
  return g_failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace tern::train

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: mpirun -n N %s MODULE f32|bf16 N\n", argv[0]);
    return 2;
  }
  return tern::train::Run(argv[1], std::string(argv[2]) == "bf16", std::stoi(argv[3]));
}
