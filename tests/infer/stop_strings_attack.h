// StopStrings against its definition, driven by bytes: shared by the fuzzer and the tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "infer/stop_strings.h"

namespace tern {

struct StopOracle {
  std::string text;  ///< what is shown at the end
  bool stopped;
  size_t end;  ///< bytes of the whole text up to the end of the stop (or of the text)
};

/// Tries every end, first to last, and at each every stop string, longest match first.
inline StopOracle FindStop(const std::vector<std::string>& stops, std::string_view whole) {
  for (size_t end = 1; end <= whole.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (stop.size() <= end && whole.substr(end - stop.size(), stop.size()) == stop &&
          stop.size() > longest) {
        longest = stop.size();
      }
    }
    if (longest > 0) return {std::string(whole.substr(0, end - longest)), true, end};
  }
  return {std::string(whole), false, whole.size()};
}

/// The most that could still become part of a stop string: the longest suffix that begins one.
inline size_t LongestPendingSuffix(const std::vector<std::string>& stops, std::string_view text) {
  size_t longest = 0;
  for (const std::string& stop : stops) {
    for (size_t n = std::min(stop.size(), text.size()); n > longest; --n) {
      if (text.substr(text.size() - n) == std::string_view(stop).substr(0, n)) longest = n;
    }
  }
  return longest;
}

/// Pushes the pieces and returns the first contradiction to the oracle; empty when there is none.
inline std::string CheckStopStrings(const std::vector<std::string>& stops,
                                    const std::vector<std::string>& pieces) {
  auto made = StopStrings::Make(stops);
  for (const std::string& stop : stops) {
    if (stop.empty()) return made.ok() ? "an empty stop string was accepted" : "";
  }
  if (!made.ok()) return "refused: " + made.status().message();
  StopStrings watcher = *made;
  std::string whole, shown;
  for (const std::string& piece : pieces) {
    whole += piece;
    shown += watcher.Push(piece);
    const StopOracle expected = FindStop(stops, whole);
    if (watcher.stopped() != expected.stopped) return "stopped() is wrong after " + whole;
    const size_t held = expected.stopped ? 0 : LongestPendingSuffix(stops, whole);
    if (watcher.held() != held) return "held() is wrong after " + whole;
    if (shown != expected.text.substr(0, expected.text.size() - held))
      return "shown is " + shown + " after " + whole;
  }
  shown += watcher.Finish();
  if (shown != FindStop(stops, whole).text) return "at the end shown is " + shown + " of " + whole;
  return watcher.held() == 0 ? "" : "Finish() left something";
}

/// Bytes → stops and pieces. The first byte is the number of stops; each string is a length byte and its
/// bytes, cut to an alphabet of a few letters (bit 7 of the first byte: all 256) so that matches are
/// frequent.
inline std::string AttackStopStrings(const uint8_t* data, size_t size) {
  size_t at = 0;
  const auto next = [&]() -> uint8_t { return at < size ? data[at++] : uint8_t{0}; };
  const uint8_t head = next();
  const auto read = [&](size_t longest) {
    std::string text(next() % (longest + 1), '\0');
    for (char& c : text) c = static_cast<char>((head & 0x80) != 0 ? next() : 'a' + next() % 3);
    return text;
  };
  std::vector<std::string> stops, pieces;
  for (int i = 0; i < head % 6; ++i) stops.push_back(read(9));
  while (at < size && pieces.size() < 200) pieces.push_back(read(7));
  return CheckStopStrings(stops, pieces);
}

}  // namespace tern
