#include "text/neox_vocab.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "text/utf8.h"

namespace tern {
namespace {

using Json = nlohmann::json;
using Ids = std::unordered_map<std::string, int32_t>;

constexpr int kMaxDepth = 32;

/// GPT-2 writes bytes as visible characters: printable ones as themselves, the others as U+0100 and on, in
/// order.
struct ByteAlphabet {
  std::array<int32_t, 256> codepoint_of{};
  std::array<int16_t, 512> byte_of{};
  ByteAlphabet() {
    byte_of.fill(-1);
    int32_t next = 256;
    for (int32_t byte = 0; byte < 256; ++byte) {
      const bool visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      codepoint_of[static_cast<size_t>(byte)] = visible ? byte : next++;
      byte_of[static_cast<size_t>(codepoint_of[static_cast<size_t>(byte)])] = static_cast<int16_t>(byte);
    }
  }
};

const ByteAlphabet& Alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

/// The bytes of a token as the vocabulary writes it. One with a character outside the alphabet stands for its
/// own text, as in the library's decoder.
std::string TokenText(const std::string& written) {
  std::string bytes;
  for (size_t at = 0; at < written.size();) {
    const Utf8Char next = DecodeUtf8(written, at);
    const bool known =
        next.valid && next.codepoint < 512 && Alphabet().byte_of[static_cast<size_t>(next.codepoint)] >= 0;
    if (!known) return written;
    bytes.push_back(static_cast<char>(Alphabet().byte_of[static_cast<size_t>(next.codepoint)]));
    at += next.length;
  }
  return bytes;
}

Result<Json> ParseJson(std::string_view text) {
  bool too_deep = false;
  const auto shallow = [&too_deep](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return depth <= kMaxDepth;
  };
  try {
    Json json = Json::parse(text.begin(), text.end(), shallow);
    if (too_deep) return Corrupt(fmt::format("JSON nested more than {} deep", kMaxDepth));
    if (!json.is_object()) return Corrupt("the JSON is not an object");
    return json;
  } catch (const Json::exception& error) {
    return Corrupt(fmt::format("not valid JSON: {}", error.what()));
  }
}

/// The member `key`, or null when `object` has none (or is no object).
const Json& Member(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

std::string TypeOf(const Json& object) {
  const Json& type = Member(object, "type");
  return type.is_string() ? type.get<std::string>() : object.is_null() ? "none" : "unknown";
}

/// Null, false, 0 and the empty string all say that something is not used.
bool IsOff(const Json& value) {
  return value.is_null() || value == false || value == "" || (value.is_number() && value == 0);
}

Result<bool> Flag(const Json& object, const char* key) {
  const Json& value = Member(object, key);
  if (value.is_null()) return false;
  if (!value.is_boolean()) return Corrupt(fmt::format("'{}' is not true or false", key));
  return value.get<bool>();
}

Status CheckPipeline(const Json& json) {
  const Json& model = Member(json, "model");
  if (TypeOf(model) != "BPE")
    return Unsupported(fmt::format("model.type is {}, expected BPE", TypeOf(model)));
  for (const char* key :
       {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"}) {
    if (!IsOff(Member(model, key))) return Unsupported(fmt::format("model.{} is set", key));
  }
  const std::string normalizer = TypeOf(Member(json, "normalizer"));
  if (normalizer != "NFC" && normalizer != "none") {
    return Unsupported(fmt::format("normalizer.type is {}, expected NFC or null", normalizer));
  }
  const Json& pre_tokenizer = Member(json, "pre_tokenizer");
  for (const char* key : {"pre_tokenizer", "decoder"}) {
    const std::string type = TypeOf(Member(json, key));
    if (type != "ByteLevel") return Unsupported(fmt::format("{}.type is {}, expected ByteLevel", key, type));
  }
  // The library refuses files without this key, so a missing key does not mean false.
  if (pre_tokenizer.find("add_prefix_space") == pre_tokenizer.end()) {
    return Corrupt("it has no key pre_tokenizer.add_prefix_space");
  }
  if (!IsOff(Member(pre_tokenizer, "add_prefix_space")))
    return Unsupported("pre_tokenizer.add_prefix_space is set");
  if (Member(pre_tokenizer, "use_regex") == false) return Unsupported("pre_tokenizer.use_regex is false");
  const std::string processor = TypeOf(Member(json, "post_processor"));
  if (processor != "ByteLevel" && processor != "none") {
    return Unsupported(fmt::format("post_processor.type is {}, expected ByteLevel or null", processor));
  }
  return OkStatus();
}

Result<int32_t> ParseId(const Json& value, uint64_t max_id) {
  if (!value.is_number_unsigned()) return Corrupt("the id is not a whole number from 0");
  const auto id = value.get<uint64_t>();
  if (id > max_id)
    return Corrupt(fmt::format("id {} is too large for so few tokens (at most {})", id, max_id));
  return static_cast<int32_t>(id);
}

/// Reads one file; its members fill `vocab_` and `ids_` step by step.
class Reader {
 public:
  Result<NeoxVocab> Read(const Json& json) {
    TERN_RETURN_IF_ERROR(CheckPipeline(json));
    vocab_.nfc = TypeOf(Member(json, "normalizer")) == "NFC";
    const Json& model = Member(json, "model");
    const Json& added = Member(json, "added_tokens");
    max_id_ = 16 * (Member(model, "vocab").size() + added.size()) + 65536;
    TERN_RETURN_IF_ERROR(ReadTokens(Member(model, "vocab")));
    TERN_RETURN_IF_ERROR(FindBytes());
    TERN_RETURN_IF_ERROR(ReadMerges(Member(model, "merges")));
    TERN_RETURN_IF_ERROR(ReadAdded(added));
    return std::move(vocab_);
  }

 private:
  Status ReadTokens(const Json& tokens) {
    if (!tokens.is_object()) return Corrupt("model.vocab is not an object");
    for (const auto& [written, value] : tokens.items()) {
      const Result<int32_t> id = ParseId(value, max_id_);
      if (!id.ok()) return id.status().WithContext(fmt::format("model.vocab['{}']", written));
      if (written.empty()) return Corrupt(fmt::format("model.vocab: id {} is the empty string", *id));
      TERN_RETURN_IF_ERROR(Take(*id, TokenText(written), written));
      ids_.emplace(written, *id);
    }
    return OkStatus();
  }

  Status Take(int32_t id, std::string text, const std::string& written) {
    const auto index = static_cast<size_t>(id);
    if (vocab_.tokens.size() <= index) vocab_.tokens.resize(index + 1);
    if (!vocab_.tokens[index].empty())
      return Corrupt(fmt::format("id {} ('{}') appears a second time", id, written));
    vocab_.tokens[index] = std::move(text);
    return OkStatus();
  }

  Status FindBytes() {
    for (size_t byte = 0; byte < 256; ++byte) {
      std::string written;
      AppendUtf8(Alphabet().codepoint_of[byte], &written);
      const auto found = ids_.find(written);
      const bool in_utf8 = byte != 0xC0 && byte != 0xC1 && byte < 0xF5;
      if (found == ids_.end() && !in_utf8) {
        vocab_.byte_ids.push_back(-1);
        continue;
      }
      if (found == ids_.end()) {
        return Corrupt(
            fmt::format("model.vocab has no token for the single byte 0x{:02x} ('{}')", byte, written));
      }
      vocab_.byte_ids.push_back(found->second);
    }
    return OkStatus();
  }

  Status ReadMerges(const Json& merges) {
    if (!merges.is_array()) return Corrupt("model.merges is not an array");
    vocab_.merges = MergeTable(merges.size());
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      const Status status = ReadMerge(merges[rank], static_cast<uint32_t>(rank));
      if (!status.ok()) return status.WithContext(fmt::format("model.merges[{}]", rank));
    }
    return OkStatus();
  }

  Status ReadMerge(const Json& merge, uint32_t rank) {
    std::string left, right;
    if (merge.is_string()) {
      const auto& both = merge.get_ref<const std::string&>();
      const size_t space = both.find(' ');
      if (space == std::string::npos || both.find(' ', space + 1) != std::string::npos) {
        return Corrupt(fmt::format("'{}' is not two tokens with a space between", both));
      }
      left = both.substr(0, space);
      right = both.substr(space + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    } else {
      return Corrupt("neither \"a b\" nor [\"a\", \"b\"]");
    }
    TERN_ASSIGN_OR_RETURN(const int32_t left_id, Known(left));
    TERN_ASSIGN_OR_RETURN(const int32_t right_id, Known(right));
    TERN_ASSIGN_OR_RETURN(const int32_t joined, Known(left + right));
    if (!vocab_.merges.Add(left_id, right_id, {rank, joined})) {
      return Corrupt(fmt::format("'{} {}' appears a second time", left, right));
    }
    return OkStatus();
  }

  Result<int32_t> Known(const std::string& token) const {
    const auto found = ids_.find(token);
    if (found == ids_.end()) return Corrupt(fmt::format("'{}' is not in model.vocab", token));
    return found->second;
  }

  Status ReadAdded(const Json& list) {
    if (list.is_null()) return OkStatus();
    if (!list.is_array()) return Corrupt("added_tokens is not an array");
    for (size_t i = 0; i < list.size(); ++i) {
      const Status status = ReadAddedToken(list[i]);
      if (!status.ok()) return status.WithContext(fmt::format("added_tokens[{}]", i));
    }
    return OkStatus();
  }

  Status ReadAddedToken(const Json& json) {
    AddedToken token;
    TERN_ASSIGN_OR_RETURN(token.id, ParseId(Member(json, "id"), max_id_));
    const Json& content = Member(json, "content");
    if (!content.is_string() || content == "") return Corrupt("'content' is not a string with text");
    token.content = content.get<std::string>();
    TERN_ASSIGN_OR_RETURN(token.single_word, Flag(json, "single_word"));
    TERN_ASSIGN_OR_RETURN(token.lstrip, Flag(json, "lstrip"));
    TERN_ASSIGN_OR_RETURN(token.rstrip, Flag(json, "rstrip"));
    TERN_ASSIGN_OR_RETURN(token.normalized, Flag(json, "normalized"));
    TERN_ASSIGN_OR_RETURN(token.special, Flag(json, "special"));
    const auto known = ids_.emplace(token.content, token.id);
    if (known.second) {
      TERN_RETURN_IF_ERROR(Take(token.id, token.content, token.content));
    } else if (known.first->second != token.id) {
      return Corrupt(
          fmt::format("'{}' has id {}, but elsewhere id {}", token.content, token.id, known.first->second));
    }
    if (!added_.insert(token.id).second) return Corrupt(fmt::format("id {} appears a second time", token.id));
    vocab_.added.push_back(std::move(token));
    return OkStatus();
  }

  NeoxVocab vocab_;
  Ids ids_;  ///< by the token as written
  std::unordered_set<int32_t> added_;
  uint64_t max_id_ = 0;
};

}  // namespace

Result<NeoxVocab> ParseNeoxVocab(std::string_view json, const std::string& source) {
  const Result<Json> parsed = ParseJson(json);
  if (!parsed.ok()) return parsed.status().WithContext(fmt::format("'{}'", source));
  Result<NeoxVocab> vocab = Reader().Read(*parsed);
  if (!vocab.ok()) return vocab.status().WithContext(fmt::format("'{}'", source));
  return vocab;
}

}  // namespace tern
