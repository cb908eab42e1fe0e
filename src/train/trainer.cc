#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "base/clock.h"
#include "base/parallel.h"
#include "base/random.h"

namespace tern::train {
namespace {

/// Another seed for every step and row that a micro-batch begins with.
uint64_t DropoutSeed(uint64_t seed, int64_t step, int64_t row) {
  uint64_t z = seed;
  for (const int64_t word : {step, row}) z = Mix64(z + kGoldenStep * (static_cast<uint64_t>(word) + 1));
  return z;
}

template <typename T>
Status AllocateArray(int64_t n, const char* what, PageBuffer* buffer, std::span<T>* span) {
  *buffer = PageBuffer(static_cast<size_t>(n) * sizeof(T));
  if (buffer->data() == nullptr) {
    return Exhausted(
        fmt::format("no memory for {} ({:.1f} GB)", what, static_cast<double>(n) * sizeof(T) / 1e9));
  }
  *span = {reinterpret_cast<T*>(buffer->data()), static_cast<size_t>(n)};
  return OkStatus();
}

void Zero(std::span<float> values) {
  constexpr int64_t kGrain = 1 << 18;
  ParallelFor(static_cast<int64_t>(values.size()), kGrain, [&](int64_t begin, int64_t end) {
    std::memset(values.data() + begin, 0, static_cast<size_t>(end - begin) * sizeof(float));
  });
}

int64_t CountTargets(const std::vector<TrainBatch>& batches) {
  int64_t count = 0;
  for (const TrainBatch& batch : batches) {
    count +=
        std::count_if(batch.targets.begin(), batch.targets.end(), [](int32_t target) { return target >= 0; });
  }
  return count;
}

}  // namespace

Result<std::unique_ptr<Trainer>> Trainer::Create(const TrainOptions& options, const ModelShape& shape,
                                                 std::shared_ptr<const TokenData> data,
                                                 Communicator* communicator) {
  TERN_RETURN_IF_ERROR(Validate(options));
  if (data->largest_token() >= shape.vocab) {
    return InvalidArgument(fmt::format("the data hold token {}, but the model's vocabulary has only {}",
                                       data->largest_token(), shape.vocab));
  }
  if (options.batch < communicator->size()) {
    return InvalidArgument(
        fmt::format("--batch {}: {} processes need a row each", options.batch, communicator->size()));
  }
  std::unique_ptr<Trainer> trainer(new Trainer());
  trainer->options_ = options;
  trainer->communicator_ = communicator;
  trainer->schedule_ = ScheduleOf(options);
  trainer->rows_ = Communicator::Rows(options.batch, communicator->rank(), communicator->size());
  TERN_ASSIGN_OR_RETURN(trainer->windows_, Windows::Create(std::move(data), WindowOptionsOf(options)));
  trainer->graph_ = std::make_unique<Graph<float>>(shape, GraphOptionsOf(options));
  try {
    TERN_RETURN_IF_ERROR(trainer->Allocate());
  } catch (const std::bad_alloc&) {
    return Exhausted("no memory for the optimizer's moments");
  }
  TERN_RETURN_IF_ERROR(trainer->SetParameters([&](std::span<float> parameters) {
    Initialise(trainer->layout(), options.seed, parameters);
    return OkStatus();
  }));
  return trainer;
}

Status Trainer::Allocate() {
  const int64_t total = layout().total();
  TERN_RETURN_IF_ERROR(AllocateArray(total, "the parameters", &parameters_, &parameters_span_));
  TERN_RETURN_IF_ERROR(AllocateArray(total, "the gradients", &gradients_, &gradients_span_));
  if (graph_->options().precision == Precision::kBf16) {
    TERN_RETURN_IF_ERROR(AllocateArray(total, "the parameters in bf16", &bf16_, &bf16_span_));
  }
  const OwnedRange owned = communicator_->Owned(total);
  optimizer_.emplace(layout(), AdamOptionsOf(options_, layout().shape().generation), owned.begin, owned.end);
  if (options_.order == "streams") {
    states_.emplace(layout().shape(), rows_.size());
    for (int64_t row = 0; row < rows_.size(); ++row) states_->Reset(row);
  }
  return OkStatus();
}

Status Trainer::SetParameters(const std::function<Status(std::span<float>)>& write) {
  TERN_RETURN_IF_ERROR(write(parameters_span_));
  TERN_RETURN_IF_ERROR(communicator_->Broadcast(parameters_span_, 0));
  if (!bf16_span_.empty()) RoundParameters(layout(), parameters_span_, bf16_span_);
  return OkStatus();
}

void Trainer::SetStep(int64_t step) {
  step_ = step;
  bad_in_a_row_ = 0;
}

std::vector<TrainBatch> Trainer::FetchBatches() const {
  const int64_t micro = MicroRows(options_);
  std::vector<TrainBatch> batches;
  for (int64_t row = rows_.begin; row < rows_.end; row += micro) {
    batches.push_back(windows_->Get(step_, row, std::min(row + micro, rows_.end)));
    for (Segment& segment : batches.back().segments) segment.stream += row - rows_.begin;
  }
  return batches;
}

GraphCall<float> Trainer::CallFor(const TrainBatch& batch, size_t micro) const {
  GraphCall<float> call;
  call.batch = &batch;
  call.parameters = parameters_span_;
  call.parameters_bf16 = bf16_span_.empty() ? nullptr : bf16_span_.data();
  call.dropout_seed =
      DropoutSeed(options_.seed, step_, rows_.begin + static_cast<int64_t>(micro) * MicroRows(options_));
  return call;
}

Status Trainer::Accumulate(const std::vector<TrainBatch>& batches, float loss_scale,
                           std::vector<double>* losses) {
  Zero(gradients_span_);
  Status reduced;
  for (size_t i = 0; i < batches.size(); ++i) {
    GraphCall<float> call = CallFor(batches[i], i);
    call.states = states();
    call.gradients = gradients_span_;
    call.loss_scale = loss_scale;
    if (i + 1 == batches.size()) {
      call.on_layer_gradient = [&](int64_t layer) {
        const ParameterLayout::Range range = layout().LayerRange(layer);
        if (!reduced.ok() || range.begin >= range.end) return;
        reduced = communicator_->BeginSum(gradients_span_.subspan(
            static_cast<size_t>(range.begin), static_cast<size_t>(range.end - range.begin)));
      };
    }
    losses->push_back(static_cast<double>(graph_->Run(call)));
  }
  TERN_RETURN_IF_ERROR(reduced);
  return communicator_->FinishSums();
}

std::string Trainer::FindTrouble(const std::vector<TrainBatch>& batches, const std::vector<double>& losses,
                                 double norm) {
  RestoreStates();
  for (size_t i = 0; i < batches.size(); ++i) {
    if (std::isfinite(losses[i])) continue;
    GraphCall<float> call = CallFor(batches[i], i);
    call.states = states();
    const std::string where = graph_->FindNonFinite(call);
    RestoreStates();
    return where.empty() ? "the loss" : "the output of " + where;
  }
  if (std::isfinite(norm)) return "the loss of another process";
  const Parameter* parameter = FindNonFinite(layout(), gradients_span_);
  return parameter == nullptr ? "the gradient's norm, too large for a number"
                              : "the gradient of " + parameter->name;
}

Status Trainer::Update(double norm, double learning_rate) {
  const double scale = options_.clip > 0 && norm > options_.clip ? options_.clip / norm : 1.0;
  optimizer_->Step(parameters_span_, gradients_span_, learning_rate, scale);
  if (communicator_->size() > 1) {
    std::vector<OwnedRange> ranges;
    for (int rank = 0; rank < communicator_->size(); ++rank) {
      ranges.push_back(Communicator::Owned(layout().total(), rank, communicator_->size()));
    }
    TERN_RETURN_IF_ERROR(communicator_->AllGather(parameters_span_, ranges));
  }
  if (!bf16_span_.empty()) RoundParameters(layout(), parameters_span_, bf16_span_);
  return OkStatus();
}

void Trainer::KeepStates() {
  if (states_) states_before_.assign(states_->values().begin(), states_->values().end());
}

void Trainer::RestoreStates() {
  if (states_) std::copy(states_before_.begin(), states_before_.end(), states_->values().begin());
}

Result<StepReport> Trainer::Step() {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<TrainBatch> batches = FetchBatches();
  double targets[1] = {static_cast<double>(CountTargets(batches))};
  TERN_RETURN_IF_ERROR(communicator_->Sum(targets));
  if (targets[0] < 1) return InvalidArgument("a batch without any token to predict");
  KeepStates();
  std::vector<double> losses;
  const auto gradients_start = std::chrono::steady_clock::now();
  TERN_RETURN_IF_ERROR(Accumulate(batches, static_cast<float>(1 / targets[0]), &losses));
  const double gradient_seconds = SecondsSince(gradients_start);
  double loss[1] = {0};
  for (const double each : losses) loss[0] += each;
  TERN_RETURN_IF_ERROR(communicator_->Sum(loss));

  StepReport report;
  report.step = step_ + 1;
  report.loss = loss[0] / targets[0];
  report.targets = static_cast<int64_t>(targets[0]);
  report.gradient_norm = std::sqrt(SquaredNorm(gradients_span_));
  report.learning_rate = schedule_.Rate(step_);
  if (std::isfinite(report.loss) && std::isfinite(report.gradient_norm)) {
    TERN_RETURN_IF_ERROR(Update(report.gradient_norm, report.learning_rate));
    bad_in_a_row_ = 0;
  } else {
    report.trouble = FindTrouble(batches, losses, report.gradient_norm);
    const std::string message = fmt::format("step {}: {} holds NaN or infinity", report.step, report.trouble);
    if (!options_.skip_bad_steps) {
      return InvalidArgument(message + "; try a smaller --lr or --clip, or --skip-bad-steps");
    }
    if (++bad_in_a_row_ >= kMostBadSteps) {
      return InvalidArgument(fmt::format("{}; so it was for {} steps in a row", message, bad_in_a_row_));
    }
  }
  ++step_;
  report.gradient_seconds = gradient_seconds;
  report.seconds = SecondsSince(start);
  return report;
}

Result<LossSum> Trainer::Evaluate(const TokenData& data, const std::function<bool()>& stop) {
  EvaluationOptions evaluation;
  evaluation.context = options_.context;
  evaluation.rows = MicroRows(options_);
  evaluation.most_tokens = options_.eval_tokens;
  evaluation.carried = options_.eval_carried;
  GraphCall<float> weights;
  weights.parameters = parameters_span_;
  weights.parameters_bf16 = bf16_span_.empty() ? nullptr : bf16_span_.data();
  if (options_.dropout > 0 && evaluation_graph_ == nullptr) {
    GraphOptions plain = graph_->options();
    plain.dropout = 0;
    evaluation_graph_ = std::make_unique<Graph<float>>(layout().shape(), plain);
  }
  Graph<float>& graph = evaluation_graph_ == nullptr ? *graph_ : *evaluation_graph_;
  return EvaluateLoss(graph, weights, data, evaluation, *communicator_, stop);
}

}  // namespace tern::train
