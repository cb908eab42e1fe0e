#include "formats/checkpoint_canonical.h"

#include <fmt/format.h>

#include <array>

namespace tern {
namespace {

using enum Part;

constexpr CanonicalEntry kEmb{"emb.weight", kEmbedding};
constexpr std::array<CanonicalEntry, 6> kNorms = {{
    {"blocks.*.ln1.weight", kVector},
    {"blocks.*.ln1.bias", kVector},
    {"blocks.*.ln2.weight", kVector},
    {"blocks.*.ln2.bias", kVector},
    {"blocks.*.ln0.weight", kVector},
    {"blocks.*.ln0.bias", kVector},
}};
constexpr std::array<CanonicalEntry, 3> kEnd = {{
    {"ln_out.weight", kVector},
    {"ln_out.bias", kVector},
    {"head.weight", kHead},
}};

constexpr std::array<CanonicalEntry, 14> kLayer4 = {{
    {"blocks.*.att.time_decay", kVector},
    {"blocks.*.att.time_first", kVector},
    {"blocks.*.att.time_mix_k", kVector, true},
    {"blocks.*.att.time_mix_v", kVector, true},
    {"blocks.*.att.time_mix_r", kVector, true},
    {"blocks.*.att.key.weight", kMatrix},
    {"blocks.*.att.value.weight", kMatrix},
    {"blocks.*.att.receptance.weight", kMatrix},
    {"blocks.*.att.output.weight", kMatrix},
    {"blocks.*.ffn.time_mix_k", kVector, true},
    {"blocks.*.ffn.time_mix_r", kVector, true},
    {"blocks.*.ffn.key.weight", kMatrix},
    {"blocks.*.ffn.receptance.weight", kMatrix},
    {"blocks.*.ffn.value.weight", kMatrix},
}};

constexpr std::array<CanonicalEntry, 20> kLayer5 = {{
    {"blocks.*.att.time_mix_k", kVector, true},  {"blocks.*.att.time_mix_v", kVector, true},
    {"blocks.*.att.time_mix_r", kVector, true},  {"blocks.*.att.time_mix_g", kVector, true},
    {"blocks.*.att.time_decay", kPerHead},       {"blocks.*.att.time_first", kPerHead},
    {"blocks.*.att.time_faaaa", kPerHead},       {"blocks.*.att.time_state", kState},
    {"blocks.*.att.receptance.weight", kMatrix}, {"blocks.*.att.key.weight", kMatrix},
    {"blocks.*.att.value.weight", kMatrix},      {"blocks.*.att.output.weight", kMatrix},
    {"blocks.*.att.gate.weight", kMatrix},       {"blocks.*.att.ln_x.weight", kVector},
    {"blocks.*.att.ln_x.bias", kVector},         {"blocks.*.ffn.time_mix_k", kVector, true},
    {"blocks.*.ffn.time_mix_r", kVector, true},  {"blocks.*.ffn.key.weight", kMatrix},
    {"blocks.*.ffn.receptance.weight", kMatrix}, {"blocks.*.ffn.value.weight", kMatrix},
}};

constexpr std::array<CanonicalEntry, 25> kLayer6 = {{
    {"blocks.*.att.time_maa_x", kVector, true},  {"blocks.*.att.time_maa_w", kVector, true},
    {"blocks.*.att.time_maa_k", kVector, true},  {"blocks.*.att.time_maa_v", kVector, true},
    {"blocks.*.att.time_maa_r", kVector, true},  {"blocks.*.att.time_maa_g", kVector, true},
    {"blocks.*.att.time_maa_w1", kLowRankIn},    {"blocks.*.att.time_maa_w2", kLowRankStack},
    {"blocks.*.att.time_decay", kVector, true},  {"blocks.*.att.time_decay_w1", kLowRankIn},
    {"blocks.*.att.time_decay_w2", kLowRankOut}, {"blocks.*.att.time_faaaa", kPerHead},
    {"blocks.*.att.time_state", kState},         {"blocks.*.att.receptance.weight", kMatrix},
    {"blocks.*.att.key.weight", kMatrix},        {"blocks.*.att.value.weight", kMatrix},
    {"blocks.*.att.output.weight", kMatrix},     {"blocks.*.att.gate.weight", kMatrix},
    {"blocks.*.att.ln_x.weight", kVector},       {"blocks.*.att.ln_x.bias", kVector},
    {"blocks.*.ffn.time_maa_k", kVector, true},  {"blocks.*.ffn.time_maa_r", kVector, true},
    {"blocks.*.ffn.key.weight", kMatrix},        {"blocks.*.ffn.receptance.weight", kMatrix},
    {"blocks.*.ffn.value.weight", kMatrix},
}};

constexpr std::array<CanonicalEntry, 30> kLayer7 = {{
    {"blocks.*.att.x_r", kVector, true},     {"blocks.*.att.x_w", kVector, true},
    {"blocks.*.att.x_k", kVector, true},     {"blocks.*.att.x_v", kVector, true},
    {"blocks.*.att.x_a", kVector, true},     {"blocks.*.att.x_g", kVector, true},
    {"blocks.*.att.w1", kLowRankIn},         {"blocks.*.att.w2", kLowRankOut},
    {"blocks.*.att.w0", kVector, true},      {"blocks.*.att.a1", kLowRankIn},
    {"blocks.*.att.a2", kLowRankOut},        {"blocks.*.att.a0", kVector, true},
    {"blocks.*.att.v1", kLowRankIn},         {"blocks.*.att.v2", kLowRankOut},
    {"blocks.*.att.v0", kVector, true},      {"blocks.*.att.g1", kLowRankIn},
    {"blocks.*.att.g2", kLowRankOut},        {"blocks.*.att.k_k", kVector, true},
    {"blocks.*.att.k_a", kVector, true},     {"blocks.*.att.r_k", kPerHead},
    {"blocks.*.att.time_state", kState},     {"blocks.*.att.receptance.weight", kMatrix},
    {"blocks.*.att.key.weight", kMatrix},    {"blocks.*.att.value.weight", kMatrix},
    {"blocks.*.att.output.weight", kMatrix}, {"blocks.*.att.ln_x.weight", kVector},
    {"blocks.*.att.ln_x.bias", kVector},     {"blocks.*.ffn.x_k", kVector, true},
    {"blocks.*.ffn.key.weight", kMatrix},    {"blocks.*.ffn.value.weight", kMatrix},
}};

template <size_t N>
constexpr auto Whole(const std::array<CanonicalEntry, N>& layer) {
  std::array<CanonicalEntry, N + 1 + kNorms.size() + kEnd.size()> all{};
  size_t n = 0;
  all[n++] = kEmb;
  for (const CanonicalEntry& e : kNorms) all[n++] = e;
  for (const CanonicalEntry& e : layer) all[n++] = e;
  for (const CanonicalEntry& e : kEnd) all[n++] = e;
  return all;
}

constexpr auto kAll4 = Whole(kLayer4);
constexpr auto kAll5 = Whole(kLayer5);
constexpr auto kAll6 = Whole(kLayer6);
constexpr auto kAll7 = Whole(kLayer7);

bool IsLayerNumber(std::string_view text) {
  if (text.empty() || text.size() > 6 || (text.size() > 1 && text[0] == '0')) return false;
  return text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::span<const CanonicalEntry> CanonicalEntries(int major) {
  switch (major) {
    case 4:
      return kAll4;
    case 5:
      return kAll5;
    case 6:
      return kAll6;
    default:
      return kAll7;
  }
}

const CanonicalEntry* FindCanonical(int major, std::string_view pattern) {
  for (const CanonicalEntry& entry : CanonicalEntries(major)) {
    if (entry.pattern == pattern) return &entry;
  }
  return nullptr;
}

LayeredName SplitLayer(std::string_view name) {
  size_t begin = 0;
  while (begin < name.size()) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view component = name.substr(begin, end - begin);
    if (IsLayerNumber(component)) {
      LayeredName result{std::string(name.substr(0, begin)) + "*" + std::string(name.substr(end)), 0};
      for (char c : component) result.layer = result.layer * 10 + (c - '0');
      return result;
    }
    begin = end + 1;
  }
  return {std::string(name), -1};
}

std::string WithLayer(std::string_view pattern, int64_t layer) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return std::string(pattern);
  return fmt::format("{}{}{}", pattern.substr(0, star), layer, pattern.substr(star + 1));
}

}  // namespace tern
