#include "text/gguf_bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "text/neox_tokenizer.h"

namespace tern {
namespace {

using Json = nlohmann::json;

enum TokenType : int64_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

// Names of GPT-2's regular expression in llama.cpp's files; those of GPT-NeoX and OLMo have it too.
constexpr std::string_view kGpt2Words[] = {"",      "gpt-2",   "gpt2",    "gpt-neox", "olmo",
                                           "phi-2", "jina-es", "jina-de", "mpt"};

Status CheckLists(const GgufBpe& lists) {
  if (std::find(std::begin(kGpt2Words), std::end(kGpt2Words), lists.pre) == std::end(kGpt2Words)) {
    return Unsupported(fmt::format("tokenizer.ggml.pre is '{}', expected gpt-2", lists.pre));
  }
  if (!lists.types.empty() && lists.types.size() != lists.tokens.size()) {
    return Corrupt(fmt::format("tokenizer.ggml.token_type has {} entries for {} tokens", lists.types.size(),
                               lists.tokens.size()));
  }
  if (lists.merges.empty()) return Corrupt("it has no key tokenizer.ggml.merges");
  return OkStatus();
}

/// The same tokenizer as the tokenizer.json that it was made from.
Result<Json> AsTokenizerJson(const GgufBpe& lists) {
  Json vocabulary = Json::object(), added = Json::array();
  for (size_t id = 0; id < lists.tokens.size(); ++id) {
    const int64_t type = lists.types.empty() ? kNormal : lists.types[id];
    if (type == kUnused) continue;
    if (type == kControl || type == kUserDefined) {
      added.push_back(
          {{"id", id}, {"content", lists.tokens[id]}, {"special", type == kControl}, {"normalized", false}});
    } else if (type != kNormal) {
      return Unsupported(fmt::format("token {} is of type {}; known are 1, 3, 4 and 5", id, type));
    } else if (!vocabulary.emplace(lists.tokens[id], id).second) {
      return Corrupt(fmt::format("token {} appears a second time", id));
    }
  }
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return Json{{"normalizer", nullptr},
              {"pre_tokenizer", byte_level},
              {"decoder", byte_level},
              {"post_processor", nullptr},
              {"added_tokens", std::move(added)},
              {"model", {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", lists.merges}}}};
}

Result<std::shared_ptr<const Tokenizer>> Make(const GgufBpe& lists, const std::string& source) {
  TERN_RETURN_IF_ERROR(CheckLists(lists));
  TERN_ASSIGN_OR_RETURN(const Json json, AsTokenizerJson(lists));
  std::string text;
  try {
    text = json.dump();
  } catch (const Json::exception&) {
    return Corrupt("a token or merge of its vocabulary is not UTF-8");
  }
  return MakeNeoxTokenizer(text, source);
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> MakeGgufBpeTokenizer(const GgufBpe& lists,
                                                              const std::string& source) {
  auto tokenizer = Make(lists, source);
  if (!tokenizer.ok() && tokenizer.status().message().find(source) == std::string::npos) {
    return tokenizer.status().WithContext(fmt::format("'{}'", source));
  }
  return tokenizer;
}

}  // namespace tern
