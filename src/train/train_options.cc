#include "train/train_options.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "text/utf8.h"

namespace tern::train {
namespace {

Status AtLeast(const char* name, int64_t value, int64_t least) {
  if (value >= least) return OkStatus();
  return InvalidArgument(fmt::format("--{} {}: expected {} or more", name, value, least));
}

/// Within [low, high]; NaN is not.
Status Between(const char* name, double value, double low, double high) {
  if (value >= low && value <= high) return OkStatus();
  return InvalidArgument(fmt::format("--{} {}: expected {} to {}", name, value, low, high));
}

Status OneOf(const char* name, const std::string& value, std::initializer_list<const char*> names) {
  std::string list;
  for (const char* each : names) {
    if (value == each) return OkStatus();
    list += fmt::format("{}{}", list.empty() ? "" : ", ", each);
  }
  return InvalidArgument(fmt::format("--{} {}: expected one of {}", name, value, list));
}

Status ValidateCounts(const TrainOptions& o) {
  TERN_RETURN_IF_ERROR(AtLeast("context", o.context, 1));
  TERN_RETURN_IF_ERROR(AtLeast("batch", o.batch, 1));
  constexpr int64_t kMostTokens = int64_t{1} << 30;  // of a step
  if (o.context > kMostTokens || o.batch > kMostTokens / o.context) {
    return InvalidArgument(fmt::format("--batch {} × --context {}: more than {} tokens a step", o.batch, o.context,
                                       kMostTokens));
  }
  TERN_RETURN_IF_ERROR(AtLeast("micro-batch", o.micro_batch, 0));
  TERN_RETURN_IF_ERROR(AtLeast("steps", o.steps, 0));
  TERN_RETURN_IF_ERROR(AtLeast("warmup", o.warmup, 0));
  TERN_RETURN_IF_ERROR(AtLeast("eval-every", o.eval_every, 0));
  TERN_RETURN_IF_ERROR(AtLeast("eval-tokens", o.eval_tokens, 0));
  TERN_RETURN_IF_ERROR(AtLeast("save-every", o.save_every, 0));
  TERN_RETURN_IF_ERROR(AtLeast("log-every", o.log_every, 1));
  TERN_RETURN_IF_ERROR(AtLeast("keep", o.keep, 0));
  TERN_RETURN_IF_ERROR(AtLeast("sample-every", o.sample_every, 0));
  return AtLeast("sample-tokens", o.sample_tokens, 1);
}

/// Checkpoints keep the options as JSON, which has no other texts than UTF-8.
Status ValidateTexts(const TrainOptions& o) {
  Status status;
  const auto check = [&](const char* name, const std::string& text) {
    if (!IsUtf8(text)) status = InvalidArgument(fmt::format("--{}: '{}' is no valid UTF-8", name, text));
  };
  VisitOptions(o, [&](const char* name, const auto& field, OnResume) {
    using Field = std::remove_cvref_t<decltype(field)>;
    if constexpr (std::is_same_v<Field, std::string>) check(name, field);
    if constexpr (std::is_same_v<Field, std::vector<std::string>>) {
      for (const std::string& each : field) check(name, each);
    }
  });
  return status;
}

template <typename T>
constexpr bool kIsNumber = std::is_arithmetic_v<T> && !std::is_same_v<T, bool>;

}  // namespace

Status Validate(const TrainOptions& o) {
  TERN_RETURN_IF_ERROR(ValidateCounts(o));
  TERN_RETURN_IF_ERROR(ValidateTexts(o));
  constexpr double kLargestRate = 10, kLargest = 1e6;
  TERN_RETURN_IF_ERROR(Between("lr", o.lr, 0, kLargestRate));
  TERN_RETURN_IF_ERROR(Between("lr-final", o.lr_final, 0, kLargestRate));
  TERN_RETURN_IF_ERROR(Between("decay-fraction", o.decay_fraction, 0, 1));
  TERN_RETURN_IF_ERROR(Between("weight-decay", o.weight_decay, 0, kLargest));
  TERN_RETURN_IF_ERROR(Between("beta1", o.beta1, 0, 0.999999));
  TERN_RETURN_IF_ERROR(Between("beta2", o.beta2, 0, 0.999999));
  TERN_RETURN_IF_ERROR(Between("eps", o.eps, 0, 1));
  TERN_RETURN_IF_ERROR(Between("clip", o.clip, 0, kLargest));
  TERN_RETURN_IF_ERROR(Between("dropout", o.dropout, 0, 0.99));
  TERN_RETURN_IF_ERROR(Between("l2wrap", o.l2wrap, 0, kLargest));
  TERN_RETURN_IF_ERROR(OneOf("order", o.order, {"shuffled", "streams"}));
  TERN_RETURN_IF_ERROR(OneOf("precision", o.precision, {"bf16", "f32"}));
  TERN_ASSIGN_OR_RETURN(const auto shape, ParseSchedule(o.schedule));
  if (shape == Schedule::Shape::kExponential && (o.lr <= 0 || o.lr_final <= 0)) {
    return InvalidArgument("--schedule exponential: --lr and --lr-final must be above 0");
  }
  return OkStatus();
}

nlohmann::json ToJson(const TrainOptions& options) {
  nlohmann::json json = nlohmann::json::object();
  VisitOptions(options, [&](const char* name, const auto& field, OnResume) { json[name] = field; });
  return json;
}

Status FromJson(const nlohmann::json& json, TrainOptions* options) {
  if (!json.is_object()) return Corrupt("the options are no JSON object");
  Status status;
  VisitOptions(*options, [&](const char* name, auto& field, OnResume) {
    using Field = std::remove_reference_t<decltype(field)>;
    const auto at = json.find(name);
    if (at == json.end() || !status.ok()) return;
    bool fits = false;
    if constexpr (std::is_same_v<Field, bool>) {
      fits = at->is_boolean();
    } else if constexpr (std::is_floating_point_v<Field>) {
      fits = at->is_number();
    } else if constexpr (kIsNumber<Field>) {
      const bool fits_signed =
          at->is_number_integer() && (!at->is_number_unsigned() || at->template get<uint64_t>() >> 63 == 0);
      fits = std::is_signed_v<Field> ? fits_signed : at->is_number_unsigned();
    } else if constexpr (std::is_same_v<Field, std::string>) {
      fits = at->is_string();
    } else {
      fits = at->is_array();
      if (fits) {
        for (const auto& item : *at) fits = fits && item.is_string();
      }
    }
    if (fits) {
      at->get_to(field);
    } else {
      status = Corrupt(fmt::format("option {} is {}", name, at->dump()));
    }
  });
  return status;
}

OptionChanges Compare(const TrainOptions& saved, const TrainOptions& now) {
  OptionChanges changes;
  const nlohmann::json before = ToJson(saved), after = ToJson(now);
  VisitOptions(now, [&](const char* name, const auto&, OnResume rule) {
    if (before[name] == after[name]) return;
    const std::string line = fmt::format("--{} {} → {}", name, before[name].dump(), after[name].dump());
    (rule == OnResume::kSame ? changes.refused : changes.allowed).push_back(line);
  });
  return changes;
}

int64_t MicroRows(const TrainOptions& options) {
  return options.micro_batch == 0 ? options.batch : std::min(options.micro_batch, options.batch);
}

GraphOptions GraphOptionsOf(const TrainOptions& options) {
  GraphOptions graph;
  graph.precision = options.precision == "f32" ? Precision::kF32 : Precision::kBf16;
  graph.recompute = options.recompute;
  graph.dropout = options.dropout;
  graph.l2wrap = options.l2wrap;
  return graph;
}

WindowOptions WindowOptionsOf(const TrainOptions& options) {
  WindowOptions windows;
  windows.context = options.context;
  windows.rows = options.batch;
  windows.order = options.order == "streams" ? WindowOrder::kStreams : WindowOrder::kShuffled;
  windows.reset_at_documents = options.reset_at_documents;
  windows.seed = options.seed;
  return windows;
}

AdamOptions AdamOptionsOf(const TrainOptions& options, Generation generation) {
  AdamOptions adam = DefaultAdam(generation);
  adam.beta1 = options.beta1;
  adam.beta2 = options.beta2;
  if (options.eps > 0) adam.eps = options.eps;
  adam.weight_decay = options.weight_decay;
  return adam;
}

Schedule ScheduleOf(const TrainOptions& options) {
  Schedule schedule;
  if (auto shape = ParseSchedule(options.schedule); shape.ok()) schedule.shape = *shape;
  schedule.initial = options.lr;
  schedule.final = options.lr_final;
  schedule.total = options.steps;
  schedule.warmup = options.warmup;
  schedule.decay_fraction = options.decay_fraction;
  return schedule;
}

}  // namespace tern::train
