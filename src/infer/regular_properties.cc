#include "infer/regular_properties.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <vector>

namespace tern {
namespace {

struct CategoryName {
  std::string_view brief, full;
};
/// In the order of utf8proc_category_t.
constexpr std::array<CategoryName, 30> kCategories = {{{"Cn", "Unassigned"},
                                                       {"Lu", "Uppercase_Letter"},
                                                       {"Ll", "Lowercase_Letter"},
                                                       {"Lt", "Titlecase_Letter"},
                                                       {"Lm", "Modifier_Letter"},
                                                       {"Lo", "Other_Letter"},
                                                       {"Mn", "Nonspacing_Mark"},
                                                       {"Mc", "Spacing_Mark"},
                                                       {"Me", "Enclosing_Mark"},
                                                       {"Nd", "Decimal_Number"},
                                                       {"Nl", "Letter_Number"},
                                                       {"No", "Other_Number"},
                                                       {"Pc", "Connector_Punctuation"},
                                                       {"Pd", "Dash_Punctuation"},
                                                       {"Ps", "Open_Punctuation"},
                                                       {"Pe", "Close_Punctuation"},
                                                       {"Pi", "Initial_Punctuation"},
                                                       {"Pf", "Final_Punctuation"},
                                                       {"Po", "Other_Punctuation"},
                                                       {"Sm", "Math_Symbol"},
                                                       {"Sc", "Currency_Symbol"},
                                                       {"Sk", "Modifier_Symbol"},
                                                       {"So", "Other_Symbol"},
                                                       {"Zs", "Space_Separator"},
                                                       {"Zl", "Line_Separator"},
                                                       {"Zp", "Paragraph_Separator"},
                                                       {"Cc", "Control"},
                                                       {"Cf", "Format"},
                                                       {"Cs", "Surrogate"},
                                                       {"Co", "Private_Use"}}};
/// Those whose short names begin alike.
constexpr std::array<CategoryName, 7> kGroups = {{{"L", "Letter"},
                                                  {"M", "Mark"},
                                                  {"N", "Number"},
                                                  {"P", "Punctuation"},
                                                  {"S", "Symbol"},
                                                  {"Z", "Separator"},
                                                  {"C", "Other"}}};

using CategoryRanges = std::array<std::vector<CharRange>, kCategories.size()>;

CategoryRanges FindCategories() {
  CategoryRanges ranges;
  for (int32_t c = 0; c <= 0x10FFFF; ++c) {
    auto& of = ranges[std::min<size_t>(static_cast<size_t>(utf8proc_category(c)), kCategories.size() - 1)];
    if (!of.empty() && of.back().last == c - 1)
      of.back().last = c;
    else
      of.push_back({c, c});
  }
  return ranges;
}

/// The characters that have others of the same upper case: groups of them by the upper case.
std::map<int32_t, std::vector<int32_t>> FindCases() {
  std::map<int32_t, std::vector<int32_t>> cases;
  for (int32_t c = 0; c <= 0x10FFFF; ++c) {
    const int32_t upper = utf8proc_toupper(c);
    constexpr int32_t kAscii = 0x80;
    if (upper == c || (c >= kAscii && upper < kAscii)) continue;
    auto& group = cases[upper];
    if (group.empty()) group.push_back(upper);
    group.push_back(c);
  }
  return cases;
}

}  // namespace

CharSet WithOtherCases(const CharSet& set) {
  static const auto kCases = FindCases();
  std::vector<CharRange> ranges = set.ranges();
  for (const auto& [upper, group] : kCases) {
    if (std::none_of(group.begin(), group.end(), [&](int32_t c) { return set.Contains(c); })) continue;
    for (const int32_t c : group) ranges.push_back({c, c});
  }
  return CharSet(std::move(ranges));
}

std::optional<CharSet> GeneralCategory(std::string_view name) {
  static const CategoryRanges kRanges = FindCategories();
  for (const std::string_view prefix : {"gc=", "General_Category="}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  if (name == "Any") return CharSet::All();
  std::string_view begin;
  for (const CategoryName& group : kGroups) {
    if (name == group.brief || name == group.full) begin = group.brief;
  }
  std::vector<CharRange> ranges;
  for (size_t i = 0; i < kCategories.size(); ++i) {
    const bool chosen = name == kCategories[i].brief || name == kCategories[i].full ||
                        (!begin.empty() && kCategories[i].brief.starts_with(begin));
    if (chosen) ranges.insert(ranges.end(), kRanges[i].begin(), kRanges[i].end());
  }
  if (ranges.empty()) return std::nullopt;
  return CharSet(std::move(ranges));
}

}  // namespace tern
