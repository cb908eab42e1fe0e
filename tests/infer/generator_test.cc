// From a session to text: what is shown, where it ends, and that the session has read just what was shown.
#include "infer/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "infer/conversation.h"
#include "tests/infer/infer_testing.h"

namespace tern {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using testing::RunGenerate;
using testing::Shown;

class Generator : public ::testing::Test {
 protected:
  /// A session that has read the prompt.
  Session Prompted() const {
    Session session(model_);
    EXPECT_TRUE(session.Feed(prompt_).ok());
    return session;
  }
  /// The text of a run from the prompt, without any stop.
  Shown Uninterrupted(int64_t tokens, const SamplingOptions& sampling) const {
    Session session = Prompted();
    Sampler sampler(sampling, tokenizer_.get());
    return RunGenerate(session, sampler, *tokenizer_, {.max_tokens = tokens, .ignore_end_of_document = true});
  }
  std::vector<int32_t> PromptAnd(std::span<const int32_t> tokens) const {
    std::vector<int32_t> all = prompt_;
    all.insert(all.end(), tokens.begin(), tokens.end());
    return all;
  }

  testing::TempDir dir_;
  std::shared_ptr<const Model> model_ = testing::MakeModel(testing::TinyModel(Generation::kRwkv7), dir_);
  std::shared_ptr<const Tokenizer> tokenizer_ = MakeByteTokenizer();
  std::vector<int32_t> prompt_ = tokenizer_->Encode("Once");
  SamplingOptions ascii_ = {.banned = testing::BytesBeyondAscii(), .seed = 7};
};

TEST_F(Generator, ReadsBackEveryTokenItShows) {
  Session session = Prompted();
  Sampler sampler(ascii_, tokenizer_.get());
  const Shown run = RunGenerate(session, sampler, *tokenizer_, {.max_tokens = 50});
  EXPECT_EQ(run.result.reason, StopReason::kLength);
  EXPECT_EQ(run.result.generated, 50);
  EXPECT_EQ(run.text, run.result.text);
  EXPECT_EQ(run.text, tokenizer_->Decode(run.result.tokens));
  EXPECT_EQ(session.tokens(), PromptAnd(run.result.tokens));
  EXPECT_EQ(session.logits(), testing::LogitsAfter(model_, session.tokens()));
}

TEST_F(Generator, NeedsASessionThatHasReadSomething) {
  Session session(model_);
  Sampler sampler(ascii_);
  const auto show = [](std::string_view) { return true; };
  auto result = Generate(session, sampler, *tokenizer_, {}, show);
  EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(session.Feed(1).ok());
  auto empty_stop = Generate(session, sampler, *tokenizer_, {.stop = {""}}, show);
  EXPECT_EQ(empty_stop.status().code(), StatusCode::kInvalidArgument);
}

TEST_F(Generator, WritesNothingWhenNoTokenIsAllowed) {
  Session session = Prompted();
  Sampler sampler(ascii_);
  const Sampler::Place before = sampler.place();
  const Shown run = RunGenerate(session, sampler, *tokenizer_, {.max_tokens = 0});
  EXPECT_EQ(run.text, "");
  EXPECT_EQ(run.result.generated, 0);
  EXPECT_EQ(run.result.reason, StopReason::kLength);
  EXPECT_EQ(session.tokens(), prompt_);
  EXPECT_EQ(sampler.place().random, before.random);
}

TEST_F(Generator, StreamsTheSameTextWhenItKeepsNone) {
  const Shown kept = Uninterrupted(100, {.seed = 3});
  Session session = Prompted();
  Sampler sampler({.seed = 3}, tokenizer_.get());
  const Shown streamed =
      RunGenerate(session, sampler, *tokenizer_, {.max_tokens = 100, .keep_output = false});
  EXPECT_EQ(streamed.text, kept.text);
  EXPECT_EQ(streamed.pieces, kept.pieces);
  EXPECT_EQ(streamed.result.generated, 100);
  EXPECT_TRUE(streamed.result.text.empty());
  EXPECT_TRUE(streamed.result.tokens.empty());
}

TEST_F(Generator, WritesTheSameOnAnyNumberOfThreads) {
  std::vector<std::vector<int32_t>> texts;
  for (const int threads : {1, 2, 5}) {
    SetNumThreads(threads);
    texts.push_back(Uninterrupted(60, {.seed = 4}).result.tokens);
  }
  SetNumThreads(0);
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_EQ(texts[0], texts[2]);
}

TEST_F(Generator, NeverCutsACharacter) {
  // Only the bytes of "a", "é" and "漢": their random sequences hold whole, broken and cut characters.
  const std::string bytes = "aé漢";
  SamplingOptions sampling{.temperature = 1, .top_p = 1, .presence = 0, .frequency = 0, .seed = 8};
  for (int32_t id = 0; id < 256; ++id) {
    if (bytes.find(static_cast<char>(id)) == std::string::npos) sampling.banned.push_back(id);
  }
  const Shown run = Uninterrupted(400, sampling);
  for (const std::string& piece : run.pieces) {
    EXPECT_NO_THROW((void)nlohmann::json(piece).dump()) << "no UTF-8: " << ::testing::PrintToString(piece);
  }
  Utf8Stream utf8;
  std::string whole = utf8.Push(tokenizer_->Decode(run.result.tokens));
  whole += utf8.Finish();
  EXPECT_EQ(run.text, whole);
  EXPECT_THAT(run.text, HasSubstr("é"));
}

TEST_F(Generator, StopsAtTextsOfSeveralTokens) {
  const std::string whole = Uninterrupted(120, ascii_).text;
  for (size_t at = 0; at < 100; at += 9) {
    for (const size_t length : {1, 2, 5, 12}) {
      const std::string stop = whole.substr(at, length);
      const std::string expected = whole.substr(0, whole.find(stop));
      Session session = Prompted();
      Sampler sampler(ascii_, tokenizer_.get());
      // The second stop begins at every letter of the first, and never ends.
      const Shown run =
          RunGenerate(session, sampler, *tokenizer_,
                      {.max_tokens = 120, .stop = {stop, whole.substr(at + 1, 20) + "\x7f\x7f\x7f"}});
      EXPECT_EQ(run.result.reason, StopReason::kStopString);
      EXPECT_EQ(run.text, expected);
      EXPECT_EQ(session.tokens(), PromptAnd(tokenizer_->Encode(expected)));
      EXPECT_EQ(session.logits(), testing::LogitsAfter(model_, session.tokens()));
    }
  }
}

TEST_F(Generator, ShowsTheBeginningOfAStopThatNeverCame) {
  const std::string whole = Uninterrupted(30, ascii_).text;
  Session session = Prompted();
  Sampler sampler(ascii_, tokenizer_.get());
  const Shown run =
      RunGenerate(session, sampler, *tokenizer_, {.max_tokens = 30, .stop = {whole.substr(10) + "more"}});
  EXPECT_EQ(run.result.reason, StopReason::kLength);
  EXPECT_EQ(run.text, whole);
  EXPECT_EQ(run.result.text, whole);
  EXPECT_EQ(session.tokens().size(), prompt_.size() + 30);
}

TEST_F(Generator, StopsAtTokens) {
  const std::vector<int32_t> whole = Uninterrupted(60, ascii_).result.tokens;
  const int32_t stop = whole[20];
  const auto end = std::find(whole.begin(), whole.end(), stop);
  Session session = Prompted();
  Sampler sampler(ascii_, tokenizer_.get());
  const Shown run = RunGenerate(session, sampler, *tokenizer_, {.max_tokens = 60, .stop_tokens = {-5, stop}});
  EXPECT_EQ(run.result.reason, StopReason::kStopToken);
  EXPECT_THAT(run.result.tokens, ElementsAreArray(whole.begin(), end + 1))
      << "the token that ended it included";
  EXPECT_EQ(run.text, tokenizer_->Decode({whole.begin(), end}));
  EXPECT_EQ(session.tokens(), PromptAnd(std::vector<int32_t>(whole.begin(), end)));
  EXPECT_EQ(session.logits(), testing::LogitsAfter(model_, session.tokens()));
}

TEST_F(Generator, EndsWhenItsReaderSaysSo) {
  Session session = Prompted();
  Sampler sampler(ascii_, tokenizer_.get());
  std::string text;
  auto result = Generate(session, sampler, *tokenizer_, {.max_tokens = 1000}, [&](std::string_view piece) {
    text += piece;
    return text.size() < 17;
  });
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->reason, StopReason::kCancelled);
  EXPECT_EQ(text.size(), 17u);
  EXPECT_EQ(result->text, text);
  EXPECT_EQ(session.tokens(), PromptAnd(tokenizer_->Encode(text)));
}

TEST_F(Generator, GoesOnFromAFileAsIfItHadNeverStopped) {
  for (const SamplingOptions& sampling :
       {SamplingOptions{.seed = 11}, SamplingOptions{.mirostat = 2, .mirostat_tau = 3, .seed = 12}}) {
    const std::vector<int32_t> whole = Uninterrupted(80, sampling).result.tokens;
    Session session = Prompted();
    Sampler sampler(sampling, tokenizer_.get());
    RunGenerate(session, sampler, *tokenizer_, {.max_tokens = 40});
    ASSERT_TRUE(session.Save(dir_.File("middle.state"), SamplerToJson(sampler)).ok());

    Session resumed(model_);
    auto note = resumed.Load(dir_.File("middle.state"));
    ASSERT_TRUE(note.ok()) << note.status().message();
    Sampler resumed_sampler(sampling, tokenizer_.get());
    ASSERT_TRUE(SamplerFromJson(*note, &resumed_sampler).ok());
    const Shown rest = RunGenerate(resumed, resumed_sampler, *tokenizer_, {.max_tokens = 40});
    EXPECT_THAT(rest.result.tokens, ElementsAreArray(whole.begin() + 40, whole.end()));
    EXPECT_EQ(resumed.tokens(), PromptAnd(whole));
    EXPECT_EQ(resumed.logits(), testing::LogitsAfter(model_, PromptAnd(whole)));
  }
}

TEST_F(Generator, RefusesASavedSamplerThatIsNone) {
  Sampler sampler(ascii_);
  const Sampler::Place before = sampler.place();
  for (const char* text : {"", "{", "[]", "null", "{\"random\": [1,2,3]}",
                           "{\"random\": [1,2,3,4], \"occurrences\": 5, \"mirostat_mu\": 1}",
                           "{\"random\": [1,2,3,4], \"occurrences\": [], \"mirostat_mu\": null}"}) {
    EXPECT_EQ(SamplerFromJson(text, &sampler).code(), StatusCode::kCorrupt) << text;
    EXPECT_EQ(sampler.place().random, before.random) << text;
  }
}

TEST_F(Generator, NamesTheTensorThatIsNotANumber) {
  std::vector<OutputTensor> tensors = testing::RandomTensors(testing::TinyModel(Generation::kRwkv7));
  for (OutputTensor& tensor : tensors) {
    if (tensor.name != "head.weight") continue;
    auto produced = tensor.produce();
    ASSERT_TRUE(produced.ok());
    std::vector<std::byte> bytes(produced->bytes().begin(), produced->bytes().end());
    const float nan = NAN;
    std::memcpy(bytes.data() + 400, &nan, sizeof nan);
    tensor.produce = [bytes]() -> Result<TensorBytes> { return TensorBytes{{}, bytes}; };
  }
  const std::string path = dir_.File("nan.pth");
  ASSERT_TRUE(WritePth(path, tensors).ok());
  auto model = Model::Load(path);
  ASSERT_TRUE(model.ok()) << model.status().message();
  Session session(*model);
  ASSERT_TRUE(session.Feed(65).ok());
  Sampler sampler(ascii_);
  auto result = Generate(session, sampler, *tokenizer_, {}, [](std::string_view) { return true; });
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.status().message(), HasSubstr("'head.weight'"));
  EXPECT_THAT(result.status().message(), HasSubstr(path));
  EXPECT_THAT(result.status().message(), HasSubstr("element 100"));
}

/// A vocabulary whose tokens hold several characters, one part of another, and an end of the document.
class WordGenerator : public Generator {
 protected:
  WordGenerator() {
    std::vector<std::string> words = {""};
    for (int byte = 0; byte < 256; ++byte) words.emplace_back(1, static_cast<char>(byte));
    for (const char* word : {"ab", "bc", "abc", "c.a", ". ", "b.", "cab", " a", "..", "a.b.c"})
      words.emplace_back(word);
    auto made = MakeWorldTokenizer(words);
    EXPECT_TRUE(made.ok()) << made.status().message();
    tokenizer_ = *made;
    testing::TempDir dir;
    model_ = testing::MakeModel(testing::TinyModel(Generation::kRwkv6, 267), dir);
    prompt_ = tokenizer_->Encode("abc. ");
    for (int32_t id = 1; id <= 256; ++id) {
      if (std::string("abc. ").find(tokenizer_->TokenBytes(id)) == std::string::npos) unused_.push_back(id);
    }
  }
  std::vector<int32_t> unused_;  ///< banned, so that the words are frequent
};

TEST_F(WordGenerator, HasReadJustTheTextBeforeAStopWithinAToken) {
  SamplingOptions sampling{.top_p = 1, .presence = 0, .frequency = 0, .banned = unused_, .seed = 21};
  sampling.banned.push_back(0);
  const Shown whole = Uninterrupted(60, sampling);
  for (size_t at = 20; at < 60; ++at) {
    for (const size_t length : {1, 2, 3, 7, 13}) {
      const std::string stop = whole.text.substr(at, length);
      const std::string expected = whole.text.substr(0, whole.text.find(stop));
      // The sampled tokens that lie in the text whole, then what is left of the one that was cut.
      std::vector<int32_t> read = prompt_;
      size_t end = 0;
      for (const int32_t token : whole.result.tokens) {
        const size_t next = end + tokenizer_->TokenBytes(token).size();
        if (next > expected.size()) break;
        read.push_back(token);
        end = next;
      }
      const std::vector<int32_t> rest = tokenizer_->Encode(expected.substr(end));
      read.insert(read.end(), rest.begin(), rest.end());

      Session session = Prompted();
      Sampler sampler(sampling, tokenizer_.get());
      const Shown run =
          RunGenerate(session, sampler, *tokenizer_, {.max_tokens = 60, .stop = {stop, "aa.aa\n"}});
      EXPECT_EQ(run.result.reason, StopReason::kStopString);
      EXPECT_EQ(run.text, expected);
      EXPECT_EQ(session.tokens(), read);
      EXPECT_EQ(session.logits(), testing::LogitsAfter(model_, read));
    }
  }
}

TEST_F(WordGenerator, EndsWithTheDocumentOrGoesOn) {
  // Any seed whose text has an end, but not at once.
  SamplingOptions sampling{.top_p = 1, .logit_bias = {{0, -5.0f}}, .banned = unused_};
  Shown whole;
  std::vector<int32_t>& tokens = whole.result.tokens;
  auto end = tokens.end();
  while (++sampling.seed < 100) {
    whole = Uninterrupted(200, sampling);
    end = std::find(tokens.begin(), tokens.end(), 0);
    if (end != tokens.end() && end != tokens.begin()) break;
  }
  ASSERT_LT(sampling.seed, 100u);
  EXPECT_EQ(whole.result.generated, 200) << "the end was to be ignored";
  Session session = Prompted();
  Sampler sampler(sampling, tokenizer_.get());
  const Shown run = RunGenerate(session, sampler, *tokenizer_, {.max_tokens = 200});
  EXPECT_EQ(run.result.reason, StopReason::kEndOfDocument);
  EXPECT_THAT(run.result.tokens, ElementsAreArray(tokens.begin(), end + 1));
  EXPECT_EQ(run.text, tokenizer_->Decode({tokens.begin(), end}));
  EXPECT_EQ(session.tokens(), PromptAnd(std::vector<int32_t>(tokens.begin(), end)));
}

TEST_F(WordGenerator, CanBeEndedWhileItsTokensHaveNoText) {
  Session session = Prompted();
  Sampler sampler({.temperature = 0, .presence = 0, .frequency = 0, .logit_bias = {{0, 1e6f}}});
  int calls = 0;
  auto result = Generate(session, sampler, *tokenizer_, {.max_tokens = 50, .ignore_end_of_document = true},
                         [&](std::string_view piece) {
                           EXPECT_EQ(piece, "");
                           return ++calls < 3;
                         });
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->reason, StopReason::kCancelled);
  EXPECT_EQ(result->generated, 3);
}

TEST_F(WordGenerator, BeginsATextWithTheEndOfTheOneBefore) {
  EXPECT_EQ(FirstToken(*tokenizer_), 0);
  EXPECT_EQ(FirstToken(*MakeByteTokenizer()), '\n');
}

}  // namespace
}  // namespace tern
