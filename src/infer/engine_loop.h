// The engine's thread and what it works on.
#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "infer/engine_answer.h"
#include "infer/engine_meter.h"
#include "infer/engine_prompt.h"
#include "infer/engine_queue.h"

namespace tern {

/// docs/scheduler.md describes it.
class Engine::Loop {
 public:
  Loop(std::shared_ptr<const Model> model, std::shared_ptr<const Tokenizer> tokenizer,
       std::shared_ptr<StateCache> cache, const EngineOptions& options);
  ~Loop();

  // Any thread.
  Result<Ticket> Submit(std::shared_ptr<EngineTask> task);
  Result<std::vector<Ticket>> SubmitAll(EngineQueue::Tasks tasks);
  void Cancel(Ticket ticket);
  bool Drain(std::chrono::steady_clock::time_point deadline);
  EngineStats stats() const;
  const Model& model() const { return *model_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const EngineOptions& options() const { return options_; }

 private:
  /// A prompt whose next piece is in the pass.
  struct Piece {
    std::list<PromptReader>::iterator prompt;
    PromptReader::Rows rows;
  };
  /// An answer with what it goes on from.
  struct Step {
    AnswerWriter* answer;
    std::span<const float> logits;
  };

  // Everything below runs on the engine's thread.

  void Run();
  bool WaitForWork();
  void CarryOutCancels();
  bool CancelTask(Ticket ticket);
  void EndRefused();
  void EndAll(const Status& status);

  void Admit();
  std::shared_ptr<EngineTask> TakeNext();
  void Begin(std::shared_ptr<EngineTask> task);

  /// One pass over the batch, and what follows from it.
  Status Pass();
  void FollowAnother(PromptReader& prompt);
  void FreeFollowers();
  void ServeFollowers(const PromptReader& leader);
  void AddAnswers();
  void AddPieces();
  void HandOut();
  void TookPiece(std::list<PromptReader>::iterator prompt);
  void KeepIfDue(const PromptReader& prompt);
  void FinishPrompt(PromptReader& prompt);
  void FinishEmbedding(const PromptReader& prompt);
  void BeginAnswers(PromptReader& prompt);
  void StepAnswers();
  void Account(double seconds);
  void DeliverAnswers();
  void Deliver(AnswerWriter& answer);

  void EndChoices(const EngineTask& task, const AnswerEnd& end);
  void EndChoice(const EngineTask& task, AnswerEnd end);
  void Tell(const EngineTask& task, FunctionRef<void()> call);
  void Leave(const EngineTask& task, int places);

  const std::shared_ptr<const Model> model_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::shared_ptr<StateCache> cache_;
  const EngineOptions options_;
  const SharedTokens uncounted_;
  EngineMeter meter_;

  mutable std::mutex mutex_;
  std::condition_variable wake_, idle_;
  // Under the mutex:
  EngineQueue waiting_;
  EngineQueue::Tasks refused_;  ///< gave way to others; still to be told
  std::vector<Ticket> cancels_;
  Ticket last_ticket_ = 0;
  int places_taken_ = 0;     ///< of max_batch, by admitted requests: one for each choice
  bool busy_ = true;         ///< the thread is not waiting
  bool stopping_ = false;    ///< nothing more is taken
  bool cancel_all_ = false;  ///< the rest is cancelled
  bool quit_ = false;        ///< then the thread ends

  // The thread's own:
  std::list<PromptReader> reading_;   ///< the next to be served first
  std::list<PromptReader> finished_;  ///< by this pass: their logits are being used
  std::vector<std::unique_ptr<AnswerWriter>> writing_;
  std::map<std::string, int> places_by_owner_;
  std::vector<Ticket> deaf_;  ///< whose listeners threw
  Workspace workspace_;
  Batch batch_;
  std::vector<float> logits_, hidden_;
  // Of this pass:
  std::vector<int64_t> answer_rows_;  ///< of logits, of each in writing_
  std::vector<Piece> pieces_;
  std::vector<Step> steps_;
  int64_t prompt_tokens_ = 0;

  std::thread thread_;
};

}  // namespace tern
