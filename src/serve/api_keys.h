// API keys: where they come from, and how a request's is compared.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tern::serve {

/// What a key's holder may do: ask, or look after the service as well (load and unload models, delete any
/// state).
enum class KeyClass { kUser, kAdmin };

struct ApiKeys {
  std::vector<std::string> users = {}, admins = {};

  bool empty() const { return users.empty() && admins.empty(); }
  void Add(const ApiKeys& more);
};

/// The keys of a text: any number, separated by white space or commas; what follows a '#' up to the end of
/// its line is a comment. A key is of the class `plain`; one that is written `admin:KEY` is an admin's.
/// `where` names the text in errors: no key at all, a character that no Authorization header may hold
/// (letters, digits and -._~+/= may be), a key shorter than 8 characters. Errors never quote a key.
Result<ApiKeys> ParseApiKeys(std::string_view text, const std::string& where,
                             KeyClass plain = KeyClass::kUser);

/// The same for a file. Warns when others than its owner may read it.
Result<ApiKeys> ReadApiKeys(const std::string& path, KeyClass plain = KeyClass::kUser);

/// Who asks, by the key.
struct KeyHolder {
  std::string owner = {};  ///< the name that stands for the holder (16 hex digits); "" for an unknown key
  bool admin = false;
};

/// Who may ask. Immutable: thread-safe.
class KeyRing {
 public:
  /// A key of both classes is an admin's.
  explicit KeyRing(const ApiKeys& keys);

  /// No keys: nobody needs one.
  bool empty() const { return entries_.empty(); }
  /// Takes the same time whichever key matches, or none: all are compared, by their SHA-256.
  KeyHolder HolderOf(std::string_view key) const;

 private:
  using Digest = std::array<uint8_t, 32>;
  struct Entry {
    Digest digest;
    KeyHolder holder;
  };
  std::vector<Entry> entries_;
};

/// What follows "Bearer " in an Authorization header (in any case), or "".
std::string_view BearerToken(std::string_view authorization);

}  // namespace tern::serve
