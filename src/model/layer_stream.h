// Weights that stay in their file: read ahead of the layer that needs them and, where memory has no room for all of them,
// dropped behind it, so that a model larger than memory runs at the speed of the disk.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace tern {

/// The weights of one pass, in the order of their use, cut into parts (the layers, then the head). As many of the first
/// parts as `memory` has room for stay once they were read; the others are read anew in every pass, by a thread of its own
/// that is always some parts ahead, from the last part on to the next pass's first.
/// Thread-safe; passes that run at the same time are served as well as one, only slower.
class LayerStream {
 public:
  using Part = std::vector<std::span<const std::byte>>;

  /// `parts`: what each reads, in mapped files that outlive this. `memory`: bytes that may be resident at a time.
  LayerStream(std::vector<Part> parts, uint64_t memory);
  ~LayerStream();
  LayerStream(const LayerStream&) = delete;
  LayerStream& operator=(const LayerStream&) = delete;

  /// A pass is about to use a part: waits until it is there.
  void Enter(size_t part);
  /// It has used it.
  void Leave(size_t part);

  /// Bytes that every pass reads from the disk: 0 when everything may stay.
  uint64_t streamed_bytes() const { return streamed_bytes_; }
  uint64_t total_bytes() const { return total_bytes_; }

 private:
  static constexpr size_t kAhead = 2;  ///< parts that are read before they are needed

  struct Place {
    Part part;
    uint64_t bytes = 0;
    bool stays = false;
    bool there = false;
    int64_t reads = 0;    ///< how often it was read
    int64_t waiting = 0;  ///< passes that wait for it
  };

  /// Bytes of a part and those that are read ahead of it, where they are the most.
  uint64_t MostInPassing() const;
  /// A part that is needed now or soon and not there, or the number of parts.
  size_t Wanted() const;
  void Read();

  std::vector<Place> places_;
  uint64_t total_bytes_ = 0, streamed_bytes_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t next_ = 0;      ///< the part that the latest pass stands at
  bool in_use_ = false;  ///< nothing is read before the first pass
  bool closing_ = false;
  std::thread reader_;
};

}  // namespace tern
