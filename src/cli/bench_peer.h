// Another program, measured in turn with Tern.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace tern {

/// Tokens per second that a peer printed.
struct PeerRates {
  std::optional<double> decode, prefill;
};

/// NAME=VALUE for the command's environment.
using PeerEnvironment = std::vector<std::pair<std::string, std::string>>;

/// Runs `command` with /bin/sh and reads "decode X tokens/s" and "prefill X tokens/s" from its standard
/// output; other lines are passed over, and its standard error is the user's. Fails when the command fails or
/// prints neither.
Result<PeerRates> RunPeer(const std::string& command, const PeerEnvironment& environment);

/// The rates in a peer's output; the last of each kind counts.
PeerRates ParsePeer(const std::string& output);

}  // namespace tern
