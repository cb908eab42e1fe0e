// Any bytes as evaluation's JSON lines: refused with a line's number, or read as examples that hold together.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "eval/examples.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const std::string& document : tern::eval::ParseText(text, "---")) {
    if (document.empty()) std::abort();
  }
  const auto documents = tern::eval::ParseDocuments(text, "fuzz");
  const auto lambada = tern::eval::ParseLambada(text, "fuzz");
  const auto choices = tern::eval::ParseChoices(text, "fuzz", "\nAnswer: ");
  for (const tern::Status& status : {documents.status(), lambada.status(), choices.status()}) {
    if (!status.ok() && status.message().find("'fuzz' line ") == std::string::npos) std::abort();
  }
  if (lambada.ok()) {
    for (const auto& example : *lambada) {
      if (!example.target.starts_with(' ')) std::abort();
    }
  }
  if (choices.ok()) {
    for (const auto& example : *choices) {
      if (example.gold >= std::max(example.contexts.size(), example.continuations.size())) std::abort();
      if (example.answer_bytes.size() != example.continuations.size()) std::abort();
    }
  }
  return 0;
}
