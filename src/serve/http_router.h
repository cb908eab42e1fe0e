// Which handler a request is for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serve/http.h"

namespace tern::serve {

class Router {
 public:
  explicit Router(std::vector<Route> routes);

  struct Match {
    const Route* route = nullptr;            ///< null: nothing has that path, or nothing that method there
    std::vector<std::string> captures = {};  ///< of the pattern's {…}, in order
    std::string allow = {};  ///< the methods that the path has ("GET, HEAD, OPTIONS"); "" : no such path
  };
  /// The first route that fits, in the order they were given. HEAD fits GET's. Empty segments do not count:
  /// slashes that are doubled or stand at the end lead to the same place.
  Match Find(std::string_view method, const std::vector<std::string>& segments) const;

 private:
  struct Entry {
    Route route;
    std::vector<std::string> segments;  // of the pattern
  };
  std::vector<Entry> entries_;
};

}  // namespace tern::serve
