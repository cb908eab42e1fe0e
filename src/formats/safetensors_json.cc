#include "formats/safetensors_json.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

#include "formats/raw_container.h"

namespace tern {
namespace {

using Json = nlohmann::json;

/// Watches the parser at work. Once it has found a problem, the parser is told to keep nothing more, so that
/// a hostile text costs no memory.
class Watcher {
 public:
  explicit Watcher(size_t max_depth) : max_depth_(max_depth) {}

  bool operator()(Json::parse_event_t event, const Json& parsed) {
    if (!problem_.empty()) return false;
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        keys_.emplace_back();
        if (keys_.size() > max_depth_) problem_ = fmt::format("nested deeper than {} levels", max_depth_);
        break;
      case Json::parse_event_t::object_end:
      case Json::parse_event_t::array_end:
        if (!keys_.empty()) keys_.pop_back();
        break;
      case Json::parse_event_t::key: {
        const auto& key = parsed.get_ref<const std::string&>();
        if (!keys_.empty() && !keys_.back().insert(key).second) {
          problem_ = fmt::format("the key {} stands twice in one object", Quote(key));
        }
        break;
      }
      case Json::parse_event_t::value:
        break;
    }
    return problem_.empty();
  }

  const std::string& problem() const { return problem_; }

 private:
  const size_t max_depth_;
  std::vector<std::set<std::string>> keys_;  ///< of the objects that are open; arrays have none
  std::string problem_;
};

}  // namespace

Result<Json> ParseJson(std::string_view text, size_t max_depth) {
  Watcher watcher(max_depth);
  try {
    Json json = Json::parse(
        text, [&](int, Json::parse_event_t event, Json& parsed) { return watcher(event, parsed); });
    if (!watcher.problem().empty()) return Corrupt("JSON: " + watcher.problem());
    return json;
  } catch (const std::bad_alloc&) {
    return Exhausted("out of memory for JSON");
  } catch (const std::exception& error) {
    if (!watcher.problem().empty()) return Corrupt("JSON: " + watcher.problem());
    return Corrupt(fmt::format("bad JSON: {:.200}", error.what()));
  }
}

}  // namespace tern
