// Lines from a person: with editing and history on a terminal, plainly from a pipe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/status.h"

namespace tern {

/// One per program. Ctrl-C at the prompt gives an empty line; end of input (Ctrl-D) gives nothing.
class LineEditor {
 public:
  /// `history_file`: kept over sessions; empty: none.
  explicit LineEditor(const std::string& history_file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  bool terminal() const;
  /// Without the line break; nothing at the end. A line that ends in a backslash goes on in the next one.
  /// Fails where a script is not text (TextLines).
  Result<std::optional<std::string>> Read(const std::string& prompt);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// $XDG_STATE_HOME/tern/history, else ~/.local/state/tern/history (the folder is made); empty without a home.
std::string DefaultHistoryFile();

}  // namespace tern
