// Everything a training run is made of, under the names of the command line's options.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/status.h"
#include "train/dataset.h"
#include "train/graph.h"
#include "train/recipe.h"

namespace tern::train {

struct TrainOptions {
  // Data. Paths are kept for resuming; what is compared then is the data itself.
  std::vector<std::string> data;
  std::string validation;  ///< a file, or a share of the data at its end ("0.1"); empty: none
  std::string separator = "<|endoftext|>";  ///< between the documents of plain text
  std::string tokenizer;                    ///< a vocabulary file, "bytes", or empty where data are tokens
  // Model
  std::string model;  ///< weights to go on from; empty: a new model
  int64_t generation = 7, layers = 6, width = 384, head_size = 64, vocab = 0;
  // Batches
  int64_t context = 256, batch = 16;  ///< tokens per row, rows per step
  int64_t micro_batch = 0;            ///< rows at once in memory; 0: all of them
  std::string order = "shuffled";     ///< "shuffled" or "streams"
  bool reset_at_documents = false;
  uint64_t seed = 1;
  // Recipe
  int64_t steps = 1000;
  double lr = 6e-4, lr_final = 6e-5;
  std::string schedule = "cosine";
  int64_t warmup = 10;
  double decay_fraction = 0.2;
  double weight_decay = 0, beta1 = 0.9, beta2 = 0.99;
  double eps = 0;   ///< 0: the generation's own
  double clip = 1;  ///< largest norm of the gradient; 0: off
  double dropout = 0, l2wrap = 1e-4;
  std::string precision = "bf16";  ///< "bf16" or "f32"
  bool recompute = false;
  bool skip_bad_steps = false;  ///< go on after NaN or infinity, without that step
  // Reports
  int64_t eval_every = 250, save_every = 500, sample_every = 0;
  int64_t eval_tokens = 0;    ///< at most so many validation tokens; 0: all
  bool eval_carried = false;  ///< validation reads on from window to window
  int64_t log_every = 1;
  int64_t keep = 3;  ///< newest checkpoints that are kept; 0: all
  std::string sample_prompt;
  int64_t sample_tokens = 200;
};

/// What a resumed run may change.
enum class OnResume {
  kSame,  ///< nothing: the run would be another one
  kFree,  ///< the run goes on with the new value
};

/// Calls visit(name, field, OnResume) for every option.
template <typename Options, typename Visit>
void VisitOptions(Options& o, Visit&& visit) {
  constexpr OnResume kSame = OnResume::kSame, kFree = OnResume::kFree;
  visit("data", o.data, kFree);
  visit("validation", o.validation, kFree);
  visit("separator", o.separator, kFree);
  visit("tokenizer", o.tokenizer, kFree);
  visit("model", o.model, kFree);
  visit("generation", o.generation, kSame);
  visit("layers", o.layers, kSame);
  visit("width", o.width, kSame);
  visit("head-size", o.head_size, kSame);
  visit("vocab", o.vocab, kSame);
  visit("context", o.context, kSame);
  visit("batch", o.batch, kSame);
  visit("micro-batch", o.micro_batch, kFree);
  visit("order", o.order, kSame);
  visit("reset-at-documents", o.reset_at_documents, kSame);
  visit("seed", o.seed, kSame);
  visit("steps", o.steps, kFree);
  visit("lr", o.lr, kFree);
  visit("lr-final", o.lr_final, kFree);
  visit("schedule", o.schedule, kFree);
  visit("warmup", o.warmup, kFree);
  visit("decay-fraction", o.decay_fraction, kFree);
  visit("weight-decay", o.weight_decay, kFree);
  visit("beta1", o.beta1, kFree);
  visit("beta2", o.beta2, kFree);
  visit("eps", o.eps, kFree);
  visit("clip", o.clip, kFree);
  visit("dropout", o.dropout, kFree);
  visit("l2wrap", o.l2wrap, kFree);
  visit("precision", o.precision, kFree);
  visit("recompute", o.recompute, kFree);
  visit("skip-bad-steps", o.skip_bad_steps, kFree);
  visit("eval-every", o.eval_every, kFree);
  visit("eval-tokens", o.eval_tokens, kFree);
  visit("eval-carried", o.eval_carried, kFree);
  visit("save-every", o.save_every, kFree);
  visit("log-every", o.log_every, kFree);
  visit("keep", o.keep, kFree);
  visit("sample-every", o.sample_every, kFree);
  visit("sample-prompt", o.sample_prompt, kFree);
  visit("sample-tokens", o.sample_tokens, kFree);
}

/// InvalidArgument, naming the option and its value, where it makes no sense.
Status Validate(const TrainOptions& options);

nlohmann::json ToJson(const TrainOptions& options);
/// Members that `json` lacks keep their value; of the wrong kind they are an error that names them.
Status FromJson(const nlohmann::json& json, TrainOptions* options);

/// How `now` differs from `saved`, one "name: old → new" each.
struct OptionChanges {
  std::vector<std::string> refused, allowed;
};
OptionChanges Compare(const TrainOptions& saved, const TrainOptions& now);

// What the parts of a run are made from.
int64_t MicroRows(const TrainOptions& options);
GraphOptions GraphOptionsOf(const TrainOptions& options);
WindowOptions WindowOptionsOf(const TrainOptions& options);
AdamOptions AdamOptionsOf(const TrainOptions& options, Generation generation);
Schedule ScheduleOf(const TrainOptions& options);

}  // namespace tern::train
