#include "train/memory_plan.h"

#include <algorithm>

#include "train/communicator.h"

namespace tern::train {
namespace {

/// The program itself, oneDNN's compiled kernels, thread stacks, tables of the tokenizer: measured at 20 to
/// 35 MB.
constexpr uint64_t kProgram = 28'000'000;
/// libmpi, its shared memory, and the blocks of sums and checkpoints that are under way: measured at 80 to 85 MB with two
/// processes.
constexpr uint64_t kMessages = 82'000'000;

}  // namespace

MemoryPlan PlanMemory(const TrainOptions& options, const ModelShape& shape, uint64_t data_bytes,
                      int processes) {
  const Graph<float> graph(shape, GraphOptionsOf(options));
  const auto total = static_cast<uint64_t>(graph.layout().total());
  const auto owned = static_cast<uint64_t>(Communicator::Owned(graph.layout().total(), 0, processes).size());
  const OwnedRange rows = Communicator::Rows(options.batch, 0, processes);
  const int64_t micro = std::min(MicroRows(options), std::max<int64_t>(1, rows.size()));
  MemoryPlan plan;
  const auto add = [&](const char* name, uint64_t bytes) {
    if (bytes == 0) return;
    plan.parts.emplace_back(name, bytes);
    plan.total += bytes;
  };
  add("parameters (fp32)", 4 * total);
  add("gradients (fp32)", 4 * total);
  add("optimizer's moments (fp32)", 8 * owned);
  if (options.precision == "bf16") add("parameters in bf16", 2 * total);
  add("activations and workspace", graph.PredictWorkspace(micro * options.context, micro, /*backward=*/true));
  if (options.dropout > 0 && !options.validation.empty()) {  // validation has a graph of its own then
    add("workspace of validation",
        graph.PredictWorkspace(micro * options.context, micro, /*backward=*/false));
  }
  if (options.order == "streams") {
    const StreamStates<float> one(shape, 1);
    add("states of streams", 2 * sizeof(float) * one.values().size() * static_cast<uint64_t>(rows.size()));
  }
  if (options.sample_every > 0) add("a copy of the weights for samples", 4 * total);
  add("training data", data_bytes);
  if (processes > 1) add("messages between processes", kMessages);
  add("program and kernels", kProgram);
  return plan;
}

}  // namespace tern::train
