#include "infer/json_schema_formats.h"

#include <array>
#include <utility>

namespace tern {
namespace {

/// RFC 3339 with the calendar: 29 February in leap years alone.
std::string Date() {
  const std::string leap = "(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)";
  return "(\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2["
         "0-8]))|" +
         leap + "-02-29)";
}
/// No leap seconds: whether there was one is not for a grammar to know.
std::string Time() {
  return "(([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d))";
}

/// RFC 3339, appendix A: the units in order, each at most once, none left out between two.
std::string Duration() {
  const std::string n = "\\d{1,9}";
  const std::string time = "T(" + n + "H(" + n + "M(" + n + "S)?)?|" + n + "M(" + n + "S)?|" + n + "S)";
  const std::string date = "(" + n + "Y(" + n + "M(" + n + "D)?)?|" + n + "M(" + n + "D)?|" + n + "D)";
  return "P(" + date + "(" + time + ")?|" + time + "|" + n + "W)";
}

std::string Label() { return "[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?"; }
std::string Hostname() { return Label() + "(\\." + Label() + "){0,5}"; }
/// Dot-atoms of the characters that are common, within RFC 5321's lengths.
std::string Email() {
  const std::string atom = "[a-zA-Z0-9_+-]{1,20}";
  return atom + "(\\." + atom + "){0,2}@" + Label() + "(\\." + Label() + "){1,4}";
}

std::string Ipv4() {
  const std::string byte = "(\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])";
  return byte + "(\\." + byte + "){3}";
}
/// Eight groups, or fewer with one :: that stands for at least one.
std::string Ipv6() {
  const std::string h = "[0-9a-fA-F]{1,4}";
  std::string all = "((" + h + ":){7}" + h;
  for (int before = 0; before <= 6; ++before) {
    const std::string left = before == 0 ? "" : h + "(:" + h + "){" + std::to_string(before - 1) + "}";
    const std::string right =
        before == 6 ? "(" + h + ")?" : "(" + h + "(:" + h + "){0," + std::to_string(6 - before) + "})?";
    all += "|" + left + "::" + right;
  }
  return all + "|" + h + "(:" + h + "){6}::)";
}

std::string Uuid() { return "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"; }

using Format = std::pair<std::string_view, std::string (*)()>;
constexpr std::array<Format, 9> kFormats = {{{"date", Date},
                                             {"time", Time},
                                             {"date-time", [] { return Date() + "T" + Time(); }},
                                             {"duration", Duration},
                                             {"uuid", Uuid},
                                             {"email", Email},
                                             {"hostname", Hostname},
                                             {"ipv4", Ipv4},
                                             {"ipv6", Ipv6}}};

}  // namespace

std::string PatternOfFormat(std::string_view format) {
  for (const auto& [name, pattern] : kFormats) {
    if (name == format) return "^(" + pattern() + ")$";
  }
  return {};
}

std::string SupportedFormats() {
  std::string all;
  for (const auto& [name, pattern] : kFormats) all += (all.empty() ? "" : ", ") + std::string(name);
  return all;
}

}  // namespace tern
