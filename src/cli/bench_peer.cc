#include "cli/bench_peer.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace tern {
namespace {

/// All that a command prints; its exit status as waitpid gives it.
Result<std::string> OutputOf(const std::string& command, int* status) {
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return IoError(fmt::format("--compare: cannot run '{}'", command));
  std::string output;
  char chunk[4096];
  for (size_t got = 0; (got = std::fread(chunk, 1, sizeof chunk, pipe)) > 0;) output.append(chunk, got);
  *status = ::pclose(pipe);
  return output;
}

std::string Ending(int status) {
  if (status == -1) return "could not be waited for";
  if (WIFSIGNALED(status)) return fmt::format("was ended by signal {}", WTERMSIG(status));
  return fmt::format("ended with status {}", WEXITSTATUS(status));
}

}  // namespace

PeerRates ParsePeer(const std::string& output) {
  PeerRates rates;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string kind, unit;
    double rate = 0;
    if (!(words >> kind >> rate >> unit) || unit != "tokens/s" || !std::isfinite(rate) || rate <= 0) continue;
    if (kind == "decode") rates.decode = rate;
    if (kind == "prefill") rates.prefill = rate;
  }
  return rates;
}

Result<PeerRates> RunPeer(const std::string& command, const PeerEnvironment& environment) {
  for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), /*overwrite=*/1);
  int status = 0;
  TERN_ASSIGN_OR_RETURN(const std::string output, OutputOf(command, &status));
  if (status != 0) return IoError(fmt::format("--compare: '{}' {}", command, Ending(status)));
  const PeerRates rates = ParsePeer(output);
  if (!rates.decode && !rates.prefill) {
    return Corrupt(
        fmt::format("--compare: '{}' printed neither 'decode X tokens/s' nor 'prefill X tokens/s'", command));
  }
  return rates;
}

}  // namespace tern
