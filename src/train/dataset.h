// Text as tokens, and which of them a step sees.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"
#include "train/batch.h"

namespace tern::train {

/// Bytes of text by token id.
using TokenBytes = std::shared_ptr<const std::vector<uint32_t>>;

/// The tokens of a corpus, document after document. Immutable; safe to share between threads.
class TokenData {
 public:
  virtual ~TokenData() = default;
  virtual int64_t tokens() const = 0;
  /// Tokens [begin, begin + out.size()) into out.
  virtual void Read(int64_t begin, std::span<int32_t> out) const = 0;
  /// Starts of documents, ascending, the first 0.
  virtual std::span<const int64_t> documents() const = 0;
  int32_t largest_token() const { return largest_token_; }
  /// The token after every document; −1: none.
  int32_t document_end() const { return document_end_; }
  /// UTF-8 bytes of the text that the tokens stand for, where known (0 else): for bits per byte. The first
  /// call reads all tokens.
  int64_t bytes() const;
  /// Null where the tokenizer is not known.
  const TokenBytes& token_bytes() const { return token_bytes_; }

 protected:
  int32_t largest_token_ = 0;
  int32_t document_end_ = -1;
  TokenBytes token_bytes_;

 private:
  mutable std::once_flag counted_;
  mutable int64_t bytes_ = 0;
};

/// Tokens [begin, end) of other data (as far as they exist), its documents cut accordingly.
std::shared_ptr<const TokenData> Slice(std::shared_ptr<const TokenData> data, int64_t begin, int64_t end);

struct DataOptions {
  int32_t document_end = 0;  ///< the token put after every document (World: 0); −1: none
  std::string separator;     ///< plain text is cut into documents at lines that equal it ("<|endoftext|>");
                             ///< empty: one document
};

/// Reads by what the file is: JSON (NamesJson; {"text": …} a record), .bin or .idx (RWKV-LM's binidx, already
/// tokens), plain text otherwise. Text is tokenised by `tokenizer` on all threads and kept in 2 bytes a token
/// where the vocabulary allows; tokens stay in their mapped file, and `tokenizer`, where given, must know
/// them all. Fails, naming file and line, on malformed input; empty lines and documents are passed over; a
/// file without any text is an error.
Result<std::shared_ptr<const TokenData>> OpenData(const std::string& path, const Tokenizer* tokenizer,
                                                  const DataOptions& options);

enum class WindowOrder {
  kShuffled,  ///< windows of an epoch in a random order, each from the zero state
  kStreams,  ///< every row of the batch reads its own part of the corpus in order, states carried from window
             ///< to window
};

struct WindowOptions {
  int64_t context = 0;  ///< tokens that predict, per row
  int64_t rows = 0;     ///< rows of the global batch, over all micro-batches and processes
  WindowOrder order = WindowOrder::kShuffled;
  bool reset_at_documents = false;  ///< start a new segment (zero state) where a document starts
  uint64_t seed = 0;
};

/// Which tokens each step sees: a pure function of options and step, so that a run resumes anywhere, and so
/// that processes that share a batch need not talk about it.
///
/// The corpus is taken as a circle of positions, each predicting the token after it, that every epoch cuts
/// into windows of `context` from another random place; what is left over (less than a window) is another
/// part each time. A window that runs over the end goes on at the start, with a new segment. Shuffled:
/// windows in a random order (a keyed bijection: no list, no prime), rows beyond an epoch's last window in
/// the next epoch. Streams: `rows` arcs, read in step. A corpus (or an arc) shorter than one window is a
/// window of its own length.
///
/// reset_at_documents cuts before the token that ends the document before (its state is done; the token
/// begins the next document, and predicts its first token); where documents have no end, their last token
/// predicts nothing.
///
/// Immutable; safe to share between threads.
class Windows {
 public:
  static Result<Windows> Create(std::shared_ptr<const TokenData> data, const WindowOptions& options);
  /// Rows [row0, row1) of step `step`, each a stream of its index (minus row0) and of at most `context`
  /// tokens.
  TrainBatch Get(int64_t step, int64_t row0, int64_t row1) const;
  int64_t windows_per_epoch() const { return windows_; }
  double Epoch(int64_t step) const;  ///< epochs seen when `step` begins

 private:
  /// Positions [begin, begin + length) of the circle.
  struct Arc {
    int64_t begin, length;
    bool fresh;  ///< from the zero state
  };
  Windows() = default;
  Arc ArcOf(int64_t step, int64_t row) const;
  int64_t Offset(int64_t epoch) const;
  void AppendLine(int64_t begin, int64_t end, int64_t stream, bool fresh, TrainBatch* batch) const;
  std::vector<int64_t> DocumentCuts(int64_t begin, int64_t end, TrainBatch* batch) const;
  std::shared_ptr<const TokenData> data_;
  WindowOptions options_;
  int64_t positions_ = 0;      ///< tokens that have a token after them
  int64_t length_ = 0;         ///< of a window
  int64_t row_positions_ = 0;  ///< streams: of a row's arc
  int64_t windows_ = 0;
};

}  // namespace tern::train
