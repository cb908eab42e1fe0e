#include "serve/page.h"

#include <zlib.h>

#include <array>
#include <utility>

#include "base/file.h"
#include "serve/api_result.h"

namespace tern::serve {
namespace {

constexpr uint64_t kMaxFolderFile = 16 << 20;

// The page may talk to its own server and to nobody else. That also holds for what a model writes: an image
// in an answer would otherwise send whatever stands in its address to any host.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src "
    "'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// The next item of a list, which loses it and its separator.
std::string_view NextItem(std::string_view& list, char separator) {
  const size_t end = list.find(separator);
  const std::string_view item = Trim(list.substr(0, end));
  list = end == std::string_view::npos ? std::string_view() : list.substr(end + 1);
  return item;
}

// Whether "q=…" stands among an encoding's parameters and is zero.
bool IsForbidden(std::string_view parameters) {
  while (!parameters.empty()) {
    const std::string_view parameter = NextItem(parameters, ';');
    if (parameter.size() > 2 && (parameter[0] == 'q' || parameter[0] == 'Q') && parameter[1] == '=') {
      return parameter.find_first_of("123456789", 2) == std::string_view::npos;
    }
  }
  return false;
}

bool MatchesTag(std::string_view if_none_match, std::string_view tag) {
  while (!if_none_match.empty()) {
    const std::string_view item = NextItem(if_none_match, ',');
    if (item == "*" || item == tag) return true;
  }
  return false;
}

HttpResponse Base(std::string_view name) {
  HttpResponse response;
  response.content_type = PageContentType(name);
  response.headers = {
      {"Content-Security-Policy", std::string(kPolicy)},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cache-Control", "no-cache"}};  // kept, but asked for by its tag: a new program, a new page
  return response;
}

Task<void> ServeFile(const EmbeddedFile& file, const std::string& folder, Exchange& exchange) {
  if (!folder.empty()) {
    if (auto text = ReadFileToString(folder + "/" + std::string(file.name), kMaxFolderFile); text.ok()) {
      HttpResponse response = Base(file.name);
      response.body = std::move(*text);
      (void)co_await exchange.Send(std::move(response));
      co_return;
    }
  }
  (void)co_await exchange.Send(PageResponse(file, exchange.request()));
}

Route FileRoute(std::string pattern, const EmbeddedFile& file, const std::string& folder) {
  return {"GET", std::move(pattern), Access::kPublic,
          [&file, folder](Exchange& exchange) { return ServeFile(file, folder, exchange); }};
}

}  // namespace

std::string_view PageContentType(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kTypes = {{
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".json", "application/json"},
      {".svg", "image/svg+xml"},
  }};
  for (const auto& [ending, type] : kTypes) {
    if (name.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

bool AcceptsGzip(std::string_view accept_encoding) {
  bool any = false;
  while (!accept_encoding.empty()) {
    std::string_view item = NextItem(accept_encoding, ',');
    const std::string_view coding = NextItem(item, ';');
    if (coding == "gzip" || coding == "x-gzip") return !IsForbidden(item);
    if (coding == "*") any = !IsForbidden(item);
  }
  return any;
}

Result<std::string> Unzip(const EmbeddedFile& file) {
  const std::string_view packed = file.gzip.view();
  std::string text(file.size, '\0');
  z_stream stream = {};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
    return Exhausted("no memory to unpack " + std::string(file.name));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  const int result = inflate(&stream, Z_FINISH);
  const bool whole = result == Z_STREAM_END && stream.avail_out == 0;
  inflateEnd(&stream);
  if (!whole) return Corrupt("the program's copy of " + std::string(file.name) + " is damaged");
  return text;
}

HttpResponse PageResponse(const EmbeddedFile& file, const HttpRequest& request) {
  HttpResponse response = Base(file.name);
  // Weak: the packed and the plain bytes share it.
  const std::string tag = "W/\"" + std::string(file.hash) + "\"";
  response.headers.emplace_back("ETag", tag);
  response.headers.emplace_back("Vary", "Accept-Encoding");
  if (MatchesTag(request.Header("if-none-match"), tag)) {
    response.status = 304;
    return response;
  }
  if (AcceptsGzip(request.Header("accept-encoding"))) {
    response.headers.emplace_back("Content-Encoding", "gzip");
    response.body = std::string(file.gzip.view());
    return response;
  }
  auto text = Unzip(file);
  if (!text.ok()) return ToResponse(ServerFault(text.status()));
  response.body = std::move(*text);
  return response;
}

std::vector<Route> PageRoutes(const std::string& folder) {
  std::vector<Route> routes;
  for (const EmbeddedFile& file : EmbeddedPageFiles()) {
    const bool index = file.name == "index.html";
    routes.push_back(FileRoute(index ? "/" : "/assets/" + std::string(file.name), file, folder));
  }
  return routes;
}

}  // namespace tern::serve
