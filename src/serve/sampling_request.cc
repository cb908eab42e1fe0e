#include "serve/sampling_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <utility>

#include "serve/request_values.h"

namespace tern::serve {
namespace {

using nlohmann::ordered_json;

ApiResult<std::map<int32_t, float>> ReadLogitBias(const ordered_json& body) {
  std::map<int32_t, float> bias;
  const auto found = body.find("logit_bias");
  if (found == body.end()) return bias;
  for (const auto& [key, value] : found->items()) {
    int32_t token = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (error != std::errc() || end != key.data() + key.size() || token < 0) {
      return BadRequest("logit_bias", "logit_bias: its names must be token ids");
    }
    if (!value.is_number() || std::fabs(value.get<double>()) > 100) {
      return BadRequest("logit_bias",
                        fmt::format("logit_bias: the value of {} must be from -100 to 100", token));
    }
    bias[token] = value.get<float>();
  }
  return bias;
}

uint64_t RandomSeed() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

uint64_t ReadSeed(const ordered_json& body) {
  const auto seed = body.find("seed");
  if (seed == body.end()) return RandomSeed();
  if (seed->is_number_float()) return static_cast<uint64_t>(static_cast<int64_t>(seed->get<double>()));
  return seed->is_number_unsigned() ? seed->get<uint64_t>() : static_cast<uint64_t>(seed->get<int64_t>());
}

/// Options whose ranges are the sampler's own: the field and where its value goes.
struct OwnNumber {
  const char* name;
  float SamplingOptions::*option;
};
constexpr OwnNumber kOwnNumbers[] = {
    {"typical_p", &SamplingOptions::typical_p},       {"mirostat_tau", &SamplingOptions::mirostat_tau},
    {"mirostat_eta", &SamplingOptions::mirostat_eta}, {"mirostat_lr", &SamplingOptions::mirostat_eta},
    {"repeat_penalty", &SamplingOptions::repeat},     {"repetition_penalty", &SamplingOptions::repeat},
};

/// The status of options with this one set alone, as 400 that names the field.
Checked CheckAlone(const SamplingOptions& options, const char* name) {
  const Status valid = Validate(options);
  if (valid.ok()) return kFine;
  ApiError error = BadRequest(name, fmt::format("{}: {}", name, valid.message()));
  error.code = "invalid_value";
  return error;
}

Checked ReadOwnNumbers(const ordered_json& body, SamplingOptions* sampling) {
  for (const OwnNumber& number : kOwnNumbers) {
    if (!body.contains(number.name)) continue;
    SamplingOptions alone;
    const double value = body[number.name].get<double>();
    const double largest = std::numeric_limits<float>::max();
    alone.*number.option = static_cast<float>(std::clamp(value, -largest, largest));
    if (Checked wrong = CheckAlone(alone, number.name)) return wrong;
    for (const OwnNumber& other : kOwnNumbers) {
      if (other.option != number.option || !body.contains(other.name)) continue;
      if (body[other.name] == body[number.name]) continue;
      return BadRequest(other.name, fmt::format("{} and {} are one option and have different values",
                                                number.name, other.name));
    }
    sampling->*number.option = alone.*number.option;
  }
  return kFine;
}

Checked ReadMirostat(const ordered_json& body, SamplingOptions* sampling) {
  const double absent = 0;
  const double mirostat = NumberOf(body, "mirostat", absent),
               mode = NumberOf(body, "mirostat_mode", mirostat);
  if (body.contains("mirostat") && mode != mirostat)
    return BadRequest("mirostat_mode", "mirostat and mirostat_mode are one option and have different values");
  const char* name = body.contains("mirostat") ? "mirostat" : "mirostat_mode";
  SamplingOptions alone;
  alone.mirostat = mode == 0 ? 0 : mode == 2 ? 2 : 1;
  if (Checked wrong = CheckAlone(alone, name)) return wrong;
  sampling->mirostat = alone.mirostat;
  return kFine;
}

/// llama.cpp's window of the penalties: the whole answer and no window are supported, others are refused.
Checked ReadPenaltyWindow(const ordered_json& body, SamplingOptions* sampling) {
  const int64_t window = NumberOf<int64_t>(body, "repeat_last_n", -1);
  if (window == 0) {
    sampling->presence = sampling->frequency = 0;
    sampling->repeat = 1;
  }
  const bool off = sampling->presence == 0 && sampling->frequency == 0 && sampling->repeat == 1;
  if (window <= 0 || off) return kFine;
  return BadRequest("repeat_last_n",
                    "repeat_last_n must be -1 or 0: penalties count the whole answer or are off");
}

}  // namespace

ApiResult<SamplingOptions> ReadSampling(const ordered_json& body) {
  SamplingOptions sampling;
  sampling.temperature = NumberOf(body, "temperature", 1.0f);
  sampling.top_p = NumberOf(body, "top_p", 1.0f);
  sampling.top_k = std::max(0, NumberOf(body, "top_k", 0));
  sampling.min_p = NumberOf(body, "min_p", 0.0f);
  sampling.presence = NumberOf(body, "presence_penalty", 0.0f);
  sampling.frequency = NumberOf(body, "frequency_penalty", 0.0f);
  sampling.penalty_decay = NumberOf(body, "penalty_decay", 1.0f);
  sampling.seed = ReadSeed(body);
  TERN_ASSIGN_OR_RETURN(sampling.logit_bias, ReadLogitBias(body));
  if (Checked wrong = ReadOwnNumbers(body, &sampling)) return *wrong;
  if (Checked wrong = ReadMirostat(body, &sampling)) return *wrong;
  if (Checked wrong = ReadPenaltyWindow(body, &sampling)) return *wrong;
  return sampling;
}

}  // namespace tern::serve
