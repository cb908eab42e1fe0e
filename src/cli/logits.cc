// tern logits: the numbers after a sequence of tokens, for checking a model against another program.
#include <algorithm>
#include <iostream>
#include <numeric>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/common.h"

namespace tern {
namespace {

struct LogitsArguments {
  ModelOptions model;
  std::vector<int32_t> tokens;
  std::string state_in;
  int64_t chunk = kPromptChunk;
  bool json = false;
};

Status RunLogits(const LogitsArguments& options) {
  TERN_ASSIGN_OR_RETURN(auto model, LoadModel(options.model));
  TERN_ASSIGN_OR_RETURN(State state, StartState(options.state_in, *model));
  Workspace workspace;
  std::vector<float> logits;
  const std::span<const int32_t> tokens = options.tokens;
  const auto chunk = static_cast<size_t>(options.chunk);
  for (size_t done = 0; done < tokens.size(); done += chunk) {
    const auto part = tokens.subspan(done, std::min(chunk, tokens.size() - done));
    Batch batch;
    batch.Add(part, &state, done + part.size() == tokens.size() ? Logits::kLast : Logits::kNone);
    TERN_RETURN_IF_ERROR(model->Forward(batch, workspace, &logits));
  }
  if (std::any_of(logits.begin(), logits.end(), [](float x) { return x != x; })) {
    const std::string why = model->FindNonFinite();
    return Corrupt("the logits are not numbers" + (why.empty() ? std::string() : ": " + why));
  }
  if (options.json) {
    std::cout << "{\"logits\": [";  // not through the JSON library: 9 digits give every float back, 17 are noise
    for (size_t i = 0; i < logits.size(); ++i) std::cout << (i ? ", " : "") << fmt::format("{:.9g}", logits[i]);
    std::cout << "]}\n";
    return OkStatus();
  }
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto shown = static_cast<ptrdiff_t>(std::min<size_t>(10, order.size()));
  std::partial_sort(order.begin(), order.begin() + shown, order.end(),
                    [&](size_t a, size_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  std::cout << "  token      logit\n";
  for (ptrdiff_t i = 0; i < shown; ++i) {
    const size_t token = order[static_cast<size_t>(i)];
    std::cout << fmt::format("{:>7} {:>10.5f}\n", token, logits[token]);
  }
  return OkStatus();
}

}  // namespace

void AddLogits(CLI::App& app, Run* run) {
  auto options = std::make_shared<LogitsArguments>();
  CLI::App* command = app.add_subcommand("logits", "Logits after a sequence of tokens, for checking against others");
  AddModelOptions(*command, options->model);
  command->remove_option(command->get_option("--tokenizer"));  // ids go in, ids come out
  command->add_option("--tokens", options->tokens, "Token ids")->required()->delimiter(',')->type_name("ID,ID,…");
  command->add_option("--chunk", options->chunk, "Tokens per pass (1: one at a time)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--state-in", options->state_in, "Start from a saved state, or from a tuned one (att.time_state)")
      ->type_name("FILE");
  command->add_flag("--json", options->json, "{\"logits\": […]}, all of them");
  command->callback([=] { *run = [=] { return RunLogits(*options); }; });
}

}  // namespace tern
