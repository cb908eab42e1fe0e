// Generations that share a batch: each writes what it writes alone, none waits for long, all are told how
// they end.
#include "infer/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <future>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "infer/embedding.h"
#include "tests/infer/engine_testing.h"
#include "tests/infer/grammar_testing.h"
#include "tests/infer/infer_testing.h"

namespace tern {
namespace {

using testing::Answered;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ListCache;
using testing::Recorder;

constexpr int64_t kPiece = 16;

std::chrono::steady_clock::time_point Soon() {
  return std::chrono::steady_clock::now() + std::chrono::minutes(2);
}

class EngineTest : public ::testing::Test {
 protected:
  std::unique_ptr<Engine> Make(EngineOptions options = {},
                               std::shared_ptr<StateCache> cache = nullptr) const {
    options.prompt_chunk = kPiece;
    return std::make_unique<Engine>(model_, tokenizer_, std::move(cache), options);
  }
  /// A text of random letters, long enough for `tokens`.
  std::vector<int32_t> Prompt(size_t tokens, uint64_t seed) const {
    std::vector<int32_t> prompt = testing::RandomTokens(26, tokens, seed);
    for (int32_t& token : prompt) token += 'a';
    return prompt;
  }
  std::shared_ptr<Recorder> Submit(Engine& engine, EngineRequest request,
                                   Engine::Ticket* ticket = nullptr) const {
    auto recorder = std::make_shared<Recorder>(request.choices);
    Submit(engine, std::move(request), recorder, ticket);
    return recorder;
  }
  void Submit(Engine& engine, EngineRequest request, const std::shared_ptr<Recorder>& recorder,
              Engine::Ticket* ticket = nullptr) const {
    auto submitted = engine.Submit(std::move(request), recorder);
    ASSERT_TRUE(submitted.ok()) << submitted.status().message();
    if (ticket != nullptr) *ticket = *submitted;
  }
  /// What a request gives when nobody else is there.
  Answered Alone(EngineRequest request) const { return Submit(*Make(), std::move(request))->WaitOk(); }
  /// A session that has read the tokens in the engine's pieces.
  Session Read(const std::vector<int32_t>& tokens) const {
    Session session(model_);
    for (size_t done = 0; done < tokens.size(); done += kPiece) {
      const size_t count = std::min<size_t>(kPiece, tokens.size() - done);
      EXPECT_TRUE(session.Feed(std::span(tokens).subspan(done, count)).ok());
    }
    return session;
  }
  /// One that then has read an answer, token by token.
  Session Read(const std::vector<int32_t>& prompt, const std::string& answer) const {
    Session session = Read(prompt);
    for (const int32_t token : tokenizer_->Encode(answer)) EXPECT_TRUE(session.Feed(token).ok());
    return session;
  }
  static void ExpectSamePlace(const KeptState& place, const Session& session) {
    EXPECT_EQ(place.tokens, session.tokens());
    EXPECT_EQ(place.logits, session.logits());
    EXPECT_TRUE(std::ranges::equal(place.state.data(), session.state().data()));
  }

  testing::TempDir dir_;
  std::shared_ptr<const Model> model_ = testing::MakeModel(testing::TinyModel(Generation::kRwkv7), dir_);
  std::shared_ptr<const Tokenizer> tokenizer_ = MakeByteTokenizer();
  SamplingOptions ascii_ = {.banned = testing::BytesBeyondAscii(), .seed = 7};
};

/// Many kinds of requests, the same for the same seed.
EngineRequest RandomRequest(const SamplingOptions& ascii, const std::vector<int32_t>& prompt, uint64_t seed) {
  Random random(seed);
  EngineRequest request{.prompt = prompt, .sampling = ascii};
  request.sampling.seed = seed;
  request.sampling.temperature = random.Below(4) == 0 ? 0.0f : 0.9f;
  request.sampling.top_k = static_cast<int32_t>(random.Below(2) * 40);
  request.generate.max_tokens = static_cast<int64_t>(random.Below(60));
  if (random.Below(3) == 0) request.generate.stop = {"e", "tt\n"};
  if (random.Below(3) == 0) request.generate.stop = {"abc", "q"};
  if (random.Below(4) == 0) request.generate.stop_tokens = {'x'};
  request.keep_states = random.Below(2) == 0;
  request.top_logprobs = random.Below(3) == 0 ? 2 : -1;
  return request;
}

void ExpectSame(const Answered& got, const Answered& expected) {
  EXPECT_EQ(got.text, expected.text);
  EXPECT_EQ(got.pieces, expected.pieces);
  ASSERT_EQ(got.tokens.size(), expected.tokens.size());
  for (size_t i = 0; i < got.tokens.size(); ++i) {
    EXPECT_EQ(got.tokens[i].chosen.token, expected.tokens[i].chosen.token);
    EXPECT_EQ(got.tokens[i].chosen.logprob, expected.tokens[i].chosen.logprob);
  }
  EXPECT_EQ(got.end->reason, expected.end->reason);
  EXPECT_EQ(got.end->generated, expected.end->generated);
  ASSERT_EQ(got.end->state == nullptr, expected.end->state == nullptr);
  if (!got.end->state) return;
  EXPECT_EQ(got.end->state->tokens, expected.end->state->tokens);
  EXPECT_EQ(got.end->state->logits, expected.end->state->logits);
  EXPECT_TRUE(std::ranges::equal(got.end->state->state.data(), expected.end->state->state.data()));
}

TEST_F(EngineTest, WritesWhatASessionWrites) {
  for (const Generation generation : testing::AllGenerations()) {
    SCOPED_TRACE(std::string(Name(generation)));
    testing::TempDir dir;
    model_ = testing::MakeModel(testing::TinyModel(generation), dir);
    const std::vector<int32_t> prompt = Prompt(3 * kPiece + 5, 1);
    for (const std::string& stop : {std::string("\x7f\x7f"), std::string("Z"), std::string(":")}) {
      const GenerateOptions options{.max_tokens = 80, .stop = {stop}};
      Session session = Read(prompt);
      Sampler sampler(ascii_, tokenizer_.get());
      const testing::Shown expected = testing::RunGenerate(session, sampler, *tokenizer_, options);
      const Answered got =
          Alone({.prompt = prompt, .sampling = ascii_, .generate = options, .keep_states = true});
      EXPECT_EQ(got.text, expected.text);
      EXPECT_EQ(got.end->reason, expected.result.reason);
      EXPECT_EQ(got.end->generated, expected.result.generated);
      ASSERT_TRUE(got.end->state);
      ExpectSamePlace(*got.end->state, session);
    }
  }
}

TEST_F(EngineTest, AnswersAreTheSameAloneAndInCompany) {
  constexpr size_t kRequests = 24;
  for (const uint64_t seed : {1u, 2u, 3u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SetNumThreads(static_cast<int>(seed));
    // Of float weights, long pieces and single tokens may take different paths through the products.
    testing::TempDir dir;
    model_ = testing::MakeModel(testing::TinyModel(Generation::kRwkv7), dir,
                                seed == 1 ? DType::kF32 : DType::kF16);
    std::vector<EngineRequest> requests;
    Random random(seed);
    for (size_t i = 0; i < kRequests; ++i)
      requests.push_back(
          RandomRequest(ascii_, Prompt(1 + random.Below(90), 100 * seed + i), 1000 * seed + i));
    // Small enough that some wait; each third is submitted from within the engine's thread.
    const auto engine = Make({.max_batch = 7});
    std::vector<std::shared_ptr<Recorder>> recorders(kRequests);
    for (auto& recorder : recorders) recorder = std::make_shared<Recorder>();
    for (size_t i = 0; i + 2 < kRequests; i += 3) {
      recorders[i]->on_prompt = [&, i] { Submit(*engine, requests[i + 2], recorders[i + 2]); };
      Submit(*engine, requests[i], recorders[i]);
      Submit(*engine, requests[i + 1], recorders[i + 1]);
    }
    for (auto& recorder : recorders) recorder->WaitOk();
    for (size_t i = 0; i < kRequests; ++i) {
      SCOPED_TRACE("request " + std::to_string(i));
      ExpectSame(recorders[i]->WaitOk(), Alone(requests[i]));
    }
  }
  SetNumThreads(0);
}

TEST_F(EngineTest, ALongPromptHoldsUpNeitherAnswersNorShortPrompts) {
  constexpr int kPieces = 50;
  const auto engine = Make();
  const auto answer = std::make_shared<Recorder>(), prompt = std::make_shared<Recorder>(),
             brief = std::make_shared<Recorder>();
  int at_submission = 0, at_brief = 0, at_prompt = 0;  // pieces of the answer that had come
  answer->on_piece = [&] {
    if (answer->pieces() != 3) return;
    at_submission = answer->pieces();
    Submit(*engine, {.prompt = Prompt(kPieces * kPiece, 2), .generate = {.max_tokens = 1}}, prompt);
    Submit(*engine, {.prompt = Prompt(kPiece, 3), .generate = {.max_tokens = 1}}, brief);
  };
  brief->on_prompt = [&] { at_brief = answer->pieces(); };
  prompt->on_prompt = [&] { at_prompt = answer->pieces(); };
  Submit(*engine, {.prompt = Prompt(4, 1), .sampling = ascii_, .generate = {.max_tokens = 200}}, answer);
  answer->WaitOk();
  prompt->WaitOk();
  brief->WaitOk();
  // A token of the answer in every pass; every second pass is the short prompt's as long as it has a piece.
  EXPECT_EQ(at_brief, at_submission + 1);
  EXPECT_EQ(at_prompt, at_submission + kPieces);
}

TEST_F(EngineTest, AFloodOfOneOwnerDoesNotKeepOutAnother) {
  const auto engine = Make({.max_batch = 2});
  std::vector<std::string> order;
  std::vector<std::shared_ptr<Recorder>> recorders;
  std::latch all_there(1);
  for (int i = 0; i < 8; ++i) {
    const std::string owner = i < 7 ? "many" : "one";
    recorders.push_back(std::make_shared<Recorder>());
    recorders.back()->on_prompt = [&, i, owner] {
      if (i == 0) all_there.wait();
      order.push_back(owner);
    };
    Submit(*engine, {.owner = owner, .prompt = Prompt(5, 1), .generate = {.max_tokens = 3}},
           recorders.back());
  }
  all_there.count_down();
  for (auto& recorder : recorders) recorder->WaitOk();
  // The first two may be in the batch before the other owner comes; if they end together, nobody has a place and the first
  // that becomes free goes by arrival.
  EXPECT_LE(std::find(order.begin(), order.end(), "one") - order.begin(), 3);
}

TEST_F(EngineTest, CancelsWhatWaitsIsReadOrIsWritten) {
  const auto engine = Make({.max_batch = 2});
  Engine::Ticket written = 0, read = 0, waiting = 0;
  const auto writer = std::make_shared<Recorder>(), reader = std::make_shared<Recorder>(),
             waiter = std::make_shared<Recorder>(2);
  std::latch submitted(1);
  writer->on_piece = [&] {
    if (writer->pieces() == 2) submitted.wait();
    if (writer->pieces() != 6) return;
    EXPECT_FALSE(reader->prompt());
    for (const Engine::Ticket ticket : {waiting, read, written, written, Engine::Ticket{99}})
      engine->Cancel(ticket);
  };
  const GenerateOptions endless{.max_tokens = 1'000'000};
  Submit(*engine, {.prompt = Prompt(4, 1), .sampling = ascii_, .generate = endless, .keep_states = true},
         writer, &written);
  Submit(*engine, {.prompt = Prompt(5000, 2), .generate = endless}, reader, &read);
  Submit(*engine, {.prompt = Prompt(4, 3), .generate = endless, .choices = 2}, waiter, &waiting);
  submitted.count_down();

  const Answered& answer = writer->WaitOk();
  EXPECT_EQ(answer.end->reason, StopReason::kCancelled);
  EXPECT_EQ(answer.pieces.size(), 6u) << "no token after it was cancelled";
  ASSERT_TRUE(answer.end->state);
  ExpectSamePlace(*answer.end->state, Read(Prompt(4, 1), answer.text));
  EXPECT_EQ(reader->WaitOk().end->reason, StopReason::kCancelled);
  EXPECT_FALSE(reader->prompt());
  for (const Answered& choice : waiter->Wait()) EXPECT_EQ(choice.end->reason, StopReason::kCancelled);
  EXPECT_TRUE(engine->Drain(Soon()));
  EXPECT_EQ(engine->stats().cancelled, 3);
}

TEST_F(EngineTest, RefusesWhatItsQueueHasNoRoomFor) {
  const auto engine = Make({.max_batch = 1, .max_queue = 2});
  const auto first = std::make_shared<Recorder>();
  std::latch refused(1), begun(1);
  first->on_prompt = [&] { begun.count_down(), refused.wait(); };
  const EngineRequest request{.prompt = Prompt(3, 1), .generate = {.max_tokens = 2}};
  Submit(*engine, request, first);
  begun.wait();
  const auto second = Submit(*engine, request), third = Submit(*engine, request);
  auto fourth = engine->Submit(request, std::make_shared<Recorder>());
  EXPECT_EQ(fourth.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(engine->stats().waiting, 2);
  EXPECT_EQ(engine->stats().refused, 1);
  refused.count_down();
  for (const auto& recorder : {first, second, third}) recorder->WaitOk();
  EXPECT_EQ(engine->stats().requests, 3);
  Submit(*engine, request)->WaitOk();
}

TEST_F(EngineTest, AFullQueueGivesWayToTheOwnerWhoHasLess) {
  const auto engine = Make({.max_batch = 1, .max_queue = 4});
  const auto first = std::make_shared<Recorder>();
  std::latch all_there(1), begun(1);
  first->on_prompt = [&] { begun.count_down(), all_there.wait(); };
  const auto request = [&](const std::string& owner) {
    return EngineRequest{.owner = owner, .prompt = Prompt(3, 1), .generate = {.max_tokens = 2}};
  };
  Submit(*engine, request("many"), first);
  begun.wait();
  std::vector<std::shared_ptr<Recorder>> many;
  for (int i = 0; i < 4; ++i) many.push_back(Submit(*engine, request("many")));
  const auto one = Submit(*engine, request("one")), two = Submit(*engine, request("one"));
  for (const char* owner : {"one", "many"}) {  // both have their half
    EXPECT_EQ(engine->Submit(request(owner), std::make_shared<Recorder>()).status().code(),
              StatusCode::kUnavailable);
  }
  EXPECT_EQ(engine->stats().waiting, 4);
  all_there.count_down();
  for (const auto& recorder : {first, many[0], many[1], one, two}) recorder->WaitOk();
  for (const auto& recorder : {many[2], many[3]}) {
    const AnswerEnd end = *recorder->Wait().front().end;
    EXPECT_TRUE(end.refused);
    EXPECT_EQ(end.status.code(), StatusCode::kUnavailable);
  }
  EXPECT_TRUE(engine->Drain(Soon()));
  EXPECT_EQ(engine->stats().refused, 4);
  EXPECT_EQ(engine->stats().failed, 0);
}

TEST_F(EngineTest, AListWaitsAsOneRequest) {
  const EngineRequest request{.prompt = Prompt(3, 1), .sampling = ascii_, .generate = {.max_tokens = 2}};
  std::vector<std::shared_ptr<Recorder>> recorders;
  const auto list = [&](size_t count) {
    std::vector<EngineCall> calls;
    for (size_t i = 0; i < count; ++i) {
      recorders.push_back(std::make_shared<Recorder>());
      calls.push_back({request, recorders.back()});
    }
    return calls;
  };
  for (const int queue : {0, 1}) {
    const auto engine = Make({.max_batch = 2, .max_queue = queue});
    recorders.clear();
    const auto tickets = engine->SubmitAll(list(20));
    ASSERT_TRUE(tickets.ok()) << tickets.status().message();
    EXPECT_EQ(tickets->size(), 20u);
    for (const auto& recorder : recorders) ExpectSame(recorder->WaitOk(), Alone(request));
    EXPECT_TRUE(engine->Drain(Soon()));
    EXPECT_EQ(engine->stats().cancelled, 0);
  }
  // Each of a list can be cancelled; one that makes no sense has all refused.
  const auto engine = Make({.max_batch = 1, .max_queue = 1});
  recorders.clear();
  std::latch cancelled(1);
  std::vector<EngineCall> calls = list(5);
  recorders[0]->on_prompt = [&] { cancelled.wait(); };
  const auto tickets = engine->SubmitAll(std::move(calls));
  ASSERT_TRUE(tickets.ok());
  for (const size_t i : {size_t{3}, size_t{1}}) engine->Cancel((*tickets)[i]);
  cancelled.count_down();
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(recorders[i]->WaitOk().end->reason == StopReason::kCancelled, i == 1 || i == 3) << i;
  }
  EXPECT_EQ(engine->stats().cancelled, 2);
  calls = list(2);
  calls[1].request.prompt = {};
  EXPECT_EQ(engine->SubmitAll(std::move(calls)).status().code(), StatusCode::kInvalidArgument);
  calls = list(2);
  calls[1].request.owner = "another";
  EXPECT_EQ(engine->SubmitAll(std::move(calls)).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(engine->stats().requests, 5);
}

TEST_F(EngineTest, DrainsOrCancelsAtTheDeadline) {
  const EngineRequest request{.prompt = Prompt(40, 1), .sampling = ascii_, .generate = {.max_tokens = 20}};
  auto engine = Make({.max_batch = 2});
  std::vector<std::shared_ptr<Recorder>> recorders;
  for (int i = 0; i < 5; ++i) recorders.push_back(Submit(*engine, request));
  EXPECT_TRUE(engine->Drain(Soon()));
  for (auto& recorder : recorders) {
    ASSERT_TRUE(recorder->ended());
    EXPECT_EQ(recorder->WaitOk().end->reason, StopReason::kLength);
  }
  auto late = engine->Submit(request, std::make_shared<Recorder>());
  EXPECT_EQ(late.status().code(), StatusCode::kUnavailable);

  engine = Make({.max_batch = 2});
  EngineRequest endless = request;
  endless.generate.max_tokens = 1'000'000'000;
  recorders.clear();
  for (int i = 0; i < 5; ++i) recorders.push_back(Submit(*engine, endless));
  EXPECT_FALSE(engine->Drain(std::chrono::steady_clock::now() + std::chrono::milliseconds(20)));
  for (auto& recorder : recorders) {
    ASSERT_TRUE(recorder->ended());
    EXPECT_EQ(recorder->Wait().front().end->reason, StopReason::kCancelled);
    EXPECT_EQ(recorder->Wait().front().end->status.code(), StatusCode::kUnavailable);
  }
}

TEST_F(EngineTest, CancelsAllWhenItIsDestroyed) {
  std::vector<std::shared_ptr<Recorder>> recorders;
  {
    const auto engine = Make({.max_batch = 2});
    for (int i = 0; i < 4; ++i)
      recorders.push_back(
          Submit(*engine, {.prompt = Prompt(300, 1), .generate = {.max_tokens = 1'000'000'000}}));
  }
  for (auto& recorder : recorders) {
    ASSERT_TRUE(recorder->ended());
    EXPECT_EQ(recorder->Wait().front().end->status.code(), StatusCode::kUnavailable);
  }
}

TEST_F(EngineTest, ReadsThePromptOfSeveralChoicesOnce) {
  EngineRequest request{
      .prompt = Prompt(50, 1), .sampling = ascii_, .generate = {.max_tokens = 30}, .choices = 3};
  request.keep_states = true;
  const auto engine = Make();
  const auto recorder = Submit(*engine, request);
  const std::vector<Answered>& choices = recorder->Wait();
  EXPECT_EQ(engine->stats().prompt_tokens, 50);
  request.choices = 1;
  for (const Answered& choice : choices) {
    ExpectSame(choice, Alone(request));
    ++request.sampling.seed;
  }
  EXPECT_NE(choices[0].text, choices[1].text);
}

TEST_F(EngineTest, EachChoiceIsOfTheGrammar) {
  const auto grammar = testing::GrammarOf("root ::= \"[\" [a-z]{2,6} (\", \" [0-9]+)? \"]\"");
  EngineRequest request{.prompt = Prompt(5, 1), .sampling = {.top_p = 1}, .choices = 4};
  request.generate.constraint = std::make_shared<const TokenConstraint>(MakeTokenMasks(grammar, *tokenizer_));
  const auto engine = Make();
  const auto recorder = Submit(*engine, request);
  for (const Answered& choice : recorder->Wait()) {
    EXPECT_EQ(choice.end->reason, StopReason::kComplete);
    EXPECT_TRUE(testing::Accepts(grammar, choice.text)) << choice.text;
  }
}

/// ln of the softmax, by the book.
std::vector<double> LogSoftmax(const std::vector<float>& logits) {
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x));
  std::vector<double> result;
  for (const float x : logits) result.push_back(x - std::log(sum));
  return result;
}

void ExpectReport(const TokenReport& report, const std::vector<float>& logits, int32_t token, size_t top) {
  // fp32's rounding of numbers up to about 10.
  constexpr double kTolerance = 2e-6;
  const std::vector<double> expected = LogSoftmax(logits);
  EXPECT_EQ(report.chosen.token, token);
  EXPECT_NEAR(report.chosen.logprob, expected[static_cast<size_t>(token)], kTolerance);
  ASSERT_EQ(report.top.size(), top);
  std::vector<double> sorted = expected;
  std::ranges::sort(sorted, std::greater<>());
  for (size_t i = 0; i < top; ++i) {
    EXPECT_NEAR(report.top[i].logprob, sorted[i], kTolerance);
    EXPECT_NEAR(report.top[i].logprob, expected[static_cast<size_t>(report.top[i].token)], kTolerance);
  }
}

TEST_F(EngineTest, TellsTheLogProbabilitiesOfPromptAndAnswer) {
  const std::vector<int32_t> prompt = Prompt(2 * kPiece + 3, 1);
  EngineRequest request{.prompt = prompt, .sampling = ascii_, .top_logprobs = 3, .prompt_logprobs = true};
  request.generate.max_tokens = 20;
  const auto engine = Make({}, std::make_shared<ListCache>());
  Submit(*engine, request)->WaitOk();
  const auto recorder = Submit(*engine, request);  // what the first one left is no use here
  const Answered& answer = recorder->WaitOk();
  EXPECT_EQ(recorder->prompt()->cached, 0);

  Session session(model_);
  ASSERT_TRUE(session.Feed(prompt[0]).ok());
  const std::vector<TokenReport> reports = recorder->prompt()->logprobs;
  ASSERT_EQ(reports.size(), prompt.size() - 1);
  for (size_t i = 1; i < prompt.size(); ++i) {
    ExpectReport(reports[i - 1], session.logits(), prompt[i], 3);
    ASSERT_TRUE(session.Feed(prompt[i]).ok());
  }
  const std::vector<int32_t> tokens = tokenizer_->Encode(answer.text);
  ASSERT_EQ(answer.tokens.size(), 20u);
  for (size_t i = 0; i < tokens.size(); ++i) {
    ExpectReport(answer.tokens[i], session.logits(), tokens[i], 3);
    ASSERT_TRUE(session.Feed(tokens[i]).ok());
  }
}

TEST_F(EngineTest, ReportsOfTokensComeWithTheirText) {
  // Only the bytes of "a", "é" and "漢": whole, broken and cut characters.
  SamplingOptions sampling{.top_p = 1, .presence = 0, .frequency = 0, .seed = 8};
  const std::string bytes = "aé漢";
  for (int32_t id = 0; id < 256; ++id)
    if (bytes.find(static_cast<char>(id)) == std::string::npos) sampling.banned.push_back(id);
  const auto recorder = std::make_shared<Recorder>();
  EngineRequest request{.prompt = Prompt(5, 1), .sampling = sampling, .top_logprobs = 0};
  request.generate = {.max_tokens = 100, .stop = {"aaaa", "éa漢"}};
  const auto engine = Make();
  Submit(*engine, request, recorder);
  const Answered& answer = recorder->WaitOk();
  std::vector<int32_t> tokens;
  for (const TokenReport& report : answer.tokens) tokens.push_back(report.chosen.token);
  Utf8Stream utf8;
  std::string text = utf8.Push(tokenizer_->Decode(tokens));
  text += utf8.Finish();
  EXPECT_EQ(text, answer.text);
}

TEST_F(EngineTest, GoesOnFromKeptBeginningsBitForBit) {
  const auto cache = std::make_shared<ListCache>();
  const auto engine = Make({.snapshot_every = 2 * kPiece}, cache);
  EngineRequest request{.owner = "a", .prompt = Prompt(5 * kPiece + 3, 1), .sampling = ascii_};
  request.generate.max_tokens = 10;
  request.keep_states = true;
  const Answered expected = Alone(request);
  const auto first = Submit(*engine, request);
  ExpectSame(first->WaitOk(), expected);
  EXPECT_EQ(first->prompt()->cached, 0);
  EXPECT_THAT(cache->Kept(), ElementsAre(2 * kPiece, 4 * kPiece, 5 * kPiece + 3, 5 * kPiece + 13));

  const auto again = Submit(*engine, request);
  ExpectSame(again->WaitOk(), expected);
  EXPECT_EQ(again->prompt()->cached, 5 * kPiece + 3) << "nothing is read: the logits are kept";

  EngineRequest other = request;
  other.prompt[4 * kPiece + 1] = 'X';
  const auto changed = Submit(*engine, other);
  ExpectSame(changed->WaitOk(), Alone(other));
  EXPECT_EQ(changed->prompt()->cached, 4 * kPiece);

  EngineRequest stranger = request;
  stranger.owner = "b";
  const auto theirs = Submit(*engine, stranger);
  ExpectSame(theirs->WaitOk(), expected);
  EXPECT_EQ(theirs->prompt()->cached, 0) << "nobody sees another's";

  EngineRequest secret = request;
  secret.cache = false;
  const size_t kept = cache->Kept().size();
  const auto uncached = Submit(*engine, secret);
  ExpectSame(uncached->WaitOk(), expected);
  EXPECT_EQ(uncached->prompt()->cached, 0);
  EXPECT_EQ(cache->Kept().size(), kept);
}

TEST_F(EngineTest, KeepsTheLastBorderWhereTheEndWillNotComeAgain) {
  const auto cache = std::make_shared<ListCache>();
  const auto engine = Make({}, cache);
  EngineRequest request{.prompt = Prompt(5 * kPiece + 3, 1), .sampling = ascii_, .keep_before_end = true};
  request.generate.max_tokens = 1;
  Submit(*engine, request)->WaitOk();
  EXPECT_THAT(cache->Kept(), ElementsAre(5 * kPiece, 5 * kPiece + 3, 5 * kPiece + 4));
}

TEST_F(EngineTest, ReadsACommonBeginningOfPromptsOnce) {
  for (const bool cancel_first : {false, true}) {
    SCOPED_TRACE(cancel_first);
    const auto engine = Make();
    std::latch all_there(1);
    const auto gate = std::make_shared<Recorder>();
    gate->on_prompt = [&] { all_there.wait(); };
    Submit(*engine, {.prompt = {1}, .generate = {.max_tokens = 0}, .cache = false}, gate);

    EngineRequest request{.owner = "a", .prompt = Prompt(5 * kPiece + 3, 1), .sampling = ascii_};
    request.generate.max_tokens = 10;
    EngineRequest parting = request, stranger = request;
    parting.prompt[3 * kPiece + 2] = 'X';
    stranger.owner = "b";
    Engine::Ticket ticket = 0;
    const auto first = Submit(*engine, request, &ticket), second = Submit(*engine, request);
    const auto parted = Submit(*engine, parting), other = Submit(*engine, stranger);
    if (cancel_first) engine->Cancel(ticket);
    all_there.count_down();

    ExpectSame(second->WaitOk(), Alone(request));
    ExpectSame(parted->WaitOk(), Alone(parting));
    ExpectSame(other->WaitOk(), Alone(request));
    first->WaitOk();
    EXPECT_EQ(parted->prompt()->cached, 3 * kPiece);
    EXPECT_EQ(second->prompt()->cached, cancel_first ? 0 : 5 * kPiece + 3);
    EXPECT_EQ(engine->stats().prompt_tokens, 1 + 2 * (5 * kPiece + 3) + 2 * kPiece + 3);
  }
}

TEST_F(EngineTest, GoesOnFromThePlaceOfAnAnswer) {
  EngineRequest request{.prompt = Prompt(20, 1), .sampling = ascii_, .keep_states = true};
  request.generate = {.max_tokens = 40, .stop = {"Q", "xy", "0"}};
  const Answered first = Alone(request);
  for (const std::vector<int32_t>& next : {Prompt(7, 2), std::vector<int32_t>()}) {
    EngineRequest more{.prompt = next, .from = first.end->state, .sampling = ascii_, .keep_states = true};
    const Answered second = Alone(more);
    Session session = Read(request.prompt, first.text);
    ASSERT_TRUE(session.Feed(next).ok());
    Sampler sampler(ascii_, tokenizer_.get());
    const testing::Shown expected = testing::RunGenerate(session, sampler, *tokenizer_, more.generate);
    EXPECT_EQ(second.text, expected.text);
    ExpectSamePlace(*second.end->state, session);
  }
}

TEST_F(EngineTest, OnlyTheAnswerThatMeetsBadNumbersFails) {
  std::vector<OutputTensor> tensors = testing::RandomTensors(testing::TinyModel(Generation::kRwkv7));
  for (OutputTensor& tensor : tensors) {
    if (tensor.name != "emb.weight") continue;
    auto produced = tensor.produce();
    ASSERT_TRUE(produced.ok());
    std::vector<std::byte> bytes(produced->bytes().begin(), produced->bytes().end());
    const float nan = NAN;
    std::memcpy(bytes.data() + static_cast<size_t>('!') * 32 * sizeof nan, &nan, sizeof nan);
    tensor.produce = [bytes]() -> Result<TensorBytes> { return TensorBytes{{}, bytes}; };
  }
  const std::string path = dir_.File("nan.pth");
  ASSERT_TRUE(WritePth(path, tensors).ok());
  auto model = Model::Load(path);
  ASSERT_TRUE(model.ok()) << model.status().message();
  model_ = *model;

  const auto cache = std::make_shared<ListCache>();
  const auto engine = Make({}, cache);
  EngineRequest good{.prompt = Prompt(5, 1), .sampling = ascii_};
  good.sampling.banned.push_back('!');
  EngineRequest bad = good;
  bad.prompt[3] = '!';
  const auto before = Submit(*engine, good), broken = Submit(*engine, bad), after = Submit(*engine, good);
  const AnswerEnd end = *broken->Wait().front().end;
  EXPECT_EQ(end.status.code(), StatusCode::kCorrupt) << end.status.message();
  EXPECT_FALSE(end.state);
  before->WaitOk();
  EXPECT_EQ(after->WaitOk().end->reason, StopReason::kLength);
  for (const size_t kept : cache->Kept()) EXPECT_TRUE(kept == 5 || kept == 5 + 256);
  EXPECT_EQ(cache->Find("", bad.prompt), nullptr);
  EXPECT_EQ(engine->stats().failed, 1);
}

TEST_F(EngineTest, AListenerThatThrowsHarmsOnlyItsOwnRequest) {
  const auto engine = Make();
  const auto bad = std::make_shared<Recorder>();
  bad->on_piece = [&] {
    if (bad->pieces() == 3) throw std::runtime_error("a mistake");
  };
  bad->on_end = [] { throw 5; };
  EngineRequest request{.prompt = Prompt(5, 1), .sampling = ascii_};
  request.generate.max_tokens = 1'000'000'000;
  Submit(*engine, request, bad);
  request.generate.max_tokens = 50;
  const auto good = Submit(*engine, request);
  EXPECT_EQ(good->WaitOk().end->reason, StopReason::kLength);
  EXPECT_EQ(bad->WaitOk().end->reason, StopReason::kCancelled);
  EXPECT_EQ(bad->pieces(), 3);
}

TEST_F(EngineTest, RefusesRequestsThatMakeNoSense) {
  const auto engine = Make({.max_batch = 4});
  const auto foreign = std::make_shared<KeptState>();
  testing::TempDir dir;
  foreign->state = testing::MakeModel(testing::TinyModel(Generation::kRwkv4), dir)->NewState();
  foreign->tokens = {1};
  const auto blind = std::make_shared<KeptState>();
  blind->state = model_->NewState();
  const std::vector<std::pair<EngineRequest, std::string>> cases = {
      {{}, "at least one token"},
      {{.prompt = {1, 256}}, "256"},
      {{.prompt = {-1}}, "-1"},
      {{.prompt = {1}, .from = foreign}, "another model"},
      {{.from = blind}, "no logits"},
      {{.prompt = {1}, .from = blind, .prompt_logprobs = true}, "all of it"},
      {{.prompt = {1}, .sampling = {.temperature = -1}}, "temperature"},
      {{.prompt = {1}, .sampling = {.logit_bias = {{300, 1.0f}}}}, "300"},
      {{.prompt = {1}, .sampling = {.banned = {-3}}}, "-3"},
      {{.prompt = {1}, .generate = {.stop = {""}}}, "stop"},
      {{.prompt = {1}, .generate = {.max_tokens = -1}}, "max_tokens"},
      {{.prompt = {1}, .choices = 0}, "choices"},
      {{.prompt = {1}, .choices = 5}, "choices"},
      {{.prompt = {1}, .top_logprobs = -2}, "top_logprobs"},
  };
  for (const auto& [request, message] : cases) {
    auto submitted = engine->Submit(request, std::make_shared<Recorder>());
    EXPECT_EQ(submitted.status().code(), StatusCode::kInvalidArgument) << message;
    EXPECT_THAT(submitted.status().message(), HasSubstr(message));
  }
  EXPECT_FALSE(engine->Submit({.prompt = {1}}, nullptr).ok());
}

TEST_F(EngineTest, EmbedsTextsInAnyCompany) {
  const auto engine = Make({.max_batch = 4});
  const auto writer = Submit(*engine, {.prompt = Prompt(5, 1), .generate = {.max_tokens = 200}});
  for (const size_t length : {size_t{1}, size_t{3 * kPiece + 5}}) {
    const std::vector<int32_t> text = Prompt(length, 4);
    auto promise = std::make_shared<std::promise<EmbeddingResult>>();
    const auto done = [promise](EmbeddingResult embedded) { promise->set_value(std::move(embedded)); };
    ASSERT_TRUE(engine->Embed("", text, done).ok());
    const EmbeddingResult result = promise->get_future().get();
    ASSERT_TRUE(result.status.ok()) << result.status.message();
    EXPECT_EQ(result.tokens, static_cast<int64_t>(length));

    // The text twice; the vector is made of the second time.
    const std::vector<int32_t> twice = EmbeddingText(text, *tokenizer_);
    ASSERT_GT(twice.size(), 2 * length);
    State state = model_->NewState();
    Workspace workspace;
    std::vector<float> logits, hidden, all;
    for (size_t read = 0; read < twice.size(); read += kPiece) {
      Batch batch;
      const auto piece = std::span(twice).subspan(read, std::min<size_t>(kPiece, twice.size() - read));
      batch.Add(piece, &state, Logits::kLast, /*hidden=*/true);
      ASSERT_TRUE(model_->Forward(batch, workspace, &logits, &hidden).ok());
      all.insert(all.end(), hidden.begin(), hidden.end());
    }
    ASSERT_EQ(all.size(), twice.size() * 32);
    EmbeddingPool pool(model_->config().width);
    pool.Add(std::span(all).last(length * 32));
    auto expected = pool.Vector();
    ASSERT_TRUE(expected.ok());
    EXPECT_EQ(result.vector, *expected);
    double squares = 0;
    for (const float x : result.vector) squares += static_cast<double>(x) * x;
    EXPECT_NEAR(squares, 1, 1e-5);
  }
  EXPECT_FALSE(engine->Embed("", {}, [](EmbeddingResult) {}).ok());
  EXPECT_FALSE(engine->Embed("", {256}, [](EmbeddingResult) {}).ok());
  writer->WaitOk();
}

TEST_F(EngineTest, CountsWhatItDoes) {
  const auto cache = std::make_shared<ListCache>();
  const auto engine = Make({}, cache);
  EngineRequest request{.prompt = Prompt(kPiece + 4, 1), .sampling = ascii_};
  request.generate.max_tokens = 10;
  Submit(*engine, request)->WaitOk();
  Submit(*engine, request)->WaitOk();
  ASSERT_TRUE(engine->Drain(Soon()));
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.requests, 2);
  EXPECT_EQ(stats.prompt_tokens, kPiece + 4);
  EXPECT_EQ(stats.cached_tokens, kPiece + 4);
  EXPECT_EQ(stats.generated_tokens, 20);
  EXPECT_EQ(stats.steps, 2 + 10 + 10);  // the last token is read as well, for the place that is kept
  EXPECT_EQ(stats.first_token_seconds.count(), 2);
  EXPECT_EQ(stats.token_seconds.count(), 18);
  EXPECT_EQ(stats.batch.counts()[0], 20);
  EXPECT_EQ(stats.waiting + stats.reading + stats.writing, 0);
  EXPECT_GT(stats.generated_rate, 0);
  EXPECT_GT(stats.busy_seconds, 0);
}

}  // namespace
}  // namespace tern
