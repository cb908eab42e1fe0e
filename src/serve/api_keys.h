// API keys: where they come from, and how a request's is compared.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tern::serve {

/// The keys of a text: any number, separated by white space or commas; what follows a '#' up to the end of
/// its line is a comment. `where` names the text in errors: no key at all, a character that no Authorization
/// header may hold (letters, digits and -._~+/= may be), a key shorter than 8 characters. Errors never quote
/// a key.
Result<std::vector<std::string>> ParseApiKeys(std::string_view text, const std::string& where);

/// The same for a file. Warns when others than its owner may read it.
Result<std::vector<std::string>> ReadApiKeys(const std::string& path);

/// Who may ask. Immutable: thread-safe.
class KeyRing {
 public:
  explicit KeyRing(const std::vector<std::string>& keys);

  /// No keys: nobody needs one.
  bool empty() const { return entries_.empty(); }
  /// The name that stands for a key's holder (16 hex digits), or "" for a key that isn't ours. Takes the same
  /// time whichever key matches, or none: all are compared, by their SHA-256.
  std::string OwnerOf(std::string_view key) const;

 private:
  using Digest = std::array<uint8_t, 32>;
  struct Entry {
    Digest digest;
    std::string owner;
  };
  std::vector<Entry> entries_;
};

/// What follows "Bearer " in an Authorization header (in any case), or "".
std::string_view BearerToken(std::string_view authorization);

}  // namespace tern::serve
