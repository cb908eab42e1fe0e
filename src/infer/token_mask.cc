#include "infer/token_mask.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <utility>

namespace tern {

TokenTree::TokenTree(const Tokenizer& tokenizer) {
  const auto size = static_cast<size_t>(std::max(tokenizer.vocab_size(), 0));
  texts_.reserve(size);
  for (size_t id = 0; id < size; ++id) texts_.emplace_back(tokenizer.TokenBytes(static_cast<int32_t>(id)));
  std::vector<int32_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [this](int32_t a, int32_t b) { return std::pair(text(a), a) < std::pair(text(b), b); });
  std::vector<uint32_t> path;  // the nodes that spell the text before
  std::string_view before;
  for (const int32_t id : order) {
    const std::string_view now = text(id);
    if (now.empty() || now.size() > UINT16_MAX) continue;
    if (now == before) {
      Node& node = nodes_[path.back()];
      if (node.more < 0)
        node.more = static_cast<int32_t>(more_.size());
      else
        more_.pop_back();  // equal texts follow one another: the list is the last one
      more_.insert(more_.end(), {id, -1});
      continue;
    }
    const size_t shared = static_cast<size_t>(
        std::mismatch(before.begin(), before.end(), now.begin(), now.end()).first - before.begin());
    for (; path.size() > shared; path.pop_back())
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
    for (size_t i = shared; i < now.size(); ++i) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({0, -1, -1, static_cast<uint16_t>(i + 1), static_cast<uint8_t>(now[i])});
    }
    nodes_.back().token = id;
    longest_ = std::max(longest_, now.size());
    before = now;
  }
  for (const uint32_t node : path) nodes_[node].end = static_cast<uint32_t>(nodes_.size());
}

/// A place in the grammar, and where each class of bytes leads from it.
struct TokenMasks::Place {
  Place(const GrammarMatcher& at, size_t byte_classes) : matcher(at), next(byte_classes, kUnknown) {}
  GrammarMatcher matcher;
  std::vector<int32_t> next;  ///< by byte class: a place's number or one of the negative ones
  std::shared_ptr<const TokenMask> mask;
};

TokenMasks::TokenMasks(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTree> tokens)
    : grammar_(std::move(grammar)), tokens_(std::move(tokens)) {}
TokenMasks::~TokenMasks() = default;

Result<std::shared_ptr<const TokenMask>> TokenMasks::Find(const GrammarMatcher& matcher) {
  const std::lock_guard lock(mutex_);
  ForgetIfFull();
  work_ = 0;
  const int32_t number = PlaceOf(matcher);
  Place& place = *places_[static_cast<size_t>(number)];
  if (!place.mask) {
    auto found = Walk(number);
    kept_work_ += work_;
    TERN_RETURN_IF_ERROR(found.status());
    place.mask = *found;
    ++masks_;
  }
  return place.mask;
}

/// Between masks alone: numbers stay what they are while one is found.
void TokenMasks::ForgetIfFull() {
  if (places_.size() <= kKeptPlaces && masks_ <= kKeptMasks && kept_work_ <= kKeptWork) return;
  numbers_.clear();
  places_.clear();
  masks_ = kept_work_ = 0;
}

int32_t TokenMasks::PlaceOf(const GrammarMatcher& matcher) {
  const auto found = numbers_.find(&matcher.places());
  if (found != numbers_.end()) return found->second;
  const auto number = static_cast<int32_t>(places_.size());
  places_.push_back(std::make_unique<Place>(matcher, grammar_->byte_classes()));
  numbers_.emplace(&places_.back()->matcher.places(), number);
  return number;
}

int32_t TokenMasks::Next(int32_t from, uint8_t byte) {
  Place& place = *places_[static_cast<size_t>(from)];  // stays where it is while others are added
  int32_t& next = place.next[grammar_->byte_class(byte)];
  if (next == kUnknown) {
    GrammarMatcher matcher = place.matcher;
    const bool follows = matcher.Advance(byte);
    work_ += matcher.work();
    next = follows ? PlaceOf(matcher) : matcher.too_ambiguous() ? kTooMany : kNowhere;
  }
  return next;
}

Result<std::shared_ptr<const TokenMask>> TokenMasks::Walk(int32_t start) {
  auto mask = std::make_shared<TokenMask>();
  mask->words.assign((tokens_->vocab_size() + 63) / 64, 0);
  const auto set = [&](int32_t token) {
    mask->words[static_cast<size_t>(token) / 64] |= uint64_t{1} << (static_cast<size_t>(token) % 64);
  };
  path_.assign(tokens_->longest() + 1, start);  // by depth: where the bytes so far lead
  const std::vector<TokenTree::Node>& nodes = tokens_->nodes();
  const GrammarMatcher at = places_[static_cast<size_t>(start)]->matcher;
  bool too_many = at.too_ambiguous();
  for (size_t i = 0; i < nodes.size();) {
    const TokenTree::Node& node = nodes[i];
    const int32_t next = Next(path_[node.depth - 1u], node.byte);
    if (work_ > kMaxWork)
      return Exhausted("the grammar is too ambiguous: there are too many ways to read the text");
    if (next < 0) {
      too_many |= next == kTooMany;
      i = node.end;
      continue;
    }
    path_[node.depth] = next;
    if (node.token >= 0) set(node.token);
    if (node.more >= 0) {
      for (auto more = static_cast<size_t>(node.more); tokens_->more()[more] >= 0; ++more)
        set(tokens_->more()[more]);
    }
    ++i;
  }
  for (const uint64_t word : mask->words) mask->count += static_cast<size_t>(std::popcount(word));
  if (mask->count == 0 && too_many && !at.complete()) {
    return InvalidArgument("the grammar is too ambiguous: a text may be at no more than " +
                           std::to_string(GrammarMatcher::kMaxItems) + " places of it at once");
  }
  return std::shared_ptr<const TokenMask>(std::move(mask));
}

Status TokenConstraint::Apply(std::span<float> logits, std::span<const int32_t> ends) {
  constexpr float kImpossible = -std::numeric_limits<float>::infinity();
  TERN_ASSIGN_OR_RETURN(const std::shared_ptr<const TokenMask> mask, masks_->Find(matcher_));
  std::vector<std::pair<size_t, float>> kept;
  for (const int32_t end : ends) {
    const auto token = static_cast<size_t>(end);
    if (end >= 0 && token < logits.size()) kept.push_back({token, complete() ? logits[token] : kImpossible});
  }
  size_t possible = 0;
  for (size_t t = 0; t < logits.size(); ++t) {
    const size_t word = t / 64;
    if (word >= mask->words.size() || (mask->words[word] >> (t % 64) & 1) == 0) logits[t] = kImpossible;
  }
  for (const auto& [token, logit] : kept) logits[token] = logit;
  for (const float logit : logits) possible += logit != kImpossible ? 1 : 0;
  if (possible > 0) return OkStatus();
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
