// random_model NAME [--type T] [--seed N] OUT: writes a model of any size with random weights, so that Tern
// and other programs can be measured on the same file without downloading anything.
#include "formats/random_model.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "base/progress.h"
#include "base/status.h"
#include "text/tokenizer.h"

namespace tern {
namespace {

struct Options {
  std::string model, out, type = "f16", tokenizer;
  uint64_t seed = 1;
};

Result<std::vector<std::string>> Vocabulary(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(const auto tokenizer, LoadTokenizer(path));
  std::vector<std::string> tokens(static_cast<size_t>(tokenizer->vocab_size()));
  for (size_t id = 0; id < tokens.size(); ++id) tokens[id] = tokenizer->TokenBytes(static_cast<int32_t>(id));
  return tokens;
}

Status WriteModel(const Options& options) {
  SaveOptions save;
  TERN_ASSIGN_OR_RETURN(save.format, FormatFromExtension(options.out));
  save.type = DTypeFromName(options.type);
  if (!save.type || !Traits(*save.type).is_float) {
    return InvalidArgument(fmt::format("'{}' is no type of weights", options.type));
  }
  if (!options.tokenizer.empty()) {
    TERN_ASSIGN_OR_RETURN(save.vocabulary, Vocabulary(options.tokenizer));
  }
  TERN_ASSIGN_OR_RETURN(RandomModel model, RandomModelOfSize(options.model));
  model.seed = options.seed;
  Progress progress("writing " + options.out, 0, "tensors");
  save.progress = [&](size_t done, size_t) {
    progress.Update(done);
    return true;
  };
  return SaveRandomModel(model, options.out, save);
}

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  tern::Options options;
  CLI::App app("Writes a model with random weights");
  app.add_option("model", options.model,
                 "Size: rwkv4:169M, rwkv7:1.5B, rwkv7:12x768 …; an unknown name lists them")
      ->required();
  app.add_option("out", options.out, "File to write: .pth, .safetensors, .gguf or .bin")->required();
  app.add_option("--type", options.type, "Type of the matrices: f32, f16, bf16, q8_0 …")
      ->capture_default_str();
  app.add_option("--tokenizer", options.tokenizer,
                 "World vocabulary to embed in a .gguf (llama.cpp wants one)")
      ->type_name("FILE");
  app.add_option("--seed", options.seed, "Seed of the weights")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const tern::Status status = tern::WriteModel(options);
  if (!status.ok()) {
    std::fprintf(stderr, "random_model: %s\n", status.message().c_str());
    return 1;
  }
  return 0;
}
