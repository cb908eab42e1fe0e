#include "infer/stop_strings.h"

#include <algorithm>
#include <utility>

namespace tern {

Result<StopStrings> StopStrings::Make(const std::vector<std::string>& stops) {
  size_t total = 0;
  for (size_t i = 0; i < stops.size(); ++i) {
    if (stops[i].empty()) return InvalidArgument("stop string " + std::to_string(i) + " is empty");
    total += stops[i].size();
  }
  if (total > kMaxBytes) {
    return InvalidArgument("the stop strings have " + std::to_string(total) + " bytes together, more than " +
                           std::to_string(kMaxBytes));
  }
  auto trie = std::make_shared<Trie>(1);
  for (const std::string& stop : stops) Insert(trie.get(), stop);
  LinkSuffixes(trie.get());
  return StopStrings(std::move(trie));
}

std::string StopStrings::Push(std::string_view piece) {
  if (stopped_) return {};
  size_t position = held();
  buffer_.append(piece);
  for (const char c : piece) {
    node_ = Next(*trie_, node_, static_cast<uint8_t>(c));
    ++position;
    const uint32_t match = (*trie_)[static_cast<size_t>(node_)].match;
    if (match == 0) continue;
    stopped_ = true;
    std::string text = Take(position - match);
    buffer_.clear();
    begin_ = 0;
    return text;
  }
  return Take(held() - (*trie_)[static_cast<size_t>(node_)].depth);
}

std::string StopStrings::Finish() {
  node_ = 0;
  return Take(held());
}

/// Removes the first `count` bytes held. The buffer is compacted only when that moves less than was taken
/// since the last time, so that moving stays linear too.
std::string StopStrings::Take(size_t count) {
  std::string text = buffer_.substr(begin_, count);
  begin_ += count;
  if (begin_ >= held()) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  return text;
}

int32_t StopStrings::Child(const Trie& trie, int32_t node, uint8_t byte) {
  int32_t child = trie[static_cast<size_t>(node)].first_child;
  while (child >= 0 && trie[static_cast<size_t>(child)].byte != byte) {
    child = trie[static_cast<size_t>(child)].next_sibling;
  }
  return child;
}

int32_t StopStrings::Next(const Trie& trie, int32_t node, uint8_t byte) {
  while (true) {
    const int32_t child = Child(trie, node, byte);
    if (child >= 0) return child;
    if (node == 0) return 0;
    node = trie[static_cast<size_t>(node)].fail;
  }
}

void StopStrings::Insert(Trie* trie, std::string_view stop) {
  int32_t node = 0;
  for (const char c : stop) {
    int32_t child = Child(*trie, node, static_cast<uint8_t>(c));
    if (child < 0) {
      child = static_cast<int32_t>(trie->size());
      Node& parent = (*trie)[static_cast<size_t>(node)];
      Node added;
      added.byte = static_cast<uint8_t>(c);
      added.next_sibling = std::exchange(parent.first_child, child);
      added.depth = parent.depth + 1;
      trie->push_back(added);
    }
    node = child;
  }
  (*trie)[static_cast<size_t>(node)].match = static_cast<uint32_t>(stop.size());
}

/// Breadth first: a node's suffixes are shorter, so they are complete when it needs them.
void StopStrings::LinkSuffixes(Trie* trie) {
  std::vector<int32_t> queue = {0};
  for (size_t i = 0; i < queue.size(); ++i) {
    const int32_t parent = queue[i];
    for (int32_t child = (*trie)[static_cast<size_t>(parent)].first_child; child >= 0;
         child = (*trie)[static_cast<size_t>(child)].next_sibling) {
      Node& node = (*trie)[static_cast<size_t>(child)];
      if (parent != 0) node.fail = Next(*trie, (*trie)[static_cast<size_t>(parent)].fail, node.byte);
      if (node.match == 0) node.match = (*trie)[static_cast<size_t>(node.fail)].match;
      queue.push_back(child);
    }
  }
}

}  // namespace tern
