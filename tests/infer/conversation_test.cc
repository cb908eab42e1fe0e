// A conversation is its text: whatever was said, tried again, taken back, saved and loaded, the session has
// read exactly what the turns say, and goes on from there bit for bit.
#include "infer/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/infer/infer_testing.h"

namespace tern {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kAnswer = 24;  // tokens

class ConversationTest : public ::testing::TestWithParam<const char*> {
 protected:
  Conversation Make(uint64_t seed = 1, const char* system = "Be a tern.") const {
    auto chat = ParseTemplateName(template_);
    EXPECT_TRUE(chat.ok());
    return Conversation(model_, tokenizer_, *chat, {.banned = testing::BytesBeyondAscii(), .seed = seed},
                        system);
  }

  static GenerateResult Say(Conversation& conversation, std::string_view text) {
    auto result = conversation.Say(text, kAnswer, {}, [](std::string_view) { return true; });
    EXPECT_TRUE(result.ok()) << result.status().message();
    return result.ok() ? *result : GenerateResult();
  }
  static GenerateResult Retry(Conversation& conversation) {
    auto result = conversation.Retry(kAnswer, [](std::string_view) { return true; });
    EXPECT_TRUE(result.ok()) << result.status().message();
    return result.ok() ? *result : GenerateResult();
  }

  /// The session has read what the turns say, no more and no less.
  void ExpectConsistent(const Conversation& conversation, const char* system = "Be a tern.") const {
    const ChatTemplate& chat = conversation.chat();
    std::string text = conversation.turns().empty() ? "" : FormatSystem(chat, system);
    for (const Turn& turn : conversation.turns()) {
      text += FormatUserTurn(chat, turn.user) + turn.answer;
      if (!turn.answer.ends_with(chat.turn_end)) text += chat.turn_end;
    }
    EXPECT_EQ(tokenizer_->Decode(conversation.session().tokens()), text);
    EXPECT_EQ(conversation.session().logits(), testing::LogitsAfter(model_, conversation.session().tokens()));
  }

  static void ExpectSame(const Conversation& a, const Conversation& b) {
    EXPECT_EQ(a.session().tokens(), b.session().tokens());
    EXPECT_EQ(a.session().logits(), b.session().logits());
    ASSERT_EQ(a.turns().size(), b.turns().size());
    for (size_t i = 0; i < a.turns().size(); ++i) {
      EXPECT_EQ(a.turns()[i].user, b.turns()[i].user);
      EXPECT_EQ(a.turns()[i].answer, b.turns()[i].answer);
    }
  }

  testing::TempDir dir_;
  std::shared_ptr<const Model> model_ = testing::MakeModel(testing::TinyModel(Generation::kRwkv7), dir_);
  std::shared_ptr<const Tokenizer> tokenizer_ = MakeByteTokenizer();
  const char* template_ = "world";
};

class AnyTemplate : public ConversationTest {
 protected:
  AnyTemplate() { template_ = GetParam(); }
};

TEST_P(AnyTemplate, HasReadWhatItsTurnsSay) {
  Conversation conversation = Make();
  ExpectConsistent(conversation);
  Say(conversation, "Where do you fly?");
  ExpectConsistent(conversation);
  Say(conversation, "  And\r\n\r\nthen? ");
  ExpectConsistent(conversation);
  const std::string first = conversation.turns().back().answer;
  Retry(conversation);
  EXPECT_NE(conversation.turns().back().answer, first) << "another answer, not the same one again";
  EXPECT_EQ(conversation.turns().size(), 2u);
  ExpectConsistent(conversation);
  Say(conversation, "Go on.");
  ExpectConsistent(conversation);
  ASSERT_TRUE(conversation.Undo().ok());
  ASSERT_TRUE(conversation.Undo().ok());
  EXPECT_EQ(conversation.turns().size(), 1u);
  ExpectConsistent(conversation);
  Say(conversation, "Once more");
  ExpectConsistent(conversation);
  conversation.Reset();
  ExpectConsistent(conversation);
  Say(conversation, "Anew");
  ExpectConsistent(conversation);
}

TEST_P(AnyTemplate, GoesOnFromAFileAsIfItHadNotBeenInterrupted) {
  Conversation uninterrupted = Make(), stopped = Make();
  for (Conversation* c : {&uninterrupted, &stopped}) Say(*c, "One"), Say(*c, "Two");
  const std::string path = dir_.File("chat.state");
  ASSERT_TRUE(stopped.Save(path).ok());
  Conversation loaded = Make(99, "Something else");
  ASSERT_TRUE(loaded.Load(path).ok());
  ExpectSame(loaded, uninterrupted);
  const GenerateResult expected = Say(uninterrupted, "Three"), got = Say(loaded, "Three");
  EXPECT_EQ(got.tokens, expected.tokens);
  EXPECT_EQ(got.text, expected.text);
  EXPECT_EQ(got.tokens.size(), static_cast<size_t>(kAnswer));
  ExpectSame(loaded, uninterrupted);
  EXPECT_TRUE(loaded.Undo().ok());
  EXPECT_THAT(loaded.Undo().message(), HasSubstr("before the conversation was loaded"));
  // The system's text came with the file.
  loaded.Reset();
  Say(loaded, "Four");
  ExpectConsistent(loaded);
}

INSTANTIATE_TEST_SUITE_P(Templates, AnyTemplate,
                         ::testing::Values("raven", "world", "g1", "g1-think", "none"), [](const auto& p) {
                           std::string name = p.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_F(ConversationTest, HasNothingToTryAgainOrTakeBackAtFirst) {
  Conversation conversation = Make();
  EXPECT_EQ(conversation.Undo().code(), StatusCode::kInvalidArgument);
  auto again = conversation.Retry(kAnswer, [](std::string_view) { return true; });
  EXPECT_EQ(again.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(conversation.session().tokens_seen(), 0u);
}

TEST_F(ConversationTest, TakesAsManyTurnsBackAsItPromises) {
  Conversation conversation = Make();
  for (size_t i = 0; i < Conversation::kKeptTurns + 2; ++i) Say(conversation, std::to_string(i));
  for (size_t i = 0; i < Conversation::kKeptTurns; ++i) ASSERT_TRUE(conversation.Undo().ok()) << i;
  EXPECT_EQ(conversation.turns().size(), 2u);
  ExpectConsistent(conversation);
  EXPECT_FALSE(conversation.Undo().ok());
  ExpectConsistent(conversation);
}

TEST_F(ConversationTest, SaysTheSameAfterATurnThatWasTakenBack) {
  Conversation straight = Make(), wavering = Make();
  for (Conversation* c : {&straight, &wavering}) Say(*c, "One");
  Say(wavering, "Not this");
  ASSERT_TRUE(wavering.Undo().ok());
  EXPECT_EQ(Say(wavering, "Two").tokens, Say(straight, "Two").tokens);
  ExpectSame(wavering, straight);
}

TEST_F(ConversationTest, IsAsBeforeWhenReadingIsStopped) {
  Conversation conversation = Make(), control = Make();
  for (Conversation* c : {&conversation, &control}) Say(*c, "One");
  const std::string longer(1000, 'x');
  auto stopped = conversation.Say(
      longer, kAnswer, [](int64_t done, int64_t) { return done < 2 * kPromptChunk; },
      [](std::string_view) -> bool {
        ADD_FAILURE() << "nothing was to be said";
        return true;
      });
  EXPECT_EQ(stopped.status().code(), StatusCode::kCancelled);
  ExpectSame(conversation, control);
  EXPECT_EQ(Say(conversation, "Two").tokens, Say(control, "Two").tokens);
  ExpectSame(conversation, control);
}

TEST_F(ConversationTest, KeepsWhatWasSaidWhenAnAnswerIsStopped) {
  Conversation conversation = Make();
  size_t bytes = 0;
  auto stopped =
      conversation.Say("One", 1000, {}, [&](std::string_view piece) { return (bytes += piece.size()) < 9; });
  ASSERT_TRUE(stopped.ok());
  EXPECT_EQ(stopped->reason, StopReason::kCancelled);
  EXPECT_EQ(conversation.turns().back().answer.size(), 9u);
  ExpectConsistent(conversation);
  Say(conversation, "Two");
  ExpectConsistent(conversation);
}

TEST_F(ConversationTest, IsAsBeforeWhenNoTokenCanBeChosen) {
  Conversation conversation = Make(), control = Make();
  for (Conversation* c : {&conversation, &control}) Say(*c, "One");
  const SamplingOptions good = conversation.sampling();
  SamplingOptions bad = good;
  bad.logit_bias = {{256, 1.0f}};  // there is no token 256
  for (Conversation* c : {&conversation, &control}) ASSERT_TRUE(c->SetSampling(bad).ok());
  const auto show = [](std::string_view) { return true; };
  EXPECT_THAT(conversation.Say("Two", kAnswer, {}, show).status().message(), HasSubstr("256"));
  ExpectSame(conversation, control);
  EXPECT_THAT(conversation.Retry(kAnswer, show).status().message(), HasSubstr("256"));
  ExpectSame(conversation, control);
  for (Conversation* c : {&conversation, &control}) ASSERT_TRUE(c->SetSampling(good).ok());
  EXPECT_EQ(Say(conversation, "Two").tokens, Say(control, "Two").tokens);
  ExpectConsistent(conversation);
}

TEST_F(ConversationTest, UsesNewOptionsForTheAnswerThatIsTriedAgain) {
  Conversation conversation = Make();
  Say(conversation, "One");
  SamplingOptions greedy = conversation.sampling();
  greedy.temperature = 0;
  ASSERT_TRUE(conversation.SetSampling(greedy).ok());
  const std::vector<int32_t> first = Retry(conversation).tokens;
  EXPECT_EQ(conversation.sampling().temperature, 0);
  EXPECT_EQ(Retry(conversation).tokens, first) << "nothing is random any more";
  ASSERT_TRUE(conversation.Undo().ok());
  EXPECT_EQ(conversation.sampling().temperature, 0);
  EXPECT_EQ(Say(conversation, "One").tokens, first);
}

TEST_F(ConversationTest, BeginsItsRandomNumbersAnewWithNewOptions) {
  Conversation conversation = Make(1), control = Make(5);
  Say(conversation, "One");
  ASSERT_TRUE(conversation.SetSampling(control.sampling()).ok());
  ASSERT_TRUE(conversation.Undo().ok());
  EXPECT_EQ(Say(conversation, "One").tokens, Say(control, "One").tokens);
  EXPECT_FALSE(conversation.SetSampling({.temperature = -1}).ok());
  EXPECT_EQ(conversation.sampling().seed, 5u);
}

TEST_F(ConversationTest, RefusesFilesThatAreNoConversationOfThisModel) {
  Conversation conversation = Make(), control = Make();
  for (Conversation* c : {&conversation, &control}) Say(*c, "One");
  const auto expect_refused = [&](const std::string& path, const char* why) {
    const Status status = conversation.Load(path);
    EXPECT_FALSE(status.ok()) << path;
    EXPECT_THAT(status.message(), HasSubstr(path));
    EXPECT_THAT(status.message(), HasSubstr(why));
    ExpectSame(conversation, control);
  };
  const std::string path = dir_.File("some.state");
  for (const char* note : {"", "not a chat", "{}", "[1]", R"({"kind": 5})", R"({"kind": "text"})"}) {
    ASSERT_TRUE(conversation.session().Save(path, note).ok());
    expect_refused(path, "not one of a conversation");
  }
  for (const char* note :
       {R"({"kind": "chat"})", R"({"kind": "chat", "template": 1, "system": "", "turns": []})",
        R"({"kind": "chat", "template": "world", "system": "", "turns": [{"user": "a"}]})",
        R"({"kind": "chat", "template": "world", "system": "", "turns": [], "sampler": {}})"}) {
    ASSERT_TRUE(conversation.session().Save(path, note).ok());
    expect_refused(path, "");
  }
  testing::TempDir other_dir;
  Conversation other(testing::MakeModel(testing::TinyModel(Generation::kRwkv7, 256, 77), other_dir),
                     tokenizer_, conversation.chat(), {});
  Say(other, "One");
  ASSERT_TRUE(other.Save(path).ok());
  expect_refused(path, "another model");
  expect_refused(dir_.File("absent.state"), "");
  EXPECT_FALSE(conversation.Save(dir_.File("no/such/folder.state")).ok());
  EXPECT_EQ(Say(conversation, "Two").tokens, Say(control, "Two").tokens);
}

TEST_F(ConversationTest, EndsATurnAtTheTokenOfAnEmptyLine) {
  std::vector<std::string> words = {""};
  for (int byte = 0; byte < 256; ++byte) words.emplace_back(1, static_cast<char>(byte));
  words.emplace_back("\n\n");
  auto world = MakeWorldTokenizer(words);
  ASSERT_TRUE(world.ok()) << world.status().message();
  tokenizer_ = *world;
  model_ = testing::MakeModel(testing::TinyModel(Generation::kRwkv7, 258), dir_);
  SamplingOptions sampling{.logit_bias = {{257, 6.0f}}, .banned = {0}, .seed = 3};
  for (int32_t id = 129; id < 257; ++id) sampling.banned.push_back(id);
  auto chat = ParseTemplateName("world");
  ASSERT_TRUE(chat.ok());
  Conversation conversation(model_, tokenizer_, *chat, sampling, "Be a tern.");
  for (const char* question : {"One", "Two"}) {
    auto result = conversation.Say(question, 1000, {}, [](std::string_view) { return true; });
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->reason, StopReason::kStopToken) << "the bias should have brought token 257";
    EXPECT_EQ(result->tokens.back(), 257);
    EXPECT_EQ(result->text.find("\n\n"), std::string::npos);
    EXPECT_EQ(conversation.session().tokens().back(), 257) << "the turn must be closed";
    ExpectConsistent(conversation);
  }
}

}  // namespace
}  // namespace tern
