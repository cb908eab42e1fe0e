#include "model/layer_stream.h"

#include <algorithm>

#include "base/mapped_pages.h"

namespace tern {
namespace {

/// Read at a time: enough for the disk to be busy, little enough for memory that is tight.
constexpr size_t kReadAhead = 16 << 20;

void Fetch(const LayerStream::Part& part) {
  for (const auto bytes : part) {
    for (size_t done = 0; done < bytes.size(); done += kReadAhead) {
      const size_t size = std::min(kReadAhead, bytes.size() - done);
      const size_t after = std::min(kReadAhead, bytes.size() - done - size);
      if (after > 0) AnnouncePages(bytes.subspan(done + size, after));
      FetchPages(bytes.subspan(done, size));
    }
  }
}

}  // namespace

LayerStream::LayerStream(std::vector<Part> parts, uint64_t memory) {
  for (Part& part : parts) {
    Place place{.part = std::move(part)};
    for (const auto bytes : place.part) place.bytes += bytes.size();
    total_bytes_ += place.bytes;
    places_.push_back(std::move(place));
  }
  const uint64_t passing = MostInPassing();
  uint64_t room = total_bytes_ <= memory ? total_bytes_ : memory > passing ? memory - passing : 0;
  for (Place& place : places_) {
    if (place.bytes > room) break;
    room -= place.bytes;
    place.stays = true;
  }
  for (const Place& place : places_) streamed_bytes_ += place.stays ? 0 : place.bytes;
  reader_ = std::thread([this] { Read(); });
}

LayerStream::~LayerStream() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  reader_.join();
}

uint64_t LayerStream::MostInPassing() const {
  uint64_t most = 0;
  for (size_t i = 0; i < places_.size(); ++i) {
    uint64_t bytes = 0;
    for (size_t k = 0; k <= kAhead; ++k) bytes += places_[(i + k) % places_.size()].bytes;
    most = std::max(most, bytes);
  }
  return most;
}

size_t LayerStream::Wanted() const {
  if (!in_use_) return places_.size();
  for (size_t part = 0; part < places_.size(); ++part) {
    if (places_[part].waiting > 0 && !places_[part].there) return part;
  }
  // Past the last part comes the next pass's first. Parts that are there cost nothing, so they don't count as ahead.
  size_t ahead = 0;
  for (size_t i = 0; i < places_.size() && ahead <= kAhead; ++i) {
    const size_t part = (next_ + i) % places_.size();
    if (!places_[part].there) return part;
    if (!places_[part].stays) ++ahead;
  }
  return places_.size();
}

void LayerStream::Read() {
  std::unique_lock lock(mutex_);
  while (!closing_) {
    const size_t part = Wanted();
    if (part == places_.size()) {
      changed_.wait(lock);
      continue;
    }
    lock.unlock();
    Fetch(places_[part].part);
    lock.lock();
    places_[part].there = true;
    ++places_[part].reads;
    changed_.notify_all();
  }
}

void LayerStream::Enter(size_t part) {
  std::unique_lock lock(mutex_);
  Place& place = places_[part];
  next_ = part;
  in_use_ = true;
  if (!place.there) {
    ++place.waiting;
    changed_.notify_all();
    // Another pass may have dropped it again before this one wakes: then its pages come as they are touched.
    changed_.wait(lock, [&, before = place.reads] { return place.reads != before; });
    --place.waiting;
  }
}

void LayerStream::Leave(size_t part) {
  if (places_[part].stays) return;
  for (const auto bytes : places_[part].part) DropPages(bytes);
  {
    const std::scoped_lock lock(mutex_);
    places_[part].there = false;
    next_ = (part + 1) % places_.size();
  }
  changed_.notify_all();
}

}  // namespace tern
