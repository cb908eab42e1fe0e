#include "cli/numbers.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

namespace tern {
namespace {

template <typename Number>
std::errc ParseAll(std::string_view text, Number* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end != text.data() + text.size() ? std::errc::invalid_argument : error;
}

/// Makes "+010" "10". An empty answer means that all is well.
std::string AsWholeNumber(std::string& text) {
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  uint64_t magnitude = 0;
  const std::errc error =
      digits.starts_with('-') ? std::errc::invalid_argument : ParseAll(digits, &magnitude);
  if (error == std::errc::result_out_of_range) return fmt::format("'{}' is too large a number", text);
  if (error != std::errc()) return fmt::format("expected a whole number, got '{}'", text);
  text = (negative && magnitude != 0 ? "-" : "") + std::to_string(magnitude);
  return {};
}

std::string AsNumber(std::string& text) {
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  double value = 0;
  if (ParseAll(digits, &value) != std::errc()) return fmt::format("expected a number, got '{}'", text);
  text = digits;
  return {};
}

void ReadAsWritten(CLI::Option* option) {
  const std::string declared = option->get_type_name();
  const std::string type = declared.substr(0, declared.find(':'));
  for (const char* whole : {"N", "N,…", "INT", "UINT", "ID…", "ID,ID,…"}) {
    if (type == whole) option->transform(CLI::Validator(AsWholeNumber, ""));
  }
  if (type == "FLOAT") option->transform(CLI::Validator(AsNumber, ""));
}

/// 1000 for "k", "kB" and "KB", 1024 for "KiB"; 0 for what is no unit.
double Unit(std::string_view text) {
  if (text.empty() || text == "B" || text == "b") return 1;
  constexpr std::string_view kUnits = "KMGTP";
  const size_t power = kUnits.find(static_cast<char>(std::toupper(static_cast<unsigned char>(text[0]))));
  if (power == std::string_view::npos) return 0;
  const std::string_view rest = text.substr(1);
  const bool binary = rest.starts_with('i');
  if (!rest.empty() && rest != "B" && rest != "b" && rest != "i" && rest != "iB" && rest != "ib") return 0;
  return std::pow(binary ? 1024.0 : 1000.0, static_cast<double>(power + 1));
}

std::string ToBytes(std::string& text) {
  constexpr double kMost = 1e18;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const double unit = Unit(std::string_view(end, static_cast<size_t>(text.data() + text.size() - end)));
  const double bytes = value * unit;
  if (error != std::errc() || unit == 0 || !(bytes >= 1 && bytes <= kMost))
    return fmt::format("expected a size such as 800M or 1.5G, got '{}'", text);
  text = std::to_string(static_cast<uint64_t>(bytes));
  return {};
}

}  // namespace

void ReadNumbersAsWritten(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) ReadAsWritten(option);
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) ReadNumbersAsWritten(*command);
}

CLI::Validator AtLeast(double least) {
  return CLI::Validator(
      [least](std::string& text) {
        double value = 0;
        if (ParseAll(std::string_view(text), &value) == std::errc() && value >= least) return std::string();
        return fmt::format("expected {} or more, got '{}'", least, text);
      },
      "");
}

CLI::Validator AsBytes() { return CLI::Validator(ToBytes, ""); }

}  // namespace tern
