#include "infer/engine_loop.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/parallel.h"

namespace tern {
namespace {

EngineOptions WithinBounds(EngineOptions options) {
  options.max_batch = std::max(1, options.max_batch);
  options.max_queue = std::max(0, options.max_queue);
  options.prompt_chunk = std::max<int64_t>(1, options.prompt_chunk);
  // Places are kept where pieces end.
  const int64_t chunks = (options.snapshot_every + options.prompt_chunk - 1) / options.prompt_chunk;
  options.snapshot_every = std::max<int64_t>(1, chunks) * options.prompt_chunk;
  return options;
}

bool AllFinite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

Status QueueIsFull() { return Unavailable("too many requests are waiting already"); }
Status Stopping() { return Unavailable("the engine is stopping"); }

}  // namespace

Engine::Loop::Loop(std::shared_ptr<const Model> model, std::shared_ptr<const Tokenizer> tokenizer,
                   std::shared_ptr<StateCache> cache, const EngineOptions& options)
    : model_(std::move(model)),
      tokenizer_(std::move(tokenizer)),
      cache_(std::move(cache)),
      options_(WithinBounds(options)),
      uncounted_(UncountedTokens(*tokenizer_)),
      thread_([this] { Run(); }) {}

Engine::Loop::~Loop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = cancel_all_ = quit_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

// --- any thread

Result<Engine::Ticket> Engine::Loop::Submit(std::shared_ptr<EngineTask> task) {
  EngineQueue::Tasks tasks;
  tasks.push_back(std::move(task));
  TERN_ASSIGN_OR_RETURN(const std::vector<Ticket> tickets, SubmitAll(std::move(tasks)));
  return tickets.front();
}

Result<std::vector<Engine::Ticket>> Engine::Loop::SubmitAll(EngineQueue::Tasks tasks) {
  std::vector<Ticket> tickets;
  if (tasks.empty()) return tickets;
  const auto count = static_cast<int64_t>(tasks.size());
  const EngineRequest& first = tasks.front()->request;
  bool full = false;
  size_t gave_way = 0;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return Stopping();
    // A queue of none still takes what the batch has room for.
    const bool room = waiting_.empty() && places_taken_ + first.choices <= options_.max_batch;
    full = !room && waiting_.size() >= static_cast<size_t>(options_.max_queue);
    if (full) {
      EngineQueue::Tasks others = waiting_.GiveWay(first.owner);
      gave_way = others.size();
      full = others.empty();
      refused_.insert(refused_.end(), others.begin(), others.end());
    }
    if (!full) {
      for (const auto& task : tasks) tickets.push_back(task->ticket = ++last_ticket_);
      waiting_.Push(std::move(tasks));
    }
  }
  meter_.Update([&](EngineStats& stats) {
    (full ? stats.refused : stats.requests) += count;
    stats.refused += static_cast<int64_t>(gave_way);
  });
  if (full) return QueueIsFull();
  wake_.notify_one();
  return tickets;
}

void Engine::Loop::Cancel(Ticket ticket) {
  {
    const std::lock_guard lock(mutex_);
    cancels_.push_back(ticket);
  }
  wake_.notify_one();
}

bool Engine::Loop::Drain(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  const auto idle = [this] { return waiting_.empty() && refused_.empty() && places_taken_ == 0 && !busy_; };
  if (idle_.wait_until(lock, deadline, idle)) return true;
  cancel_all_ = true;
  wake_.notify_one();
  idle_.wait(lock, idle);
  return false;
}

EngineStats Engine::Loop::stats() const {
  EngineStats stats = meter_.stats();
  const std::lock_guard lock(mutex_);
  stats.waiting = static_cast<int64_t>(waiting_.size());
  return stats;
}

// --- the thread

void Engine::Loop::Run() {
  while (WaitForWork()) {
    Status status;
    try {
      EndRefused();
      CarryOutCancels();
      Admit();
      status = Pass();
    } catch (const std::exception& error) {
      status = Exhausted(std::string("the engine's pass: ") + error.what());
    }
    // Nobody knows how far each of the batch came.
    if (!status.ok()) EndAll(status);
  }
  EndAll(Stopping());
}

/// False when the thread shall end.
bool Engine::Loop::WaitForWork() {
  std::unique_lock lock(mutex_);
  busy_ = false;
  if (places_taken_ == 0 && waiting_.empty()) idle_.notify_all();
  wake_.wait(lock, [this] {
    return quit_ || !cancels_.empty() || !waiting_.empty() || !refused_.empty() || places_taken_ > 0;
  });
  busy_ = true;
  if (!cancel_all_) return true;
  if (quit_) return false;
  lock.unlock();
  EndAll(Stopping());
  return true;
}

void Engine::Loop::CarryOutCancels() {
  std::vector<Ticket> tickets = std::exchange(deaf_, {});
  {
    const std::lock_guard lock(mutex_);
    tickets.insert(tickets.end(), cancels_.begin(), cancels_.end());
    cancels_.clear();
  }
  int64_t found = 0;
  for (const Ticket ticket : tickets) found += CancelTask(ticket) ? 1 : 0;
  if (found == 0) return;
  DeliverAnswers();
  meter_.Update([found](EngineStats& stats) { stats.cancelled += found; });
}

/// False for one that is not here (any longer).
bool Engine::Loop::CancelTask(Ticket ticket) {
  std::shared_ptr<EngineTask> task;
  {
    const std::lock_guard lock(mutex_);
    task = waiting_.Remove(ticket);
  }
  if (task) {
    EndChoices(*task, {.reason = StopReason::kCancelled});
    return true;
  }
  const auto prompt = std::find_if(reading_.begin(), reading_.end(),
                                   [ticket](const PromptReader& p) { return p.task()->ticket == ticket; });
  if (prompt != reading_.end()) {
    task = prompt->task();
    reading_.erase(prompt);
    EndChoices(*task, {.reason = StopReason::kCancelled});
    Leave(*task, task->request.choices);
    return true;
  }
  bool found = false;
  for (const auto& answer : writing_) {
    if (answer->task()->ticket == ticket && answer->Cancel()) found = true;
  }
  return found;
}

/// Who gave way to another owner hears what he would have heard had he come later.
void Engine::Loop::EndRefused() {
  EngineQueue::Tasks tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(refused_);
  }
  for (const auto& task : tasks) EndChoices(*task, {.status = QueueIsFull(), .refused = true});
}

/// Ends what is in the batch, and when all is to be cancelled what waits as well.
void Engine::Loop::EndAll(const Status& status) {
  const AnswerEnd end{.status = status, .reason = StopReason::kCancelled};
  EndRefused();
  for (;;) {
    std::shared_ptr<EngineTask> task;
    {
      const std::lock_guard lock(mutex_);
      if (cancel_all_) task = waiting_.PopFront();
    }
    if (!task) break;
    EndChoices(*task, end);
  }
  finished_.clear();
  while (!reading_.empty()) {
    const std::shared_ptr<EngineTask> task = reading_.front().task();
    reading_.pop_front();
    EndChoices(*task, end);
    Leave(*task, task->request.choices);
  }
  for (const auto& answer : writing_) {
    if (!answer->ended()) answer->Fail(status);
  }
  DeliverAnswers();
}

// --- from the queue into the batch

void Engine::Loop::Admit() {
  while (std::shared_ptr<EngineTask> task = TakeNext()) Begin(std::move(task));
}

/// Null when nobody waits or the batch has no room for the next.
std::shared_ptr<EngineTask> Engine::Loop::TakeNext() {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<EngineTask> task = waiting_.Next(places_by_owner_);
  if (!task || places_taken_ + task->request.choices > options_.max_batch) return nullptr;
  waiting_.Remove(task->ticket);
  places_taken_ += task->request.choices;
  places_by_owner_[task->request.owner] += task->request.choices;
  return task;
}

void Engine::Loop::Begin(std::shared_ptr<EngineTask> task) {
  const EngineRequest& request = task->request;
  std::shared_ptr<const KeptState> start = request.from;
  if (!start && cache_ && request.cache && !request.prompt_logprobs)
    start = cache_->Find(request.owner, task->text);
  const double waited = SecondsSince(task->submitted);
  meter_.Update([waited](EngineStats& stats) { stats.queue_seconds.Add(waited); });
  reading_.emplace_back(std::move(task), std::move(start), *model_, options_.prompt_chunk);
  FollowAnother(reading_.back());
}

/// A prompt that begins like one that is being read waits for that one's place instead of reading the same.
void Engine::Loop::FollowAnother(PromptReader& prompt) {
  if (prompt.task()->request.prompt_logprobs) return;
  const PromptReader* leader = nullptr;
  int64_t until = prompt.position();
  for (const PromptReader& other : reading_) {
    const int64_t common = &other == &prompt ? 0 : prompt.CommonWith(other);
    if (common <= until || common <= other.position()) continue;
    until = common;
    leader = &other;
  }
  if (leader != nullptr) prompt.Follow(*leader, until);
}

/// Those whose leader is no more (it was cancelled), or will not come to the place, read for themselves.
void Engine::Loop::FreeFollowers() {
  for (PromptReader& prompt : reading_) {
    if (!prompt.following()) continue;
    const auto leader = std::find_if(reading_.begin(), reading_.end(), [&](const PromptReader& other) {
      return other.task()->ticket == prompt.leader();
    });
    if (leader == reading_.end() || leader->position() >= prompt.follows_until())
      prompt.StopFollowing(nullptr);
  }
}

void Engine::Loop::ServeFollowers(const PromptReader& leader) {
  for (auto next = reading_.begin(); next != reading_.end();) {
    const auto prompt = next++;
    if (prompt->leader() != leader.task()->ticket || prompt->follows_until() != leader.position()) continue;
    prompt->StopFollowing(&leader);
    if (!prompt->done()) continue;
    FinishPrompt(*prompt);
    finished_.splice(finished_.end(), reading_, prompt);
  }
}

// --- a pass

Status Engine::Loop::Pass() {
  batch_.Clear();
  AddAnswers();
  AddPieces();
  const auto start = Clock::now();
  if (!batch_.tokens().empty()) TERN_RETURN_IF_ERROR(model_->Forward(batch_, workspace_, &logits_, &hidden_));
  HandOut();
  StepAnswers();
  finished_.clear();
  Account(SecondsSince(start));
  DeliverAnswers();
  return OkStatus();
}

void Engine::Loop::AddAnswers() {
  answer_rows_.clear();
  for (const auto& answer : writing_) answer_rows_.push_back(answer->AddTo(&batch_));
}

/// As many pieces as the pass has room for, the next in turn first: it always fits. A smaller one may
/// overtake a larger one, which then is nearer the front of the next pass.
void Engine::Loop::AddPieces() {
  FreeFollowers();
  pieces_.clear();
  prompt_tokens_ = 0;
  for (auto prompt = reading_.begin(); prompt != reading_.end(); ++prompt) {
    if (prompt->following()) continue;
    const auto size = static_cast<int64_t>(prompt->NextPiece().size());
    if (prompt_tokens_ + size > options_.prompt_chunk) continue;
    pieces_.push_back({prompt, size > 0 ? prompt->AddTo(&batch_) : PromptReader::Rows()});
    prompt_tokens_ += size;
  }
}

namespace {

/// Takes rows of `width` off the front.
std::span<const float> TakeRows(std::span<const float>* rest, int64_t rows, int64_t width) {
  const auto taken = rest->first(static_cast<size_t>(rows * width));
  *rest = rest->subspan(taken.size());
  return taken;
}

}  // namespace

/// What the pass gave, to those who asked for it, in the order of the batch.
void Engine::Loop::HandOut() {
  std::span<const float> logits, hidden;
  if (!batch_.tokens().empty()) logits = logits_, hidden = hidden_;
  const int64_t V = model_->config().vocab, C = model_->config().width;
  steps_.clear();
  for (size_t i = 0; i < writing_.size(); ++i)
    steps_.push_back({writing_[i].get(), TakeRows(&logits, answer_rows_[i], V)});
  for (const auto& [prompt, rows] : pieces_) {
    const std::span<const float> its_logits = TakeRows(&logits, rows.logits, V);
    prompt->Took(its_logits, TakeRows(&hidden, rows.hidden, C));
    TookPiece(prompt);
  }
}

void Engine::Loop::TookPiece(std::list<PromptReader>::iterator prompt) {
  KeepIfDue(*prompt);
  ServeFollowers(*prompt);
  const bool done = prompt->done();
  if (done) FinishPrompt(*prompt);
  std::list<PromptReader>& next = done ? finished_ : reading_;
  next.splice(next.end(), reading_, prompt);
}

void Engine::Loop::KeepIfDue(const PromptReader& prompt) {
  const EngineTask& task = *prompt.task();
  const bool read_any = prompt.position() > prompt.cached();
  const auto end = static_cast<int64_t>(task.text.size());
  const bool last_border = task.request.keep_before_end &&
                           prompt.position() == (end - 1) / options_.prompt_chunk * options_.prompt_chunk;
  const bool due = prompt.done() || last_border || prompt.position() % options_.snapshot_every == 0;
  if (!cache_ || !task.request.cache || task.embeds() || !read_any || !due) return;
  if (prompt.done() && !AllFinite(prompt.last_logits())) return;  // nobody shall go on from there
  cache_->Keep(task.request.owner, prompt.Place());
}

void Engine::Loop::FinishPrompt(PromptReader& prompt) {
  const EngineTask& task = *prompt.task();
  const int64_t cached = prompt.cached();
  meter_.Update([cached](EngineStats& stats) { stats.cached_tokens += cached; });
  if (task.embeds()) return FinishEmbedding(prompt);
  Tell(task, [&] {
    task.listener->OnPrompt(
        {.tokens = prompt.position(), .cached = cached, .logprobs = prompt.TakeReports()});
  });
  BeginAnswers(prompt);
}

void Engine::Loop::FinishEmbedding(const PromptReader& prompt) {
  const EngineTask& task = *prompt.task();
  Result<std::vector<float>> vector = prompt.Embedding();
  if (vector.ok()) {
    Tell(task, [&] { task.embedded({.vector = std::move(*vector), .tokens = task.pooled}); });
  } else {
    EndChoice(task, {.status = vector.status()});
  }
  Leave(task, 1);
}

void Engine::Loop::BeginAnswers(PromptReader& prompt) {
  const std::shared_ptr<EngineTask>& task = prompt.task();
  for (int choice = 0; choice < task->request.choices; ++choice) {
    const bool last = choice + 1 == task->request.choices;
    auto answer =
        AnswerWriter::Make(task, choice, last ? prompt.TakeState() : prompt.state(), *tokenizer_, uncounted_);
    if (!answer.ok()) {
      EndChoice(*task, {.choice = choice, .status = answer.status()});
      Leave(*task, 1);
      continue;
    }
    steps_.push_back({answer->get(), prompt.last_logits()});
    writing_.push_back(std::move(*answer));
  }
}

/// Each has a sampler of its own: what they choose does not depend on who chooses first.
void Engine::Loop::StepAnswers() {
  ParallelFor(static_cast<int64_t>(steps_.size()), 1, [this](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Step& step = steps_[static_cast<size_t>(i)];
      step.answer->Step(step.logits);
    }
  });
}

void Engine::Loop::Account(double seconds) {
  const bool passed = !batch_.tokens().empty();
  meter_.Update([&](EngineStats& stats) {
    stats.reading = static_cast<int64_t>(reading_.size());
    stats.writing = static_cast<int64_t>(writing_.size());
    stats.prompt_tokens += prompt_tokens_;
    stats.steps += passed ? 1 : 0;
    stats.busy_seconds += seconds;
    if (!answer_rows_.empty()) stats.batch.Add(static_cast<double>(answer_rows_.size()));
    const auto now = Clock::now();
    for (const Step& step : steps_) {
      if (!step.answer->chose()) continue;
      ++stats.generated_tokens;
      const double since = std::chrono::duration<double>(now - step.answer->NoteToken(now)).count();
      (step.answer->generated() == 1 ? stats.first_token_seconds : stats.token_seconds).Add(since);
    }
  });
}

// --- to the listeners

void Engine::Loop::DeliverAnswers() {
  for (const auto& answer : writing_) Deliver(*answer);
  std::erase_if(writing_, [](const auto& answer) { return answer->ended(); });
  if (!reading_.empty() || !writing_.empty()) return;
  meter_.Update([](EngineStats& stats) { stats.reading = stats.writing = 0; });
}

void Engine::Loop::Deliver(AnswerWriter& answer) {
  const EngineTask& task = *answer.task();
  if (std::optional<AnswerPiece> piece = answer.TakePiece()) {
    Tell(task, [&] { task.listener->OnPiece(std::move(*piece)); });
  }
  if (!answer.ended()) return;
  AnswerEnd end = answer.TakeEnd();
  if (end.state && cache_ && task.request.cache) cache_->Keep(task.request.owner, end.state);
  if (!task.request.keep_states) end.state = nullptr;
  EndChoice(task, std::move(end));
  Leave(task, 1);
}

void Engine::Loop::EndChoices(const EngineTask& task, const AnswerEnd& end) {
  for (int choice = 0; choice < task.request.choices; ++choice) {
    AnswerEnd each = end;
    each.choice = choice;
    EndChoice(task, std::move(each));
  }
}

void Engine::Loop::EndChoice(const EngineTask& task, AnswerEnd end) {
  if (!end.status.ok() && !end.refused) meter_.Update([](EngineStats& stats) { ++stats.failed; });
  Tell(task, [&] {
    if (!task.embeds()) return task.listener->OnEnd(std::move(end));
    task.embedded({.status = end.status.ok() ? Cancelled("the embedding was cancelled") : end.status,
                   .refused = end.refused});
  });
}

/// A listener's mistakes are its own request's only.
void Engine::Loop::Tell(const EngineTask& task, FunctionRef<void()> call) {
  try {
    call();
  } catch (const std::exception& error) {
    LogWarning("a request's listener failed: {}", error.what());
    deaf_.push_back(task.ticket);
  } catch (...) {
    LogWarning("a request's listener failed");
    deaf_.push_back(task.ticket);
  }
}

/// Places of the batch become free.
void Engine::Loop::Leave(const EngineTask& task, int places) {
  const auto owner = places_by_owner_.find(task.request.owner);
  if ((owner->second -= places) == 0) places_by_owner_.erase(owner);
  const std::lock_guard lock(mutex_);
  places_taken_ -= places;
}

}  // namespace tern
