// The web page: its files are part of the program, and nothing in it asks anything of another host.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "serve/http.h"
#include "serve/page_files.h"

namespace tern::serve {

/// "/" and "/assets/…", one route per file, all public: there is no path to get wrong. With `folder` (for
/// those who work on the page) files that lie there are read anew for every request; a file that is new there
/// needs a restart.
std::vector<Route> PageRoutes(const std::string& folder = {});

/// What one of the page's files answers: gzip or plain as the client takes it, or 304. Pure; thread-safe.
HttpResponse PageResponse(const EmbeddedFile& file, const HttpRequest& request);

/// "text/javascript; charset=utf-8" … by the name's ending.
std::string_view PageContentType(std::string_view name);

/// Whether an Accept-Encoding header allows gzip.
bool AcceptsGzip(std::string_view accept_encoding);

/// The file's own bytes. kCorrupt when they are not what was embedded.
Result<std::string> Unzip(const EmbeddedFile& file);

}  // namespace tern::serve
