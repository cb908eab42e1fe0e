// The loop that turns a session into text: sample, show, read the token back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/parallel.h"
#include "base/status.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "infer/token_mask.h"
#include "text/tokenizer.h"

namespace tern {

struct GenerateOptions {
  int64_t max_tokens = 256;
  std::vector<std::string> stop = {};  ///< texts that end the answer; they are not shown and may straddle tokens
  std::vector<int32_t> stop_tokens = {};     ///< tokens that end it
  bool ignore_end_of_document = false;  ///< go on after the tokenizer's end-of-document token
  bool keep_output = true;  ///< fill text and tokens of the result; without it memory stays constant
  /// What the text must be (null: anything). It begins where this stands; the object itself is not moved on. Tokens
  /// that end the text come only where it is complete, and a text that cannot go on ends by itself; a stop text still
  /// ends it anywhere.
  std::shared_ptr<const TokenConstraint> constraint = nullptr;
};

enum class StopReason { kLength, kEndOfDocument, kStopString, kStopToken, kCancelled, kComplete };
std::string_view Name(StopReason reason);  ///< "length", "end of document" …; kComplete: what its constraint wanted

struct GenerateResult {
  std::string text;             ///< all of it, as shown
  std::vector<int32_t> tokens;  ///< as sampled, the one that ended it included
  int64_t generated = 0;        ///< how many tokens that were
  StopReason reason = StopReason::kLength;
  double seconds = 0;  ///< of sampling and decoding
};

/// Receives text as it becomes certain: whole UTF-8 characters, never part of a stop text. Called at least once
/// per token of the text, with nothing where a token made nothing certain, so that false always
/// stops (what a stop text held back may follow once).
using OnText = FunctionRef<bool(std::string_view)>;

/// Continues a session that has read at least one token. Afterwards the session has read exactly the text
/// that was shown: a stop text, a stop token or the end of the document are not part of it (where a token
/// holds the end of the text and the beginning of a stop text, the session goes back and reads the text
/// alone).
Result<GenerateResult> Generate(Session& session, Sampler& sampler, const Tokenizer& tokenizer,
                                const GenerateOptions& options, OnText on_text);

/// What a session reads before the first token of a text without a prompt: the end of the document before it,
/// or a line break where the vocabulary has no such token.
int32_t FirstToken(const Tokenizer& tokenizer);

}  // namespace tern
