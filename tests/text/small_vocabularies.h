// Vocabularies of the smallest size that is whole, for tests that need to change one thing in them.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/utf8.h"

namespace tern::testing {

/// World's file: ids 1 to 256 are the bytes; then the lines of `more`.
inline std::string SmallWorldVocab(
    const std::string& more = "257 'ab' 2\n258 \"abc\" 3\n259 b'\\xc3\\xa9' 2\n") {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) text += fmt::format("{} b'\\x{:02x}' 1\n", byte + 1, byte);
  return text + more;
}

/// The same as web-rwkv keeps it: ids 1 to 256 are the bytes, 257 "ab", 258 "abc", 259 "é".
inline nlohmann::json SmallJsonVocab() {
  nlohmann::json json = {{"257", "ab"}, {"258", "abc"}, {"259", "\xC3\xA9"}};
  for (int byte = 0; byte < 256; ++byte) {
    const std::string id = std::to_string(byte + 1);
    if (byte < 128) {
      json[id] = std::string(1, static_cast<char>(byte));
    } else {
      json[id] = {byte};
    }
  }
  return json;
}

/// GPT-2's character for a byte.
inline std::string ByteChar(int byte) {
  static const std::vector<int32_t> characters = [] {
    std::vector<int32_t> list;
    int32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool visible = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      list.push_back(visible ? b : next++);
    }
    return list;
  }();
  std::string text;
  AppendUtf8(characters[static_cast<size_t>(byte)], &text);
  return text;
}

/// A tokenizer.json whose ids 2 to 257 are the bytes, with the tokens "ab" 258, "abc" 259, "Ġa" 260, their
/// merges, and the added tokens <|endoftext|> 0 and two spaces 261.
inline nlohmann::json SmallNeoxVocab() {
  nlohmann::json json;
  json["normalizer"] = {{"type", "NFC"}};
  json["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  json["post_processor"] = nullptr;
  json["decoder"] = {{"type", "ByteLevel"}};
  nlohmann::json vocab = nlohmann::json::object();
  for (int byte = 0; byte < 256; ++byte) vocab[ByteChar(byte)] = byte + 2;
  vocab["ab"] = 258;
  vocab["abc"] = 259;
  vocab
      ["\xC4\xA0"
       "a"] = 260;
  json["model"] = {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b", "ab c", "\xC4\xA0 a"}}};
  json["added_tokens"] = nlohmann::json::array();
  json["added_tokens"].push_back(
      {{"id", 0}, {"content", "<|endoftext|>"}, {"special", true}, {"normalized", false}});
  json["added_tokens"].push_back({{"id", 261}, {"content", "  "}, {"normalized", true}});
  return json;
}

}  // namespace tern::testing
