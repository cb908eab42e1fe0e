#include "train/mpi/operations.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "tensor/dtype.h"
#include "train/mpi/requests.h"

namespace tern::train {
namespace {

/// MPI promises tags up to 32767; far fewer operations than this are under way at once.
int TagOf(int64_t sequence, int phase) {
  constexpr int64_t kSequences = 8192;
  return static_cast<int>(sequence % kSequences * 2) + phase;
}

/// The other processes, each beginning with the one after it: at no time do all send to the same one.
template <typename Visit>
Status ForOthers(const Place& place, Visit&& visit) {
  for (int k = 1; k < place.size; ++k) {
    TERN_RETURN_IF_ERROR(visit((place.rank + k) % place.size, (place.rank + place.size - k) % place.size));
  }
  return OkStatus();
}

float ToFloat(float value) { return value; }
float ToFloat(uint16_t bf16) { return Bf16ToFloat(bf16); }
void Put(float value, float* to) { *to = value; }
void Put(float value, uint16_t* to) { *to = FloatToBf16(value); }

/// Sum of floats that travel as `Word`: float or, in bf16, uint16_t.
template <typename Word>
class SumFloats final : public Operation {
 public:
  explicit SumFloats(std::span<float> values) : values_(values) {}

  Status Start(const Place& place, int64_t sequence) override {
    place_ = place;
    sequence_ = sequence;
    own_ = Part(place.rank);
    terms_.resize(static_cast<size_t>(place.size) * own_.size());
    if constexpr (kConverted) {
      words_.resize(values_.size());
      std::transform(values_.begin(), values_.end(), words_.begin(), FloatToBf16);
    }
    return ForOthers(place_, [&](int to, int from) -> Status {
      TERN_RETURN_IF_ERROR(requests_.Receive(Term(from), own_.bytes(), from, TagOf(sequence_, 0)));
      const Piece part = Part(to);
      return requests_.Send(Words() + part.begin, part.bytes(), to, TagOf(sequence_, 0));
    });
  }

  Result<bool> Advance() override {
    TERN_ASSIGN_OR_RETURN(const bool done, requests_.Done());
    if (!done) return false;
    if (spreading_) {
      if constexpr (kConverted) std::transform(words_.begin(), words_.end(), values_.begin(), Bf16ToFloat);
      return true;
    }
    AddTerms();
    spreading_ = true;
    const Status sent = ForOthers(place_, [&](int to, int from) -> Status {
      const Piece part = Part(from);
      TERN_RETURN_IF_ERROR(requests_.Receive(Words() + part.begin, part.bytes(), from, TagOf(sequence_, 1)));
      return requests_.Send(Words() + own_.begin, own_.bytes(), to, TagOf(sequence_, 1));
    });
    TERN_RETURN_IF_ERROR(sent);
    return false;
  }

 private:
  static constexpr bool kConverted = !std::is_same_v<Word, float>;

  struct Piece {
    size_t begin, end;
    size_t size() const { return end - begin; }
    size_t bytes() const { return size() * sizeof(Word); }
  };

  Piece Part(int rank) const {
    const OwnedRange range = Communicator::Owned(static_cast<int64_t>(values_.size()), rank, place_.size);
    return {static_cast<size_t>(range.begin), static_cast<size_t>(range.end)};
  }
  Word* Words() {
    if constexpr (kConverted) {
      return words_.data();
    } else {
      return values_.data();
    }
  }
  Word* Term(int rank) { return terms_.data() + static_cast<size_t>(rank) * own_.size(); }

  /// Own part of all processes' values, added in their order. This process's own values are never rounded.
  void AddTerms() {
    sum_.assign(own_.size(), 0.0f);
    for (int rank = 0; rank < place_.size; ++rank) {
      if (rank == place_.rank) {
        Add(values_.data() + own_.begin);
      } else {
        Add(Term(rank));
      }
    }
    Word* words = Words() + own_.begin;
    for (size_t i = 0; i < sum_.size(); ++i) Put(sum_[i], words + i);
  }
  template <typename T>
  void Add(const T* term) {
    for (size_t i = 0; i < sum_.size(); ++i) sum_[i] += ToFloat(term[i]);
  }

  std::span<float> values_;
  Place place_{};
  int64_t sequence_ = 0;
  Piece own_{};
  bool spreading_ = false;
  std::vector<Word> terms_;  ///< [size][own part]
  std::vector<Word> words_;  ///< all values as they travel, where those are others than `values_`
  std::vector<float> sum_;
  Requests requests_;
};

/// A few numbers: all to all.
class SumDoubles final : public Operation {
 public:
  explicit SumDoubles(std::span<double> values) : values_(values) {}

  Status Start(const Place& place, int64_t sequence) override {
    size_ = place.size;
    all_.resize(values_.size() * static_cast<size_t>(size_));
    std::copy(values_.begin(), values_.end(), Of(place.rank));
    return ForOthers(place, [&](int to, int from) -> Status {
      TERN_RETURN_IF_ERROR(requests_.Receive(Of(from), values_.size_bytes(), from, TagOf(sequence, 0)));
      return requests_.Send(values_.data(), values_.size_bytes(), to, TagOf(sequence, 0));
    });
  }

  Result<bool> Advance() override {
    TERN_ASSIGN_OR_RETURN(const bool done, requests_.Done());
    if (!done) return false;
    std::copy_n(Of(0), values_.size(), values_.begin());
    for (int rank = 1; rank < size_; ++rank) {
      for (size_t i = 0; i < values_.size(); ++i) values_[i] += Of(rank)[i];
    }
    return true;
  }

 private:
  double* Of(int rank) { return all_.data() + static_cast<size_t>(rank) * values_.size(); }

  std::span<double> values_;
  std::vector<double> all_;
  int size_ = 1;
  Requests requests_;
};

class AllGatherFloats final : public Operation {
 public:
  AllGatherFloats(std::span<float> values, std::vector<OwnedRange> ranges)
      : values_(values), ranges_(std::move(ranges)) {}

  Status Start(const Place& place, int64_t sequence) override {
    const std::span<float> own = Of(place.rank);
    return ForOthers(place, [&](int to, int from) -> Status {
      const std::span<float> theirs = Of(from);
      TERN_RETURN_IF_ERROR(requests_.Receive(theirs.data(), theirs.size_bytes(), from, TagOf(sequence, 0)));
      return requests_.Send(own.data(), own.size_bytes(), to, TagOf(sequence, 0));
    });
  }
  Result<bool> Advance() override { return requests_.Done(); }

 private:
  std::span<float> Of(int rank) const {
    const OwnedRange& range = ranges_[static_cast<size_t>(rank)];
    return values_.subspan(static_cast<size_t>(range.begin), static_cast<size_t>(range.size()));
  }

  std::span<float> values_;
  std::vector<OwnedRange> ranges_;
  Requests requests_;
};

class BroadcastFloats final : public Operation {
 public:
  BroadcastFloats(std::span<float> values, int root) : values_(values), root_(root) {}
  Status Start(const Place&, int64_t) override {
    return requests_.Broadcast(values_.data(), values_.size_bytes(), root_);
  }
  Result<bool> Advance() override { return requests_.Done(); }

 private:
  std::span<float> values_;
  int root_;
  Requests requests_;
};

/// From one process to another; nothing at the others.
class MoveFloats final : public Operation {
 public:
  MoveFloats(std::span<float> values, int from, int to) : values_(values), from_(from), to_(to) {}
  Status Start(const Place& place, int64_t sequence) override {
    if (from_ == to_) return OkStatus();
    const int tag = TagOf(sequence, 0);
    if (place.rank == from_) return requests_.Send(values_.data(), values_.size_bytes(), to_, tag);
    if (place.rank == to_) return requests_.Receive(values_.data(), values_.size_bytes(), from_, tag);
    return OkStatus();
  }
  Result<bool> Advance() override { return requests_.Done(); }

 private:
  std::span<float> values_;
  int from_, to_;
  Requests requests_;
};

}  // namespace

std::unique_ptr<Operation> MakeSum(std::span<float> values, Wire wire) {
  if (wire == Wire::kBf16) return std::make_unique<SumFloats<uint16_t>>(values);
  return std::make_unique<SumFloats<float>>(values);
}
std::unique_ptr<Operation> MakeSum(std::span<double> values) { return std::make_unique<SumDoubles>(values); }
std::unique_ptr<Operation> MakeAllGather(std::span<float> values, std::vector<OwnedRange> ranges) {
  return std::make_unique<AllGatherFloats>(values, std::move(ranges));
}
std::unique_ptr<Operation> MakeBroadcast(std::span<float> values, int root) {
  return std::make_unique<BroadcastFloats>(values, root);
}
std::unique_ptr<Operation> MakeMove(std::span<float> values, int from, int to) {
  return std::make_unique<MoveFloats>(values, from, to);
}

}  // namespace tern::train
