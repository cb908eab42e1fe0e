// What a sampler's distribution must be, computed the long way: doubles, the C library's functions, full
// sorts.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <vector>

#include "infer/sampler.h"

namespace tern {

class SamplerReference {
 public:
  /// occurrences[token] = count, as pip `rwkv` would hold them.
  std::vector<double> operator()(const std::vector<float>& logits, const SamplingOptions& options,
                                 const std::map<int32_t, double>& occurrences = {},
                                 double mirostat_mu = 1e30) {
    margin_ = 1;
    Softmax(logits, options, occurrences);
    if (options.mirostat == 2) {
      const double best = *std::max_element(p_.begin(), p_.end());
      Keep([&](size_t i) { return -std::log2(p_[i]) <= mirostat_mu || p_[i] == best; });
    } else {
      Filter(options);
    }
    for (double& p : p_) p = p == 0 ? 0 : std::pow(p, 1.0 / options.temperature);
    Normalise();
    return p_;
  }

  /// How near the last call came to deciding otherwise: the distance of a cumulative probability to its
  /// target.
  double margin() const { return margin_; }

 private:
  void Softmax(const std::vector<float>& logits, const SamplingOptions& options,
               const std::map<int32_t, double>& occurrences) {
    p_.assign(logits.begin(), logits.end());
    for (const auto& [token, bias] : options.logit_bias) p_[static_cast<size_t>(token)] += bias;
    for (const auto& [token, count] : occurrences) {
      p_[static_cast<size_t>(token)] -= options.presence + count * options.frequency;
    }
    for (const int32_t token : options.banned) p_[static_cast<size_t>(token)] = -INFINITY;
    const double top = *std::max_element(p_.begin(), p_.end());
    for (double& p : p_) p = std::exp(p - top);
    Normalise();
  }

  void Filter(const SamplingOptions& options) {
    if (options.typical_p < 1) {
      double entropy = 0;
      for (const double p : p_) entropy -= p == 0 ? 0 : p * std::log(p);
      KeepMass(options.typical_p, [&](size_t i) { return std::fabs(-std::log(p_[i]) - entropy); });
    }
    if (options.min_p > 0) {
      const double best = *std::max_element(p_.begin(), p_.end());
      Keep([&](size_t i) { return p_[i] >= options.min_p * best * (1 - 1e-6); });
    }
    if (options.top_p < 1) KeepMass(options.top_p, [&](size_t i) { return -std::log(p_[i]); });
    if (options.top_k > 0) {
      std::vector<size_t> order = Possible();
      std::stable_sort(order.begin(), order.end(),
                       [&](size_t a, size_t b) { return p_[a] > p_[b] * (1 + 1e-9); });
      order.resize(std::min(order.size(), static_cast<size_t>(options.top_k)));
      Keep([&](size_t i) { return std::find(order.begin(), order.end(), i) != order.end(); });
    }
  }

  std::vector<size_t> Possible() const {
    std::vector<size_t> order;
    for (size_t i = 0; i < p_.size(); ++i) {
      if (p_[i] > 0) order.push_back(i);
    }
    return order;
  }

  void KeepMass(double mass, const std::function<double(size_t)>& key) {
    std::vector<double> keys(p_.size(), INFINITY);
    std::vector<size_t> order = Possible();
    for (const size_t i : order) keys[i] = key(i);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return keys[a] < keys[b]; });
    double sum = 0;
    double cutoff = INFINITY;
    for (const size_t i : order) {
      if (sum > 0) margin_ = std::min(margin_, std::fabs(sum - mass));
      sum += p_[i];
      if (sum >= mass) {
        cutoff = keys[i];
        break;
      }
    }
    margin_ = std::min(margin_, std::fabs(sum - mass) + (mass == 0 ? 1 : 0));
    for (size_t i = 0; i < p_.size(); ++i) {
      if (keys[i] > cutoff + 1e-9) p_[i] = 0;  // ties stay; 1e-9 for the rounding of the logarithms
    }
    Normalise();
  }

  void Keep(const std::function<bool(size_t)>& keep) {
    std::vector<double> kept(p_.size());
    for (size_t i = 0; i < p_.size(); ++i) kept[i] = p_[i] > 0 && keep(i) ? p_[i] : 0;
    p_ = kept;
    Normalise();
  }

  void Normalise() {
    const double sum = std::accumulate(p_.begin(), p_.end(), 0.0);
    for (double& p : p_) p /= sum;
  }

  std::vector<double> p_;
  double margin_ = 1;
};

}  // namespace tern
