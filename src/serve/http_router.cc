#include "serve/http_router.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace tern::serve {
namespace {

bool IsCapture(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

std::vector<std::string> SplitPattern(std::string_view pattern) {
  std::vector<std::string> segments;
  while (!pattern.empty()) {
    pattern.remove_prefix(1);  // its '/'
    const size_t end = std::min(pattern.find('/'), pattern.size());
    segments.emplace_back(pattern.substr(0, end));
    pattern.remove_prefix(end);
  }
  return segments;
}

/// Without the empty segments of doubled slashes and of one at the end. The root alone keeps its empty one.
std::vector<std::string> WithoutEmpty(const std::vector<std::string>& segments) {
  std::vector<std::string> named;
  std::copy_if(segments.begin(), segments.end(), std::back_inserter(named),
               [](const std::string& segment) { return !segment.empty(); });
  if (named.empty() && !segments.empty()) named.emplace_back();
  return named;
}

bool Fits(const std::vector<std::string>& pattern, const std::vector<std::string>& segments) {
  if (pattern.size() != segments.size()) return false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (IsCapture(pattern[i]) ? segments[i].empty() : pattern[i] != segments[i]) return false;
  }
  return true;
}

void AddMethod(std::string* list, std::string_view method) {
  if ((", " + *list + ",").find(", " + std::string(method) + ",") != std::string::npos) return;
  if (!list->empty()) *list += ", ";
  *list += method;
}

}  // namespace

Router::Router(std::vector<Route> routes) {
  for (Route& route : routes) {
    std::vector<std::string> segments = SplitPattern(route.pattern);
    entries_.push_back({std::move(route), std::move(segments)});
  }
}

Router::Match Router::Find(std::string_view method, const std::vector<std::string>& all_segments) const {
  const std::vector<std::string> segments = WithoutEmpty(all_segments);
  Match match;
  for (const Entry& entry : entries_) {
    if (!Fits(entry.segments, segments)) continue;
    AddMethod(&match.allow, entry.route.method);
    if (entry.route.method == "GET") AddMethod(&match.allow, "HEAD");
    const bool wanted = entry.route.method == (method == "HEAD" ? "GET" : method);
    if (!wanted || match.route != nullptr) continue;
    match.route = &entry.route;
    for (size_t i = 0; i < segments.size(); ++i) {
      if (IsCapture(entry.segments[i])) match.captures.push_back(segments[i]);
    }
  }
  if (!match.allow.empty()) AddMethod(&match.allow, "OPTIONS");
  return match;
}

}  // namespace tern::serve
