#include "train/run_inputs.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr uint64_t kMostBytes = 1 << 20;

std::string InputsPath(const std::string& folder) { return folder + "/inputs.json"; }

std::string LastPart(const std::string& path) {
  const fs::path whole(path);
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

Json InputsOf(const TrainOptions& options) {
  return {{"data", options.data},
          {"validation", options.validation},
          {"tokenizer", options.tokenizer},
          {"model", options.model}};
}

void Replace(const std::string& path, std::string* name) {
  if (LastPart(path) == *name) *name = path;
}

}  // namespace

TrainOptions WithoutFolders(TrainOptions options) {
  for (std::string& path : options.data) path = LastPart(path);
  for (std::string* path : {&options.validation, &options.tokenizer, &options.model}) *path = LastPart(*path);
  return options;
}

Status WriteInputs(const std::string& folder, const TrainOptions& options) {
  const std::string path = InputsPath(folder), content = InputsOf(options).dump(2) + "\n";
  const auto there = ReadFileToString(path, kMostBytes);
  return there.ok() && *there == content ? OkStatus() : WriteStringToFile(path, content);
}

Status ReadInputs(const std::string& folder, TrainOptions* options) {
  const std::string path = InputsPath(folder);
  const auto content = ReadFileToString(path, kMostBytes);
  if (content.status().code() == StatusCode::kNotFound) return OkStatus();
  TERN_RETURN_IF_ERROR(content.status());
  TrainOptions stored;
  try {
    const Json json = Json::parse(*content);
    json.at("data").get_to(stored.data);
    json.at("validation").get_to(stored.validation);
    json.at("tokenizer").get_to(stored.tokenizer);
    json.at("model").get_to(stored.model);
  } catch (const Json::exception& error) {
    return Corrupt(fmt::format("'{}' cannot be read ({}): remove it, and name the data again with --data", path,
                               error.what()));
  }
  for (size_t i = 0; i < options->data.size() && i < stored.data.size(); ++i) {
    Replace(stored.data[i], &options->data[i]);
  }
  Replace(stored.validation, &options->validation);
  Replace(stored.tokenizer, &options->tokenizer);
  Replace(stored.model, &options->model);
  return OkStatus();
}

}  // namespace tern::train
