#include "infer/conversation.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tern {
namespace {

constexpr const char* kKind = "chat";

/// The template's stops, and its stop token where the vocabulary has that text as one token.
GenerateOptions StopsOf(const ChatTemplate& chat, const Tokenizer& tokenizer, int64_t max_tokens) {
  GenerateOptions options{.max_tokens = max_tokens, .stop = chat.stop};
  const std::vector<int32_t> stop = tokenizer.Encode(chat.stop_token_text);
  if (stop.size() == 1) options.stop_tokens = stop;
  return options;
}

}  // namespace

Conversation::Conversation(std::shared_ptr<const Model> model, std::shared_ptr<const Tokenizer> tokenizer,
                           ChatTemplate chat, SamplingOptions sampling, std::string system)
    : tokenizer_(std::move(tokenizer)),
      chat_(std::move(chat)),
      system_(std::move(system)),
      session_(std::move(model)),
      sampler_(std::move(sampling), tokenizer_.get()) {}

Status Conversation::NoWayBack(std::string none) const {
  if (turns_.empty()) return InvalidArgument(std::move(none));
  if (turns_.size() <= loaded_turns_) {
    return InvalidArgument(
        "turns from before the conversation was loaded cannot be taken back or tried again");
  }
  return InvalidArgument(
      fmt::format("no more than the last {} turns can be taken back or tried again", kKeptTurns));
}

void Conversation::GoBack(const Kept& kept) {
  session_.Restore(kept.before_user);
  sampler_.set_place(kept.sampler);
}

Status Conversation::FeedText(std::string_view text, const FeedProgress& progress) {
  return session_.Feed(tokenizer_->Encode(text), progress);
}

Result<GenerateResult> Conversation::Say(std::string_view user, int64_t max_tokens, const FeedProgress& progress,
                                         OnText on_text) {
  std::string text = turns_.empty() ? FormatSystem(chat_, system_) : std::string();
  text += FormatUserTurn(chat_, user);
  if (text.empty() && session_.logits().empty()) return InvalidArgument("there is nothing to answer");
  Kept kept{session_.Take(), sampler_.place(), {}};
  const Status read = FeedText(text, progress);
  if (!read.ok()) {
    GoBack(kept);
    return read;
  }
  kept.before_answer = session_.Take();
  kept_.push_back(std::move(kept));
  if (kept_.size() > kKeptTurns) kept_.pop_front();
  turns_.push_back({std::string(user), {}});
  auto answer = Answer(max_tokens, on_text);
  if (!answer.ok()) {
    GoBack(kept_.back());
    kept_.pop_back();
    turns_.pop_back();
  }
  return answer;
}

Result<GenerateResult> Conversation::Answer(int64_t max_tokens, OnText on_text) {
  sampler_.ResetPenalties();  // as pip rwkv's chats do: an answer's repetitions are its own
  const GenerateOptions options = StopsOf(chat_, *tokenizer_, max_tokens);
  TERN_ASSIGN_OR_RETURN(GenerateResult result, Generate(session_, sampler_, *tokenizer_, options, on_text));
  if (!std::string_view(result.text).ends_with(chat_.turn_end)) TERN_RETURN_IF_ERROR(FeedText(chat_.turn_end, {}));
  turns_.back().answer = result.text;
  return result;
}

Result<GenerateResult> Conversation::Retry(int64_t max_tokens, OnText on_text) {
  if (kept_.empty()) return NoWayBack("there is no answer to try again");
  Session old_session = session_.Fork();
  const Sampler::Place old_sampler = sampler_.place();
  // The session alone goes back; the random numbers go on, or they would give the same answer.
  session_.Restore(kept_.back().before_answer);
  auto answer = Answer(max_tokens, on_text);
  if (!answer.ok()) {
    session_ = std::move(old_session);
    sampler_.set_place(old_sampler);
  }
  return answer;
}

Status Conversation::Undo() {
  if (kept_.empty()) return NoWayBack("there is no turn to take back");
  GoBack(kept_.back());
  kept_.pop_back();
  turns_.pop_back();
  return OkStatus();
}

Status Conversation::StartFrom(const std::string& path) {
  TERN_RETURN_IF_ERROR(session_.StartFrom(path).status());
  Reset();
  return OkStatus();
}

void Conversation::Reset() {
  session_.Reset();
  sampler_.ResetPenalties();
  turns_.clear();
  loaded_turns_ = 0;
  kept_.clear();
}

Status Conversation::SetSampling(const SamplingOptions& options) {
  TERN_RETURN_IF_ERROR(Validate(options));
  sampler_ = Sampler(options, tokenizer_.get());
  for (Kept& kept : kept_) kept.sampler = sampler_.place();
  return OkStatus();
}

Status Conversation::Save(const std::string& path) const {
  nlohmann::ordered_json note = {{"kind", kKind}, {"template", chat_.name}, {"system", system_}};
  note["sampler"] = nlohmann::json::parse(SamplerToJson(sampler_));
  note["turns"] = nlohmann::json::array();
  for (const Turn& turn : turns_) note["turns"].push_back({{"user", turn.user}, {"answer", turn.answer}});
  return session_.Save(path, note.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

Status Conversation::Load(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(const SavedState peek,
                        LoadState(path, session_.model().config(), session_.model().Hash()));
  const auto note = nlohmann::json::parse(peek.note, nullptr, /*allow_exceptions=*/false);
  if (!note.is_object() || !note.contains("kind") || note["kind"] != kKind) {
    return InvalidArgument(fmt::format("'{}' is a saved state, but not one of a conversation", path));
  }
  Sampler sampler = sampler_;
  std::vector<Turn> turns;
  std::string name, system;
  try {
    name = note.at("template").get<std::string>();
    system = note.at("system").get<std::string>();
    for (const auto& turn : note.at("turns")) turns.push_back({turn.at("user"), turn.at("answer")});
    TERN_RETURN_IF_ERROR(
        SamplerFromJson(note.at("sampler").dump(), &sampler).WithContext(fmt::format("the conversation in '{}'", path)));
  } catch (const nlohmann::json::exception& error) {
    return Corrupt(fmt::format("the conversation in '{}' cannot be read: {}", path, error.what()));
  }
  TERN_ASSIGN_OR_RETURN(ChatTemplate chat, ParseTemplateName(name));
  TERN_RETURN_IF_ERROR(session_.Load(path).status());
  chat_ = std::move(chat);
  system_ = std::move(system);
  sampler_ = std::move(sampler);
  turns_ = std::move(turns);
  loaded_turns_ = turns_.size();
  kept_.clear();
  return OkStatus();
}

std::string SamplerToJson(const Sampler& sampler) {
  const Sampler::Place place = sampler.place();
  const nlohmann::ordered_json json = {
      {"random", place.random}, {"occurrences", place.occurrences}, {"mirostat_mu", place.mirostat_mu}};
  return json.dump();
}

Status SamplerFromJson(std::string_view text, Sampler* sampler) {
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    Sampler::Place place;
    json.at("random").get_to(place.random);
    json.at("occurrences").get_to(place.occurrences);
    json.at("mirostat_mu").get_to(place.mirostat_mu);
    if (place.random == std::array<uint64_t, 4>{}) return Corrupt("the saved sampler's random numbers are all zero");
    sampler->set_place(place);
    return OkStatus();
  } catch (const nlohmann::json::exception& error) {
    return Corrupt(fmt::format("the saved sampler cannot be read: {}", error.what()));
  }
}

}  // namespace tern
