// Requests read and refused, prompts written, answers told apart: all that needs neither a model nor a
// socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "infer/grammar_matcher.h"
#include "infer/json_schema.h"
#include "serve/answer_fields.h"
#include "serve/answer_parts.h"
#include "serve/chat_prompt.h"
#include "serve/openai_fields.h"
#include "serve/openai_request.h"
#include "serve/openapi.h"
#include "serve/tool_calls.h"

namespace tern::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

HttpRequest Body(std::string body) {
  HttpRequest request;
  request.headers = {{"content-type", "application/json"}};
  request.body = std::move(body);
  return request;
}

constexpr const char* kHello = R"("messages":[{"role":"user","content":"Hi"}])";

std::string Chat(const std::string& fields) {
  return "{" + std::string(kHello) + (fields.empty() ? "" : ",") + fields + "}";
}

// ---- Requests

struct Refused {
  const char* fields;
  const char* param;
};

TEST(ChatRequest, IsRefusedNamingTheField) {
  const Refused cases[] = {
      {R"("temperature":"hot")", "temperature"},
      {R"("temperature":2.5)", "temperature"},
      {R"("temperature":-1)", "temperature"},
      {R"("top_p":1.01)", "top_p"},
      {R"("n":0)", "n"},
      {R"("n":1.5)", "n"},
      {R"("n":129)", "n"},
      {R"("presence_penalty":3)", "presence_penalty"},
      {R"("max_tokens":0)", "max_tokens"},
      {R"("max_completion_tokens":-5)", "max_completion_tokens"},
      {R"("n_predict":0)", "n_predict"},
      {R"("n_predict":5,"max_new_tokens":6)", "max_new_tokens"},
      {R"("stop":[1])", "stop"},
      {R"("stop":5)", "stop"},
      {R"("stream":1)", "stream"},
      {R"("stream_options":{"include_usage":true})", "stream_options"},
      {R"("stream":true,"stream_options":{"include_usage":1})", "stream_options"},
      {R"("logit_bias":{"x":1})", "logit_bias"},
      {R"("logit_bias":{"12":101})", "logit_bias"},
      {R"("logit_bias":{"99999999999":1})", "logit_bias"},
      {R"("top_logprobs":2)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"("response_format":{"type":"xml"})", "response_format"},
      {R"("response_format":{"type":"json_schema"})", "response_format"},
      {R"("response_format":{"type":"json_object"},"grammar":"root ::= \"a\"")", "response_format"},
      {R"("tools":[{"type":"search"}])", "tools[0]"},
      {R"("tools":[{"type":"function","function":{"name":"a b"}}])", "tools[0].function.name"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"array"}}}])",
       "tools[0].function.parameters"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":["string","null"]}}}])",
       "tools[0].function.parameters"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":5}}}])",
       "tools[0].function.parameters"},
      {R"("tool_choice":"required")", "tool_choice"},
      {R"("tool_choice":{"type":"function","function":{"name":"f"}})", "tool_choice"},
      {R"("functions":[{"name":"f"}])", "functions"},
      {R"("modalities":["text","audio"])", "modalities"},
      {R"("seed":1e40)", "seed"},
      {R"("top_k":-2)", "top_k"},
      {R"("min_p":1)", "min_p"},
      {R"("penalty_decay":1.1)", "penalty_decay"},
  };
  for (const Refused& c : cases) {
    SCOPED_TRACE(c.fields);
    const auto read = ReadChatRequest(Body(Chat(c.fields)));
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.status().status, 400);
    EXPECT_EQ(read.status().param, c.param);
    EXPECT_THAT(read.status().message,
                HasSubstr(read.status().param.substr(0, read.status().param.find('['))));
  }
}

TEST(ChatRequest, ItsMessagesAreChecked) {
  const Refused cases[] = {
      {R"({})", "messages"},
      {R"({"messages":[]})", "messages"},
      {R"({"messages":"Hi"})", "messages"},
      {R"({"messages":["Hi"]})", "messages"},
      {R"({"messages":[{"content":"Hi"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"king","content":"Hi"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":5}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]})",
       "messages[0].content[0]"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":[1]}}]}]})",
       "messages[0].tool_calls[0].function.arguments"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"id":"a"}]}]})", "messages[0].tool_calls"},
  };
  for (const Refused& c : cases) {
    SCOPED_TRACE(c.fields);
    const auto read = ReadChatRequest(Body(c.fields));
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.status().param, c.param);
  }
}

TEST(ChatRequest, TakesOpenAisDefaults) {
  const auto read = ReadChatRequest(Body(Chat("")));
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->sampling.temperature, 1);
  EXPECT_EQ(read->sampling.top_p, 1);
  EXPECT_EQ(read->sampling.presence, 0);
  EXPECT_EQ(read->sampling.frequency, 0);
  EXPECT_EQ(read->sampling.penalty_decay, 1);
  EXPECT_EQ(read->choices, 1);
  EXPECT_EQ(read->top_logprobs, -1);
  EXPECT_FALSE(read->stream);
}

TEST(ChatRequest, NullsAndIgnoredFieldsAndWholeNumbersAsFloats) {
  const auto read = ReadChatRequest(Body(Chat(
      R"("temperature":null,"user":"me","store":true,"metadata":{"a":"b"},"n":2.0,"max_tokens":7.0,"seed":5.0,
         "unknown_field":[1],"modalities":["text"],"logit_bias":{"3":-100},"service_tier":"auto")")));
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->choices, 2);
  EXPECT_EQ(read->max_tokens, 7);
  EXPECT_EQ(read->sampling.seed, 5u);
  EXPECT_EQ(read->sampling.logit_bias.at(3), -100);
}

TEST(ChatRequest, ReadsPartsToolsAndCalls) {
  const auto read = ReadChatRequest(Body(R"({"messages":[
      {"role":"developer","content":[{"type":"text","text":"Be "},{"type":"text","text":"brief."}]},
      {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
        "function":{"name":"f","arguments":"{\"a\":1}"}}]},
      {"role":"tool","tool_call_id":"c1","content":"4"}],
      "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],
      "tool_choice":{"type":"function","function":{"name":"f"}}})"));
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->messages[0].role, ChatMessage::Role::kSystem);
  EXPECT_EQ(read->messages[0].text, "Be brief.");
  EXPECT_EQ(read->messages[1].calls[0].arguments, R"({"a":1})");
  EXPECT_EQ(read->messages[2].role, ChatMessage::Role::kTool);
  EXPECT_EQ(read->tool_choice.kind, ToolChoice::Kind::kNamed);
}

TEST(ChatRequest, ArgumentsOfACallMayBeAnObject) {
  const auto read = ReadChatRequest(Body(R"({"messages":[{"role":"assistant","tool_calls":[
      {"function":{"name":"f","arguments":{"b":"x","a":1}}},{"function":{"name":"g"}}]}]})"));
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->messages[0].calls[0].arguments, R"({"b":"x","a":1})");
  EXPECT_EQ(read->messages[0].calls[1].arguments, "");
}

TEST(ChatRequest, EmptyStopsEndNothing) {
  EXPECT_THAT(ReadChatRequest(Body(Chat(R"("stop":["a","","b"])")))->stop, ElementsAre("a", "b"));
  EXPECT_THAT(ReadChatRequest(Body(Chat(R"("stop":"")")))->stop, ::testing::IsEmpty());
}

TEST(ChatRequest, MinusOneTokenIsNoLimit) {
  for (const char* name : {"max_tokens", "max_completion_tokens", "n_predict", "max_new_tokens"}) {
    const std::string fields = "\"" + std::string(name) + "\":-1";
    EXPECT_EQ(ReadChatRequest(Body(Chat(fields)))->max_tokens, kMaxTokens) << name;
  }
  EXPECT_EQ(ReadCompletionRequest(Body(R"({"max_tokens":-1})"))->max_tokens, kMaxTokens);
  // OpenAI's newer name counts where both are there.
  EXPECT_EQ(ReadChatRequest(Body(Chat(R"("max_tokens":5,"max_completion_tokens":7)")))->max_tokens, 7);
  EXPECT_EQ(ReadChatRequest(Body(Chat(R"("max_tokens":null)")))->max_tokens, 4096);
}

TEST(ChatRequest, EarlierThoughtsAreTakenUnderBothNames) {
  const auto read = ReadChatRequest(Body(R"({"messages":[{"role":"user","content":"Hi"},
      {"role":"assistant","content":"Yes","reasoning_content":"a","reasoning":"a"},
      {"role":"user","content":"And?"}]})"));
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->messages[1].text, "Yes");
}

TEST(ChatRequest, AForcedToolAndAConstraintAreTwo) {
  const auto read = ReadChatRequest(Body(Chat(
      R"("tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required","guided_json":{})")));
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.status().param, "guided_json");
}

TEST(CompletionRequest, RefusesWhatItCannotDo) {
  for (const Refused& c :
       {Refused{R"({"prompt":"a","suffix":"b"})", "suffix"}, Refused{R"({"best_of":3})", "best_of"},
        Refused{R"({"prompt":[["a"]]})", "prompt"}, Refused{R"({"prompt":[-1]})", "prompt"},
        Refused{R"({"prompt":[1.5]})", "prompt"}, Refused{R"({"prompt":{}})", "prompt"},
        Refused{R"({"prompt":["a","b"],"state":"st_1"})", "prompt"},
        Refused{R"({"logprobs":21})", "logprobs"}}) {
    SCOPED_TRACE(c.fields);
    const auto read = ReadCompletionRequest(Body(c.fields));
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.status().param, c.param);
  }
}

TEST(CompletionRequest, TakesTextsAndTokens) {
  EXPECT_EQ(ReadCompletionRequest(Body(R"({"prompt":"a","suffix":null,"best_of":1})"))->prompts.size(), 1u);
  EXPECT_EQ(ReadCompletionRequest(Body(R"({"prompt":["a","b"]})"))->prompts.size(), 2u);
  EXPECT_EQ(ReadCompletionRequest(Body(R"({"prompt":[[1,2],[3]]})"))->prompts.size(), 2u);
  const auto tokens = ReadCompletionRequest(Body(R"({"prompt":[1,2]})"));
  EXPECT_THAT(std::get<std::vector<int32_t>>(tokens->prompts.at(0)), ElementsAre(1, 2));
  EXPECT_EQ(ReadCompletionRequest(Body("{}"))->max_tokens, 16);
}

TEST(EmbeddingRequest, RefusesWhatItCannotDo) {
  EXPECT_EQ(ReadEmbeddingRequest(Body(R"({"input":"a","dimensions":0})")).status().param, "dimensions");
  EXPECT_EQ(ReadEmbeddingRequest(Body(R"({"input":""})")).status().param, "input");
  EXPECT_EQ(ReadEmbeddingRequest(Body(R"({"input":"a","encoding_format":"hex"})")).status().param,
            "encoding_format");
  EXPECT_TRUE(ReadEmbeddingRequest(Body(R"({"input":["a",[1]]})")).ok());
}

TEST(Body, BadJsonIsOneClearError) {
  const std::string deep = std::string(1000, '[') + std::string(1000, ']');
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[1]"), std::string("\"text\""),
        std::string("{\"a\":1}x"), std::string("{\"a\":1,\"a\":2}"), std::string("{\"a\":1e999}"),
        std::string("{\"a\":\"\xff\"}"), std::string("{\"a\":\"\\ud800\"}"), std::string("{\"a\":\"\0\"}", 9),
        "{\"a\":" + deep + "}", std::string(100000, '['),
        std::string("{\"a\":{\"b\":1,\"c\":{},\"b\":2}}")}) {
    SCOPED_TRACE(body.substr(0, 60));
    const auto parsed = ParseBody(body);
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.status().status, 400);
    EXPECT_THAT(parsed.status().message, HasSubstr("the body"));
  }
  EXPECT_TRUE(ParseBody(R"({"a":{"b":1},"c":{"b":1}})").ok());
  EXPECT_TRUE(
      ParseBody("{\"a\":" + std::string(kMaxJsonDepth - 1, '[') + std::string(kMaxJsonDepth - 1, ']') + "}")
          .ok());
}

TEST(Body, HasNoWholeNumberThatWouldBecomeAnother) {
  const auto read = ReadChatRequest(Body(Chat(R"("guided_json":{"type":"integer","maximum":18446744073709551617})")));
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.status().status, 400);
  EXPECT_THAT(read.status().message, HasSubstr("64 bits"));
  EXPECT_TRUE(ReadChatRequest(Body(Chat(R"("guided_json":{"maximum":18446744073709551615})"))).ok());
}

TEST(Body, HasAtMost1024NamesInAnObject) {
  std::string body = "{\"logit_bias\":{";
  for (int i = 0; i < 1024; ++i) body += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":1";
  EXPECT_TRUE(ParseBody(body + "}}").ok());
  EXPECT_FALSE(ParseBody(body + ",\"1024\":1}}").ok());
}

TEST(ChatRequest, ASchemaKeepsTheOrderOfItsProperties) {
  const auto read = ReadChatRequest(Body(Chat(
      R"("response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object","properties":{"b":{},"a":{}}}}})")));
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->constraint.text, R"({"type":"object","properties":{"b":{},"a":{}}})");
}

TEST(Body, MustSayItIsJson) {
  HttpRequest form = Body(Chat(""));
  form.headers = {{"content-type", "application/x-www-form-urlencoded"}};
  EXPECT_EQ(ReadChatRequest(form).status().status, 415);
  for (const char* type : {"application/JSON; charset=utf-8", "Application/vnd.api+Json"}) {
    form.headers = {{"content-type", type}};
    EXPECT_TRUE(ReadChatRequest(form).ok()) << type;
  }
  form.headers.clear();
  EXPECT_TRUE(ReadChatRequest(form).ok());
}

// ---- Prompts

using Role = ChatMessage::Role;

ChatTemplate Template(std::string_view name) { return *ParseTemplateName(name); }

std::string Joined(const std::vector<std::string>& pieces) {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

TEST(ChatPrompt, WritesTheTemplate) {
  const std::vector<ChatMessage> messages = {{Role::kSystem, "Be brief.", {}},
                                             {Role::kUser, "Hi\r\n\r\nthere ", {}},
                                             {Role::kAssistant, "Hello.", {}},
                                             {Role::kUser, "Bye", {}}};
  EXPECT_EQ(Joined(ChatPieces(Template("world"), messages, {})),
            "System: Be brief.\n\nUser: Hi\nthere\n\nAssistant: Hello.\n\nUser: Bye\n\nAssistant:");
  EXPECT_EQ(Joined(ChatPieces(Template("g1"), messages, {})),
            "System: Be brief.\n\nUser: Hi\nthere\n\nAssistant: Hello.\n\nUser: Bye\n\nAssistant: "
            "<think>\n</think");
  EXPECT_EQ(Joined(ChatPieces(Template("raven"), messages, {})),
            "Be brief.\n\nBob: Hi\nthere\n\nAlice: Hello.\n\nBob: Bye\n\nAlice:");
  EXPECT_EQ(Joined(ChatPieces(Template("none"), messages, {})), "Be brief.Hi\r\n\r\nthere Hello.Bye");
}

TEST(ChatPrompt, ALongerConversationBeginsAsTheShorterOneDid) {
  for (const char* name : {"world", "raven", "g1", "g1-think", "none"}) {
    SCOPED_TRACE(name);
    ChatTemplate chat = Template(name);
    std::vector<ChatMessage> messages = {{Role::kSystem, "S", {}}, {Role::kUser, "one", {}}};
    std::vector<std::string> before = ChatPieces(chat, messages, {});
    if (!chat.answer_opening.empty()) before.pop_back();  // stands only where the model writes
    messages.push_back({Role::kAssistant, "two", {}});
    messages.push_back({Role::kUser, "three", {}});
    const std::vector<std::string> after = ChatPieces(chat, messages, {});
    ASSERT_GT(after.size(), before.size());
    EXPECT_EQ(std::vector<std::string>(after.begin(), after.begin() + static_cast<ptrdiff_t>(before.size())),
              before);
  }
}

TEST(ChatPrompt, GoesOnAfterAKeptPlace) {
  const std::vector<ChatMessage> messages = {{Role::kUser, "Bye", {}}};
  const std::string open = "Assistant: Hello.", closed = "Assistant: Hello.\n\n";
  EXPECT_EQ(Joined(ChatPieces(Template("world"), messages, {.before = &open})),
            "\n\nUser: Bye\n\nAssistant:");
  EXPECT_EQ(Joined(ChatPieces(Template("world"), messages, {.before = &closed})), "User: Bye\n\nAssistant:");
}

TEST(ChatPrompt, ContinuesALastAnswerAndKeepsPlacesAtTurns) {
  const std::vector<ChatMessage> messages = {{Role::kUser, "Count", {}}, {Role::kAssistant, "One, two,", {}}};
  EXPECT_EQ(Joined(ChatPieces(Template("g1"), messages, {})), "User: Count\n\nAssistant: One, two,");
  EXPECT_EQ(Joined(ChatPieces(Template("g1"), messages, {.answer = false})),
            "User: Count\n\nAssistant: One, two,\n\n");
  EXPECT_EQ(Joined(ChatPieces(Template("g1"), {messages[0]}, {.answer = false})), "User: Count\n\n");
}

TEST(ChatPrompt, WritesToolsCallsAndResultsAsG1LearnedThem) {
  const std::vector<ChatTool> tools = {
      {"add", "Adds.", R"({"type":"object","properties":{"a":{"type":"number"},"to":{"enum":["x","y"]},
                          "list":{"type":"array","items":{"type":"string"}}},"required":["a"]})"},
      {"now", "", ""}};
  const std::vector<ChatMessage> messages = {{Role::kSystem, "Help.", {}},
                                             {Role::kUser, "1+2?", {}},
                                             {Role::kAssistant, "", {{"c1", "add", R"({"a": 1})"}}},
                                             {Role::kTool, "{\"sum\":3}", {}}};
  EXPECT_EQ(Joined(ChatPieces(Template("g1"), messages, {.tools = &tools})),
            "System: Help.\nTools:\n- add(a: number, to?: \"x\"|\"y\", list?: string[]): Adds.\n- now()\n"
            "Return only a JSON function call.\n\n"
            "User: 1+2?\n\nAssistant: {\"name\":\"add\",\"arguments\":{\"a\":1}}\n\n"
            "User: Function output:\n{\"sum\":3}\n\nAssistant: <think>\n</think");
}

// ---- Thinking

AnswerParts::Text InPieces(const ChatTemplate& chat, std::string_view opening, const std::string& text,
                           Random* random) {
  AnswerParts parts(chat, opening);
  AnswerParts::Text all;
  for (size_t at = 0; at < text.size();) {
    const size_t n = 1 + random->Below(5);
    const AnswerParts::Text piece = parts.Push(std::string_view(text).substr(at, n));
    all.thinking += piece.thinking;
    all.answer += piece.answer;
    at += n;
  }
  const AnswerParts::Text rest = parts.Finish();
  return {all.thinking + rest.thinking, all.answer + rest.answer};
}

TEST(AnswerParts, AreTheSplitAnswersInAnyPieces) {
  Random random(7);
  for (const char* name : {"world", "g1-think", "none"}) {
    const ChatTemplate chat = Template(name);
    for (const char* text : {">\nLet me see.\n</think>\n\nIt is 4. ", ">so </thin k </think>yes",
                             "> unfinished </thi", " A bird.\n\nIt  flies. \n", "", " ", "> ", ">a</think>",
                             ">\n</think>\n\nx", "no bracket</think>b"}) {
      SCOPED_TRACE(std::string(name) + ": " + text);
      const SplitText whole = SplitAnswer(chat, text);
      for (int round = 0; round < 20; ++round) {
        const AnswerParts::Text parts = InPieces(chat, chat.answer_opening, text, &random);
        ASSERT_EQ(parts.thinking, whole.thinking);
        ASSERT_EQ(parts.answer, whole.answer);
      }
    }
  }
}

TEST(AnswerParts, WhereTheThoughtIsOverAllIsAnswer) {
  Random random(8);
  const ChatTemplate chat = Template("g1");
  EXPECT_EQ(InPieces(chat, chat.answer_opening, ">\nHello", &random).answer, "Hello");
  EXPECT_EQ(InPieces(chat, chat.answer_opening, " Hello", &random).answer, "Hello");
  EXPECT_EQ(InPieces(chat, "", " Hello", &random).answer, "Hello");
}

// ---- Tool calls

struct Calls {
  std::string text;
  std::vector<ToolCall> calls;
};

Calls ReadCalls(const std::string& answer, Random* random) {
  ToolCallReader reader({{"add", "", ""}, {"now", "", ""}}, 1);
  Calls all;
  const auto take = [&](const ToolCallReader::Found& found) {
    all.text += found.text;
    for (const ToolCallDelta& delta : found.calls) {
      EXPECT_EQ(delta.id.empty(), delta.index < all.calls.size());
      if (delta.index == all.calls.size()) all.calls.push_back({delta.id, delta.name, ""});
      all.calls.at(delta.index).arguments += delta.arguments;
    }
  };
  for (size_t at = 0; at < answer.size();) {
    const size_t n = 1 + random->Below(6);
    take(reader.Push(std::string_view(answer).substr(at, n)));
    at += n;
  }
  take(reader.Finish());
  return all;
}

TEST(ToolCalls, AreFoundHoweverTheyAreWrapped) {
  Random random(9);
  const std::string call = R"({"name": "add", "arguments": {"a": "}\"{", "b": [1, {"c": 2}]}})";
  for (const std::string& answer : {call, "\n" + call + "\n", "```json\n" + call + "\n```",
                                    "<tool_call>\n" + call + "\n</tool_call>", "[" + call + "]"}) {
    SCOPED_TRACE(answer);
    for (int round = 0; round < 20; ++round) {
      const Calls found = ReadCalls(answer, &random);
      ASSERT_EQ(found.calls.size(), 1u);
      EXPECT_EQ(found.calls[0].name, "add");
      EXPECT_EQ(found.calls[0].arguments, R"({"a": "}\"{", "b": [1, {"c": 2}]})");
      EXPECT_EQ(found.text, "");
    }
  }
}

TEST(ToolCalls, FurtherMembersOfACallAreNoText) {
  Random random(12);
  const std::string call = R"({"name": "add", "arguments": {"a": 1}, "id": "}\"", "more": [{"b": {}}]})";
  for (const std::string& answer : {call, "[" + call + ", " + call + "]", call + "\n" + call}) {
    SCOPED_TRACE(answer);
    for (int round = 0; round < 20; ++round) {
      const Calls found = ReadCalls(answer, &random);
      ASSERT_EQ(found.calls.size(), answer == call ? 1u : 2u);
      for (const ToolCall& one : found.calls) EXPECT_EQ(one.arguments, R"({"a": 1})");
      EXPECT_EQ(found.text, "");
    }
  }
  EXPECT_EQ(ReadCalls(R"({"name":"now","arguments":{}} Done.)", &random).text, "Done.");
}

TEST(ToolCalls, SeveralOfThem) {
  Random random(10);
  for (const char* answer :
       {R"([{"name":"add","arguments":{"a":1}},{"name":"now","parameters":{}}])",
        "{\"name\":\"add\",\"arguments\":{\"a\":1}}\n{\"name\":\"now\",\"arguments\":{}}"}) {
    const Calls found = ReadCalls(answer, &random);
    ASSERT_EQ(found.calls.size(), 2u) << answer;
    EXPECT_EQ(found.calls[0].arguments, R"({"a":1})");
    EXPECT_EQ(found.calls[1].name, "now");
    EXPECT_EQ(found.calls[1].arguments, "{}");
    EXPECT_NE(found.calls[0].id, found.calls[1].id);
  }
}

TEST(ToolCalls, WhatIsNoCallIsText) {
  Random random(11);
  for (const char* answer :
       {"Hello.", R"({"name": "other", "arguments": {}})", R"({"a": 1})", "{", R"({"name": "add")",
        "```\ncode\n```", "[1, 2]", R"({"name": "add", "arguments": "{}"})", "", "``"}) {
    SCOPED_TRACE(answer);
    const Calls found = ReadCalls(answer, &random);
    EXPECT_TRUE(found.calls.empty());
    EXPECT_EQ(found.text, answer);
  }
}

TEST(ToolCalls, ArgumentsAreAnObjectWhereTheirSchemaAllowsMore) {
  const auto schema = ToolCallSchema({{"add", "", R"({"type":["object","null"],"properties":{}})"}}, "");
  EXPECT_THAT(schema, HasSubstr(R"("arguments":{"type":"object",)"));
}

TEST(ToolCalls, ReferencesMoveWithTheirSchemaButDataStaysAsItIs) {
  const auto schema = ToolCallSchema({{"add", "", R"({"properties":{
          "a":{"enum":[{"$ref":"#/x"}],"const":{"$ref":"#/x"},"default":{"$ref":"#/x"},"examples":[{"$ref":"#/x"}]},
          "enum":{"$ref":"#/$defs/n"},"default":{"items":{"$ref":"#/$defs/n"}}},"$defs":{"n":{}}})"}},
                                     "");
  const auto parsed = nlohmann::json::parse(schema);
  const auto& properties = parsed["properties"]["arguments"]["properties"];
  EXPECT_EQ(properties["a"]["enum"][0]["$ref"], "#/x");
  EXPECT_EQ(properties["a"]["const"]["$ref"], "#/x");
  EXPECT_EQ(properties["a"]["default"]["$ref"], "#/x");
  EXPECT_EQ(properties["a"]["examples"][0]["$ref"], "#/x");
  EXPECT_EQ(properties["enum"]["$ref"], "#/properties/arguments/$defs/n");
  EXPECT_EQ(properties["default"]["items"]["$ref"], "#/properties/arguments/$defs/n");
}

TEST(ToolCalls, TheirSchemaAllowsCallsAndNothingElse) {
  const std::vector<ChatTool> tools = {
      {"add", "",
       R"({"properties":{"a":{"$ref":"#/$defs/n"}},"required":["a"],"$defs":{"n":{"type":"integer"}}})"},
      {"now", "", ""}};
  const auto fits = [&](std::string_view name, std::string_view text) {
    const auto grammar = JsonSchemaGrammar(ToolCallSchema(tools, name));
    EXPECT_TRUE(grammar.ok()) << grammar.status().message();
    if (!grammar.ok()) return false;
    GrammarMatcher matcher(*grammar);
    return matcher.Advance(text) && matcher.complete();
  };
  EXPECT_TRUE(fits("", R"({"name": "add", "arguments": {"a": 5}})"));
  EXPECT_TRUE(fits("", R"({"name": "now", "arguments": {}})"));
  EXPECT_FALSE(fits("", R"({"name": "add", "arguments": {"a": "five"}})"));
  EXPECT_FALSE(fits("", R"({"name": "other", "arguments": {}})"));
  EXPECT_TRUE(fits("add", R"({"name": "add", "arguments": {"a": 5}})"));
  EXPECT_FALSE(fits("add", R"({"name": "now", "arguments": {}})"));
}

// ---- The description

TEST(OpenApi, DescribesEveryFieldOfTheTables) {
  const auto document = OpenApiDocument("1", 64);
  const auto& chat = document["components"]["schemas"]["ChatRequest"]["properties"];
  for (const Field& field : ChatFields()) EXPECT_TRUE(chat.contains(field.name)) << field.name;
  EXPECT_EQ(chat["temperature"]["maximum"], 2);
  EXPECT_EQ(chat["n"]["maximum"], 64);
  EXPECT_EQ(chat["functions"]["deprecated"], true);
  for (const auto& [path, operations] : document["paths"].items()) {
    for (const auto& [method, operation] : operations.items())
      EXPECT_TRUE(operation.contains("responses")) << path;
  }
}

}  // namespace
}  // namespace tern::serve
