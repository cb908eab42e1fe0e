#include "text/tokenizer.h"
#include "text/utf8.h"

namespace tern {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

std::string Utf8Stream::Push(std::string_view bytes) {
  pending_.append(bytes);
  std::string ready;
  ready.reserve(pending_.size());
  size_t at = 0;
  while (at < pending_.size()) {
    const Utf8Char next = DecodeUtf8(pending_, at);
    if (next.truncated) break;
    if (next.valid) {
      ready.append(pending_, at, next.length);
    } else {
      ready.append(kReplacement);
    }
    at += next.length;
  }
  pending_.erase(0, at);
  return ready;
}

std::string Utf8Stream::Finish() {
  // What waits is the beginning of one character: one maximal subpart, one replacement.
  std::string rest(pending_.empty() ? std::string_view() : kReplacement);
  pending_.clear();
  return rest;
}

}  // namespace tern
