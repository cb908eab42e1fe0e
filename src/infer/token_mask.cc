#include "infer/token_mask.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <utility>

namespace tern {
namespace {

void Set(int32_t token, std::vector<uint64_t>* words) {
  (*words)[static_cast<size_t>(token) / 64] |= uint64_t{1} << (static_cast<size_t>(token) % 64);
}
void Clear(int32_t token, std::vector<uint64_t>* words) {
  (*words)[static_cast<size_t>(token) / 64] &= ~(uint64_t{1} << (static_cast<size_t>(token) % 64));
}
void AddWords(const std::vector<uint64_t>& added, std::vector<uint64_t>* words) {
  for (size_t i = 0; i < added.size(); ++i) (*words)[i] |= added[i];
}

}  // namespace

TokenMasks::TokenMasks(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTree> tokens,
                       size_t most_kept)
    : grammar_(std::move(grammar)),
      tokens_(std::move(tokens)),
      most_kept_(most_kept),
      automaton_(grammar_, tokens_->longest()) {}

size_t TokenMasks::kept_bytes() const {
  const std::lock_guard lock(mutex_);
  return KeptBytes();
}

size_t TokenMasks::KeptBytes() const {
  const size_t words = (tokens_->vocab_size() + 63) / 64;
  return automaton_.bytes() + masks_.size() * (sizeof(TokenMask) + words * sizeof(uint64_t));
}

Result<std::shared_ptr<const TokenMask>> TokenMasks::Find(const GrammarMatcher& matcher) {
  const std::lock_guard lock(mutex_);
  if (KeptBytes() > most_kept_) {
    masks_.clear();
    automaton_.Clear();
  }
  const State state = automaton_.StateOf(matcher);
  const auto known = masks_.find(state);
  if (known != masks_.end()) return known->second;
  TERN_ASSIGN_OR_RETURN(auto mask, MaskOf(state, matcher));
  masks_.emplace(state, mask);
  return mask;
}

Result<std::shared_ptr<const TokenMask>> TokenMasks::MaskOf(State state, const GrammarMatcher& matcher) {
  auto mask = std::make_shared<TokenMask>();
  mask->words.assign((tokens_->vocab_size() + 63) / 64, 0);
  most_work_ = automaton_.work() + kMaxWork;
  too_many_ = matcher.too_ambiguous();
  for (const TokenSlice& slice : tokens_->slices()) AddSlice(slice, state, &mask->words);
  Walk(tokens_->others(), std::nullopt, {0, state}, &mask->words);
  if (automaton_.work() > most_work_)
    return Exhausted("the grammar is too ambiguous: there are too many ways to read the text");
  for (const uint64_t word : mask->words) mask->count += static_cast<size_t>(std::popcount(word));
  if (mask->count == 0 && too_many_ && !matcher.complete()) {
    return InvalidArgument("the grammar is too ambiguous: a text may be at no more than " +
                           std::to_string(GrammarMatcher::kMaxItems) + " places of it at once");
  }
  return std::shared_ptr<const TokenMask>(std::move(mask));
}

/// Tries, from the cheapest to the most expensive: all tokens up to a length, all but a few subtrees, a walk.
void TokenMasks::AddSlice(const TokenSlice& slice, State start, std::vector<uint64_t>* words) {
  const LazyAutomaton::Run run = automaton_.RunOf(slice.kind, start, slice.longest);
  if (run.exact || run.chars == slice.longest) return AddWords(slice.masks[run.chars], words);
  if (automaton_.IsFree(slice.kind, start)) return AddWords(slice.masks.back(), words);
  if (!AddAllBut(slice, start, words)) Walk(slice.trie, slice.kind, {0, start}, words);
}

/// Adds the whole slice, takes out the subtrees whose tokens may not all follow, and walks these. Declines,
/// and adds nothing, when they are the greater part.
bool TokenMasks::AddAllBut(const TokenSlice& slice, State start, std::vector<uint64_t>* words) {
  const TokenTrie& trie = slice.trie;
  const TokenTrie::Node& root = trie.nodes.front();
  std::vector<Visit>& partial = partial_;
  partial.clear();
  size_t left = trie.tokens.size() / 2;
  for (uint32_t child = root.first; child < root.first + root.children; ++child) {
    const State next = Next(start, trie.bytes[child]);
    if (next >= 0 && IsWhole(slice.kind, start, trie.bytes[child])) continue;
    const size_t tokens = trie.nodes[child].end - trie.nodes[child].begin;
    if (tokens > left) return false;
    left -= tokens;
    partial.push_back({child, next});
  }
  AddWords(slice.masks.back(), words);
  for (const Visit& visit : partial) {
    const TokenTrie::Node& node = trie.nodes[visit.node];
    for (uint32_t i = node.begin; i < node.end; ++i) Clear(trie.tokens[i], words);
    if (visit.state >= 0) Walk(trie, slice.kind, visit, words);
  }
  return true;
}

/// Whether every text of the kind that begins with the byte may follow.
bool TokenMasks::IsWhole(CharKind kind, State start, uint8_t byte) {
  if (byte >= 0x80) return automaton_.IsFreeBeyondAscii(kind, start);
  return automaton_.IsFree(kind, automaton_.Next(start, byte));
}

/// Adds the tokens at and below a node, as far as the grammar goes with them. `kind`: of the trie's texts, if
/// they have one.
void TokenMasks::Walk(const TokenTrie& trie, std::optional<CharKind> kind, Visit start,
                      std::vector<uint64_t>* words) {
  constexpr uint32_t kManyTokens = 16;  // subtrees for which it pays to ask whether the state is free
  open_.assign(1, start);
  while (!open_.empty() && automaton_.work() <= most_work_) {
    const Visit visit = open_.back();
    open_.pop_back();
    const TokenTrie::Node node = trie.nodes[visit.node];
    const bool whole = kind && node.end - node.begin >= kManyTokens && automaton_.IsFree(*kind, visit.state);
    const uint32_t end = whole ? node.end : node.own_end;
    for (uint32_t i = node.begin; i < end; ++i) Set(trie.tokens[i], words);
    if (whole) continue;
    for (uint32_t child = node.first + node.children; child-- > node.first;) {
      const State next = Next(visit.state, trie.bytes[child]);
      if (next >= 0) open_.push_back({child, next});
    }
  }
}

LazyAutomaton::State TokenMasks::Next(State from, uint8_t byte) {
  const State next = automaton_.Next(from, byte);
  if (next == LazyAutomaton::kTooMany) too_many_ = true;
  return next;
}

Status TokenConstraint::Apply(std::span<float> logits, std::span<const int32_t> ends) {
  constexpr float kImpossible = -std::numeric_limits<float>::infinity();
  TERN_ASSIGN_OR_RETURN(const std::shared_ptr<const TokenMask> mask, masks_->Find(matcher_));
  std::vector<std::pair<size_t, float>> kept;
  for (const int32_t end : ends) {
    const auto token = static_cast<size_t>(end);
    if (end >= 0 && token < logits.size()) kept.push_back({token, complete() ? logits[token] : kImpossible});
  }
  for (size_t t = 0; t < logits.size(); t += 64) {
    const uint64_t word = t / 64 < mask->words.size() ? mask->words[t / 64] : 0;
    if (word == ~uint64_t{0}) continue;
    const size_t count = std::min<size_t>(64, logits.size() - t);
    for (size_t i = 0; i < count; ++i) {
      if ((word >> i & 1) == 0) logits[t + i] = kImpossible;
    }
  }
  for (const auto& [token, logit] : kept) logits[token] = logit;
  const bool possible = std::any_of(logits.begin(), logits.end(), [](float l) { return l != kImpossible; });
  if (possible) return OkStatus();
  return InvalidArgument("no token may follow: the vocabulary cannot write what the grammar wants here");
}

Status TokenConstraint::Accept(int32_t token) {
  const bool known = token >= 0 && static_cast<size_t>(token) < masks_->tokens().vocab_size();
  if (known && !masks_->tokens().text(token).empty() && matcher_.Advance(masks_->tokens().text(token)))
    return OkStatus();
  return InvalidArgument("token " + std::to_string(token) + " may not follow in the grammar");
}

std::shared_ptr<TokenMasks> MakeTokenMasks(std::shared_ptr<const Grammar> grammar,
                                           const Tokenizer& tokenizer) {
  return std::make_shared<TokenMasks>(std::move(grammar), std::make_shared<const TokenTree>(tokenizer));
}

}  // namespace tern
