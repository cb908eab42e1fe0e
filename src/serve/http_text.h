// Small things about the text of HTTP messages.
#pragma once

#include <string>
#include <string_view>

namespace tern::serve {

/// With A–Z in lower case: names of fields, hosts and schemes are compared so, whatever the locale.
inline std::string LowerAscii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace tern::serve
