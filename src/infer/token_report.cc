#include "infer/token_report.h"

#include <algorithm>
#include <cstddef>
#include <numbers>

#include "infer/probability.h"
#include "infer/truncation.h"

namespace tern {
namespace {

/// ln Σ e^x.
double LogSumExp(std::span<const float> x) {
  const float top = *std::max_element(x.begin(), x.end());
  const std::span<float> weights = Take(&SamplerScratch::OfThisThread().weights, x.size());
  return top + Log2(Exponentials(x, top, weights)) * std::numbers::ln2;
}

bool MoreProbable(const TokenLogprob& a, const TokenLogprob& b) {
  return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
}

/// The largest logits, in a heap whose front is the least of them.
std::vector<TokenLogprob> Largest(std::span<const float> logits, size_t count) {
  std::vector<TokenLogprob> best;
  best.reserve(count + 1);
  for (size_t i = 0; i < logits.size(); ++i) {
    if (best.size() == count && !(logits[i] > best.front().logprob)) continue;
    best.push_back({static_cast<int32_t>(i), logits[i]});
    std::push_heap(best.begin(), best.end(), MoreProbable);
    if (best.size() <= count) continue;
    std::pop_heap(best.begin(), best.end(), MoreProbable);
    best.pop_back();
  }
  std::sort_heap(best.begin(), best.end(), MoreProbable);
  return best;
}

}  // namespace

TokenReport ReportToken(std::span<const float> logits, int32_t token, int top) {
  const double all = LogSumExp(logits);
  const auto normalised = [all](float logit) { return static_cast<float>(logit - all); };
  TokenReport report{.chosen = {token, normalised(logits[static_cast<size_t>(token)])}};
  if (top <= 0) return report;
  report.top = Largest(logits, std::min(static_cast<size_t>(top), logits.size()));
  for (TokenLogprob& t : report.top) t.logprob = normalised(t.logprob);
  return report;
}

}  // namespace tern
