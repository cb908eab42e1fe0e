// What clients of other servers ask of the service: an evaluation harness, vLLM's tokenizer, generated
// clients.
#include <algorithm>
#include <cmath>
#include <set>

#include "tests/serve/service_testing.h"

namespace tern::testing {
namespace {

using ::testing::HasSubstr;

/// A token is a byte, but for 0, which ends documents and has no text.
class EndingTokenizer final : public Tokenizer {
 public:
  std::vector<int32_t> Encode(std::string_view text) const override {
    std::vector<int32_t> tokens;
    for (const char byte : text) tokens.push_back(static_cast<uint8_t>(byte));
    return tokens;
  }
  std::string_view TokenBytes(int32_t id) const override {
    return id > 0 && id < 256 ? std::string_view(bytes_).substr(static_cast<size_t>(id), 1)
                              : std::string_view();
  }
  int32_t vocab_size() const override { return 256; }
  std::string_view name() const override { return "ending"; }

 private:
  const std::string bytes_ = [] {
    std::string bytes(256, '\0');
    for (size_t byte = 0; byte < bytes.size(); ++byte) bytes[byte] = static_cast<char>(byte);
    return bytes;
  }();
};

std::shared_ptr<const Tokenizer> MakeEndingTokenizer() { return std::make_shared<const EndingTokenizer>(); }

// ---- Scores of an evaluation harness

/// What the harness sends to score texts that are given as tokens.
json ScoringRequest(const std::vector<std::vector<int32_t>>& prompts) {
  return {{"model", "tiny"}, {"prompt", prompts}, {"temperature", 0}, {"max_tokens", 1},
          {"logprobs", 1},   {"seed", 1234},      {"echo", true}};
}

/// What it reads of an answer: the sum over the continuation, which is all but the context and the one token
/// that was generated, and whether each token was the most probable one.
struct HarnessScore {
  double sum = 0;
  bool greedy = true;
  size_t tokens = 0;
};
HarnessScore ReadScore(const json& choice, size_t context) {
  const json& logprobs = choice["logprobs"];
  HarnessScore score;
  for (size_t i = context; i + 1 < logprobs["token_logprobs"].size(); ++i) {
    const double logprob = logprobs["token_logprobs"][i];
    score.sum += logprob;
    double best = -1e9;
    for (const auto& [name, value] : logprobs["top_logprobs"][i].items())
      best = std::max(best, value.get<double>());
    score.greedy = score.greedy && logprob == best;
    ++score.tokens;
  }
  return score;
}

/// ln P(target) after the tokens before it.
double LogProbability(const std::shared_ptr<const Model>& model, const std::vector<int32_t>& before,
                      int32_t target) {
  const auto logits = LogitsAfter(model, before);
  double largest = -1e30, sum = 0;
  for (const float logit : logits) largest = std::max<double>(largest, logit);
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return static_cast<double>(logits[static_cast<size_t>(target)]) - largest - std::log(sum);
}

HarnessScore Computed(const std::shared_ptr<const Model>& model, const std::vector<int32_t>& text,
                      size_t context) {
  HarnessScore score;
  for (size_t i = context; i < text.size(); ++i) {
    const std::vector<int32_t> before(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(i));
    score.sum += LogProbability(model, before, text[i]);
    const auto logits = LogitsAfter(model, before);
    score.greedy = score.greedy && std::max_element(logits.begin(), logits.end()) - logits.begin() == text[i];
    ++score.tokens;
  }
  return score;
}

/// Log-probabilities are sent as fp32 and prompts are read in pieces, whose sums are in another order.
constexpr double kTolerance = 1e-4;

void ExpectScores(const Service& service, json request, const std::vector<std::vector<int32_t>>& texts,
                  size_t context) {
  const json answer = service.Post(kCompletions, request);
  ASSERT_EQ(answer["choices"].size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    SCOPED_TRACE(i);
    const HarnessScore read = ReadScore(answer["choices"][i], context);
    const HarnessScore computed = Computed(service.model(), texts[i], context);
    EXPECT_EQ(read.tokens, computed.tokens);
    EXPECT_NEAR(read.sum, computed.sum, kTolerance);
    EXPECT_EQ(read.greedy, computed.greedy);
  }
}

/// Texts of which some hold or end in the token that ends documents.
const std::vector<std::vector<int32_t>> kTexts = {
    {0, 72, 105, 33}, {0, 72, 105, 0}, {65, 66, 67, 68, 69, 70}, {0, 1, 0}};

TEST(HarnessScores, AreTheModels) {
  const Service service({.tokenizer = MakeEndingTokenizer()});
  ExpectScores(service, ScoringRequest(kTexts), kTexts, 1);
}

TEST(HarnessScores, HoldWhereTheDocumentEndsAfterThePrompt) {
  const Service service({.tokenizer = MakeEndingTokenizer()});
  json request = ScoringRequest(kTexts);
  request["logit_bias"] = {
      {"0", 100}};  // the generated token is the end; log-probabilities do not know of it
  ExpectScores(service, request, kTexts, 1);
  const json choice = service.Post(kCompletions, request)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "stop");
  ASSERT_EQ(choice["logprobs"]["tokens"].size(), kTexts[0].size() + 1);
  EXPECT_NEAR(choice["logprobs"]["token_logprobs"].back().get<double>(),
              LogProbability(service.model(), kTexts[0], 0), kTolerance);
  // The same streamed.
  size_t entries = 0;
  for (const json& chunk : service.Stream(kCompletions, request).chunks) {
    for (const json& part : chunk["choices"]) {
      if (part["index"] == 0 && part["logprobs"].is_object()) entries += part["logprobs"]["tokens"].size();
    }
  }
  EXPECT_EQ(entries, kTexts[0].size() + 1);
}

TEST(HarnessScores, HoldWhereAStopFollowsThePrompt) {
  const Service service({.tokenizer = MakeEndingTokenizer()});
  for (const json& stop : {json{{"stop", {"A"}}}, json{{"stop_token_ids", {65}}}}) {
    json request = ScoringRequest(kTexts);
    request["logit_bias"] = {{"65", 100}};
    request.update(stop);
    ExpectScores(service, request, kTexts, 1);
  }
}

TEST(HarnessScores, WithoutEchoTheEndIsNotPartOfTheAnswer) {
  const Service service({.tokenizer = MakeEndingTokenizer()});
  json request = ScoringRequest(kTexts);
  request["echo"] = false;
  request["logit_bias"] = {{"0", 100}};
  EXPECT_EQ(service.Post(kCompletions, request)["choices"][0]["logprobs"]["tokens"], json::array());
}

// ---- vLLM's tokenizer

TEST(RootTokenizer, TokenizesThereAndBack) {
  const Service service({.tokenizer = MakeEndingTokenizer()});
  const json tokens = service.Post("/tokenize", {{"prompt", "A b"}, {"add_special_tokens", false}});
  EXPECT_EQ(tokens["tokens"], json({65, 32, 98}));
  EXPECT_EQ(tokens["count"], 3);
  EXPECT_TRUE(tokens["token_strs"].is_null());
  EXPECT_GT(tokens["max_model_len"], 0);
  const json named = service.Post("/tokenize", {{"prompt", "A b"}, {"return_token_strs", true}});
  EXPECT_EQ(named["token_strs"], json({"A", " ", "b"}));
  EXPECT_EQ(service.Post("/detokenize", {{"tokens", tokens["tokens"]}}), json({{"prompt", "A b"}}));
  EXPECT_EQ(service.Post("/detokenize", {{"tokens", json::array()}})["prompt"], "");
}

TEST(RootTokenizer, ItsEndOfTextIsTheTokenThatEndsDocuments) {
  const Service service({.tokenizer = MakeEndingTokenizer()});
  const json info = service.Ask("GET", "/tokenizer_info");
  const std::string end = info["eos_token"];
  EXPECT_EQ(info["bos_token"], end);
  EXPECT_TRUE(info.contains("pad_token") && info.contains("chat_template"));
  EXPECT_EQ(service.Post("/tokenize", {{"prompt", end}})["tokens"], json({0}));
  EXPECT_EQ(service.Post("/tokenize", {{"prompt", "a" + end + "b" + end}})["tokens"], json({97, 0, 98, 0}));
  EXPECT_EQ(service.Post("/detokenize", {{"tokens", {97, 0, 98, 0}}})["prompt"], "a" + end + "b" + end);
}

TEST(RootTokenizer, AVocabularyWithoutAnEndHasNone) {
  const Service service;
  EXPECT_TRUE(service.Ask("GET", "/tokenizer_info")["eos_token"].is_null());
  EXPECT_EQ(service.Post("/tokenize", {{"prompt", "<|endoftext|>"}})["count"], 13);
}

TEST(RootTokenizer, WritesConversationsAsTheServiceDoes) {
  const Service service;
  const json conversation = {{{"role", "user"}, {"content", "Hello"}}};
  const json open = service.Post("/tokenize", {{"messages", conversation}});
  const json closed =
      service.Post("/tokenize", {{"messages", conversation}, {"add_generation_prompt", false}});
  EXPECT_GE(open["count"], closed["count"]);
  const json answer = service.Post(kChat, {{"messages", conversation}, {"max_tokens", 1}});
  EXPECT_EQ(answer["usage"]["prompt_tokens"], open["count"]);
}

TEST(RootTokenizer, RefusesWhatItCannotDo) {
  const Service service;
  EXPECT_EQ(service.Fail("POST", "/tokenize", json::object())["param"], "prompt");
  EXPECT_EQ(service.Fail("POST", "/tokenize", {{"prompt", 5}})["param"], "prompt");
  EXPECT_EQ(service.Fail("POST", "/tokenize", {{"prompt", "a"}, {"model", "x"}})["param"], "model");
  EXPECT_EQ(service.Fail("POST", "/tokenize", {{"prompt", "a"}, {"chat_template", "{{x}}"}})["param"],
            "chat_template");
  EXPECT_EQ(service.Fail("POST", "/detokenize", {{"tokens", {300}}})["param"], "tokens");
  EXPECT_EQ(service.Fail("POST", "/detokenize", {{"tokens", {"a"}}})["param"], "tokens");
  EXPECT_EQ(service.Fail("GET", "/tokenizer_info?model=x")["param"], "model");
}

// ---- Generated clients

/// Checks a value against a schema of the description: references, types, constants, enumerations, members
/// that are missing and members that are not described.
class SchemaCheck {
 public:
  explicit SchemaCheck(json schemas) : schemas_(std::move(schemas)) {}

  void Check(const json& value, const std::string& name) const { Fits(value, schemas_.at(name), name); }

 private:
  static bool HasType(const json& value, const std::string& type) {
    if (type == "integer") return value.is_number_integer();
    if (type == "number") return value.is_number();
    return type == (value.is_boolean() ? "boolean" : value.type_name());
  }

  void Fits(const json& value, const json& schema, const std::string& where) const {
    if (schema.contains("$ref")) {
      const std::string name = schema["$ref"];
      return Fits(value, schemas_.at(name.substr(name.rfind('/') + 1)), where);
    }
    if (schema.contains("const")) {
      EXPECT_EQ(value, schema["const"]) << where;
    }
    if (schema.contains("enum")) {
      EXPECT_THAT(schema["enum"], ::testing::Contains(value)) << where;
    }
    if (schema.contains("type")) {
      const json types = schema["type"].is_array() ? schema["type"] : json::array({schema["type"]});
      EXPECT_TRUE(
          std::any_of(types.begin(), types.end(), [&](const json& type) { return HasType(value, type); }))
          << where << ": " << value << " is not of " << types;
    }
    for (size_t i = 0; value.is_array() && i < value.size(); ++i)
      Fits(value[i], schema.value("items", json::object()), where + "[]");
    if (value.is_object()) FitMembers(value, schema, where);
  }

  void FitMembers(const json& value, const json& schema, const std::string& where) const {
    for (const json& name : schema.value("required", json::array()))
      EXPECT_TRUE(value.contains(name.get<std::string>())) << where << ": " << name << " is missing";
    const json properties = schema.value("properties", json::object());
    for (const auto& [name, member] : value.items()) {
      if (properties.contains(name)) {
        Fits(member, properties[name], where + "." + name);
      } else {
        EXPECT_TRUE(schema.contains("additionalProperties")) << where << ": " << name << " is not described";
      }
    }
  }

  json schemas_;
};

TEST(Description, AnswersAreWhatTheirSchemasSay) {
  const Service service;
  const SchemaCheck check(service.Ask("GET", "/openapi.json")["components"]["schemas"]);
  json chat = Say("Hello", 5), text = Prompt("Once", 5);
  chat["logprobs"] = true;
  chat["top_logprobs"] = text["logprobs"] = 2;
  chat["template"] = "g1-think";
  chat["keep_state"] = text["echo"] = true;
  check.Check(service.Post(kChat, chat), "ChatAnswer");
  check.Check(service.Post(kCompletions, text), "CompletionAnswer");
  for (const json& chunk : service.Stream(kChat, chat).chunks) check.Check(chunk, "ChatChunk");
  for (const json& chunk : service.Stream(kCompletions, text).chunks) check.Check(chunk, "CompletionAnswer");
  json call = Say("The weather?", 200);
  call["tools"] = {{{"type", "function"}, {"function", {{"name", "now"}}}}};
  call["tool_choice"] = "required";
  check.Check(service.Post(kChat, call), "ChatAnswer");
  for (const json& chunk : service.Stream(kChat, call).chunks) check.Check(chunk, "ChatChunk");
  check.Check(service.Post("/v1/embeddings", {{"input", "a"}}), "EmbeddingAnswer");
  check.Check(service.Post("/v1/tokenize", {{"text", "a"}}), "TokenizeAnswer");
  check.Check(service.Post("/v1/detokenize", {{"tokens", {97}}}), "DetokenizeAnswer");
  check.Check(service.Post("/tokenize", {{"prompt", "a"}}), "RootTokenizeAnswer");
  check.Check(service.Post("/detokenize", {{"tokens", {97}}}), "RootDetokenizeAnswer");
  check.Check(service.Ask("GET", "/tokenizer_info"), "TokenizerInfo");
  check.Check(service.Ask("GET", "/v1/models"), "ModelList");
  check.Check(service.Ask("GET", "/v1/models/tiny"), "Model");
  check.Check(service.Ask("GET", "/v1/status"), "Status");
  check.Check(service.Ask("GET", "/health"), "Health");
  check.Check(json::parse(service.Raw("GET", "/nothing", "").body), "Error");
}

TEST(Description, StatesAreWhatTheirSchemasSay) {
  const Service service;
  const SchemaCheck check(service.Ask("GET", "/openapi.json")["components"]["schemas"]);
  const json state = service.Post("/v1/states", {{"prompt", "Hello"}});
  const std::string path = "/v1/states/" + state["id"].get<std::string>();
  check.Check(state, "State");
  check.Check(service.Post(path + "/fork", json::object()), "State");
  check.Check(service.Post(path + "/rollback", {{"tokens", 2}}), "State");
  check.Check(service.Ask("GET", path), "StateWithText");
  check.Check(service.Ask("GET", "/v1/states"), "StateList");
  check.Check(service.Ask("DELETE", path), "StateDeleted");
}

TEST(Description, EachOperationHasItsOwnNameAndKnownSchemas) {
  const Service service;
  const json document = service.Ask("GET", "/openapi.json");
  std::set<std::string> names;
  for (const auto& [path, operations] : document["paths"].items()) {
    for (const auto& [method, operation] : operations.items()) {
      SCOPED_TRACE(method + " " + path);
      EXPECT_TRUE(names.insert(operation.value("operationId", "")).second);
      for (const auto& [type, content] : operation["responses"]["200"]["content"].items()) {
        const bool plain = type == "text/plain" || type == "application/octet-stream";
        ASSERT_EQ(content.contains("schema"), !plain);
        if (plain) continue;
        const std::string name = content["schema"]["$ref"];
        EXPECT_TRUE(document["components"]["schemas"].contains(name.substr(name.rfind('/') + 1))) << name;
      }
    }
  }
  EXPECT_EQ(names.count(""), 0u);
  EXPECT_TRUE(document["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]["content"].contains(
      "text/event-stream"));
}

}  // namespace
}  // namespace tern::testing
