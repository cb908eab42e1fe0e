#include "cli/seed.h"

#include <fmt/format.h>

#include <charconv>

namespace tern {

Result<uint64_t> ParseSeed(const std::string& text) {
  uint64_t seed = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, seed);
  if (error != std::errc() || stopped != end)
    return InvalidArgument(fmt::format("'{}' is no seed: expected a whole number from 0 to 2^64 − 1", text));
  return seed;
}

CLI::Option* AddSeed(CLI::App& command, uint64_t& seed, const std::string& help) {
  const auto refusal = [](const std::string& text) {
    const auto parsed = ParseSeed(text);
    return parsed.ok() ? std::string() : parsed.status().message();
  };
  return command.add_option("--seed", seed, help)->check(refusal, "")->type_name("N")->capture_default_str();
}

}  // namespace tern
