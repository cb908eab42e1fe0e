#include "formats/hub_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "formats/safetensors_json.h"

namespace tern {
namespace {

constexpr uint64_t kLongestConfig = 1 << 20;
constexpr size_t kConfigDepth = 16;

std::optional<MetaValue> ScalarOf(const nlohmann::json& json) {
  if (json.is_boolean()) return MetaValue(json.get<bool>());
  if (json.is_number_float()) return MetaValue(json.get<double>());
  if (json.is_string()) return MetaValue(json.get<std::string>());
  if (json.is_number_unsigned() && json.get<uint64_t>() > uint64_t{INT64_MAX})
    return MetaValue(json.get<uint64_t>());
  if (json.is_number_integer()) return MetaValue(json.get<int64_t>());
  return std::nullopt;
}

}  // namespace

bool HasHubNames(const TensorSource& source) {
  return std::any_of(source.tensors().begin(), source.tensors().end(), [](const TensorInfo& tensor) {
    return tensor.name.starts_with("model.") || tensor.name.starts_with("rwkv.");
  });
}

Result<Metadata> ReadHubConfig(const std::filesystem::path& folder) {
  Metadata metadata;
  const std::string path = (folder / "config.json").string();
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return metadata;
  TERN_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path, kLongestConfig));
  auto config = ParseJson(text, kConfigDepth);
  if (!config.ok()) return config.status().WithContext(fmt::format("'{}'", path));
  if (!config->is_object()) return Corrupt(fmt::format("'{}' is not a JSON object", path));
  for (const auto& item : config->items()) {
    if (auto value = ScalarOf(item.value())) metadata["config." + item.key()] = std::move(*value);
  }
  return metadata;
}

}  // namespace tern
