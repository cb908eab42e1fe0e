// Attacks on a parser: every damaged form of a good file must be refused or read, never crash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace tern::testing {

/// What a parser does with a file that holds these bytes; it must simply return.
using Parse = std::function<void(const std::vector<std::byte>& bytes)>;

/// Cuts the file at every 1/64 of its length.
void AttackByTruncation(const std::vector<std::byte>& good, const Parse& parse);
/// `rounds` times, flips 1 to 8 random bytes, half of the time within the first `header` bytes.
/// The seed is printed through gtest's SCOPED_TRACE by the caller.
void AttackByFlips(const std::vector<std::byte>& good, size_t header, int rounds, uint64_t seed, const Parse& parse);
/// Overwrites each aligned and unaligned 4- and 8-byte window of the first `header` bytes (in steps of `step`) with huge
/// and negative numbers: 2^60, 2^63, -1, 2^31, 0.
void AttackByHugeNumbers(const std::vector<std::byte>& good, size_t header, size_t step, const Parse& parse);

}  // namespace tern::testing
