// random_model NAME [--type T] [--seed N] OUT: writes a model of a published size with random weights, so
// that speed can be measured without downloading anything. The weights are those of the tests' random models
// of the same seed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <string>

#include "base/progress.h"
#include "base/status.h"
#include "formats/checkpoint.h"
#include "formats/tensor_source.h"
#include "tests/testing/random_checkpoint.h"

namespace tern {
namespace {

struct Options {
  std::string model, out, type = "f16";
  uint64_t seed = 1;
};

/// .pth and .safetensors hold the canonical tensors as they are: they are streamed straight to the file.
Status WriteDirectly(const testing::RandomModel& model, DType type, FileFormat format,
                     const std::string& path) {
  const auto tensors = testing::RandomTensors(model, type);
  Progress progress("Writing " + path, tensors.size(), "tensors");
  const auto report = [&](size_t done, size_t) {
    progress.Update(done);
    return true;
  };
  return format == FileFormat::kPth ? WritePth(path, tensors, report)
                                    : WriteSafetensors(path, tensors, {}, report);
}

/// .gguf and .bin have conventions of their own, which SaveCheckpoint knows; it reads from a file beside the
/// output.
Status WriteByConversion(const testing::RandomModel& model, DType type, FileFormat format,
                         const std::string& path) {
  const std::string canonical = path + ".canonical.pth";
  const DType canonical_type = type == DType::kF32 ? DType::kF32 : DType::kF16;
  const auto convert = [&]() -> Status {
    TERN_RETURN_IF_ERROR(WriteDirectly(model, canonical_type, FileFormat::kPth, canonical));
    TERN_ASSIGN_OR_RETURN(const auto checkpoint, OpenCheckpoint(canonical));
    Progress progress("Writing " + path, checkpoint->tensors().size(), "tensors");
    SaveOptions save;
    save.format = format;
    save.type = type;
    save.progress = [&](size_t done, size_t) {
      progress.Update(done);
      return true;
    };
    return SaveCheckpoint(*checkpoint, path, save);
  };
  const Status status = convert();
  std::error_code ignored;
  std::filesystem::remove(canonical, ignored);
  return status;
}

Status WriteModel(const Options& options) {
  TERN_ASSIGN_OR_RETURN(const FileFormat format, FormatFromExtension(options.out));
  const auto type = DTypeFromName(options.type);
  if (!type || !Traits(*type).is_float) {
    return InvalidArgument(fmt::format("'{}' is no type of weights", options.type));
  }
  TERN_ASSIGN_OR_RETURN(testing::RandomModel model, testing::PublishedModel(options.model));
  model.seed = options.seed;
  const bool direct = format == FileFormat::kPth || format == FileFormat::kSafetensors;
  return direct ? WriteDirectly(model, *type, format, options.out)
                : WriteByConversion(model, *type, format, options.out);
}

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  tern::Options options;
  CLI::App app("Writes a model of a published size with random weights");
  app.add_option("model", options.model, "Size, such as rwkv4:169M or rwkv7:1.5B; an unknown name lists them")
      ->required();
  app.add_option("out", options.out, "File to write: .pth, .safetensors, .gguf or .bin")->required();
  app.add_option("--type", options.type, "Type of the matrices: f32, f16, bf16, q8_0 …")
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Seed of the weights")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const tern::Status status = tern::WriteModel(options);
  if (!status.ok()) {
    std::fprintf(stderr, "random_model: %s\n", status.message().c_str());
    return 1;
  }
  return 0;
}
