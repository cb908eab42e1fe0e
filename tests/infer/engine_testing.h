// What the tests of the engine share: a listener that writes everything down, and a cache in memory.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "infer/engine.h"

namespace tern::testing {

/// What one choice became.
struct Answered {
  std::string text;
  std::vector<TokenReport> tokens;
  std::vector<std::string> pieces;
  std::optional<AnswerEnd> end;
};

/// Hears of one request; Wait gives what it heard. Fails the test when the order of the calls is not as
/// promised.
class Recorder : public EngineListener {
 public:
  explicit Recorder(int choices = 1) : answers_(static_cast<size_t>(choices)) {}

  std::function<void()> on_prompt, on_piece, on_end;  ///< called on the engine's thread, after noting

  void OnPrompt(PromptRead read) override {
    {
      const std::lock_guard lock(mutex_);
      EXPECT_FALSE(prompt_) << "a second OnPrompt";
      EXPECT_EQ(ended_, 0);
      prompt_ = std::move(read);
    }
    if (on_prompt) on_prompt();
  }
  void OnPiece(AnswerPiece piece) override {
    {
      const std::lock_guard lock(mutex_);
      EXPECT_TRUE(prompt_) << "OnPiece before OnPrompt";
      Answered& answer = answers_.at(static_cast<size_t>(piece.choice));
      EXPECT_FALSE(answer.end) << "OnPiece after OnEnd";
      answer.text += piece.text;
      answer.pieces.push_back(std::move(piece.text));
      answer.tokens.insert(answer.tokens.end(), piece.tokens.begin(), piece.tokens.end());
      ++pieces_;
    }
    if (on_piece) on_piece();
  }
  void OnEnd(AnswerEnd end) override {
    {
      const std::lock_guard lock(mutex_);
      Answered& answer = answers_.at(static_cast<size_t>(end.choice));
      EXPECT_FALSE(answer.end) << "a second OnEnd";
      answer.end = std::move(end);
      ++ended_;
    }
    changed_.notify_all();
    if (on_end) on_end();
  }

  /// Until all choices have ended.
  const std::vector<Answered>& Wait() {
    std::unique_lock lock(mutex_);
    const bool all =
        changed_.wait_for(lock, std::chrono::seconds(120), [this] { return ended_ == answers_.size(); });
    EXPECT_TRUE(all) << "not answered within two minutes";
    return answers_;
  }
  /// Waits for the only choice, which is to end well.
  const Answered& WaitOk() {
    const Answered& answer = Wait().front();
    EXPECT_TRUE(answer.end && answer.end->status.ok()) << (answer.end ? answer.end->status.message() : "");
    return answer;
  }
  bool ended() const {
    const std::lock_guard lock(mutex_);
    return ended_ == answers_.size();
  }
  int pieces() const {
    const std::lock_guard lock(mutex_);
    return pieces_;
  }
  std::optional<PromptRead> prompt() const {
    const std::lock_guard lock(mutex_);
    return prompt_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<PromptRead> prompt_;
  std::vector<Answered> answers_;
  size_t ended_ = 0;
  int pieces_ = 0;
};

/// Keeps everything, in memory; nothing has a name.
class ListCache : public StateCache {
 public:
  std::shared_ptr<const KeptState> Find(std::string_view owner, std::span<const int32_t> tokens) override {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const KeptState> best;
    for (const auto& [whose, state] : kept_) {
      const auto& begin = state->tokens;
      if (whose != owner || begin.size() > tokens.size()) continue;
      if (begin.size() == tokens.size() && state->logits.empty()) continue;
      if (!std::equal(begin.begin(), begin.end(), tokens.begin())) continue;
      if (!best || begin.size() > best->tokens.size()) best = state;
    }
    return best;
  }
  void Keep(std::string_view owner, std::shared_ptr<const KeptState> state) override {
    const std::lock_guard lock(mutex_);
    kept_.emplace_back(owner, std::move(state));
  }
  /// Lengths of what was kept, in order.
  std::vector<size_t> Kept() const {
    const std::lock_guard lock(mutex_);
    std::vector<size_t> lengths;
    for (const auto& [owner, state] : kept_) lengths.push_back(state->tokens.size());
    return lengths;
  }

  Result<StateInfo> Save(std::string_view, std::shared_ptr<const KeptState>, std::string,
                         std::string) override {
    return Unsupported("no names");
  }
  Result<StateInfo> SaveEvictable(std::string_view, std::shared_ptr<const KeptState>, std::string,
                                  std::string) override {
    return Unsupported("no names");
  }
  Result<StateInfo> Replace(std::string_view, std::string_view, std::shared_ptr<const KeptState>, std::string,
                            std::string) override {
    return Unsupported("no names");
  }
  std::vector<StateInfo> List(std::string_view) override { return {}; }
  std::vector<StateInfo> ListAll() override { return {}; }
  Result<StateInfo> Info(std::string_view, std::string_view) override { return NotFound("no names"); }
  Result<std::shared_ptr<const KeptState>> Fetch(std::string_view, std::string_view) override {
    return NotFound("no names");
  }
  Status Delete(std::string_view, std::string_view) override { return NotFound("no names"); }
  Status Flush() override { return OkStatus(); }
  void GiveUpMemory() override {}
  StateCacheStats stats() const override { return {}; }

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, std::shared_ptr<const KeptState>>> kept_;
};

}  // namespace tern::testing
