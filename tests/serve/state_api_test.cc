// Kept states over HTTP: what becomes of an answer whose state cannot be kept, lists, and what only an admin
// may do.
#include <sys/stat.h>

#include <filesystem>

#include "tests/infer/engine_testing.h"
#include "tests/serve/service_testing.h"

namespace tern::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const char* const kSession = "X-Session: talk\r\n";

std::string Key(const std::string& key) { return "Authorization: Bearer " + key + "\r\n"; }

/// A cache of a full disk: nothing can be saved, and the errors name files.
class FullCache : public ListCache {
 public:
  Result<StateInfo> Save(std::string_view, std::shared_ptr<const KeptState>, std::string,
                         std::string) override {
    return Full();
  }
  Result<StateInfo> SaveEvictable(std::string_view, std::shared_ptr<const KeptState>, std::string,
                                  std::string) override {
    return Full();
  }
  Result<StateInfo> Replace(std::string_view, std::string_view, std::shared_ptr<const KeptState>, std::string,
                            std::string) override {
    return Full();
  }

 private:
  static Status Full() { return IoError("cannot write '/var/states/st_1.state': No space left on device"); }
};

Result<std::shared_ptr<StateCache>> OpenFullCache(const StateCacheOptions&, const ModelConfig&,
                                                  const std::string&) {
  return std::shared_ptr<StateCache>(std::make_shared<FullCache>());
}

/// Memory for `count` states of the tests' model after a few tokens.
StateCacheOptions RoomFor(uint64_t count) {
  const Service roomy;
  const uint64_t bytes = roomy.Post("/v1/states", {{"prompt", "Hello"}})["bytes"];
  return {.memory_bytes = count * bytes + bytes / 2};
}

void ExpectNotKept(const json& choice, const std::string& code) {
  ASSERT_TRUE(choice.contains("state")) << choice;
  EXPECT_TRUE(choice["state"].is_null()) << choice;
  EXPECT_EQ(choice["state_warning"]["code"], code);
  const std::string message = choice["state_warning"]["message"];
  EXPECT_FALSE(message.empty());
  EXPECT_THAT(message, Not(HasSubstr("/"))) << "it names a file of the server";
}

/// The choice of the event that ends an answer.
json LastChoice(const Events& events) {
  json last;
  for (const json& chunk : events.chunks) {
    if (!chunk["choices"].empty() && chunk["choices"][0]["finish_reason"].is_string())
      last = chunk["choices"][0];
  }
  return last;
}

// ---- Answers whose state cannot be kept

TEST(StateApi, AFullStoreCostsNoAnswer) {
  const Service service({.states = RoomFor(2)});
  json request = Prompt("Once", 6);
  const std::string text = Text(service.Post(kCompletions, request));
  request["keep_state"] = true;
  for (int i = 0; i < 6; ++i) {
    const json choice = service.Post(kCompletions, request)["choices"][0];
    EXPECT_EQ(choice["text"], text);
    if (i < 2) {
      EXPECT_TRUE(choice["state"].is_string()) << choice;
      EXPECT_FALSE(choice.contains("state_warning"));
    } else {
      ExpectNotKept(choice, "insufficient_storage");
    }
  }
  EXPECT_EQ(service.Ask("GET", "/v1/states")["data"].size(), 2u);
  EXPECT_EQ(service.Ask("GET", "/v1/status")["models"][0]["cache"]["not_kept"], 4);
  // Where the state is all that was asked for, there is an error.
  const json error = service.Fail("POST", "/v1/states", {{"prompt", "Hello"}});
  EXPECT_EQ(error["status"], 507);
  EXPECT_EQ(error["code"], "insufficient_storage");
}

TEST(StateApi, AFullDiskCostsNoAnswer) {
  const Service service({.open_states = OpenFullCache});
  for (const json& keep : {json(true), json("evictable")}) {
    json say = Say("Once", 6), prompt = Prompt("Once", 6);
    const std::string content = Content(service.Post(kChat, say)),
                      text = Text(service.Post(kCompletions, prompt));
    say["keep_state"] = prompt["keep_state"] = keep;
    const json answer = service.Post(kChat, say);
    EXPECT_EQ(Content(answer), content);
    ExpectNotKept(answer["choices"][0], "internal_error");
    ExpectNotKept(service.Post(kCompletions, prompt)["choices"][0], "internal_error");
    const Events chat = service.Stream(kChat, say), completion = service.Stream(kCompletions, prompt);
    EXPECT_TRUE(chat.done && completion.done);
    EXPECT_EQ(Streamed(chat), content);
    EXPECT_EQ(Streamed(completion), text);
    ExpectNotKept(LastChoice(chat), "internal_error");
    ExpectNotKept(LastChoice(completion), "internal_error");
  }
}

TEST(StateApi, EachOfSeveralChoicesSaysWhatBecameOfItsState) {
  const Service service({.states = RoomFor(1)});
  json request = Prompt("Once", 6);
  request["keep_state"] = true;
  request["n"] = 2;
  const json choices = service.Post(kCompletions, request)["choices"];
  int kept = 0;
  for (const json& choice : choices) {
    kept += choice["state"].is_string();
    if (choice["state"].is_null()) ExpectNotKept(choice, "insufficient_storage");
  }
  EXPECT_EQ(kept, 1);
}

TEST(StateApi, ASessionWithoutRoomAnswersAndStaysWhereItWas) {
  const Service service({.open_states = OpenFullCache});
  const json choice = service.Post(kChat, Say("One", 6), kSession)["choices"][0];
  ExpectNotKept(choice, "internal_error");
  EXPECT_THAT(choice["state_warning"]["message"].get<std::string>(), HasSubstr("session"));
}

TEST(StateApi, NoErrorNamesAFileOfTheServer) {
  const TempDir folder;
  const Service service({.states = {.folder = folder.File("states")}});
  const std::string id = service.Post("/v1/states", {{"prompt", "Hello"}})["id"];
  std::filesystem::remove_all(folder.File("states"));
  json request = Prompt("Once", 4);
  request["keep_state"] = true;
  ExpectNotKept(service.Post(kCompletions, request)["choices"][0], "internal_error");
  const std::string state = "/v1/states/" + id;
  for (const auto& [method, path] : {std::pair<std::string, std::string>{"POST", state + "/fork"},
                                     {"DELETE", state},
                                     {"GET", state + "/file"}}) {
    const Answer answer = service.Raw(method, path, "");
    EXPECT_THAT(answer.body, Not(HasSubstr(folder.path()))) << method << " " << path;
  }
  const json error = service.Fail("POST", "/v1/states", {{"prompt", "Hello"}});
  EXPECT_EQ(error["status"], 500);
  EXPECT_THAT(error["message"].get<std::string>(), Not(HasSubstr("/")));
}

// ---- Evictable states

TEST(StateApi, EvictableStatesMakeRoomAndOthersStay) {
  const Service service({.states = RoomFor(3)});
  const std::string mine = service.Post("/v1/states", {{"prompt", "Hello"}})["id"];
  json request = Prompt("Once", 6);
  request["keep_state"] = "evictable";
  std::vector<std::string> ids;
  for (int i = 0; i < 8; ++i) {
    request["seed"] = i;
    const json choice = service.Post(kCompletions, request)["choices"][0];
    ASSERT_TRUE(choice["state"].is_string()) << choice;
    ids.push_back(choice["state"]);
  }
  EXPECT_EQ(service.Fail("GET", "/v1/states/" + ids.front())["code"], "state_not_found");
  EXPECT_EQ(service.Ask("GET", "/v1/states/" + ids.back())["evictable"], true);
  EXPECT_EQ(service.Ask("GET", "/v1/states/" + mine)["evictable"], false);
  // A fork is made to stay.
  const json fork = service.Post("/v1/states/" + ids.back() + "/fork", {{"note", "mine as well"}});
  EXPECT_EQ(fork["evictable"], false);
}

TEST(StateApi, EveryWayToKeepAStateTakesEvictable) {
  const Service service;
  const json made = service.Post("/v1/states", {{"prompt", "Hello"}, {"evictable", true}});
  EXPECT_EQ(made["evictable"], true);
  const std::string path = "/v1/states/" + made["id"].get<std::string>();
  EXPECT_EQ(service.Post(path + "/fork", {{"evictable", true}})["evictable"], true);
  EXPECT_EQ(service.Post(path + "/rollback", {{"tokens", 2}, {"evictable", true}})["evictable"], true);
  EXPECT_EQ(service.Post(path + "/rollback", {{"tokens", 2}})["evictable"], false);
}

TEST(StateApi, KeepStateIsTrueFalseOrEvictable) {
  const Service service;
  json request = Prompt("Once", 3);
  for (const json& wrong : {json("yes"), json(""), json(1)}) {
    request["keep_state"] = wrong;
    const json error = service.Fail("POST", kCompletions, request);
    EXPECT_EQ(error["status"], 400) << wrong;
    EXPECT_EQ(error["param"], "keep_state") << wrong;
  }
  request["keep_state"] = "evictable";
  EXPECT_EQ(service.Fail("POST", kCompletions, request, kSession)["param"], "keep_state");
  request["keep_state"] = false;
  EXPECT_FALSE(service.Post(kCompletions, request)["choices"][0].contains("state"));
}

// ---- Lists

TEST(StateApi, ListsComeInParts) {
  const Service service;
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i)
    ids.push_back(service.Post("/v1/states", {{"prompt", std::string(i + 1, 'a')}})["id"]);
  const json all = service.Ask("GET", "/v1/states");
  EXPECT_EQ(all["data"].size(), 5u);
  EXPECT_EQ(all["has_more"], false);
  std::vector<std::string> found;
  json part;
  std::string after;
  do {
    part = service.Ask("GET", "/v1/states?limit=2" + after);
    ASSERT_LE(part["data"].size(), 2u);
    for (const json& state : part["data"]) found.push_back(state["id"]);
    EXPECT_EQ(part["first_id"], part["data"].front()["id"]);
    EXPECT_EQ(part["last_id"], part["data"].back()["id"]);
    after = "&after=" + part["last_id"].get<std::string>();
  } while (part["has_more"]);
  EXPECT_EQ(found, ids);
  const json none = service.Ask("GET", "/v1/states?after=" + ids.back());
  EXPECT_TRUE(none["data"].empty());
  EXPECT_TRUE(none["first_id"].is_null() && none["last_id"].is_null());
  EXPECT_EQ(none["has_more"], false);
}

TEST(StateApi, AListRefusesWhatItCannotDo) {
  const Service service({.keys = {"key-of-anna", "key-of-bert"}});
  for (const char* limit : {"0", "-1", "1001", "2.5", "many", "", "99999999999999999999"}) {
    const json error = service.Fail("GET", std::string("/v1/states?limit=") + limit, {}, Key("key-of-anna"));
    EXPECT_EQ(error["status"], 400) << limit;
    EXPECT_EQ(error["param"], "limit") << limit;
  }
  EXPECT_EQ(service.Fail("GET", "/v1/states?after=", {}, Key("key-of-anna"))["status"], 400);
  EXPECT_EQ(service.Fail("GET", "/v1/states?owners=me", {}, Key("key-of-anna"))["param"], "owners");
  // Another key's state is as one that never was.
  const std::string id = service.Post("/v1/states", {{"prompt", "a"}}, Key("key-of-anna"))["id"];
  EXPECT_EQ(service.Fail("GET", "/v1/states?after=" + id, {}, Key("key-of-bert")),
            service.Fail("GET", "/v1/states?after=st_none", {}, Key("key-of-bert")));
}

// ---- Admins

TEST(AdminKeys, LoadAndUnloadModels) {
  const Service service({.keys = {"key-of-anna"}, .admin_keys = {"key-of-admin"}});
  for (const char* path : {"/v1/models/tiny/unload", "/v1/models/tiny/load", "/v1/models/none/load"}) {
    const json refused = service.Fail("POST", path, {}, Key("key-of-anna"));
    EXPECT_EQ(refused["status"], 403) << path;
    EXPECT_EQ(refused["code"], "admin_key_required");
    EXPECT_THAT(refused["message"].get<std::string>(), HasSubstr("admin"));
    EXPECT_EQ(service.Fail("POST", path)["status"], 401);
  }
  service.Post(kCompletions, Prompt("a", 1), Key("key-of-anna"));  // nothing was unloaded
  EXPECT_EQ(service.Post("/v1/models/tiny/unload", nullptr, Key("key-of-admin"))["tern"]["loaded"], false);
  EXPECT_EQ(service.Post("/v1/models/tiny/load", nullptr, Key("key-of-admin"))["tern"]["loaded"], true);
  EXPECT_EQ(service.Ask("GET", "/v1/status", {}, Key("key-of-anna"))["admin"], false);
  EXPECT_EQ(service.Ask("GET", "/v1/status", {}, Key("key-of-admin"))["admin"], true);
}

TEST(AdminKeys, AreNeededWhereThereAreOnlyOthers) {
  const Service service({.keys = {"key-of-anna"}});
  EXPECT_EQ(service.Fail("POST", "/v1/models/tiny/unload", {}, Key("key-of-anna"))["status"], 403);
}

TEST(AdminKeys, AreNotNeededOnTheServicesOwnMachineWithoutKeys) {
  const Service service;
  EXPECT_EQ(service.Ask("GET", "/v1/status")["admin"], true);
  EXPECT_EQ(service.Post("/v1/models/tiny/unload", nullptr)["tern"]["loaded"], false);
}

TEST(AdminKeys, ListAndDeleteAnybodysStatesButReadNone) {
  const Service service({.keys = {"key-of-anna", "key-of-bert"}, .admin_keys = {"key-of-admin"}});
  const std::string admin = Key("key-of-admin");
  const std::string annas =
      service.Post("/v1/states", {{"prompt", "Hello"}, {"note", "secret"}}, Key("key-of-anna"))["id"];
  EXPECT_EQ(service.Fail("GET", "/v1/states?owners=all", {}, Key("key-of-bert"))["status"], 403);
  EXPECT_EQ(service.Fail("DELETE", "/v1/states/" + annas, {}, Key("key-of-bert"))["status"], 404);
  EXPECT_TRUE(service.Ask("GET", "/v1/states", {}, admin)["data"].empty());
  const json all = service.Ask("GET", "/v1/states?owners=all", {}, admin);
  ASSERT_EQ(all["data"].size(), 1u);
  EXPECT_EQ(all["data"][0]["id"], annas);
  EXPECT_THAT(all.dump(), Not(HasSubstr("secret")));
  EXPECT_FALSE(all["data"][0]["owner"].get<std::string>().empty());
  EXPECT_EQ(service.Fail("GET", "/v1/states/" + annas, {}, admin)["status"], 404);
  EXPECT_EQ(service.Fail("POST", kCompletions, {{"state", annas}}, admin)["status"], 404);
  EXPECT_EQ(service.Ask("DELETE", "/v1/states/" + annas, {}, admin)["deleted"], true);
  EXPECT_TRUE(service.Ask("GET", "/v1/states", {}, Key("key-of-anna"))["data"].empty());
}

TEST(OpenApi, SaysWhichKeyEachRouteNeeds) {
  const Service service({.keys = {"key-of-anna"}});
  const json api = service.Ask("GET", "/openapi.json");
  const json schemes = api["components"]["securitySchemes"];
  for (const char* name : {"key", "adminKey"}) EXPECT_EQ(schemes[name]["scheme"], "bearer") << name;
  for (const auto& [path, methods] : api["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      ASSERT_TRUE(operation.contains("security")) << method << " " << path;
      // What the document says is what a request without a key meets.
      std::string concrete = path;
      if (const size_t at = concrete.find("{id}"); at != std::string::npos) concrete.replace(at, 4, "x");
      std::string verb = method;
      for (char& c : verb) c = static_cast<char>(std::toupper(c));
      const int status = service.Raw(verb, concrete, "").status;
      EXPECT_EQ(status == 401, !operation["security"].empty()) << verb << " " << path << ": " << status;
      const bool admin = service.Raw(verb, concrete, "", Key("key-of-anna")).status == 403;
      EXPECT_EQ(admin, operation["security"].dump().find("adminKey") != std::string::npos) << path;
    }
  }
}

}  // namespace
}  // namespace tern::testing
