// The sizes of published models, and of any others, from a name.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <vector>

#include "formats/random_model.h"

namespace tern {
namespace {

RandomModel Rwkv4(int64_t layers, int64_t width) {
  return {
      .generation = Generation::kRwkv4, .vocab = 50277, .width = width, .layers = layers, .ffn = 4 * width};
}

RandomModel Rwkv5(Generation generation, int64_t layers, int64_t width) {
  return {.generation = generation,
          .vocab = 65536,
          .width = width,
          .layers = layers,
          .ffn = width * 7 / 2 / 32 * 32,
          .head_size = 64,
          .log_time_first = generation != Generation::kRwkv5_2};
}

RandomModel Rwkv6(int64_t layers, int64_t width) {
  const int64_t factor = width >= 4096 ? 2 : 1;
  return {.generation = Generation::kRwkv6,
          .vocab = 65536,
          .width = width,
          .layers = layers,
          .ffn = width * 7 / 2 / 32 * 32,
          .head_size = 64,
          .mix_rank = 32 * factor,
          .decay_rank = 64 * factor};
}

/// Ranks as in the published files, in multiples of 32: 1.8√C (decay, rate), 1.3√C (value), 0.6·C^0.8 (gate).
RandomModel Rwkv7(int64_t layers, int64_t width) {
  const double C = static_cast<double>(width);
  const auto rank = [](double x) { return std::max<int64_t>(32, 32 * std::llround(x / 32)); };
  return {.generation = Generation::kRwkv7,
          .vocab = 65536,
          .width = width,
          .layers = layers,
          .ffn = 4 * width,
          .head_size = 64,
          .decay_rank = rank(1.8 * std::sqrt(C)),
          .iclr_rank = rank(1.8 * std::sqrt(C)),
          .value_rank = rank(1.3 * std::sqrt(C)),
          .gate_rank = rank(0.6 * std::pow(C, 0.8))};
}

RandomModel OfGeneration(Generation generation, int64_t layers, int64_t width) {
  switch (Major(generation)) {
    case 4:
      return Rwkv4(layers, width);
    case 5:
      return Rwkv5(generation, layers, width);
    case 6:
      return Rwkv6(layers, width);
    default:
      return Rwkv7(layers, width);
  }
}

struct Published {
  int major;
  std::string_view size;
  int64_t layers, width;
};
constexpr Published kPublished[] = {
    {4, "169M", 12, 768},   {4, "430M", 24, 1024}, {4, "1.5B", 24, 2048}, {4, "3B", 32, 2560},
    {4, "7B", 32, 4096},    {4, "14B", 40, 5120},  {5, "0.1B", 12, 768},  {5, "0.4B", 24, 1024},
    {5, "1.5B", 24, 2048},  {5, "3B", 32, 2560},   {5, "7B", 32, 4096},   {6, "1.6B", 24, 2048},
    {6, "3B", 32, 2560},    {6, "7B", 32, 4096},   {6, "14B", 61, 4096},  {7, "0.1B", 12, 768},
    {7, "0.4B", 24, 1024},  {7, "1.5B", 24, 2048}, {7, "2.9B", 32, 2560}, {7, "7.2B", 32, 4096},
    {7, "13.3B", 61, 4096},
};

struct NamedGeneration {
  std::string_view name;
  Generation generation;
};
constexpr NamedGeneration kGenerations[] = {
    {"rwkv4", Generation::kRwkv4},     {"rwkv5", Generation::kRwkv5_2},   {"rwkv5.0", Generation::kRwkv5_0},
    {"rwkv5.1", Generation::kRwkv5_1}, {"rwkv5.2", Generation::kRwkv5_2}, {"rwkv6", Generation::kRwkv6},
    {"rwkv7", Generation::kRwkv7},
};

/// "12x768" → {12, 768}; nothing when it is something else.
std::optional<std::vector<int64_t>> Numbers(std::string_view text) {
  std::vector<int64_t> numbers;
  const char* at = text.data();
  const char* end = at + text.size();
  for (;;) {
    int64_t number = 0;
    const auto [next, error] = std::from_chars(at, end, number);
    if (error != std::errc()) return std::nullopt;
    numbers.push_back(number);
    if (next == end) return numbers;
    if (*next != 'x') return std::nullopt;
    at = next + 1;
  }
}

Result<RandomModel> OfNumbers(Generation generation, const std::vector<int64_t>& n, std::string_view name) {
  const int64_t unit = generation == Generation::kRwkv4 ? 32 : 64;  // a block of weights; a head
  const bool possible = n.size() >= 2 && n.size() <= 3 && n[0] >= 1 && n[0] <= 1000 && n[1] >= unit &&
                        n[1] <= 65536 && n[1] % unit == 0 &&
                        (n.size() < 3 || (n[2] >= 2 && n[2] <= (1 << 20)));
  if (!possible) {
    return InvalidArgument(
        fmt::format("'{}': expected LAYERSxWIDTH or LAYERSxWIDTHxVOCABULARY with 1 to 1000 "
                    "layers, a width of {}, {} … 65536, and 2 to 1048576 symbols",
                    name, unit, 2 * unit));
  }
  RandomModel model = OfGeneration(generation, n[0], n[1]);
  if (n.size() == 3) model.vocab = n[2];
  return model;
}

std::string KnownNames() {
  std::string known;
  for (const Published& p : kPublished) {
    known += fmt::format("{}rwkv{}:{}", known.empty() ? "" : ", ", p.major, p.size);
  }
  return known;
}

}  // namespace

Result<RandomModel> RandomModelOfSize(std::string_view name) {
  const size_t colon = std::min(name.find(':'), name.size());
  const auto generation =
      std::find_if(std::begin(kGenerations), std::end(kGenerations),
                   [&](const NamedGeneration& g) { return g.name == name.substr(0, colon); });
  const std::string_view size = name.substr(std::min(colon + 1, name.size()));
  if (generation != std::end(kGenerations)) {
    for (const Published& p : kPublished) {
      if (p.major == Major(generation->generation) && p.size == size) {
        return OfGeneration(generation->generation, p.layers, p.width);
      }
    }
    if (const auto numbers = Numbers(size)) return OfNumbers(generation->generation, *numbers, name);
  }
  return NotFound(fmt::format("no model is called '{}'; there are {}, and any size as in rwkv7:12x768", name,
                              KnownNames()));
}

}  // namespace tern
