#include "infer/token_tree.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "text/utf8.h"

namespace tern {
namespace {

constexpr std::array<ByteInterval, 2> kLetterBytes = {{{'A', 'Z'}, {'a', 'z'}}};
constexpr std::array<ByteInterval, 3> kWordBytes = {{{' ', ' '}, {'A', 'Z'}, {'a', 'z'}}};
constexpr std::array<ByteInterval, 3> kAsciiBytes = {{{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x7E}}};

bool IsOf(CharKind kind, uint8_t byte) {
  const auto intervals = AsciiBytesOf(kind);
  return std::any_of(intervals.begin(), intervals.end(),
                     [byte](ByteInterval interval) { return interval.low <= byte && byte <= interval.high; });
}

struct SliceText {
  CharKind kind = CharKind::kLetters;
  size_t chars = 0;
};

/// The smallest kind that has all characters of a text; none where there is no such kind.
std::optional<SliceText> ReadSliceText(std::string_view text) {
  SliceText slice;
  CharKind ascii = CharKind::kLetters;  // of the ASCII characters
  bool beyond = false;
  for (size_t at = 0; at < text.size(); ++slice.chars) {
    const auto byte = static_cast<uint8_t>(text[at]);
    if (byte < 0x80) {
      while (!IsOf(ascii, byte)) {
        if (ascii == CharKind::kAscii) return std::nullopt;
        ascii = static_cast<CharKind>(static_cast<uint8_t>(ascii) + 1);
      }
      ++at;
      continue;
    }
    const Utf8Char c = DecodeUtf8(text, at);
    if (!c.valid && !c.truncated) return std::nullopt;
    beyond = true;
    at += c.length;
  }
  if (slice.chars > TokenTree::kSliceChars) return std::nullopt;
  slice.kind = !beyond ? ascii : ascii == CharKind::kAscii ? CharKind::kUnicode : CharKind::kWide;
  return slice;
}

}  // namespace

std::span<const ByteInterval> AsciiBytesOf(CharKind kind) {
  switch (kind) {
    case CharKind::kLetters:
      return kLetterBytes;
    case CharKind::kWords:
    case CharKind::kWide:
      return kWordBytes;
    case CharKind::kAscii:
    case CharKind::kUnicode:
      break;
  }
  return kAsciiBytes;
}

TokenTree::TokenTree(const Tokenizer& tokenizer) {
  const auto size = static_cast<size_t>(std::max(tokenizer.vocab_size(), 0));
  texts_.reserve(size);
  std::array<std::vector<SliceToken>, kCharKinds> sliced;
  std::vector<int32_t> others;
  for (size_t id = 0; id < size; ++id) {
    const auto token = static_cast<int32_t>(id);
    texts_.emplace_back(tokenizer.TokenBytes(token));
    const std::string& text = texts_.back();
    if (text.empty() || text.size() > UINT16_MAX) continue;
    longest_ = std::max(longest_, text.size());
    if (const auto slice = ReadSliceText(text))
      sliced[static_cast<size_t>(slice->kind)].push_back({token, slice->chars});
    else
      others.push_back(token);
  }
  for (size_t kind = 0; kind < kCharKinds; ++kind)
    slices_[kind] = MakeSlice(static_cast<CharKind>(kind), sliced[kind]);
  others_ = MakeTrie(std::move(others));
}

TokenSlice TokenTree::MakeSlice(CharKind kind, const std::vector<SliceToken>& tokens) const {
  TokenSlice slice;
  slice.kind = kind;
  std::vector<int32_t> ids;
  for (const SliceToken& token : tokens) {
    ids.push_back(token.token);
    slice.longest = std::max(slice.longest, token.chars);
  }
  slice.trie = MakeTrie(std::move(ids));
  slice.masks.assign(slice.longest + 1, std::vector<uint64_t>((vocab_size() + 63) / 64, 0));
  for (const SliceToken& token : tokens) {
    const auto bit = static_cast<size_t>(token.token);
    for (size_t n = token.chars; n <= slice.longest; ++n)
      slice.masks[n][bit / 64] |= uint64_t{1} << (bit % 64);
  }
  return slice;
}

/// The tokens below a node are a range of the sorted ones; the bytes at the node's depth divide it into those
/// of the children.
TokenTrie TokenTree::MakeTrie(std::vector<int32_t> tokens) const {
  std::sort(tokens.begin(), tokens.end(),
            [this](int32_t a, int32_t b) { return std::pair(text(a), a) < std::pair(text(b), b); });
  struct Open {
    size_t node, depth;
  };
  TokenTrie trie;
  const auto add_node = [&trie](uint8_t byte, size_t begin, size_t end) {
    trie.bytes.push_back(byte);
    trie.nodes.push_back({.begin = static_cast<uint32_t>(begin), .end = static_cast<uint32_t>(end)});
  };
  add_node(0, 0, tokens.size());
  std::vector<Open> open = {{0, 0}};
  while (!open.empty()) {
    const auto [number, depth] = open.back();
    open.pop_back();
    TokenTrie::Node node = trie.nodes[number];
    size_t at = node.begin;
    while (at < node.end && text(tokens[at]).size() == depth) ++at;
    node.own_end = static_cast<uint32_t>(at);
    node.first = static_cast<uint32_t>(trie.nodes.size());
    while (at < node.end) {
      const size_t begin = at;
      const char byte = text(tokens[begin])[depth];
      while (at < node.end && text(tokens[at])[depth] == byte) ++at;
      open.push_back({trie.nodes.size(), depth + 1});
      add_node(static_cast<uint8_t>(byte), begin, at);
    }
    node.children = static_cast<uint32_t>(trie.nodes.size()) - node.first;
    trie.nodes[number] = node;
    // A walk goes to the first child first: the nodes are laid out in the same order.
    std::reverse(open.end() - static_cast<ptrdiff_t>(node.children), open.end());
  }
  trie.tokens = std::move(tokens);
  return trie;
}

}  // namespace tern
