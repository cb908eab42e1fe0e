// quantised_quality MODEL --text FILE: what each type of weights costs a model, as the table of docs/quantisation.md. MODEL
// should hold fp32 weights; each type is written to a temporary file, loaded like any other and read over the same text.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "formats/checkpoint.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace tern {
namespace {

struct Options {
  std::string model, text, tokenizer;
  std::vector<std::string> types = {"f32",  "f16",  "bf16", "q8_0", "q6_k", "q5_k",
                                    "q5_1", "q5_0", "q4_k", "q4_1", "q4_0"};
  int64_t windows = 16, context = 256;
};

/// log softmax.
std::vector<double> LogProbabilities(std::span<const float> logits) {
  double largest = -INFINITY, sum = 0;
  for (const float x : logits) largest = std::max(largest, static_cast<double>(x));
  for (const float x : logits) sum += std::exp(x - largest);
  std::vector<double> result(logits.begin(), logits.end());
  for (double& x : result) x -= largest + std::log(sum);
  return result;
}

/// KL(p ‖ q) in nats.
double Divergence(const std::vector<double>& p, const std::vector<double>& q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum;
}

struct Quality {
  double nats = 0;             ///< of all predicted tokens, read token by token
  double divergence = 0;       ///< KL(read in one pass ‖ token by token), sum over the tokens
  double worst_divergence = 0;
  int64_t tokens = 0;
};

/// Each window from the zero state, once token by token and once in one pass.
Result<Quality> Measure(const Model& model, std::span<const int32_t> tokens, const Options& options) {
  Quality quality;
  Workspace workspace;
  const auto V = static_cast<size_t>(model.config().vocab);
  for (int64_t w = 0; w < options.windows; ++w) {
    const auto window = tokens.subspan(static_cast<size_t>(w * options.context), static_cast<size_t>(options.context));
    State state = model.NewState();
    Batch batch;
    batch.Add(window, &state, Logits::kAll);
    std::vector<float> together, alone;
    TERN_RETURN_IF_ERROR(model.Forward(batch, workspace, &together));
    state.Reset();
    for (size_t t = 0; t + 1 < window.size(); ++t) {
      batch.Clear();
      batch.Add(window.subspan(t, 1), &state, Logits::kLast);
      TERN_RETURN_IF_ERROR(model.Forward(batch, workspace, &alone));
      const auto log_alone = LogProbabilities(alone);
      const double kl = Divergence(LogProbabilities(std::span(together).subspan(t * V, V)), log_alone);
      quality.nats -= log_alone[static_cast<size_t>(window[t + 1])];
      quality.divergence += kl;
      quality.worst_divergence = std::max(quality.worst_divergence, kl);
      ++quality.tokens;
    }
  }
  return quality;
}

Result<Quality> MeasureType(const Checkpoint& checkpoint, const std::string& type, std::span<const int32_t> tokens,
                            const Options& options) {
  const std::string path = (std::filesystem::temp_directory_path() / fmt::format("tern-{}.gguf", type)).string();
  SaveOptions save;
  save.format = FileFormat::kGguf;
  save.type = DTypeFromName(type);
  if (!save.type) return InvalidArgument(fmt::format("'{}' is no type of weights", type));
  TERN_RETURN_IF_ERROR(SaveCheckpoint(checkpoint, path, save));
  const auto measure = [&]() -> Result<Quality> {
    TERN_ASSIGN_OR_RETURN(const auto model, Model::Load(path));
    return Measure(*model, tokens, options);
  };
  const Result<Quality> quality = measure();
  std::filesystem::remove(path);
  return quality;
}

Status Run(const Options& options) {
  TERN_ASSIGN_OR_RETURN(const auto checkpoint, OpenCheckpoint(options.model));
  TERN_ASSIGN_OR_RETURN(const auto tokenizer, LoadTokenizer(options.tokenizer));
  TERN_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(options.text));
  const auto text = file->bytes();
  const std::vector<int32_t> tokens =
      tokenizer->Encode(std::string_view(reinterpret_cast<const char*>(text.data()), text.size()));
  const int64_t needed = options.windows * options.context;
  if (static_cast<int64_t>(tokens.size()) < needed) {
    return InvalidArgument(fmt::format("'{}' has {} tokens, but {} are wanted", options.text, tokens.size(), needed));
  }
  std::printf("| type | perplexity | to fp32 | KL of prompts, mean | largest |\n|---|---|---|---|---|\n");
  double first = 0;
  for (const std::string& type : options.types) {
    TERN_ASSIGN_OR_RETURN(const Quality q, MeasureType(*checkpoint, type, tokens, options));
    const auto n = static_cast<double>(q.tokens);
    const double perplexity = std::exp(q.nats / n);
    if (first == 0) first = perplexity;
    std::printf("| %s | %.4f | %+.3f %% | %.1e | %.1e |\n", type.c_str(), perplexity, 100 * (perplexity / first - 1),
                q.divergence / n, q.worst_divergence);
    std::fflush(stdout);
  }
  return OkStatus();
}

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  tern::Options options;
  CLI::App app("What each type of weights costs a model: perplexity, and how far prompts differ from single tokens");
  app.add_option("model", options.model, "fp32 weights")->required();
  app.add_option("--text", options.text, "A text that the model has not been trained on")->required();
  app.add_option("--tokenizer", options.tokenizer, "Its vocabulary, or the word bytes")->required();
  app.add_option("--type", options.types, "Types; the first is what the others are held against")->delimiter(',');
  app.add_option("--windows", options.windows, "Windows of the text that are read")->check(CLI::PositiveNumber);
  app.add_option("--context", options.context, "Tokens of a window")->check(CLI::Range(2, 1 << 20));
  CLI11_PARSE(app, argc, argv);
  const tern::Status status = tern::Run(options);
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", status.message().c_str());
  return status.ok() ? 0 : 1;
}
