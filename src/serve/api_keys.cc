#include "serve/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>

#include "base/file.h"
#include "base/log.h"
#include "serve/http_text.h"

namespace tern::serve {
namespace {

constexpr size_t kShortestKey = 8;
constexpr std::string_view kAdminMark = "admin:";

bool IsKeyCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("-._~+/=").find(c) != std::string_view::npos;
}

std::array<uint8_t, 32> Sha256(std::string_view text) {
  std::array<uint8_t, 32> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

/// Not a part of the digest that keys are compared by: an owner's name stands in logs and files.
std::string OwnerName(std::string_view key) {
  const auto digest = Sha256("tern owner\n" + std::string(key));
  std::string name;
  for (size_t i = 0; i < 8; ++i) {
    name += "0123456789abcdef"[digest[i] >> 4];
    name += "0123456789abcdef"[digest[i] & 15];
  }
  return name;
}

}  // namespace

void ApiKeys::Add(const ApiKeys& more) {
  users.insert(users.end(), more.users.begin(), more.users.end());
  admins.insert(admins.end(), more.admins.begin(), more.admins.end());
}

Result<ApiKeys> ParseApiKeys(std::string_view text, const std::string& where, KeyClass plain) {
  ApiKeys keys;
  for (size_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view rest = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    rest = rest.substr(0, rest.find('#'));
    const auto bad = [&](const std::string& why) {
      return InvalidArgument(where + ", line " + std::to_string(line) + ": " + why);
    };
    for (;;) {
      rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r,"), rest.size()));
      if (rest.empty()) break;
      std::string key(rest.substr(0, rest.find_first_of(" \t\r,")));
      rest.remove_prefix(key.size());
      const bool marked = key.starts_with(kAdminMark);
      if (marked) key.erase(0, kAdminMark.size());
      if (!std::all_of(key.begin(), key.end(), IsKeyCharacter)) {
        return bad("an API key is made of letters, digits and -._~+/= (an admin's: admin:KEY)");
      }
      if (key.size() < kShortestKey) return bad("an API key has at least 8 characters");
      (marked || plain == KeyClass::kAdmin ? keys.admins : keys.users).push_back(key);
    }
  }
  if (keys.empty()) return InvalidArgument(where + ": no API key in it");
  return keys;
}

Result<ApiKeys> ReadApiKeys(const std::string& path, KeyClass plain) {
  TERN_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path, uint64_t{1} << 20));
  struct stat info = {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & (S_IRGRP | S_IROTH)) != 0) {
    LogWarning("{}: others than its owner may read these API keys (chmod 600 helps)", path);
  }
  return ParseApiKeys(text, path, plain);
}

KeyRing::KeyRing(const ApiKeys& keys) {
  // The admins last: the last entry of a key is the one that counts.
  for (const std::string& key : keys.users) entries_.push_back({Sha256(key), {OwnerName(key), false}});
  for (const std::string& key : keys.admins) entries_.push_back({Sha256(key), {OwnerName(key), true}});
}

KeyHolder KeyRing::HolderOf(std::string_view key) const {
  const Digest digest = Sha256(key);
  size_t found = entries_.size();
  for (size_t i = 0; i < entries_.size(); ++i) {
    const bool equal = CRYPTO_memcmp(digest.data(), entries_[i].digest.data(), digest.size()) == 0;
    found = equal ? i : found;
  }
  return found < entries_.size() ? entries_[found].holder : KeyHolder();
}

std::string_view BearerToken(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (LowerAscii(authorization.substr(0, kScheme.size())) != kScheme) return {};
  authorization.remove_prefix(kScheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return authorization;
}

}  // namespace tern::serve
