#include "train/training_run.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/file.h"
#include "train/loss_chart.h"
#include "train/matrix_rate.h"
#include "train/run_log.h"
#include "train/run_report.h"

namespace tern::train {
namespace {

constexpr double kSmoothing = 0.98;     ///< of the loss, per step
constexpr double kRateSmoothing = 0.9;  ///< of the speed shown
constexpr double kSecondsBetweenDrawings = 15;

class Run {
 public:
  Run(Trainer& trainer, const RunSetup& setup)
      : trainer_(trainer),
        setup_(setup),
        options_(trainer.options()),
        first_(trainer.communicator().rank() == 0),
        record_(setup.record),
        reporter_(setup.report && first_) {}

  Result<RunResult> Go() {
    if (first_) {
      TERN_ASSIGN_OR_RETURN(log_, RunLog::Open(setup_.folder + "/log.jsonl", record_.step, &chart_));
    }
    while (trainer_.step() < options_.steps) {
      TERN_ASSIGN_OR_RETURN(const bool stop, Agree(setup_.stop && setup_.stop()));
      if (stop) break;
      TERN_RETURN_IF_ERROR(OneStep());
      TERN_RETURN_IF_ERROR(AfterStep());
    }
    return Finish();
  }

 private:
  static bool Due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

  /// What any process wants, all do.
  Result<bool> Agree(bool wish) {
    double wishes[1] = {wish ? 1.0 : 0.0};
    TERN_RETURN_IF_ERROR(trainer_.communicator().Sum(wishes));
    return wishes[0] > 0;
  }

  Status OneStep() {
    TERN_ASSIGN_OR_RETURN(const StepReport report, trainer_.Step());
    record_.step = report.step;
    record_.seconds += report.seconds;
    seconds_ += report.seconds;
    targets_ += report.targets;
    if (report.trouble.empty()) {
      record_.tokens += report.targets;
      record_.smoothed_loss = kSmoothing * record_.smoothed_loss + (1 - kSmoothing) * report.loss;
      record_.smoothing_weight = kSmoothing * record_.smoothing_weight + (1 - kSmoothing);
    } else {
      ++record_.skipped;
      reporter_.Say(fmt::format("step {} left out: {} holds NaN or infinity", report.step, report.trouble));
    }
    if (first_) Report(report);
    return OkStatus();
  }

  double Smoothed() const {
    return record_.smoothing_weight > 0 ? record_.smoothed_loss / record_.smoothing_weight : 0;
  }

  void Report(const StepReport& report) {
    const double rate = static_cast<double>(report.targets) / report.seconds;
    rate_weight_ = kRateSmoothing * rate_weight_ + (1 - kRateSmoothing);
    rate_ = kRateSmoothing * rate_ + (1 - kRateSmoothing) * rate;
    const double shown_rate = rate_ / rate_weight_, per_step = seconds_ / static_cast<double>(++steps_);
    if (Due(report.step, options_.log_every) || report.step == options_.steps || !report.trouble.empty()) {
      nlohmann::ordered_json line = {{"step", report.step}};
      if (report.trouble.empty()) {
        line.update(
            {{"loss", report.loss}, {"smoothed_loss", Smoothed()}, {"gradient_norm", report.gradient_norm}});
      } else {
        line["skipped"] = report.trouble;
      }
      line.update({{"learning_rate", report.learning_rate},
                   {"tokens_per_second", rate},
                   {"seconds", record_.seconds},
                   {"epoch", trainer_.windows().Epoch(report.step)}});
      Log(line);
    }
    if (report.trouble.empty()) chart_.AddTraining(report.step, Smoothed());
    RunProgress progress{report.step,
                         options_.steps,
                         report.loss,
                         Smoothed(),
                         shown_rate,
                         0,
                         report.learning_rate,
                         report.gradient_norm,
                         per_step * static_cast<double>(options_.steps - report.step)};
    if (setup_.peak_rate > 0)
      progress.share_of_peak = StepFlop(trainer_.layout(), 1) * shown_rate / setup_.peak_rate;
    reporter_.Step(progress);
  }

  /// A log that cannot be written does not end the run.
  void Log(const nlohmann::json& line) {
    const Status status = log_->Append(line);
    if (!status.ok() && !log_failed_) reporter_.Say("warning: " + status.message());
    log_failed_ = !status.ok();
  }

  Status AfterStep() {
    const int64_t step = trainer_.step();
    const bool last = step == options_.steps;
    if (setup_.validation != nullptr && (Due(step, options_.eval_every) || last))
      TERN_RETURN_IF_ERROR(Evaluate());
    if (Due(step, options_.save_every) && !last) {
      if (const Status saved = Save(); !saved.ok()) {
        reporter_.Say("warning: no checkpoint now, the run goes on: " + saved.message());
      }
    }
    if (first_ && setup_.sample && (Due(step, options_.sample_every) || (last && options_.sample_every > 0)))
      Sample();
    if (SecondsSince(drawn_) > kSecondsBetweenDrawings) Draw();
    return OkStatus();
  }

  Status Evaluate() {
    const auto start = Clock::now();
    // Several processes must leave together: they finish it first.
    const bool alone = trainer_.communicator().size() == 1;
    const auto evaluated =
        trainer_.Evaluate(*setup_.validation, alone ? setup_.stop : std::function<bool()>());
    if (!evaluated.ok() && evaluated.status().code() == StatusCode::kCancelled) return OkStatus();
    TERN_RETURN_IF_ERROR(evaluated.status());
    const LossSum loss = *evaluated;
    validation_ = loss.sum / static_cast<double>(loss.count);
    const bool best = validation_ < record_.best_loss;
    if (best) {
      record_.best_loss = validation_;
      record_.best_step = record_.step;
    }
    if (!first_) return OkStatus();
    const double seconds = SecondsSince(start);
    Log({{"step", record_.step},
         {"validation_loss", validation_},
         {"validation_tokens", loss.count},
         {"validation_seconds", seconds}});
    chart_.AddValidation(record_.step, validation_);
    std::string bits;
    if (setup_.validation->bytes() > 0 && loss.count + 1 >= setup_.validation->tokens()) {
      bits = fmt::format(", {:.4f} bits/byte",
                         loss.sum / std::log(2.0) / static_cast<double>(setup_.validation->bytes()));
    }
    reporter_.Say(fmt::format("step {}: validation loss {:.4f} nats/token{}{} ({} tokens, {:.1f} s)",
                              record_.step, validation_, bits, best ? ", the best so far" : "", loss.count,
                              seconds));
    if (best) {
      if (const Status saved = SaveWeights(setup_.folder + "/best.safetensors", trainer_, record_);
          !saved.ok()) {
        reporter_.Say("warning: the best weights are not saved: " + saved.message());
      }
    }
    Draw();
    return OkStatus();
  }

  /// All processes call it.
  Status Save() {
    Status saved = SaveRun(setup_.folder, trainer_, record_);
    if (saved.code() == StatusCode::kExhausted) {
      TERN_ASSIGN_OR_RETURN(const bool again, Agree(first_ && MakeRoom()));
      if (again) saved = SaveRun(setup_.folder, trainer_, record_);
    }
    TERN_RETURN_IF_ERROR(saved);
    if (first_) PruneRuns(setup_.folder, options_.keep, record_.step);
    saved_step_ = record_.step;
    return OkStatus();
  }

  /// Removes all checkpoints but the newest whole one. False when there is nothing to remove.
  bool MakeRoom() {
    if (options_.keep == 0) return false;  // all were asked for
    const int64_t removed = RemoveOlderRuns(setup_.folder, record_.step);
    if (removed > 0) reporter_.Say(fmt::format("the disk is full: older checkpoints removed: {}", removed));
    return removed > 0;
  }

  /// The first process calls it.
  Status SaveModel() {
    Status saved = setup_.save_model(trainer_, record_);
    if (saved.code() == StatusCode::kExhausted && MakeRoom()) saved = setup_.save_model(trainer_, record_);
    if (saved.ok()) return saved;
    const int64_t newest = NewestStep(setup_.folder);
    const std::string left = newest < 0 ? "there is no checkpoint either"
                                        : fmt::format("--resume goes on from step {} once there is room", newest);
    return saved.WithContext(fmt::format("the model of step {} is not written ({})", record_.step, left));
  }

  void Sample() {
    const auto text = setup_.sample(trainer_);
    if (!text.ok()) {
      reporter_.Say("warning: no sample: " + text.status().message());
      return;
    }
    const std::string block = fmt::format("--- step {}\n{}\n", record_.step, *text);
    reporter_.Say(block);
    std::ofstream(setup_.folder + "/samples.txt", std::ios::app) << block << "\n";
  }

  void Draw() {
    drawn_ = Clock::now();
    if (!first_) return;
    const ModelShape& shape = trainer_.layout().shape();
    const std::string title = fmt::format("{}, {} × {}, {} symbols", Name(shape.generation), shape.layers,
                                          shape.width, shape.vocab);
    if (const Status drawn =
            WriteStringToFile(setup_.folder + "/loss.svg", chart_.Svg(title, options_.steps));
        !drawn.ok()) {
      reporter_.Say("warning: " + drawn.message());
    }
  }

  Result<RunResult> Finish() {
    RunResult result;
    result.stopped = trainer_.step() < options_.steps;
    const bool model = !result.stopped && setup_.save_model;
    if (first_ && model) TERN_RETURN_IF_ERROR(SaveModel());
    if (saved_step_ != record_.step) {
      const Status saved = Save();
      result.saved = saved.ok();
      if (!saved.ok() && !model) return saved;
      if (!saved.ok()) {
        reporter_.Say(
            "warning: the model is written, but the last checkpoint is not: " + saved.message() +
            "; --resume goes on from an earlier one, where there is one");
      }
    }
    Draw();
    result.record = record_;
    result.validation_loss = validation_;
    result.tokens_per_second = seconds_ > 0 ? static_cast<double>(targets_) / seconds_ : 0;
    return result;
  }

  Trainer& trainer_;
  const RunSetup& setup_;
  const TrainOptions& options_;
  const bool first_;
  RunRecord record_;
  RunReporter reporter_;
  LossChart chart_;
  std::unique_ptr<RunLog> log_;
  bool log_failed_ = false;
  int64_t saved_step_ = -1, targets_ = 0, steps_ = 0;
  double seconds_ = 0, rate_ = 0, rate_weight_ = 0, validation_ = 0;
  Clock::time_point drawn_ = Clock::now();
};

}  // namespace

Result<RunResult> RunTraining(Trainer& trainer, const RunSetup& setup) { return Run(trainer, setup).Go(); }

}  // namespace tern::train
