#include "tests/testing/golden.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/testing/test_data.h"

namespace tern::testing {
namespace {

using Json = nlohmann::json;

Result<Generation> GenerationFromName(const std::string& name) {
  for (const Generation g : {Generation::kRwkv4, Generation::kRwkv5_0, Generation::kRwkv5_1,
                             Generation::kRwkv5_2, Generation::kRwkv6, Generation::kRwkv7}) {
    if (Name(g) == name) return g;
  }
  return Corrupt(fmt::format("no generation is called '{}'", name));
}

Result<RandomModel> ModelFromJson(const Json& json) {
  TERN_ASSIGN_OR_RETURN(const Generation generation, GenerationFromName(json.at("generation")));
  return RandomModel{.generation = generation,
                     .vocab = json.at("vocab"),
                     .width = json.at("width"),
                     .layers = json.at("layers"),
                     .ffn = json.at("ffn"),
                     .head_size = json.value("head_size", 0),
                     .attention_width = json.value("attention_width", 0),
                     .mix_rank = json.value("mix_rank", 0),
                     .decay_rank = json.value("decay_rank", 0),
                     .iclr_rank = json.value("iclr_rank", 0),
                     .value_rank = json.value("value_rank", 0),
                     .gate_rank = json.value("gate_rank", 0),
                     .block0_value_mix = json.value("block0_value_mix", false),
                     .log_time_first = json.value("log_time_first", false),
                     .seed = json.at("seed")};
}

Result<Golden> GoldenFromJson(const Json& json, std::string name) {
  TERN_ASSIGN_OR_RETURN(RandomModel model, ModelFromJson(json.at("model")));
  Golden golden{.name = std::move(name), .model = model, .tokens = json.at("tokens"), .logits = {}};
  for (const Json& entry : json.at("logits")) {
    golden.logits.push_back({.after = entry.at("after"), .values = entry.at("values")});
  }
  return golden;
}

Result<GoldenTraining> TrainingFromJson(const Json& json) {
  TERN_ASSIGN_OR_RETURN(const RandomModel model, ModelFromJson(json.at("model")));
  const Json &schedule = json.at("schedule"), &adam = json.at("adam");
  GoldenTraining golden{.model = model,
                        .tokens = json.at("tokens"),
                        .loss = json.at("loss"),
                        .gradients = json.at("gradients"),
                        .schedule = schedule.at("shape"),
                        .initial_rate = schedule.at("initial"),
                        .final_rate = schedule.at("final"),
                        .warmup = schedule.at("warmup"),
                        .beta1 = adam.at("beta1"),
                        .beta2 = adam.at("beta2"),
                        .eps = adam.at("eps"),
                        .weight_decay = adam.at("weight_decay"),
                        .clip = json.at("clip"),
                        .steps = {},
                        .moved = json.at("moved")};
  for (const Json& step : json.at("steps")) {
    golden.steps.push_back({.tokens = step.at("tokens"),
                            .rate = step.at("rate"),
                            .loss = step.at("loss"),
                            .gradient_norm = step.at("gradient_norm")});
  }
  return golden;
}

Result<GoldenInitial> InitialFromJson(const Json& json) {
  return GoldenInitial{.vocab = json.at("vocab"),
                       .layers = json.at("layers"),
                       .width = json.at("width"),
                       .head_size = json.value("head_size", 0),
                       .values = json.at("values"),
                       .singular_values = json.at("singular_values"),
                       .uniform = json.at("uniform")};
}

/// `make(json)` of a file.
template <typename T, typename Make>
Result<T> Load(const std::string& path, Make make) {
  std::ifstream in(path);
  if (!in) return NotFound(fmt::format("'{}' cannot be opened", path));
  try {
    return make(Json::parse(in));
  } catch (const Json::exception& e) {
    return Corrupt(fmt::format("'{}': {}", path, e.what()));
  }
}

}  // namespace

Result<Golden> LoadGolden(const std::string& path) {
  return Load<Golden>(path, [&](const Json& json) {
    return GoldenFromJson(json, std::filesystem::path(path).stem().string());
  });
}

Result<GoldenTraining> LoadGoldenTraining(const std::string& path) {
  return Load<GoldenTraining>(path, TrainingFromJson);
}

Result<GoldenInitial> LoadGoldenInitial(const std::string& path) {
  return Load<GoldenInitial>(path, InitialFromJson);
}

std::vector<std::string> GoldenFiles() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(SourceDir() + "/tests/golden")) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("rwkv") && name.ends_with(".json")) paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace tern::testing
