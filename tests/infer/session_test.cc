// A session's place in a text: however it was reached (at once, token by token, from a snapshot, a fork or a
// file), the logits are the same bits.
#include "infer/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/infer/infer_testing.h"

namespace tern {
namespace {

using ::testing::HasSubstr;
using testing::RandomTokens;

class AnySession : public ::testing::TestWithParam<Generation> {
 protected:
  testing::TempDir dir_;
  std::shared_ptr<const Model> model_ = testing::MakeModel(testing::TinyModel(GetParam()), dir_);
};

bool SamePlace(const Session& a, const Session& b) {
  const auto x = a.state().data(), y = b.state().data();
  return a.logits() == b.logits() && a.tokens() == b.tokens() && a.tokens_seen() == b.tokens_seen() &&
         std::equal(x.begin(), x.end(), y.begin(), y.end());
}

TEST_P(AnySession, ReadsChunksAsItReadsSingleTokens) {
  const std::vector<int32_t> tokens = RandomTokens(256, 2 * kPromptChunk + 77, 1);
  Session at_once(model_), watched(model_), one_by_one(model_);
  ASSERT_TRUE(at_once.Feed(tokens).ok());
  ASSERT_TRUE(watched.Feed(tokens, [](int64_t, int64_t) { return true; }).ok());
  for (const int32_t token : tokens) ASSERT_TRUE(one_by_one.Feed(token).ok());
  EXPECT_TRUE(SamePlace(at_once, one_by_one));
  EXPECT_TRUE(SamePlace(at_once, watched));
  EXPECT_EQ(at_once.tokens(), tokens);
  EXPECT_EQ(at_once.logits().size(), 256u);
}

TEST_P(AnySession, GoesBackAndForksBitForBit) {
  const std::vector<int32_t> begin = RandomTokens(256, 40, 2), end = RandomTokens(256, 30, 3);
  Session session(model_);
  ASSERT_TRUE(session.Feed(begin).ok());
  const Snapshot place = session.Take();
  const std::vector<float> there = session.logits();
  Session fork = session.Fork();
  EXPECT_TRUE(SamePlace(session, fork));

  ASSERT_TRUE(session.Feed(end).ok());
  const std::vector<float> later = session.logits();
  EXPECT_EQ(fork.logits(), there) << "a fork must not notice what its origin reads";
  session.Restore(place);
  EXPECT_TRUE(SamePlace(session, fork));
  ASSERT_TRUE(fork.Feed(end).ok());
  EXPECT_EQ(fork.logits(), later);
  EXPECT_EQ(session.logits(), there);

  session.Reset();
  EXPECT_TRUE(SamePlace(session, Session(model_)));
}

TEST_P(AnySession, SavesAndLoadsItsPlace) {
  const std::string path = dir_.File("place.state");
  Session session(model_);
  ASSERT_TRUE(session.Feed(RandomTokens(256, 300, 4)).ok());
  ASSERT_TRUE(session.Save(path, "a note, “quoted”\n").ok());
  Session loaded(model_);
  auto note = loaded.Load(path);
  ASSERT_TRUE(note.ok()) << note.status().message();
  EXPECT_EQ(*note, "a note, “quoted”\n");
  EXPECT_TRUE(SamePlace(session, loaded));
  for (const int32_t token : RandomTokens(256, 10, 5)) {
    ASSERT_TRUE(session.Feed(token).ok());
    ASSERT_TRUE(loaded.Feed(token).ok());
  }
  EXPECT_TRUE(SamePlace(session, loaded));
}

INSTANTIATE_TEST_SUITE_P(Generations, AnySession, ::testing::ValuesIn(testing::AllGenerations()),
                         [](const auto& p) {
                           return testing::TestName({.generation = p.param, .width = 32});
                         });

class SmallSession : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  std::shared_ptr<const Model> model_ = testing::MakeModel(testing::TinyModel(Generation::kRwkv7), dir_);
};

TEST_F(SmallSession, StopsReadingBetweenChunks) {
  const std::vector<int32_t> tokens = RandomTokens(256, 600, 6);
  Session session(model_);
  const Snapshot before = session.Take();
  std::vector<int64_t> calls;
  const Status status = session.Feed(tokens, [&](int64_t done, int64_t total) {
    EXPECT_EQ(total, 600);
    calls.push_back(done);
    return done < 2 * kPromptChunk;
  });
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
  EXPECT_EQ(calls, (std::vector<int64_t>{kPromptChunk, 2 * kPromptChunk}));
  EXPECT_EQ(session.tokens_seen(), 512u);
  EXPECT_EQ(session.logits(), testing::LogitsAfter(model_, std::span(tokens).first(512)));
  session.Restore(before);
  EXPECT_TRUE(SamePlace(session, Session(model_)));
  // When everything has been read there is nothing left to stop.
  EXPECT_TRUE(session.Feed(tokens, [](int64_t done, int64_t total) { return done < total; }).ok());
  EXPECT_EQ(session.tokens(), tokens);
}

TEST_F(SmallSession, RefusesTokensThatTheModelDoesNotHave) {
  Session session(model_);
  ASSERT_TRUE(session.Feed(65).ok());
  const Session before = session.Fork();
  for (const int32_t bad : {256, -1}) {
    const Status status = session.Feed(bad);
    EXPECT_THAT(status.message(), HasSubstr("token " + std::to_string(bad)));
    EXPECT_TRUE(SamePlace(session, before));
    // In the second chunk: nothing of the first is read.
    std::vector<int32_t> late = RandomTokens(256, static_cast<size_t>(kPromptChunk) + 5, 8);
    late.back() = bad;
    EXPECT_EQ(session.Feed(late).code(), StatusCode::kInvalidArgument);
    EXPECT_TRUE(SamePlace(session, before));
  }
}

TEST_F(SmallSession, IsAsBeforeWhenAFileCannotBeLoaded) {
  Session session(model_);
  ASSERT_TRUE(session.Feed(RandomTokens(256, 5, 7)).ok());
  const std::string path = dir_.File("good.state");
  ASSERT_TRUE(session.Save(path).ok());
  ASSERT_TRUE(session.Feed(1).ok());
  const Session before = session.Fork();

  testing::TempDir other_dir;
  Session other(testing::MakeModel(testing::TinyModel(Generation::kRwkv7, 256, 6), other_dir));
  auto refused = other.Load(path);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.status().message(), HasSubstr(path));
  EXPECT_THAT(refused.status().message(), HasSubstr("another model"));
  EXPECT_EQ(other.tokens_seen(), 0u);

  testing::TempDir older_dir;
  Session older(testing::MakeModel(testing::TinyModel(Generation::kRwkv6), older_dir));
  EXPECT_THAT(older.Load(path).status().message(), HasSubstr("RWKV-6"));

  std::vector<std::byte> bytes = testing::ReadBytes(path);
  bytes.resize(bytes.size() - 9);
  testing::WriteBytes(dir_.File("cut.state"), bytes);
  for (const char* name : {"cut.state", "model.pth", "absent.state"}) {
    auto loaded = session.Load(dir_.File(name));
    ASSERT_FALSE(loaded.ok()) << name;
    EXPECT_THAT(loaded.status().message(), HasSubstr(name));
    EXPECT_TRUE(SamePlace(session, before)) << name;
  }
}

TEST_F(SmallSession, CountsTokensThatItDoesNotKeep) {
  Session session(model_, /*remember_tokens=*/false);
  const std::vector<int32_t> tokens = RandomTokens(256, 300, 8);
  ASSERT_TRUE(session.Feed(tokens).ok());
  EXPECT_TRUE(session.tokens().empty());
  EXPECT_EQ(session.tokens_seen(), 300u);
  EXPECT_EQ(session.logits(), testing::LogitsAfter(model_, tokens));
}

}  // namespace
}  // namespace tern
