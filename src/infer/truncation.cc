#include "infer/truncation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>

#include "infer/probability.h"

namespace tern {
namespace {

/// A weight below which no token can pass the filters, to spare them most of the vocabulary. mass: of all the
/// weights.
float LeastWeight(const SamplingOptions& options, double mass, size_t vocabulary) {
  if (options.mirostat != 0 || options.typical_p < 1) return 0;
  if (options.min_p > 0) return options.min_p;  // the largest weight is 1
  if (options.top_p == 1) return 0;
  // All the tokens below (1 - top_p)/V together are less than 1 - top_p: the rest holds the nucleus. Half of
  // it, to be safe from rounding.
  return static_cast<float>(0.5 * (1.0 - options.top_p) * mass / static_cast<double>(vocabulary));
}

/// Narrows to the tokens for which keep() says so. Writes each and then perhaps steps on: which tokens stay
/// is a matter of chance to a branch predictor.
template <typename Predicate>
void Keep(std::span<Candidate>* candidates, Predicate keep) {
  size_t kept = 0;
  for (const Candidate candidate : *candidates) {  // a copy: a reference would be read again after the write
    (*candidates)[kept] = candidate;
    kept += keep(candidate) ? 1u : 0u;
  }
  *candidates = candidates->first(kept);
}

std::span<Candidate> Collect(std::span<const float> logits, float top, float least, SamplerScratch* scratch) {
  constexpr float kLowest = std::numeric_limits<float>::lowest();
  const std::span<const float> weights = scratch->weights;
  const std::span<Candidate> candidates = Take(&scratch->candidates, logits.size());
  size_t kept = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float distance = logits[i] - top;
    candidates[kept] = {static_cast<int32_t>(i), distance, weights[i]};
    kept += static_cast<size_t>(weights[i] >= least) & static_cast<size_t>(distance >= kLowest);  // no branch
  }
  return candidates.first(kept);
}

/// In four lanes, which is part of the result.
double Mass(std::span<const Candidate> candidates) {
  double lanes[4] = {};
  size_t i = 0;
  for (; i + 4 <= candidates.size(); i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) lanes[lane] += candidates[i + lane].weight;
  }
  for (size_t lane = 0; i < candidates.size(); ++i, ++lane) lanes[lane] += candidates[i].weight;
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

template <typename Key>
void KeepMass(std::span<Candidate>* candidates, double mass, SamplerScratch* scratch, Key key) {
  const std::span<Weighted> items = Take(&scratch->items, candidates->size());
  for (size_t i = 0; i < items.size(); ++i) items[i] = {key((*candidates)[i]), (*candidates)[i].weight};
  const float cutoff = CutoffKey(items, mass);
  Keep(candidates, [&](const Candidate& c) { return key(c) <= cutoff; });
}

/// Those whose surprise is nearest to the entropy. Surprise minus entropy is mean(distance) - distance: the
/// logarithm of the mass cancels.
void KeepTypical(std::span<Candidate>* candidates, float typical_p, SamplerScratch* scratch) {
  const double mass = Mass(*candidates);
  double mean = 0;
  for (const Candidate& c : *candidates) mean += static_cast<double>(c.weight) * c.distance;
  mean /= mass;
  KeepMass(candidates, typical_p * mass, scratch,
           [mean](const Candidate& c) { return static_cast<float>(std::fabs(c.distance - mean)); });
}

void KeepMinP(std::span<Candidate>* candidates, float min_p) {
  float largest = 0;
  for (const Candidate& c : *candidates) largest = std::max(largest, c.weight);
  Keep(candidates, [least = min_p * largest](const Candidate& c) { return c.weight >= least; });
}

float Rarity(const Candidate& c) { return 0.0f - c.distance; }  // never -0

void KeepTopK(std::span<Candidate>* candidates, size_t k, SamplerScratch* scratch) {
  if (candidates->size() <= k) return;
  const std::span<Weighted> items = Take(&scratch->items, candidates->size());
  for (size_t i = 0; i < items.size(); ++i) items[i] = {Rarity((*candidates)[i]), 1.0f};
  const float cutoff = CutoffKey(items, static_cast<double>(k));
  size_t room = k;  // for those that tie at the cutoff
  for (const Candidate& c : *candidates) room -= Rarity(c) < cutoff ? 1u : 0u;
  Keep(candidates, [cutoff, room](const Candidate& c) mutable {
    const bool ties = Rarity(c) == cutoff && room > 0;
    room -= ties ? 1u : 0u;
    return ties || Rarity(c) < cutoff;
  });
}

/// `mass` is that of the whole vocabulary: `candidates` may lack tokens that cannot pass.
void ApplyFilters(const SamplingOptions& options, double mass, std::span<Candidate>* candidates,
                  SamplerScratch* scratch) {
  const bool filtered = options.typical_p < 1 || options.min_p > 0;
  if (options.typical_p < 1) KeepTypical(candidates, options.typical_p, scratch);
  if (options.min_p > 0) KeepMinP(candidates, options.min_p);
  if (options.top_p < 1) {
    const double left = filtered ? Mass(*candidates) : mass;
    KeepMass(candidates, options.top_p * left, scratch, Rarity);
  }
  if (options.top_k > 0) KeepTopK(candidates, static_cast<size_t>(options.top_k), scratch);
}

/// Cuts what is more surprising than `mu` bits, but never the most probable tokens.
void ApplyMirostat(double log2_mass, double mu, std::span<Candidate>* candidates) {
  const double least = std::min(0.0, (log2_mass - mu) * std::numbers::ln2);
  Keep(candidates, [least](const Candidate& c) { return c.distance >= least; });
}

/// weight = p^(1/T) in proportion to the largest, which keeps a low temperature from underflowing to nothing.
void ApplyTemperature(float temperature, std::span<Candidate> candidates, SamplerScratch* scratch) {
  float top = std::numeric_limits<float>::lowest();
  for (const Candidate& c : candidates) top = std::max(top, c.distance);
  if (temperature == 1 && top == 0) return;
  const std::span<float> scaled = Take(&scratch->weights, candidates.size());
  for (size_t i = 0; i < scaled.size(); ++i) scaled[i] = (candidates[i].distance - top) / temperature;
  for (float& x : scaled) x = ExpNegative(x);  // on its own: compilers vectorise it
  for (size_t i = 0; i < scaled.size(); ++i) candidates[i].weight = scaled[i];
}

}  // namespace

SamplerScratch& SamplerScratch::OfThisThread() {
  static thread_local SamplerScratch scratch;
  return scratch;
}

Choices Truncate(std::span<const float> logits, float top, const SamplingOptions& options, double mirostat_mu,
                 SamplerScratch* scratch) {
  const double mass = Exponentials(logits, top, Take(&scratch->weights, logits.size()));
  Choices choices;
  choices.candidates = Collect(logits, top, LeastWeight(options, mass, logits.size()), scratch);
  if (options.mirostat == 2) {
    choices.log2_mass = Log2(mass);
    ApplyMirostat(choices.log2_mass, mirostat_mu, &choices.candidates);
  } else {
    ApplyFilters(options, mass, &choices.candidates, scratch);
  }
  ApplyTemperature(options.temperature, choices.candidates, scratch);
  choices.total = Mass(choices.candidates);
  return choices;
}

}  // namespace tern
