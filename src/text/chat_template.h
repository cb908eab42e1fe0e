// How a conversation is written for the models that have been trained on conversations.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tern {

/// The pieces of a written conversation. A conversation is FormatSystem (once, optional), then for each turn
/// FormatUserTurn, the model's answer, and `turn_end`. A plain value: copy it and change what you like.
///
///     User: What is a tern?\n\nAssistant: A bird.\n\nUser: …
///     ^user_prefix         ^   ^                 ^turn_end
///              user_suffix─┘   └─assistant_prefix, without the space
struct ChatTemplate {
  std::string name;  ///< what ParseTemplateName takes: "raven", "world", "g1", "g1-think", "none"

  std::string system_prefix, system_suffix;
  std::string user_prefix, user_suffix;
  /// Ends in a colon, never in a space: the model's own first token begins with the space.
  std::string assistant_prefix;
  /// Put after assistant_prefix for the model to go on from: nothing, " <think" or " <think>\n</think". It is
  /// a part of the answer (SplitAnswer wants it in front), only not sampled.
  std::string answer_opening;
  /// Fed after an answer to close the turn, unless the answer ended in it.
  std::string turn_end;

  /// Text that ends the answer and does not belong to it.
  std::vector<std::string> stop;
  /// The token of this text ends the answer too, by itself: "\n\n" (261 in World, 535 in GPT-NeoX). Empty:
  /// none, because answers have paragraphs.
  std::string stop_token_text;

  /// What the model thinks stands between these; both empty when it does not. The closing bracket of the
  /// first is left to the model.
  std::string think_begin, think_end;

  /// False for "none": texts are fed as they are.
  bool clean = true;
};

/// \r\n → \n, runs of two or more \n → one, white space at both ends away: an empty line would end the turn.
std::string CleanText(std::string_view text);

/// The text to feed before the first turn; empty when `text` is.
std::string FormatSystem(const ChatTemplate& chat, std::string_view text);
/// The text to feed for a user's turn, up to where the model begins to write.
std::string FormatUserTurn(const ChatTemplate& chat, std::string_view text);
/// An answer of an earlier turn, as a client sends it with its history: what follows assistant_prefix, with
/// turn_end. Its empty lines stay where the template allows paragraphs.
std::string FormatAnswer(const ChatTemplate& chat, std::string_view answer);
/// User's turn and answer together, for history: like FormatUserTurn, but without answer_opening.
std::string FormatExchange(const ChatTemplate& chat, std::string_view user, std::string_view answer);

/// An answer in its two parts, each without white space at its ends.
struct SplitText {
  std::string thinking, answer;
  bool thinking_done = true;  ///< false while think_end has not come yet: everything is thinking
};
/// `generated`: what the model wrote after answer_opening, so far.
SplitText SplitAnswer(const ChatTemplate& chat, std::string_view generated);

/// The template by its name; the error lists the names.
Result<ChatTemplate> ParseTemplateName(std::string_view name);

/// The template that suits a model: raw bytes → none, GPT-NeoX → raven; World → g1 for a generation 7 whose
/// `hint` (file name or metadata) has the word g1, g1a, g1b, …, else world. `tokenizer` is Tokenizer::name().
ChatTemplate ChooseTemplate(int generation, std::string_view tokenizer, std::string_view hint);

}  // namespace tern
