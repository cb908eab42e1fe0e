#include "infer/session.h"

#include <algorithm>

#include <fmt/format.h>

#include "model/initial_state.h"

namespace tern {

Session::Session(std::shared_ptr<const Model> model, bool remember_tokens)
    : model_(std::move(model)),
      workspace_(std::make_unique<Workspace>()),
      state_(model_->NewState()),
      remember_(remember_tokens) {}

Status Session::Feed(std::span<const int32_t> tokens, const FeedProgress& progress) {
  const auto total = static_cast<int64_t>(tokens.size());
  // Before anything is read: a bad token in a late chunk must not leave the session half way.
  for (int32_t token : tokens) {
    if (token >= 0 && token < model_->config().vocab) continue;
    return InvalidArgument(fmt::format("token {} is outside the model's vocabulary of {}", token, model_->config().vocab));
  }
  Batch batch;
  for (int64_t done = 0; done < total;) {
    const int64_t count = std::min(kPromptChunk, total - done);
    const bool last = done + count == total;
    batch.Clear();
    // Only the last chunk's logits are needed, but a watched prompt may end at any chunk.
    const bool wanted = last || progress;
    batch.Add(tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(count)), &state_,
              wanted ? Logits::kLast : Logits::kNone);
    TERN_RETURN_IF_ERROR(model_->Forward(batch, *workspace_, &logits_));
    if (remember_) tokens_.insert(tokens_.end(), tokens.begin() + done, tokens.begin() + done + count);
    done += count;
    seen_ += static_cast<size_t>(count);
    if (progress && !progress(done, total) && !last) return Cancelled("stopped while reading the prompt");
  }
  return OkStatus();
}

void Session::Restore(const Snapshot& snapshot) {
  state_ = snapshot.state;
  logits_ = snapshot.logits;
  seen_ = snapshot.tokens;
  if (tokens_.size() > seen_) tokens_.resize(seen_);
}

Session Session::Fork() const {
  Session fork(model_, remember_);
  fork.state_ = state_;
  fork.logits_ = logits_;
  fork.tokens_ = tokens_;
  fork.seen_ = seen_;
  fork.start_ = start_;
  return fork;
}

void Session::GoTo(const SavedState& saved) {
  state_ = saved.state;
  logits_ = saved.logits;
  seen_ = saved.tokens.size();
  tokens_ = remember_ ? saved.tokens : std::vector<int32_t>();
}

void Session::Reset() { start_ ? GoTo(*start_) : GoTo({model_->NewState(), {}, {}, {}, {}}); }

Status Session::Save(const std::string& path, std::string note) const {
  return SaveState({state_, model_->Hash(), tokens_, logits_, std::move(note)}, path);
}

Result<std::string> Session::Load(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(SavedState saved, LoadState(path, model_->config(), model_->Hash()));
  GoTo(saved);
  return std::move(saved.note);
}

Result<std::string> Session::StartFrom(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(SavedState saved, LoadStartState(path, *model_));
  start_ = std::make_shared<const SavedState>(std::move(saved));
  GoTo(*start_);
  return start_->note;
}

}  // namespace tern
