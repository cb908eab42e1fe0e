#include "text/chat_template.h"

#include <gtest/gtest.h>

namespace tern {
namespace {

ChatTemplate Get(const char* name) { return *ParseTemplateName(name); }

TEST(CleanText, LeavesNoEmptyLineThatWouldEndTheTurn) {
  EXPECT_EQ(CleanText("  a\r\n\r\n\r\nb\n\n c \n"), "a\nb\n c");
  EXPECT_EQ(CleanText("\n \t\n"), "");
  EXPECT_EQ(CleanText("a\rb\r"), "a\rb");
  EXPECT_EQ(CleanText("\xE3\x80\x80x"), "\xE3\x80\x80x");
}

TEST(ChatTemplate, WritesUserTurns) {
  EXPECT_EQ(FormatUserTurn(Get("raven"), " Hi!\n\nYou? "), "Bob: Hi!\nYou?\n\nAlice:");
  EXPECT_EQ(FormatUserTurn(Get("world"), "Hi!"), "User: Hi!\n\nAssistant:");
  EXPECT_EQ(FormatUserTurn(Get("g1"), "Hi!"), "User: Hi!\n\nAssistant: <think>\n</think");
  EXPECT_EQ(FormatUserTurn(Get("g1-think"), "Hi!"), "User: Hi!\n\nAssistant: <think");
  EXPECT_EQ(FormatUserTurn(Get("none"), " Hi!\n\n"), " Hi!\n\n");
}

TEST(ChatTemplate, WritesTheSystemTextOnce) {
  EXPECT_EQ(FormatSystem(Get("world"), "Be\n\nbrief. "), "System: Be\nbrief.\n\n");
  EXPECT_EQ(FormatSystem(Get("g1"), "Be brief."), "System: Be brief.\n\n");
  EXPECT_EQ(FormatSystem(Get("raven"), "Alice is kind."), "Alice is kind.\n\n");
  EXPECT_EQ(FormatSystem(Get("world"), " \n"), "");
  EXPECT_EQ(FormatSystem(Get("none"), "as it is\n\n\n"), "as it is\n\n\n");
}

TEST(ChatTemplate, WritesHistoryWithoutThoughts) {
  EXPECT_EQ(FormatExchange(Get("world"), "Hi", "Hello.\n\nHow are you?"),
            "User: Hi\n\nAssistant: Hello.\nHow are you?\n\n");
  EXPECT_EQ(FormatExchange(Get("g1-think"), "Hi", " Hello.\r\n\r\nHow are you?\n"),
            "User: Hi\n\nAssistant: Hello.\n\nHow are you?\n\n");
  EXPECT_EQ(FormatExchange(Get("none"), "a", "b"), "ab");
}

TEST(ChatTemplate, SaysWhereAnAnswerEnds) {
  EXPECT_EQ(Get("world").stop_token_text, "\n\n");
  EXPECT_EQ(Get("world").stop, (std::vector<std::string>{"\n\nUser", "\n\nAssistant"}));
  EXPECT_EQ(Get("raven").stop, (std::vector<std::string>{"\n\nBob", "\n\nAlice"}));
  EXPECT_EQ(Get("g1").stop_token_text, "") << "answers of G1 have paragraphs";
  EXPECT_EQ(Get("g1").stop[0], "\n\nUser");
  EXPECT_TRUE(Get("none").stop.empty());
  for (const char* name : {"raven", "world", "g1", "g1-think"}) {
    EXPECT_EQ(Get(name).turn_end, "\n\n") << name;
    EXPECT_EQ(Get(name).assistant_prefix.back(), ':') << name;
  }
}

TEST(SplitAnswer, TellsThoughtFromAnswer) {
  const SplitText think = SplitAnswer(Get("g1-think"), ">\nA bird?\n</think>\nYes.\n\nA bird.");
  EXPECT_EQ(think.thinking, "A bird?");
  EXPECT_EQ(think.answer, "Yes.\n\nA bird.");
  EXPECT_TRUE(think.thinking_done);
}

TEST(SplitAnswer, WaitsForTheEndOfTheThought) {
  for (const char* begun : {"", ">", ">\nA bird?", ">\nA bird?</thin"}) {
    const SplitText split = SplitAnswer(Get("g1-think"), begun);
    EXPECT_FALSE(split.thinking_done) << begun;
    EXPECT_EQ(split.answer, "") << begun;
  }
}

TEST(SplitAnswer, TakesTheBracketAwayThatClosesAnEmptyThought) {
  const SplitText fast = SplitAnswer(Get("g1"), ">\nYes.");
  EXPECT_EQ(fast.thinking, "");
  EXPECT_EQ(fast.answer, "Yes.");
}

TEST(SplitAnswer, LeavesOtherTemplatesAlone) {
  EXPECT_EQ(SplitAnswer(Get("world"), " <think>x</think> y\n").answer, "<think>x</think> y");
  EXPECT_EQ(SplitAnswer(Get("none"), " y\n").answer, " y\n");
}

TEST(ChooseTemplate, GoesByVocabularyThenByName) {
  EXPECT_EQ(ChooseTemplate(4, "neox", "RWKV-4-Raven-7B.pth").name, "raven");
  EXPECT_EQ(ChooseTemplate(4, "world", "RWKV-4-World-7B.pth").name, "world");
  EXPECT_EQ(ChooseTemplate(7, "world", "RWKV-x070-World-1.5B.pth").name, "world");
  for (const char* hint : {"rwkv7-g1-0.1b.pth", "rwkv7-g1b-1.5b-20251202-ctx8192", "RWKV7-G1.gguf", "g1"}) {
    EXPECT_EQ(ChooseTemplate(7, "world", hint).name, "g1") << hint;
  }
  for (const char* hint : {"big1.pth", "rwkv7-g12.pth", "rwkv7-g1ab.pth", ""}) {
    EXPECT_EQ(ChooseTemplate(7, "world", hint).name, "world") << hint;
  }
  EXPECT_EQ(ChooseTemplate(6, "world", "g1").name, "world");
  EXPECT_EQ(ChooseTemplate(5, "bytes", "g1").name, "none");
}

TEST(ParseTemplateName, ListsTheNames) {
  for (const char* name : {"raven", "world", "g1", "g1-think", "none"}) EXPECT_EQ(Get(name).name, name);
  const auto unknown = ParseTemplateName("alpaca");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.status().message(),
            "no chat template 'alpaca': there are raven, world, g1, g1-think and none");
}

}  // namespace
}  // namespace tern
