#include "text/merge_candidates.h"

#include <algorithm>
#include <queue>
#include <string_view>
#include <unordered_map>

#include "text/utf8.h"

namespace tern {
namespace {

using Pair = std::pair<int32_t, int32_t>;

struct PairHash {
  size_t operator()(const Pair& pair) const {
    const uint64_t key =
        static_cast<uint64_t>(static_cast<uint32_t>(pair.first)) << 32 | static_cast<uint32_t>(pair.second);
    const uint64_t mixed = key * 0x9e3779b97f4a7c15u;
    return static_cast<size_t>(mixed ^ mixed >> 32);
  }
};

/// Words as pieces, and where each pair of neighbours stands.
class Merger {
 public:
  explicit Merger(const std::vector<CountedText>& words) {
    for (const CountedText& word : words) {
      Sequence sequence{word.count, {}};
      for (size_t at = 0; at < word.text.size();) {
        const size_t length = DecodeUtf8(word.text, at).length;
        const int32_t piece = PieceOf(word.text.substr(at, length));
        counts_[static_cast<size_t>(piece)] += word.count;
        sequence.pieces.push_back(piece);
        at += length;
      }
      if (sequence.pieces.size() > 1) sequences_.push_back(std::move(sequence));
    }
    characters_ = pieces_.size();
    for (size_t i = 0; i < sequences_.size(); ++i) CountPairs(static_cast<uint32_t>(i), +1);
    touched_.clear();
    for (const auto& [pair, found] : pairs_) queue_.push({found.count, pair});
  }

  /// Characters of several bytes, the frequent ones first.
  std::vector<std::string> Characters(int64_t min_count) const {
    std::vector<size_t> order;
    for (size_t i = 0; i < characters_; ++i) {
      if (pieces_[i].size() > 1 && counts_[i] >= min_count) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return counts_[a] > counts_[b]; });
    std::vector<std::string> characters;
    for (const size_t i : order) characters.push_back(pieces_[i]);
    return characters;
  }

  /// Joins the most frequent pair; false when none is left that is seen `min_count` times. `piece` stays
  /// empty when what it makes is known already.
  bool Join(int64_t min_count, std::string* piece) {
    piece->clear();
    while (!queue_.empty()) {
      const Entry best = queue_.top();
      queue_.pop();
      const auto found = pairs_.find(best.pair);
      if (found == pairs_.end() || found->second.count != best.count) continue;  // counted anew since
      if (best.count < min_count) return false;
      const size_t before = pieces_.size();
      const int32_t joined = PieceOf(pieces_[static_cast<size_t>(best.pair.first)] +
                                     pieces_[static_cast<size_t>(best.pair.second)]);
      if (pieces_.size() > before) *piece = pieces_.back();
      Replace(best.pair, joined);
      return true;
    }
    return false;
  }

 private:
  struct Sequence {
    int64_t count;
    std::vector<int32_t> pieces;
  };
  struct Found {
    int64_t count = 0;
    std::vector<uint32_t> sequences;  ///< where it stands or has stood
  };
  struct Entry {
    int64_t count;
    Pair pair;
    bool operator<(const Entry& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  int32_t PieceOf(std::string bytes) {
    const auto [it, added] = ids_.emplace(std::move(bytes), static_cast<int32_t>(pieces_.size()));
    if (added) {
      pieces_.push_back(it->first);
      counts_.push_back(0);
    }
    return it->second;
  }

  void CountPairs(uint32_t index, int sign) {
    const Sequence& sequence = sequences_[index];
    for (size_t i = 0; i + 1 < sequence.pieces.size(); ++i) {
      const Pair pair(sequence.pieces[i], sequence.pieces[i + 1]);
      Found& found = pairs_[pair];
      found.count += sign * sequence.count;
      if (sign > 0 && (found.sequences.empty() || found.sequences.back() != index))
        found.sequences.push_back(index);
      touched_.push_back(pair);
    }
  }

  void Replace(Pair pair, int32_t joined) {
    const std::vector<uint32_t> places = std::move(pairs_[pair].sequences);
    touched_.clear();
    for (const uint32_t index : places) {
      std::vector<int32_t>& pieces = sequences_[index].pieces;
      CountPairs(index, -1);
      size_t to = 0;
      for (size_t from = 0; from < pieces.size(); ++to) {
        const bool here = from + 1 < pieces.size() && Pair(pieces[from], pieces[from + 1]) == pair;
        pieces[to] = here ? joined : pieces[from];
        from += here ? 2 : 1;
      }
      pieces.resize(to);
      CountPairs(index, +1);
    }
    pairs_.erase(pair);
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    for (const Pair& changed : touched_) {
      const auto found = pairs_.find(changed);
      if (found == pairs_.end()) continue;
      if (found->second.count <= 0) {
        pairs_.erase(found);
      } else {
        queue_.push({found->second.count, changed});
      }
    }
  }

  std::vector<std::string> pieces_;
  std::vector<int64_t> counts_;  ///< of characters
  size_t characters_ = 0;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<Sequence> sequences_;
  std::unordered_map<Pair, Found, PairHash> pairs_;
  std::priority_queue<Entry> queue_;
  std::vector<Pair> touched_;
};

}  // namespace

std::vector<std::string> FindMergeCandidates(const std::vector<CountedText>& words, size_t limit,
                                             int64_t min_count) {
  Merger merger(words);
  std::vector<std::string> candidates = merger.Characters(min_count);
  std::string piece;
  while (candidates.size() < limit && merger.Join(min_count, &piece)) {
    if (!piece.empty()) candidates.push_back(piece);
  }
  if (candidates.size() > limit) candidates.resize(limit);
  return candidates;
}

}  // namespace tern
