#include "cli/line_editor.h"

#include <cerrno>
#include <clocale>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include <histedit.h>
#include <unistd.h>

#include "cli/common.h"
#include "text/text_lines.h"

namespace tern {

struct LineEditor::Impl {
  EditLine* edit = nullptr;
  History* history = nullptr;
  HistEvent event = {};
  std::string history_file, prompt;
  TextLines script{std::cin, "-"};  ///< where there is no terminal

  static char* Prompt(EditLine* edit) {
    void* impl = nullptr;
    el_get(edit, EL_CLIENTDATA, &impl);
    return static_cast<Impl*>(impl)->prompt.data();
  }

  std::optional<std::string> ReadPart(const std::string& text) {
    prompt = text;
    for (;;) {
      int count = 0;
      errno = 0;
      const char* line = el_gets(edit, &count);
      if (line != nullptr && count > 0) return std::string(line, static_cast<size_t>(count));
      if (!Interrupted()) return std::nullopt;
      ClearInterrupt();  // Ctrl-C: throw the line away and start anew
      el_reset(edit);
      std::cout << "\n(Ctrl-D ends the conversation)\n" << std::flush;
    }
  }
};

LineEditor::LineEditor(const std::string& history_file) : impl_(std::make_unique<Impl>()) {
  if (!::isatty(STDIN_FILENO)) return;
  std::setlocale(LC_CTYPE, "");  // the editor must know what a character is
  impl_->edit = el_init("tern", stdin, stdout, stderr);
  if (impl_->edit == nullptr) return;
  impl_->history = history_init();
  impl_->history_file = history_file;
  history(impl_->history, &impl_->event, H_SETSIZE, 1000);
  history(impl_->history, &impl_->event, H_SETUNIQUE, 1);
  if (!history_file.empty()) history(impl_->history, &impl_->event, H_LOAD, history_file.c_str());
  el_set(impl_->edit, EL_CLIENTDATA, impl_.get());
  el_set(impl_->edit, EL_PROMPT, &Impl::Prompt);
  el_set(impl_->edit, EL_EDITOR, "emacs");
  el_set(impl_->edit, EL_SIGNAL, 0);
  el_set(impl_->edit, EL_HIST, history, impl_->history);
  el_source(impl_->edit, nullptr);  // the person's ~/.editrc
}

LineEditor::~LineEditor() {
  if (impl_->edit == nullptr) return;
  if (!impl_->history_file.empty()) history(impl_->history, &impl_->event, H_SAVE, impl_->history_file.c_str());
  history_end(impl_->history);
  el_end(impl_->edit);
}

bool LineEditor::terminal() const { return impl_->edit != nullptr; }

Result<std::optional<std::string>> LineEditor::Read(const std::string& prompt) {
  std::string text;
  for (bool more = true; more;) {
    std::optional<std::string> part;
    if (terminal()) {
      part = impl_->ReadPart(text.empty() ? prompt : "… ");
    } else {
      TERN_ASSIGN_OR_RETURN(part, impl_->script.Next());
    }
    if (!part) return text.empty() ? std::nullopt : std::optional(text);
    while (!part->empty() && (part->back() == '\n' || part->back() == '\r')) part->pop_back();
    more = !part->empty() && part->back() == '\\';
    if (more) part->back() = '\n';
    text += *part;
  }
  if (terminal() && !text.empty()) history(impl_->history, &impl_->event, H_ENTER, text.c_str());
  return std::optional(std::move(text));
}

std::string DefaultHistoryFile() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path folder;
  if (state != nullptr && *state != '\0') {
    folder = state;
  } else if (home != nullptr && *home != '\0') {
    folder = std::filesystem::path(home) / ".local" / "state";
  } else {
    return {};
  }
  folder /= "tern";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  return error ? std::string() : (folder / "history").string();
}

}  // namespace tern
