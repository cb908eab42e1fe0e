// A conversation with a model: turns written by a template, an answer that can be tried again, a place on disk.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/generator.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tern {

struct Turn {
  std::string user;
  std::string answer;  ///< as generated, thinking included (text/chat_template.h: SplitAnswer)
};

/// Not thread-safe. Several conversations may share a model and a tokenizer.
class Conversation {
 public:
  Conversation(std::shared_ptr<const Model> model, std::shared_ptr<const Tokenizer> tokenizer, ChatTemplate chat,
               SamplingOptions sampling, std::string system = {});

  /// Reads a user's turn and writes the answer, streamed. When `on_text` stops it, what was said so far stays the
  /// answer. When reading is stopped or fails, the conversation is as before.
  Result<GenerateResult> Say(std::string_view user, int64_t max_tokens, const FeedProgress& progress, OnText on_text);
  /// Throws the last answer away and writes another one. InvalidArgument when there is none, or none that was
  /// given since Load. On an error the old one stays.
  Result<GenerateResult> Retry(int64_t max_tokens, OnText on_text);
  /// Takes the last turn back, question and answer; as far back as kKeptTurns and Load. InvalidArgument when
  /// there is none.
  Status Undo();
  /// Begins anew from a saved or tuned state, before the system text; Reset goes back there.
  Status StartFrom(const std::string& path);
  /// Back to the beginning.
  void Reset();

  /// The whole place, sampler included: loaded again it goes on bit for bit.
  Status Save(const std::string& path) const;
  /// Fails, changing nothing, when the file is not a saved conversation of this model.
  Status Load(const std::string& path);

  const std::vector<Turn>& turns() const { return turns_; }
  const ChatTemplate& chat() const { return chat_; }
  const std::string& system() const { return system_; }
  const SamplingOptions& sampling() const { return sampler_.options(); }
  /// New options from the next token on; the random numbers begin anew at options.seed, after Undo as well.
  Status SetSampling(const SamplingOptions& options);
  const Session& session() const { return session_; }

  static constexpr size_t kKeptTurns = 8;

 private:
  /// The way back over a turn. The sampling options are not part of it: they are the person's latest.
  struct Kept {
    Snapshot before_user;    ///< for Undo
    Sampler::Place sampler;  ///< the same
    Snapshot before_answer;  ///< for Retry
  };

  /// Why there is no way back; `none` says it where there is no turn at all.
  Status NoWayBack(std::string none) const;
  void GoBack(const Kept& kept);
  Status FeedText(std::string_view text, const FeedProgress& progress);
  Result<GenerateResult> Answer(int64_t max_tokens, OnText on_text);

  std::shared_ptr<const Tokenizer> tokenizer_;
  ChatTemplate chat_;
  std::string system_;
  Session session_;
  Sampler sampler_;
  std::vector<Turn> turns_;
  size_t loaded_turns_ = 0;  ///< the first so many of them came with Load: there are no states before those
  std::deque<Kept> kept_;  ///< of the last turns, the newest at the back
};

/// The sampler's place as JSON text, kept with a saved state so that a text goes on with the same choices.
std::string SamplerToJson(const Sampler& sampler);
Status SamplerFromJson(std::string_view json, Sampler* sampler);

}  // namespace tern
