// The config.json of a Hugging Face model, which lies beside its weights. Private to src/formats.
#pragma once

#include <filesystem>

#include "base/status.h"
#include "formats/tensor_source.h"

namespace tern {

/// Whether the tensors have Hugging Face's names. Another family's file may lie beside a config.json that is
/// not its own.
bool HasHubNames(const TensorSource& source);

/// The numbers, texts and booleans of `folder`/config.json as "config.NAME"; lists, objects and nulls are
/// left out. Empty when there is no such file.
Result<Metadata> ReadHubConfig(const std::filesystem::path& folder);

}  // namespace tern
