// The ranges of SamplingOptions.
#include <cmath>
#include <cstdio>
#include <string>

#include "infer/sampler.h"

namespace tern {
namespace {

std::string Text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.7g", value);
  return buffer;
}

Status Check(bool valid, const char* option, double value, const char* expected) {
  if (valid) return OkStatus();
  return InvalidArgument(std::string("sampling option ") + option + " is " + Text(value) + ", expected " +
                         expected);
}

Status ValidateTruncation(const SamplingOptions& o) {
  // Written so that NaN fails.
  TERN_RETURN_IF_ERROR(Check(o.top_p >= 0 && o.top_p <= 1, "top_p", o.top_p, "0 to 1"));
  TERN_RETURN_IF_ERROR(Check(o.top_k >= 0, "top_k", o.top_k, "0 (off) or more"));
  TERN_RETURN_IF_ERROR(Check(o.min_p >= 0 && o.min_p < 1, "min_p", o.min_p, "0 (off) or more, below 1"));
  TERN_RETURN_IF_ERROR(
      Check(o.typical_p > 0 && o.typical_p <= 1, "typical_p", o.typical_p, "above 0, at most 1 (off)"));
  TERN_RETURN_IF_ERROR(Check(o.mirostat == 0 || o.mirostat == 2, "mirostat", o.mirostat, "0 (off) or 2"));
  TERN_RETURN_IF_ERROR(Check(std::isfinite(o.mirostat_tau) && o.mirostat_tau > 0, "mirostat_tau",
                             o.mirostat_tau, "a finite number above 0"));
  return Check(std::isfinite(o.mirostat_eta) && o.mirostat_eta > 0, "mirostat_eta", o.mirostat_eta,
               "a finite number above 0");
}

Status ValidateTokens(const SamplingOptions& o) {
  for (const auto& [token, bias] : o.logit_bias) {
    TERN_RETURN_IF_ERROR(Check(token >= 0, "logit_bias: token", token, "0 or more"));
    const std::string name = "logit_bias of token " + std::to_string(token);
    TERN_RETURN_IF_ERROR(
        Check(std::isfinite(bias), name.c_str(), bias, "a finite number (to forbid it: banned)"));
  }
  for (const int32_t token : o.banned) {
    TERN_RETURN_IF_ERROR(Check(token >= 0, "banned: token", token, "0 or more"));
  }
  return OkStatus();
}

}  // namespace

Status Validate(const SamplingOptions& o) {
  TERN_RETURN_IF_ERROR(Check(std::isfinite(o.temperature) && o.temperature >= 0, "temperature", o.temperature,
                             "a finite number, 0 (greedy) or more"));
  TERN_RETURN_IF_ERROR(ValidateTruncation(o));
  TERN_RETURN_IF_ERROR(Check(std::isfinite(o.presence), "presence", o.presence, "a finite number"));
  TERN_RETURN_IF_ERROR(Check(std::isfinite(o.frequency), "frequency", o.frequency, "a finite number"));
  TERN_RETURN_IF_ERROR(
      Check(o.penalty_decay >= 0 && o.penalty_decay <= 1, "penalty_decay", o.penalty_decay, "0 to 1"));
  TERN_RETURN_IF_ERROR(Check(std::isfinite(o.repeat) && o.repeat > 0, "repeat_penalty", o.repeat,
                             "a finite number above 0; 1 is off"));
  return ValidateTokens(o);
}

}  // namespace tern
