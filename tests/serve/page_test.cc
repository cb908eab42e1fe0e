// The page's files: what a browser is told about them, and that nothing in them asks another host for
// anything.
#include "serve/page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <set>
#include <string>

#include "base/file.h"
#include "tests/serve/http_testing.h"
#include "tests/testing/test_data.h"

namespace tern::serve {
namespace {

const EmbeddedFile& File(std::string_view name) {
  const auto& files = EmbeddedPageFiles();
  const auto found =
      std::find_if(files.begin(), files.end(), [&](const auto& file) { return file.name == name; });
  if (found == files.end()) ADD_FAILURE() << name << " is not embedded";
  return found == files.end() ? files.front() : *found;
}

HttpRequest Asking(std::string_view name, Headers headers) {
  HttpRequest request;
  request.method = "GET";
  request.path = "/assets/" + std::string(name);
  request.headers = std::move(headers);
  return request;
}

std::string Field(const HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

TEST(Page, EveryFileUnpacksToItsSizeAndHasAType) {
  for (const EmbeddedFile& file : EmbeddedPageFiles()) {
    SCOPED_TRACE(std::string(file.name));
    const auto text = Unzip(file);
    ASSERT_TRUE(text.ok()) << text.status().message();
    EXPECT_EQ(text->size(), file.size);
    EXPECT_NE(PageContentType(file.name), "application/octet-stream");
    EXPECT_EQ(file.hash.size(), 16u);
  }
}

TEST(Page, DamagedBytesAreAnError) {
  EmbeddedFile file = File("index.html");
  file.gzip.end -= 1;
  EXPECT_EQ(Unzip(file).status().code(), StatusCode::kCorrupt);
  file = File("index.html");
  file.size -= 1;
  EXPECT_EQ(Unzip(file).status().code(), StatusCode::kCorrupt);
}

TEST(Page, RoutesArePublicAndOnePerFile) {
  const auto routes = PageRoutes();
  ASSERT_EQ(routes.size(), EmbeddedPageFiles().size());
  std::set<std::string> patterns;
  for (const Route& route : routes) {
    EXPECT_EQ(route.method, "GET");
    EXPECT_EQ(route.access, Access::kPublic);
    EXPECT_EQ(route.pattern.find('{'), std::string::npos) << route.pattern;
    patterns.insert(route.pattern);
  }
  EXPECT_EQ(patterns.size(), routes.size());
  for (const char* path :
       {"/", "/assets/style.css", "/assets/js/main.js", "/assets/i18n/zh.json", "/assets/vendor/marked.js",
        "/assets/vendor/highlight/core.js", "/assets/vendor/highlight/python.js"}) {
    EXPECT_TRUE(patterns.contains(path)) << path;
  }
}

TEST(Page, PackedForThoseWhoTakeItPlainForOthers) {
  const EmbeddedFile& file = File("js/main.js");
  const auto packed = PageResponse(file, Asking(file.name, {{"accept-encoding", "br, gzip;q=0.8"}}));
  EXPECT_EQ(packed.status, 200);
  EXPECT_EQ(packed.content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(Field(packed, "Content-Encoding"), "gzip");
  EXPECT_EQ(Field(packed, "Vary"), "Accept-Encoding");
  EXPECT_EQ(packed.body.substr(0, 2), "\x1f\x8b");
  const auto plain = PageResponse(file, Asking(file.name, {}));
  EXPECT_EQ(Field(plain, "Content-Encoding"), "");
  EXPECT_EQ(plain.body.size(), file.size);
  EXPECT_EQ(Field(plain, "ETag"), Field(packed, "ETag"));
}

TEST(Page, AcceptEncodingIsReadAsWritten) {
  for (const char* yes :
       {"gzip", "deflate, gzip", "gzip;q=1.0", "x-gzip", "*", "gzip ; q=0.001", "br;q=1,gzip;q=.5"}) {
    EXPECT_TRUE(AcceptsGzip(yes)) << yes;
  }
  for (const char* no : {"", "identity", "gzip;q=0", "gzip;q=0.000, *", "gzipped", "*;q=0", "br", ", ;"}) {
    EXPECT_FALSE(AcceptsGzip(no)) << no;
  }
}

TEST(Page, AKnownFileIsNotSentAgain) {
  const EmbeddedFile& file = File("style.css");
  const std::string tag = Field(PageResponse(file, Asking(file.name, {})), "ETag");
  for (const std::string& known : {tag, "\"other\", " + tag, std::string("*")}) {
    const auto response = PageResponse(file, Asking(file.name, {{"if-none-match", known}}));
    EXPECT_EQ(response.status, 304) << known;
    EXPECT_TRUE(response.body.empty());
    EXPECT_EQ(Field(response, "ETag"), tag);
  }
  EXPECT_EQ(PageResponse(file, Asking(file.name, {{"if-none-match", "\"other\""}})).status, 200);
}

TEST(Page, ThePolicyAllowsOwnFilesOnly) {
  const std::string policy =
      Field(PageResponse(File("index.html"), Asking("", {})), "Content-Security-Policy");
  EXPECT_NE(policy.find("default-src 'none'"), std::string::npos);
  EXPECT_NE(policy.find("script-src 'self';"), std::string::npos);
  EXPECT_NE(policy.find("connect-src 'self';"), std::string::npos);
  EXPECT_EQ(policy.find("http"), std::string::npos);
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
}

TEST(Page, OwnFilesNameNoOtherHost) {
  const std::regex address(R"(https?://[^\s"'`)]+)");
  for (const EmbeddedFile& file : EmbeddedPageFiles()) {
    if (file.name.starts_with("vendor/")) continue;
    const auto text = Unzip(file);
    ASSERT_TRUE(text.ok());
    for (std::sregex_iterator it(text->begin(), text->end(), address), end; it != end; ++it) {
      EXPECT_EQ(it->str(), "http://www.w3.org/2000/svg") << file.name;  // a name, not an address
    }
  }
}

std::unique_ptr<HttpServer> Serve(const std::string& folder) {
  HttpOptions options;
  options.port = 0;
  auto server = HttpServer::Start(options, PageRoutes(folder), {});
  EXPECT_TRUE(server.ok()) << server.status().message();
  return server.ok() ? std::move(*server) : nullptr;
}

std::string Get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n"; }

TEST(Page, IsServedAndNothingElseIs) {
  const auto server = Serve("");
  ASSERT_TRUE(server);
  testing::Client client(server->port());
  const auto index = client.Ask(Get("/"));
  EXPECT_EQ(index.status, 200);
  EXPECT_EQ(index.headers.at("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(index.body, *Unzip(File("index.html")));
  EXPECT_EQ(client.Ask(Get("/assets/js/main.js")).status, 200);
  for (const char* path :
       {"/assets/", "/assets/js/", "/assets/none.js", "/index.html", "/assets/../index.html"}) {
    EXPECT_GE(client.Ask(Get(path)).status, 400) << path;
  }
  server->Stop(std::chrono::milliseconds(0));
}

TEST(Page, AFolderTakesTheProgramsPlaceFileByFile) {
  testing::TempDir folder;
  ASSERT_TRUE(WriteStringToFile(folder.File("style.css"), "body { color: red }").ok());
  const auto server = Serve(folder.path());
  ASSERT_TRUE(server);
  testing::Client client(server->port());
  const auto style = client.Ask(Get("/assets/style.css"));
  EXPECT_EQ(style.body, "body { color: red }");
  EXPECT_EQ(style.headers.at("content-type"), "text/css; charset=utf-8");
  EXPECT_NE(style.headers.at("content-security-policy").find("default-src 'none'"), std::string::npos);
  ASSERT_TRUE(WriteStringToFile(folder.File("style.css"), "body { color: blue }").ok());
  EXPECT_EQ(client.Ask(Get("/assets/style.css")).body, "body { color: blue }");
  EXPECT_EQ(client.Ask(Get("/assets/views.css")).body, *Unzip(File("views.css")));
  server->Stop(std::chrono::milliseconds(0));
}

}  // namespace
}  // namespace tern::serve
