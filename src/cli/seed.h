// Seeds as they are given on a command line.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace tern {

/// A whole number from 0 to 2^64 − 1 in decimal digits, nothing else: a sign would otherwise be taken for a very large
/// number, and a larger one for the largest.
Result<uint64_t> ParseSeed(const std::string& text);

/// `--seed`, with ParseSeed's refusals as errors of usage.
CLI::Option* AddSeed(CLI::App& command, uint64_t& seed, const std::string& help);

}  // namespace tern
