#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <string>
#include <string_view>
#include <utility>

#include "infer/probability.h"
#include "infer/truncation.h"
#include "text/tokenizer.h"

namespace tern {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// pip `rwkv` asks whether the token's text is part of this string: so "12" is exempt as well, and "21" is
/// not.
bool IsUncounted(std::string_view text) {
  return std::string_view(" \t0123456789").find(text) != std::string_view::npos;
}

Status CheckToken(const char* what, int32_t token, size_t vocabulary) {
  if (token >= 0 && static_cast<size_t>(token) < vocabulary) return OkStatus();
  return InvalidArgument(std::string(what) + " token " + std::to_string(token) +
                         " is outside the vocabulary of " + std::to_string(vocabulary));
}

Status CheckLogits(std::span<const float> logits) {
  if (logits.empty()) return InvalidArgument("cannot sample: there are no logits");
  int32_t least = OrderedBits(logits[0]);
  int32_t largest = least;
  for (const float logit : logits) {
    least = std::min(least, OrderedBits(logit));
    largest = std::max(largest, OrderedBits(logit));
  }
  if (least >= OrderedBits(-kInfinity) && largest < OrderedBits(kInfinity)) return OkStatus();
  const auto bad = std::find_if(logits.begin(), logits.end(), [](float x) { return !(x < kInfinity); });
  return InvalidArgument("cannot sample: the logit of token " + std::to_string(bad - logits.begin()) +
                         " is " + (std::isnan(*bad) ? "NaN" : "+inf"));
}

float ClampToFloat(double x) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(x, -kLargest, kLargest));
}

/// The logit of a token that occurred, with the repeat penalty. An impossible token stays impossible.
float Repeated(float logit, float penalty) {
  if (logit == -kInfinity) return logit;
  const double value = logit;
  return ClampToFloat(value > 0 ? value / penalty : value * penalty);
}

float Largest(std::span<const float> values) {
  int32_t largest = OrderedBits(-kInfinity);
  for (const float value : values) largest = std::max(largest, OrderedBits(value));
  return FromOrderedBits(largest);
}

/// Whether every token may come, as probable as the model says.
bool Unfiltered(const SamplingOptions& options) {
  return options.temperature == 1 && options.mirostat == 0 && options.typical_p >= 1 && options.min_p <= 0 &&
         options.top_p >= 1 && options.top_k == 0;
}

/// The token at which the running sum of the weights passes `point`; one without weight never. Blocks are summed first, in
/// lanes: one by one the additions wait for each other.
size_t TokenAt(std::span<const float> weights, double point) {
  constexpr size_t kLanes = 8, kBlock = 512;
  double before = 0;  // weighs what lies before the block
  size_t begin = 0;
  for (; begin + kBlock < weights.size(); begin += kBlock) {
    double lanes[kLanes] = {};
    for (size_t i = 0; i < kBlock; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += weights[begin + i + lane];
    }
    double sum = 0;
    for (const double lane : lanes) sum += lane;
    if (before + sum > point) break;
    before += sum;
  }
  size_t chosen = weights.size();
  for (size_t i = begin; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    chosen = i;
    before += weights[i];
    if (before > point) return chosen;
  }
  if (chosen < weights.size()) return chosen;
  // Rounding has led past the last weight.
  for (chosen = begin; chosen > 0 && weights[chosen - 1] == 0;) --chosen;
  return chosen - 1;
}

}  // namespace

SharedTokens UncountedTokens(const Tokenizer& tokenizer) {
  // A token without text: its reference decodes the World vocabulary's to U+FFFD, GPT-NeoX's special tokens
  // to "".
  const bool empty_is_uncounted = tokenizer.name() == "neox";
  std::vector<int32_t> tokens;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view text = tokenizer.TokenBytes(id);
    if (text.empty() ? empty_is_uncounted : IsUncounted(text)) tokens.push_back(id);
  }
  return std::make_shared<const std::vector<int32_t>>(std::move(tokens));
}

Sampler::Sampler(SamplingOptions options, const Tokenizer* tokenizer)
    : Sampler(std::move(options), tokenizer == nullptr ? SharedTokens() : UncountedTokens(*tokenizer)) {}

Sampler::Sampler(SamplingOptions options, SharedTokens uncounted)
    : options_(std::move(options)),
      valid_(Validate(options_)),
      random_(options_.seed),
      uncounted_(std::move(uncounted)),
      mirostat_mu_(2.0 * static_cast<double>(options_.mirostat_tau)) {}

Result<int32_t> Sampler::SampleAll(std::span<const float> logits) {
  SamplerScratch& scratch = SamplerScratch::OfThisThread();
  TERN_ASSIGN_OR_RETURN(const Adjusted adjusted, AdjustedLogits(logits));
  const std::span<float> weights = Take(&scratch.weights, logits.size());
  const double total = Exponentials(adjusted.logits, adjusted.top, weights);
  return static_cast<int32_t>(TokenAt(weights, random_.Uniform() * total));
}

Result<int32_t> Sampler::Sample(std::span<const float> logits) {
  if (Unfiltered(options_)) return SampleAll(logits);
  TERN_ASSIGN_OR_RETURN(const Choices choices, Choose(logits));
  if (options_.temperature == 0) return choices.candidates.front().token;
  const double point = random_.Uniform() * choices.total;
  const Candidate* chosen = nullptr;
  double sum = 0;
  for (const Candidate& candidate : choices.candidates) {
    if (candidate.weight == 0) continue;  // rounding of the sum must not end on what cannot come
    chosen = &candidate;
    sum += candidate.weight;
    if (sum > point) break;
  }
  if (options_.mirostat == 2) {
    const double surprise = choices.log2_mass - chosen->distance / std::numbers::ln2;
    mirostat_mu_ -= options_.mirostat_eta * (surprise - options_.mirostat_tau);
  }
  return chosen->token;
}

void Sampler::Accept(int32_t token) {
  if (options_.presence == 0 && options_.frequency == 0 && options_.repeat == 1) return;
  for (auto& [other, count] : occurrences_) count *= options_.penalty_decay;
  // An exempt token is remembered with the count 0: the presence penalty still applies, as in pip `rwkv`.
  const bool exempt = uncounted_ && std::binary_search(uncounted_->begin(), uncounted_->end(), token);
  occurrences_[token] += exempt ? 0.0 : 1.0;
}

void Sampler::ResetPenalties() { occurrences_.clear(); }

Result<std::vector<float>> Sampler::Distribution(std::span<const float> logits) const {
  TERN_ASSIGN_OR_RETURN(const Choices choices, Choose(logits));
  std::vector<float> probabilities(logits.size());
  for (const Candidate& candidate : choices.candidates) {
    probabilities[static_cast<size_t>(candidate.token)] =
        static_cast<float>(candidate.weight / choices.total);
  }
  return probabilities;
}

/// Bias, bans and penalties.
Status Sampler::Adjust(std::span<float> logits) const {
  for (const auto& [token, bias] : options_.logit_bias) {
    TERN_RETURN_IF_ERROR(CheckToken("logit_bias:", token, logits.size()));
    logits[static_cast<size_t>(token)] += bias;
  }
  for (const int32_t token : options_.banned) {
    TERN_RETURN_IF_ERROR(CheckToken("banned", token, logits.size()));
    logits[static_cast<size_t>(token)] = -kInfinity;
  }
  for (const auto& [token, count] : occurrences_) {
    TERN_RETURN_IF_ERROR(CheckToken("accepted", token, logits.size()));
    float& logit = logits[static_cast<size_t>(token)];
    if (options_.repeat != 1) logit = Repeated(logit, options_.repeat);
    logit -= ClampToFloat(options_.presence + count * options_.frequency);
  }
  return OkStatus();
}

Result<Sampler::Adjusted> Sampler::AdjustedLogits(std::span<const float> logits) const {
  TERN_RETURN_IF_ERROR(valid_);
  TERN_RETURN_IF_ERROR(CheckLogits(logits));
  const std::span<float> adjusted = Take(&SamplerScratch::OfThisThread().logits, logits.size());
  std::copy(logits.begin(), logits.end(), adjusted.begin());
  TERN_RETURN_IF_ERROR(Adjust(adjusted));
  const float top = Largest(adjusted);
  if (top == kInfinity) return InvalidArgument("cannot sample: a bias or penalty drove a logit to +inf");
  if (top == -kInfinity) return InvalidArgument("cannot sample: every token is banned or impossible");
  return Adjusted{adjusted, top};
}

Result<Choices> Sampler::Choose(std::span<const float> logits) const {
  TERN_ASSIGN_OR_RETURN(const auto all, AdjustedLogits(logits));
  const auto& [adjusted, top] = all;
  SamplerScratch& scratch = SamplerScratch::OfThisThread();
  if (options_.temperature != 0) return Truncate(adjusted, top, options_, mirostat_mu_, &scratch);
  const auto first = std::find(adjusted.begin(), adjusted.end(), top);
  Choices greedy;
  greedy.candidates = Take(&scratch.candidates, 1);
  greedy.candidates[0] = {static_cast<int32_t>(first - adjusted.begin()), 0.0f, 1.0f};
  greedy.total = 1;
  return greedy;
}

Sampler::Place Sampler::place() const {
  Place place{random_.state(), {occurrences_.begin(), occurrences_.end()}, mirostat_mu_};
  std::sort(place.occurrences.begin(), place.occurrences.end());
  return place;
}

void Sampler::set_place(const Place& place) {
  random_.set_state(place.random);
  occurrences_ = {place.occurrences.begin(), place.occurrences.end()};
  mirostat_mu_ = place.mirostat_mu;
}

}  // namespace tern
