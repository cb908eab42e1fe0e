// The whole service, in this process, over a tiny random model.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/file.h"
#include "model/state.h"
#include "tests/serve/service_testing.h"

namespace tern::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Service, CompletesAsThePlainLoopDoes) {
  const Service service;
  for (const uint64_t seed : {1, 2, 3}) {
    const json answer = service.Post(kCompletions, Prompt("Once upon", 40, seed));
    EXPECT_EQ(Text(answer), Expected(service, "Once upon", 40, seed));
    EXPECT_EQ(answer["object"], "text_completion");
    EXPECT_EQ(answer["model"], "tiny");
    EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
    EXPECT_EQ(answer["usage"]["prompt_tokens"], 9);
    EXPECT_EQ(answer["usage"]["completion_tokens"], 40);
    EXPECT_EQ(answer["usage"]["total_tokens"], 49);
  }
}

TEST(Service, StreamsWhatItAnswersWhole) {
  const Service service;
  json request = Prompt("Once", 30);
  request["n"] = 3;
  const json whole = service.Post(kCompletions, request);
  request["stream_options"] = {{"include_usage", true}};
  const Events events = service.Stream(kCompletions, request);
  EXPECT_TRUE(events.done);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Streamed(events, i), whole["choices"][i]["text"]);
  EXPECT_NE(whole["choices"][0]["text"], whole["choices"][1]["text"]);
  EXPECT_EQ(events.chunks.back()["choices"], json::array());
  EXPECT_EQ(events.chunks.back()["usage"]["completion_tokens"], 90);
  EXPECT_TRUE(events.chunks.front()["usage"].is_null());
}

TEST(Service, ChatsWholeAndStreamed) {
  const Service service;
  json request = Say("Hello", 30);
  request["template"] = "world";
  const json whole = service.Post(kChat, request);
  EXPECT_EQ(whole["object"], "chat.completion");
  EXPECT_EQ(whole["choices"][0]["message"]["role"], "assistant");
  const Events events = service.Stream(kChat, request);
  ASSERT_TRUE(events.done);
  EXPECT_EQ(events.chunks[0]["object"], "chat.completion.chunk");
  EXPECT_EQ(events.chunks[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(Streamed(events), Content(whole));
  EXPECT_FALSE(events.chunks.back()["choices"][0]["finish_reason"].is_null());
  EXPECT_EQ(events.chunks.back()["system_fingerprint"], whole["system_fingerprint"]);
}

TEST(Service, ThinkingIsApart) {
  const Service service;
  json request = Say("Hello", 20);
  request["template"] = "g1";
  request["thinking"] = true;
  const json thought = service.Post(kChat, request);
  const json& message = thought["choices"][0]["message"];
  EXPECT_FALSE(message.value("reasoning_content", "").empty());
  EXPECT_EQ(message["reasoning"], message["reasoning_content"]);
  std::string streamed;
  for (const json& chunk : service.Stream(kChat, request).chunks) {
    for (const json& choice : chunk["choices"]) {
      EXPECT_EQ(choice["delta"].value("reasoning", ""), choice["delta"].value("reasoning_content", ""));
      streamed += choice["delta"].value("reasoning", "");
    }
  }
  EXPECT_EQ(streamed, message["reasoning"]);
  request["thinking"] = false;
  EXPECT_FALSE(service.Post(kChat, request)["choices"][0]["message"].contains("reasoning_content"));
  request["template"] = "world";
  request["thinking"] = true;
  EXPECT_EQ(service.Fail("POST", kChat, request)["param"], "thinking");
}

TEST(Service, ALongerConversationSparesWhatWasRead) {
  const Service service;
  json request = Say(std::string(300, 'x'), 5);
  const json first = service.Post(kChat, request);
  EXPECT_EQ(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  request["messages"].push_back({{"role", "assistant"}, {"content", Content(first)}});
  request["messages"].push_back({{"role", "user"}, {"content", "And?"}});
  const json second = service.Post(kChat, request);
  EXPECT_GE(second["usage"]["prompt_tokens_details"]["cached_tokens"], 300);
}

TEST(Service, StopsWhereItIsTold) {
  const Service service;
  const std::string text = Expected(service, "Once upon", 40, 1);
  json request = Prompt("Once upon", 40);
  const std::string stop = text.substr(12, 3);
  request["stop"] = {"\xf0\x9f\x8c\x8a never", stop};
  const json answer = service.Post(kCompletions, request);
  EXPECT_EQ(Text(answer), text.substr(0, text.find(stop)));
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
}

TEST(Service, SeveralPromptsAndEcho) {
  const Service service;
  json request = Prompt("", 8);
  request["prompt"] = {"One", "Two"};
  request["n"] = 2;
  request["echo"] = true;
  const json answer = service.Post(kCompletions, request);
  ASSERT_EQ(answer["choices"].size(), 4u);
  EXPECT_EQ(answer["choices"][0]["text"], "One" + Expected(service, "One", 8, 1));
  EXPECT_EQ(answer["choices"][3]["text"], "Two" + Expected(service, "Two", 8, 2));
  EXPECT_EQ(answer["choices"][3]["index"], 3);
}

TEST(Service, LogprobsOfCompletions) {
  const Service service;
  json request = Prompt("One", 6);
  request["logprobs"] = 3;
  request["echo"] = true;
  const json choice = service.Post(kCompletions, request)["choices"][0];
  const json& logprobs = choice["logprobs"];
  ASSERT_EQ(logprobs["tokens"].size(), 9u);
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  std::string text;
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(logprobs["text_offset"][i], i);
    text += logprobs["tokens"][i];
    if (i == 0) continue;
    EXPECT_LE(logprobs["token_logprobs"][i], 0);
    EXPECT_EQ(logprobs["top_logprobs"][i].size(), 3u);
  }
  EXPECT_EQ(text, choice["text"]);
  // Of the tokens of the prompt: what one session's logits say.
  const auto logits = LogitsAfter(service.model(), std::vector<int32_t>{'O'});
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  EXPECT_NEAR(logprobs["token_logprobs"][1], logits['n'] - std::log(sum), 1e-4);
  EXPECT_EQ(Streamed(service.Stream(kCompletions, request)), choice["text"]);
}

TEST(Service, OffsetsCountTheCharactersThatAreSent) {
  const Service service;
  const json request = {{"prompt", {128, 129, 65, 195, 169}},
                        {"echo", true},
                        {"logprobs", 0},
                        {"max_tokens", 3},
                        {"temperature", 0},
                        {"logit_bias", {{"130", 100}}}};
  const json choice = service.Post(kCompletions, request)["choices"][0];
  const std::string lost = "\xef\xbf\xbd";
  EXPECT_EQ(choice["text"], lost + lost + "A\xc3\xa9" + lost + lost + lost);
  EXPECT_EQ(choice["logprobs"]["text_offset"], json({0, 1, 2, 3, 4, 4, 5, 6}));
}

TEST(Service, LogprobsOfChat) {
  const Service service;
  json request = Say("Hello", 6);
  request["logprobs"] = true;
  request["top_logprobs"] = 2;
  const json content = service.Post(kChat, request)["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 6u);
  EXPECT_EQ(content[0]["top_logprobs"].size(), 2u);
  EXPECT_EQ(content[0]["bytes"].size(), 1u);
  size_t streamed = 0;
  for (const json& chunk : service.Stream(kChat, request).chunks) {
    const json& logprobs = chunk["choices"][0]["logprobs"];
    if (logprobs.is_object()) streamed += logprobs["content"].size();
  }
  EXPECT_EQ(streamed, 6u);
}

TEST(Service, JsonIsWhatTheSchemaSays) {
  const Service service;
  const json schema = {
      {"type", "object"},
      {"properties", {{"ok", {{"type", "boolean"}}}, {"size", {{"enum", {"small", "large"}}}}}},
      {"required", {"ok", "size"}},
      {"additionalProperties", false}};
  for (const uint64_t seed : {1, 2, 3, 4}) {
    json request = Say("A thing as JSON.", 100, seed);
    request["response_format"] = {{"type", "json_schema"},
                                  {"json_schema", {{"name", "thing"}, {"schema", schema}}}};
    request["template"] = seed % 2 == 0 ? "g1" : "world";
    const json answer = service.Post(kChat, request);
    EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
    const json thing = json::parse(Content(answer), nullptr, false);
    ASSERT_TRUE(thing.is_object()) << answer;
    EXPECT_TRUE(thing["ok"].is_boolean());
    EXPECT_EQ(thing.size(), 2u);
  }
  json request = Say("x", 50);
  request["response_format"] = {{"type", "json_schema"}, {"json_schema", {{"schema", {{"$dynamicRef", "#a"}}}}}};
  EXPECT_THAT(service.Fail("POST", kChat, request)["message"].get<std::string>(), HasSubstr("$dynamicRef"));
}

TEST(Service, GrammarsAreKept) {
  const Service service;
  json request = Prompt("2 + 2 =", 20);
  request["grammar"] = "root ::= [0-9] [0-9]";
  for (int i = 0; i < 2; ++i) {
    const std::string text = Text(service.Post(kCompletions, request));
    EXPECT_THAT(text, ::testing::MatchesRegex("[0-9][0-9]"));
  }
  request["grammar"] = "root ::= nothing";
  EXPECT_EQ(service.Fail("POST", kCompletions, request)["param"], "grammar");
}

TEST(Service, RequiredToolsAreCalledWithFittingArguments) {
  const Service service;
  json request = Say("Weather?", 200);
  request["tools"] = {{{"type", "function"},
                       {"function",
                        {{"name", "weather"},
                         {"parameters",
                          {{"type", "object"},
                           {"properties", {{"city", {{"enum", {"Oslo", "Rome"}}}}}},
                           {"required", {"city"}},
                           {"additionalProperties", false}}}}}}};
  request["tool_choice"] = "required";
  const json choice = service.Post(kChat, request)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_TRUE(choice["message"]["content"].is_null());
  const json& call = choice["message"]["tool_calls"][0];
  EXPECT_EQ(call["function"]["name"], "weather");
  EXPECT_TRUE(json::parse(call["function"]["arguments"].get<std::string>()).contains("city"));
  std::string arguments;
  for (const json& chunk : service.Stream(kChat, request).chunks) {
    for (const json& delta : chunk["choices"][0]["delta"].value("tool_calls", json::array())) {
      EXPECT_EQ(delta["function"].value("name", "weather"), "weather");
      arguments += delta["function"].value("arguments", "");
    }
  }
  EXPECT_EQ(arguments, call["function"]["arguments"]);
}

TEST(Service, AStreamedCallBeginsWithoutContent) {
  const Service service;
  json request = Say("The weather?", 200);
  request["tools"] = {{{"type", "function"}, {"function", {{"name", "now"}}}}};
  request["tool_choice"] = "required";
  const Events events = service.Stream(kChat, request);
  const json& first = events.chunks.at(0)["choices"][0]["delta"];
  ASSERT_TRUE(first.contains("content"));
  EXPECT_TRUE(first["content"].is_null());
  int calls = 0;
  for (const json& chunk : events.chunks) {
    const json& delta = chunk["choices"][0]["delta"];
    if (!delta.contains("tool_calls") || !delta["tool_calls"][0].contains("id")) continue;
    ++calls;
    ASSERT_TRUE(delta.contains("content"));
    EXPECT_TRUE(delta["content"].is_null());
  }
  EXPECT_EQ(calls, 1);
  // Where no call can come the content begins at once.
  request["tool_choice"] = "none";
  EXPECT_EQ(service.Stream(kChat, request).chunks.at(0)["choices"][0]["delta"]["content"], "");
}

TEST(Service, ErrorsHaveOpenAisShape) {
  const Service service;
  json request = Prompt("a", 1);
  request["model"] = "gpt-4";
  const json error = service.Fail("POST", kCompletions, request);
  EXPECT_EQ(error["status"], 404);
  EXPECT_EQ(error["code"], "model_not_found");
  EXPECT_EQ(error["param"], "model");
  for (const char* path : {"/v1/models/none/load", "/v1/models/none/unload"})
    EXPECT_EQ(service.Fail("POST", path)["code"], "model_not_found");
  EXPECT_EQ(service.Fail("GET", "/v1/models/none")["status"], 404);
  EXPECT_EQ(service.Fail("POST", kCompletions, {{"prompt", {70000}}})["param"], "prompt");
  EXPECT_EQ(service.Fail("POST", kCompletions, {{"logit_bias", {{"300", 1}}}})["status"], 400);
  const json state = service.Fail("POST", kCompletions, {{"state", "st_unknown"}});
  EXPECT_EQ(state["status"], 404);
  EXPECT_EQ(state["code"], "state_not_found");
  EXPECT_EQ(state["param"], "state");
  EXPECT_EQ(service.Raw("POST", kChat, "{").status, 400);
}

TEST(Service, ErrorsThatTheModelDecidesNameTheirField) {
  const Service service({.engine = {.max_batch = 2}});
  EXPECT_EQ(service.Fail("POST", kCompletions, {{"prompt", "a"}, {"n", 3}})["param"], "n");
  EXPECT_EQ(service.Fail("POST", kCompletions, {{"logit_bias", {{"256", 5}}}})["param"], "logit_bias");
  const json kept = service.Post("/v1/states", {{"prompt", "Hello"}});
  const json request = {{"state", kept["id"]}, {"prompt", "!"}, {"echo", true}, {"logprobs", 1}};
  EXPECT_EQ(service.Fail("POST", kCompletions, request)["param"], "echo");
  const json api = service.Ask("GET", "/openapi.json")["components"]["schemas"];
  EXPECT_EQ(api["CompletionRequest"]["properties"]["n"]["maximum"], 2);
}

/// An error that is not the client's: it says nothing of the server's files.
void ExpectServerFault(const json& error) {
  EXPECT_EQ(error["status"], 500);
  EXPECT_EQ(error["code"], "internal_error");
  EXPECT_TRUE(error["param"].is_null());
  EXPECT_THAT(error["message"].get<std::string>(), ::testing::Not(HasSubstr("/")));
}

TEST(Service, AModelFileThatHasGoneIsTheServersFault) {
  std::atomic<bool> gone = false;
  const Service service(
      {.before_load = [&] { return gone ? NotFound("cannot open '/models/tiny.pth'") : OkStatus(); }});
  service.Post("/v1/models/tiny/unload", nullptr);
  gone = true;
  ExpectServerFault(service.Fail("POST", "/v1/models/tiny/load"));
}

TEST(Service, ListsLoadsAndUnloadsModels) {
  const Service service({.models = {"one", "two"}});
  const json list = service.Ask("GET", "/v1/models")["data"];
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["id"], "one");
  EXPECT_EQ(list[0]["tern"]["layers"], 2);
  EXPECT_EQ(service.Post("/v1/models/one/unload", nullptr)["tern"]["loaded"], false);
  json request = Prompt("a", 1);
  request["model"] = "one";
  EXPECT_EQ(service.Fail("POST", kCompletions, request)["status"], 503);
  request.erase("model");
  EXPECT_EQ(service.Post(kCompletions, request)["model"], "two");
  EXPECT_EQ(service.Post("/v1/models/one/load", nullptr)["tern"]["loaded"], true);
  request["model"] = "one";
  EXPECT_EQ(service.Post(kCompletions, request)["model"], "one");
  EXPECT_EQ(service.Fail("POST", "/v1/models/three/load")["status"], 404);
}

TEST(Service, NamedStatesOutliveTheirModelsRest) {
  const TempDir dir;
  for (const std::string& folder : {std::string(), dir.path()}) {
    Service service({.states = {.folder = folder}});
    const json made = service.Post("/v1/states", {{"prompt", "Hello"}});
    // A client that does not read its answer holds the model for a while.
    const auto held = *service.context().host.Find("");
    for (int i = 0; i < 2; ++i) {
      service.Post("/v1/models/tiny/unload", nullptr);
      EXPECT_EQ(service.Ask("GET", "/v1/states")["data"].size(), 0u);
      service.Post("/v1/models/tiny/load", nullptr);
    }
    EXPECT_NE(*service.context().host.Find(""), held);
    EXPECT_EQ(service.Ask("GET", "/v1/states")["data"].size(), 1u);
    EXPECT_EQ(service.Ask("GET", "/v1/states/" + made["id"].get<std::string>())["text"], "Hello");
  }
}

TEST(Service, TwoNamesOfOneFileShareItsStates) {
  const TempDir dir;
  const Service service({.states = {.folder = dir.path()}, .models = {"one", "two"}});
  const json made = service.Post("/v1/states", {{"prompt", "Hello"}, {"model", "two"}});
  EXPECT_EQ(service.Ask("GET", "/v1/states")["data"].size(), 1u);
  json request = Prompt(" you", 3);
  request["state"] = made["id"];
  for (const char* name : {"one", "two"}) {
    request["model"] = name;
    EXPECT_EQ(service.Post(kCompletions, request)["model"], name);
  }
  service.Post("/v1/models/two/unload", nullptr);
  EXPECT_EQ(service.Ask("GET", "/v1/states")["data"].size(), 1u);
}

TEST(ModelHost, GivesEachModelAnEqualShareOfRoomForStates) {
  const TempDir files, folder;
  const auto model = MakeModel(TinyModel(Generation::kRwkv7), files);
  const auto load = [&](const serve::ModelSource&) -> Result<serve::ModelFiles> {
    return serve::ModelFiles{model, MakeByteTokenizer()};
  };
  const auto place =
      std::make_shared<const KeptState>(KeptState{{1, 2}, State(StateLayout(model->config())), {}});
  for (const std::string& where : {std::string(), folder.path()}) {
    serve::ModelHost host({{"one", "1"}, {"two", "2"}, {"three", "3"}}, load,
                          {.states = {.memory_bytes = 300, .folder = where, .disk_bytes = 300}});
    ASSERT_TRUE(host.Load("two").ok());
    const auto saved = (*host.Find("two"))->cache().Save("", place, "", "");
    EXPECT_THAT(saved.status().message(),
                HasSubstr(where.empty() ? "of the 100 bytes of memory" : "of the 100 bytes of disk"));
  }
}

TEST(Service, EmbedsTexts) {
  const Service service;
  const json answer = service.Post("/v1/embeddings", {{"input", {"A tern.", "A bird."}}});
  ASSERT_EQ(answer["data"].size(), 2u);
  const auto vector = answer["data"][1]["embedding"].get<std::vector<float>>();
  double length = 0;
  for (const float x : vector) length += static_cast<double>(x) * x;
  EXPECT_NEAR(length, 1, 1e-3);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 14);
  const json base64 = service.Post("/v1/embeddings", {{"input", "A bird."}, {"encoding_format", "base64"}});
  EXPECT_EQ(base64["data"][0]["embedding"].get<std::string>().size(), (vector.size() * 4 + 2) / 3 * 4);
  // The width may be named, and no other number.
  const json named = service.Post("/v1/embeddings", {{"input", "A bird."}, {"dimensions", vector.size()}});
  EXPECT_EQ(named["data"][0]["embedding"].get<std::vector<float>>(), vector);
  for (const size_t other : {vector.size() - 1, vector.size() + 1}) {
    const json error = service.Fail("POST", "/v1/embeddings", {{"input", "a"}, {"dimensions", other}});
    EXPECT_EQ(error["param"], "dimensions");
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(std::to_string(vector.size())));
  }
}

TEST(Service, TokenizesThereAndBack) {
  const Service service;
  const json tokens = service.Post("/v1/tokenize", {{"text", "A b"}});
  EXPECT_EQ(tokens["tokens"], json({65, 32, 98}));
  EXPECT_EQ(tokens["pieces"], json({"A", " ", "b"}));
  EXPECT_EQ(service.Post("/v1/detokenize", {{"tokens", tokens["tokens"]}})["text"], "A b");
  EXPECT_EQ(service.Post("/v1/detokenize", {{"tokens", json::array()}})["text"], "");
  EXPECT_EQ(service.Fail("POST", "/v1/detokenize", {{"tokens", {300}}})["param"], "tokens");
}

// ---- States

TEST(Service, AStateGoesOnAsIfTheTextHadNeverStopped) {
  const Service service;
  json request = Prompt("Once upon", 10);
  request["keep_state"] = true;
  request["temperature"] = 0;
  const json first = service.Post(kCompletions, request);
  const std::string id = first["choices"][0]["state"];
  const json second = service.Post(
      kCompletions,
      {{"state", id}, {"prompt", ""}, {"max_tokens", 10}, {"temperature", 0}, {"logit_bias", AsciiBias()}});
  request["max_tokens"] = 20;
  request["keep_state"] = false;
  EXPECT_EQ(Text(first) + Text(second), Text(service.Post(kCompletions, request)));
  const json shown = service.Ask("GET", "/v1/states/" + id);
  EXPECT_EQ(shown["text"], "Once upon" + Text(first));
  EXPECT_EQ(shown["tokens"].size(), 19u);
}

TEST(Service, StatesAreReadForkedRolledBackAndDeleted) {
  const Service service;
  const json made = service.Post("/v1/states", {{"prompt", "Hello, world"}, {"note", "greeting"}});
  const std::string id = made["id"];
  EXPECT_EQ(made["tokens"], 12);
  EXPECT_EQ(made["model"], "tiny");
  const json fork = service.Post("/v1/states/" + id + "/fork", nullptr);
  EXPECT_EQ(fork["parent"], id);
  EXPECT_EQ(fork["note"], "greeting");
  const json back = service.Post("/v1/states/" + id + "/rollback", {{"tokens", 5}, {"note", "short"}});
  EXPECT_EQ(back["tokens"], 5);
  const std::string back_id = back["id"];
  EXPECT_EQ(service.Ask("GET", "/v1/states/" + back_id)["text"], "Hello");
  EXPECT_EQ(service.Fail("POST", "/v1/states/" + id + "/rollback", {{"tokens", 13}})["param"], "tokens");
  EXPECT_EQ(service.Ask("GET", "/v1/states")["data"].size(), 3u);
  EXPECT_EQ(service.Ask("DELETE", "/v1/states/" + id)["deleted"], true);
  EXPECT_EQ(service.Fail("GET", "/v1/states/" + id)["status"], 404);
  EXPECT_EQ(service.Fail("POST", "/v1/states", json::object())["param"], "prompt");
  // The place after "Hello" goes on as that text does.
  json request = Prompt(", you", 8);
  request["state"] = back_id;
  EXPECT_EQ(Text(service.Post(kCompletions, request)), Expected(service, "Hello, you", 8, 1));
}

TEST(Service, AStateIsAFileThatSessionsRead) {
  const Service service;
  const std::string id = service.Post("/v1/states", {{"prompt", "Hello"}})["id"];
  const Answer file = service.Raw("GET", "/v1/states/" + id + "/file", "");
  ASSERT_EQ(file.status, 200);
  const TempDir dir;
  ASSERT_TRUE(WriteStringToFile(dir.File("state"), file.body).ok());
  const auto saved = LoadState(dir.File("state"), service.model()->config(), service.model()->Hash());
  ASSERT_TRUE(saved.ok()) << saved.status().message();
  EXPECT_THAT(saved->tokens, ElementsAre('H', 'e', 'l', 'l', 'o'));
}

TEST(Service, ASessionRemembersItsConversation) {
  const Service service;
  const std::string session = "X-Session: talk\r\n";
  json request = Say("One", 6);
  request["temperature"] = 0;
  request["template"] = "world";
  const json first = service.Post(kChat, request, session);
  request["messages"][0]["content"] = "Two";
  const json second = service.Post(kChat, request, session);
  const json states = service.Ask("GET", "/v1/states")["data"];
  ASSERT_EQ(states.size(), 1u);
  const std::string id = states[0]["id"];
  const std::string text = service.Ask("GET", "/v1/states/" + id)["text"];
  EXPECT_THAT(text, ::testing::StartsWith("User: One\n\nAssistant:"));
  EXPECT_THAT(text, HasSubstr("\n\nUser: Two\n\nAssistant:"));
  EXPECT_EQ(second["usage"]["prompt_tokens"].get<int>() + 6, static_cast<int>(text.size()));
  EXPECT_EQ(service.Fail("POST", kChat, {{"messages", request["messages"]}, {"state", id}}, session)["param"],
            "state");
}

TEST(Service, CopiesOfASessionsStateBelongToNoSession) {
  const Service service;
  const std::string session = "X-Session: talk\r\n";
  const size_t read = 4 + Text(service.Post(kCompletions, Prompt("Once", 6), session)).size();
  const std::string held = service.Ask("GET", "/v1/states")["data"][0]["id"];
  const std::string path = "/v1/states/" + held;
  std::vector<std::string> copies;
  for (const json& made :
       {service.Post(path + "/fork", nullptr), service.Post(path + "/fork", {{"note", "session: talk"}}),
        service.Post(path + "/rollback", {{"tokens", 4}})}) {
    EXPECT_EQ(made["note"], "from session: talk");
    copies.push_back(made["id"]);
  }
  // The session goes on where it stood itself, and takes away its own state alone.
  EXPECT_EQ(service.Post(kCompletions, Prompt("!", 6), session)["usage"]["prompt_tokens"], read + 1);
  EXPECT_EQ(service.Fail("GET", path)["status"], 404);
  for (const std::string& copy : copies) service.Ask("GET", "/v1/states/" + copy);
  EXPECT_EQ(service.Fail("POST", "/v1/states", {{"prompt", "a"}, {"note", "session: talk"}})["param"],
            "note");
}

TEST(Service, ASessionNeedsRoomForOneState) {
  const std::string session = "X-Session: talk\r\n";
  json request = Say("One", 6);
  request["template"] = "world";
  uint64_t bytes = 0;
  {
    const Service roomy;
    roomy.Post(kChat, request, session);
    bytes = roomy.Ask("GET", "/v1/states")["data"][0]["bytes"].get<uint64_t>();
  }
  const Service service({.states = {.memory_bytes = bytes * 3 / 2}});
  for (int i = 0; i < 4; ++i) service.Post(kChat, request, session);
  EXPECT_EQ(service.Ask("GET", "/v1/states")["data"].size(), 1u);
  const json choice = service.Post(kChat, request, "X-Session: another\r\n")["choices"][0];
  EXPECT_TRUE(choice["state"].is_null());
  EXPECT_EQ(choice["state_warning"]["code"], "insufficient_storage");
  EXPECT_EQ(service.Ask("GET", "/v1/states")["data"][0]["note"], "session: talk");
}

TEST(Service, NothingOfOneKeyIsVisibleToAnother) {
  const Service service({.keys = {"key-of-anna", "key-of-bert"}});
  const std::string anna = "Authorization: Bearer key-of-anna\r\n",
                    bert = "Authorization: Bearer key-of-bert\r\n";
  const std::string prompt(200, 'p');
  const json made = service.Post("/v1/states", {{"prompt", prompt}}, anna);
  const std::string id = made["id"];
  EXPECT_EQ(service.Fail("GET", "/v1/states")["status"], 401);
  EXPECT_EQ(service.Ask("GET", "/v1/states", {}, bert)["data"].size(), 0u);
  const json foreign = service.Fail("GET", "/v1/states/" + id, {}, bert);
  const json unknown = service.Fail("GET", "/v1/states/st_00000000000000000000000000000000", {}, bert);
  EXPECT_EQ(foreign, unknown);
  for (const char* path : {"/fork", "/rollback"}) {
    EXPECT_EQ(service.Fail("POST", "/v1/states/" + id + path, {{"tokens", 3}}, bert)["status"], 404);
  }
  EXPECT_EQ(service.Fail("DELETE", "/v1/states/" + id, {}, bert)["status"], 404);
  EXPECT_EQ(service.Raw("GET", "/v1/states/" + id + "/file", "", bert).status, 404);
  EXPECT_EQ(service.Fail("POST", kCompletions, {{"state", id}}, bert)["status"], 404);
  // Not even by its time: what one key read the other reads anew.
  EXPECT_EQ(
      service.Post(kCompletions, Prompt(prompt, 1), bert)["usage"]["prompt_tokens_details"]["cached_tokens"],
      0);
  EXPECT_EQ(service.Ask("GET", "/health")["status"], "ok");
}

// ---- Load and company

TEST(Service, AnswersAreTheSameInCompany) {
  const Service service;
  constexpr int kClients = 12;
  std::vector<std::string> got(kClients);
  std::vector<std::thread> threads;
  for (int i = 0; i < kClients; ++i) {
    threads.emplace_back([&, i] {
      const json request = Prompt("Client " + std::to_string(i), 20 + i, static_cast<uint64_t>(i));
      got[static_cast<size_t>(i)] = i % 2 == 0 ? Streamed(service.Stream(kCompletions, request))
                                               : Text(service.Post(kCompletions, request));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kClients; ++i) {
    EXPECT_EQ(got[static_cast<size_t>(i)],
              Expected(service, "Client " + std::to_string(i), 20 + i, static_cast<uint64_t>(i)));
  }
}

TEST(Service, AFullQueueSaysTryAgain) {
  Service service({.engine = {.max_batch = 1, .max_queue = 1}});
  Client running = service.Connect(), waiting = service.Connect();
  running.Send(StreamRequest(1'000'000));
  ASSERT_TRUE(running.WaitForText("data: "));
  waiting.Send(StreamRequest(1'000'000));
  ASSERT_TRUE(Eventually(service, [](const EngineStats& stats) { return stats.waiting == 1; }));
  const Answer refused = service.Raw("POST", kCompletions, Prompt("a", 1).dump());
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.headers.count("retry-after"), 1u);
  EXPECT_THAT(refused.body, HasSubstr("rate_limit"));
}

TEST(Service, AListOfAnyLengthIsOneRequest) {
  for (const int queue : {0, 8}) {
    Service service({.engine = {.max_batch = 4, .max_queue = queue}});
    const json embedded = service.Post("/v1/embeddings", {{"input", std::vector<std::string>(300, "a")}});
    EXPECT_EQ(embedded["data"].size(), 300u);
    json request = Prompt("a", 1);
    request["prompt"] = std::vector<std::string>(40, "a");
    // With no queue at all there must be room in the batch, and the last text may still be leaving it.
    ASSERT_TRUE(Eventually(service, [](const EngineStats& stats) {
      return stats.reading + stats.writing + stats.waiting == 0;
    }));
    EXPECT_EQ(service.Post(kCompletions, request)["choices"].size(), 40u);
    EXPECT_EQ(service.Ask("GET", "/v1/status")["models"][0]["engine"]["cancelled"], 0);
  }
}

TEST(Service, OneKeysFloodLeavesRoomForAnotherKey) {
  Service service({.engine = {.max_batch = 2, .max_queue = 4}, .keys = {"key-of-anna", "key-of-bert"}});
  const std::string anna = "Authorization: Bearer key-of-anna\r\n",
                    bert = "Authorization: Bearer key-of-bert\r\n";
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 6; ++i) {  // two are written, four wait
    clients.push_back(std::make_unique<Client>(service.Connect()));
    clients.back()->Send(TestServer::Post(kCompletions, Prompt("a", 1'000'000).dump(),
                                          "Content-Type: application/json\r\n" + anna));
    ASSERT_TRUE(Eventually(service, [i](const EngineStats& stats) {
      return stats.writing == std::min(i + 1, 2) && stats.waiting == std::max(0, i - 1);
    }));
  }
  EXPECT_EQ(service.Raw("POST", kCompletions, Prompt("a", 1).dump(), anna).status, 429);
  Client other = service.Connect();
  other.Send(
      TestServer::Post(kCompletions, Prompt("a", 1).dump(), "Content-Type: application/json\r\n" + bert));
  const Answer gave_way = clients[5]->Read();
  EXPECT_EQ(gave_way.status, 429);
  EXPECT_THAT(gave_way.body, HasSubstr("too many requests are waiting"));
  clients[0]->Close();
  EXPECT_EQ(other.Read().status, 200);
}

TEST(Service, AStreamThatWaitsSaysThatItIsAlive) {
  Service service({.engine = {.max_batch = 1}, .longest_silence = std::chrono::milliseconds(5)});
  Client running = service.Connect(), waiting = service.Connect();
  running.Send(StreamRequest(1'000'000));
  ASSERT_TRUE(running.WaitForText("data: "));
  waiting.Send(StreamRequest(20));
  ASSERT_TRUE(waiting.WaitForText("Content-Type: text/event-stream"));
  ASSERT_TRUE(waiting.WaitForText(": ping\n\n"));  // there is no place for it yet
  EXPECT_TRUE(Eventually(service, [](const EngineStats& stats) { return stats.waiting == 1; }));
  running.Close();
  const Answer answer = waiting.Read();
  EXPECT_EQ(answer.status, 200);
  const Events events = ParseEvents(answer.body);
  EXPECT_TRUE(events.done);
  EXPECT_EQ(Streamed(events), Expected(service, "Once", 20, 1));
}

TEST(Service, WhatIsWrongBeforeAStreamHasAStatus) {
  const Service service;
  json request = Prompt("Once", 5);
  request["stream"] = true;
  request["prompt"] = {70000};
  EXPECT_EQ(service.Fail("POST", kCompletions, request)["status"], 400);
  request["prompt"] = "Once";
  request["model"] = "none";
  EXPECT_EQ(service.Fail("POST", kCompletions, request)["status"], 404);
}

TEST(Service, AClientThatGoesHasItsAnswerStopped) {
  Service service;
  for (int i = 0; i < 3; ++i) {
    Client client = service.Connect();
    client.Send(StreamRequest(1'000'000));
    ASSERT_TRUE(client.WaitForText("data: "));
    i == 0 ? client.Abort() : client.Close();
  }
  Client whole = service.Connect();
  whole.Send(TestServer::Post("/v1/completions", Prompt("a", 1'000'000).dump(),
                              "Content-Type: application/json\r\n"));
  ASSERT_TRUE(Eventually(service, [](const EngineStats& stats) { return stats.requests == 4; }));
  whole.Abort();
  EXPECT_TRUE(Eventually(
      service, [](const EngineStats& stats) { return stats.writing == 0 && stats.cancelled == 4; }));
}

TEST(Service, TheLogHasTheTokensOfAnswersThatAreCut) {
  std::mutex mutex;
  std::string log;
  Counter lines;
  const Service service({.log = [&](std::string_view line) {
    {
      const std::lock_guard lock(mutex);
      log = line;
    }
    lines.Add();
  }});
  Client client = service.Connect();
  client.Send(StreamRequest(1'000'000));
  ASSERT_TRUE(client.WaitForText("\"text\""));
  client.Abort();
  ASSERT_TRUE(lines.Reaches(1));
  const std::lock_guard lock(mutex);
  EXPECT_GT(std::stoi(json::parse(log).value("completion_tokens", "0")), 0) << log;
}

TEST(Service, AStreamThatTheServiceMustEndSaysSo) {
  auto service = std::make_unique<Service>();
  Client client = service->Connect();
  client.Send(StreamRequest(1'000'000));
  ASSERT_TRUE(client.WaitForText("data: "));
  const Status unloaded = service->context().host.Unload("tiny", std::chrono::steady_clock::now());
  EXPECT_TRUE(unloaded.ok()) << unloaded.message();
  EXPECT_THAT(client.Read().body, HasSubstr("data: {\"error\":"));
}

TEST(Service, TellsItsFigures) {
  const Service service;
  service.Post(kCompletions, Prompt("Hello", 5));
  const json status = service.Ask("GET", "/v1/status");
  EXPECT_EQ(status["models"][0]["id"], "tiny");
  EXPECT_EQ(status["models"][0]["engine"]["generated_tokens"], 5);
  EXPECT_GE(status["http"]["requests"], 1);
  EXPECT_GT(status["process"]["resident_bytes"], 1 << 20);
  const Answer metrics = service.Raw("GET", "/metrics", "");
  EXPECT_THAT(metrics.body, HasSubstr("tern_generated_tokens_total{model=\"tiny\"} 5\n"));
  EXPECT_THAT(metrics.body, HasSubstr("tern_first_token_seconds_count{model=\"tiny\"} 1\n"));
  EXPECT_THAT(metrics.body, HasSubstr("tern_http_responses_total{status=\"3xx\"} 0\n"));
  EXPECT_EQ(service.Raw("GET", "/", "", "If-None-Match: *\r\n").status, 304);
  EXPECT_EQ(service.Ask("GET", "/v1/status")["http"]["responses_3xx"], 1);
  EXPECT_EQ(service.Ask("GET", "/openapi.json")["openapi"], "3.1.0");
}

}  // namespace
}  // namespace tern::testing
