// From a checked request to what the engine is asked.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "infer/engine.h"
#include "serve/model_host.h"
#include "serve/openai_answer.h"
#include "serve/openai_request.h"

namespace tern::serve {

/// The session that an answer belongs to, for as long as this lives. Empty: none. Movable.
class SessionHold {
 public:
  SessionHold() = default;
  /// 409 when the session is answering already.
  static ApiResult<SessionHold> Take(std::shared_ptr<ServedModel> model, const std::string& owner,
                                     const std::string& name);
  ~SessionHold() { Release(); }
  SessionHold(SessionHold&& other) noexcept { *this = std::move(other); }
  SessionHold& operator=(SessionHold&& other) noexcept;

  const std::string& name() const { return name_; }

 private:
  void Release();
  std::shared_ptr<ServedModel> model_;
  std::string owner_, name_;
};

/// All that answering takes.
struct AnswerJob {
  std::shared_ptr<ServedModel> model = {};
  std::string owner = {};
  std::vector<EngineRequest> requests = {};  ///< one per prompt
  std::unique_ptr<AnswerWriter> writer = {};
  bool stream = false;
  bool keep_state = false;  ///< give the places where the answers end names
  bool evictable = false;   ///< and let the states go when others need their memory or disk
  std::string parent = {};  ///< the kept state that the text goes on from
  SessionHold session = {};
};

/// Reads and checks the request, finds model and kept state, tokenises, compiles what constrains the answer.
/// May take long (texts of megabytes, new grammars, states on disk). Thread-safe.
ApiResult<AnswerJob> PrepareChat(const HttpRequest& request, const ModelHost& host);
ApiResult<AnswerJob> PrepareCompletion(const HttpRequest& request, const ModelHost& host);

/// A place to go on from, and the kept state it is.
struct StartingPlace {
  std::shared_ptr<const KeptState> place = {};  ///< null: the beginning
  std::string id = {};
};
/// The state of that id, or the one saved under the session's name, or none where both are empty.
ApiResult<StartingPlace> FindPlace(ServedModel& model, const std::string& owner, const std::string& state,
                                   const std::string& session);
/// What looking a kept state up by its id failed with; 404 for one that is not there.
ApiError StateError(const Status& status, std::string param);
/// How a session's state is found among its owner's: its note.
std::string SessionNote(const std::string& session);
/// Whether a state of that note would be taken for a session's.
bool IsSessionNote(std::string_view note);

/// The tokens of a conversation, from the beginning or after `place` (may be null). `answer`: end where the
/// assistant writes.
std::vector<int32_t> ConversationTokens(const ServedModel& model, const ChatTemplate& chat,
                                        const std::vector<ChatMessage>& messages,
                                        const std::vector<ChatTool>* tools, const KeptState* place,
                                        bool answer);
/// A text's tokens, or the tokens themselves; in front of nothing stands the end of another document.
std::vector<int32_t> PromptTokens(const Tokenizer& tokenizer, const PromptInput& input, bool continues);
/// 400 for tokens outside the vocabulary.
ApiResult<std::vector<int32_t>> CheckTokens(const Model& model, std::vector<int32_t> tokens,
                                            const std::string& param);
/// The template that a request asks for: by name, or the model's own.
ApiResult<ChatTemplate> FindTemplate(const ServedModel& model, const std::string& name);

}  // namespace tern::serve
