#include "text/chat_template.h"

#include <fmt/format.h>

#include <cctype>
#include <utility>

namespace tern {
namespace {

constexpr std::string_view kWhiteSpace = " \t\n\v\f\r";

std::string_view Strip(std::string_view text) {
  const size_t first = text.find_first_not_of(kWhiteSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kWhiteSpace) - first + 1);
}

std::string UnixLines(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    out.push_back(text[i]);
  }
  return out;
}

ChatTemplate Raven() {
  ChatTemplate chat;
  chat.name = "raven";
  chat.system_suffix = "\n\n";
  chat.user_prefix = "Bob: ";
  chat.user_suffix = "\n\n";
  chat.assistant_prefix = "Alice:";
  chat.turn_end = "\n\n";
  chat.stop = {"\n\nBob", "\n\nAlice"};
  chat.stop_token_text = "\n\n";
  return chat;
}

ChatTemplate World() {
  ChatTemplate chat;
  chat.name = "world";
  chat.system_prefix = "System: ";
  chat.system_suffix = "\n\n";
  chat.user_prefix = "User: ";
  chat.user_suffix = "\n\n";
  chat.assistant_prefix = "Assistant:";
  chat.turn_end = "\n\n";
  chat.stop = {"\n\nUser", "\n\nAssistant"};
  chat.stop_token_text = "\n\n";
  return chat;
}

/// G1 was trained to think; a thought that is begun and ended for it makes it answer at once.
ChatTemplate G1(bool think) {
  ChatTemplate chat = World();
  chat.name = think ? "g1-think" : "g1";
  chat.answer_opening = think ? " <think" : " <think>\n</think";
  chat.stop = {"\n\nUser", "\n\nAssistant", "\n\nSystem"};
  chat.stop_token_text.clear();
  chat.think_begin = "<think";
  chat.think_end = "</think>";
  return chat;
}

ChatTemplate None() {
  ChatTemplate chat;
  chat.name = "none";
  chat.clean = false;
  return chat;
}

/// Whether the word g1, with at most one letter more, stands in `hint`: rwkv7-g1b-1.5b, not "big1" nor "g12".
bool NamesG1(std::string_view hint) {
  const auto at = [&](size_t i) { return i < hint.size() ? static_cast<unsigned char>(hint[i]) : 0; };
  for (size_t i = 0; i < hint.size(); ++i) {
    if (std::tolower(at(i)) != 'g' || at(i + 1) != '1') continue;
    if (i > 0 && std::isalnum(at(i - 1))) continue;
    const size_t end = std::isalpha(at(i + 2)) ? i + 3 : i + 2;
    if (!std::isalnum(at(end))) return true;
  }
  return false;
}

}  // namespace

std::string CleanText(std::string_view text) {
  std::string out;
  for (const char c : UnixLines(Strip(text))) {
    if (c == '\n' && !out.empty() && out.back() == '\n') continue;
    out.push_back(c);
  }
  return out;
}

std::string FormatSystem(const ChatTemplate& chat, std::string_view text) {
  if (!chat.clean) return std::string(text);
  const std::string cleaned = CleanText(text);
  return cleaned.empty() ? "" : chat.system_prefix + cleaned + chat.system_suffix;
}

std::string FormatUserTurn(const ChatTemplate& chat, std::string_view text) {
  return chat.user_prefix + (chat.clean ? CleanText(text) : std::string(text)) + chat.user_suffix +
         chat.assistant_prefix + chat.answer_opening;
}

std::string FormatAnswer(const ChatTemplate& chat, std::string_view answer) {
  if (!chat.clean) return std::string(answer);
  // Where an empty line ends the turn, it must not stand inside.
  const std::string text = chat.stop_token_text.empty() ? UnixLines(Strip(answer)) : CleanText(answer);
  return " " + text + chat.turn_end;
}

std::string FormatExchange(const ChatTemplate& chat, std::string_view user, std::string_view answer) {
  ChatTemplate closed = chat;
  closed.answer_opening.clear();
  return FormatUserTurn(closed, user) + FormatAnswer(closed, answer);
}

SplitText SplitAnswer(const ChatTemplate& chat, std::string_view generated) {
  if (!chat.clean) return {"", std::string(generated), true};
  if (chat.think_end.empty()) return {"", std::string(Strip(generated)), true};
  const std::string whole = std::string(Strip(chat.answer_opening)) + std::string(generated);
  std::string_view text = Strip(whole);
  if (text.substr(0, chat.think_begin.size()) != chat.think_begin) return {"", std::string(text), true};
  text.remove_prefix(chat.think_begin.size());
  if (!text.empty() && text[0] == '>') text.remove_prefix(1);
  const size_t end = text.find(chat.think_end);
  if (end == std::string_view::npos) return {std::string(Strip(text)), "", false};
  return {std::string(Strip(text.substr(0, end))),
          std::string(Strip(text.substr(end + chat.think_end.size()))), true};
}

Result<ChatTemplate> ParseTemplateName(std::string_view name) {
  if (name == "raven") return Raven();
  if (name == "world") return World();
  if (name == "g1") return G1(false);
  if (name == "g1-think") return G1(true);
  if (name == "none") return None();
  return InvalidArgument(
      fmt::format("no chat template '{}': there are raven, world, g1, g1-think and none", name));
}

ChatTemplate ChooseTemplate(int generation, std::string_view tokenizer, std::string_view hint) {
  if (tokenizer == "neox") return Raven();
  if (tokenizer != "world") return None();
  return generation >= 7 && NamesG1(hint) ? G1(false) : World();
}

}  // namespace tern
