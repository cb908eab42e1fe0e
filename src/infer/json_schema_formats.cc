#include "infer/json_schema_formats.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace tern {
namespace {

std::string Group(const std::string& expression) { return "(?:" + expression + ")"; }

/// RFC 3339 with the calendar: 29 February in leap years alone.
std::string Date() {
  const std::string leap = "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)";
  return Group(
      "\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]"
      "|1\\d|"
      "2[0-8]))|" +
      leap + "-02-29");
}
/// T and Z are capitals, as many programs read no others. A leap second is the last second of a day in UTC, and
/// only UTC is allowed there.
std::string Time() {
  const std::string fraction = "(?:\\.\\d+)?";
  return Group("(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d" + fraction +
               "(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)|23:59:60" + fraction + "(?:Z|[+-]00:00)");
}
std::string DateTime() { return Date() + "T" + Time(); }

/// RFC 3339, appendix A: the units in order, each at most once, none left out between two.
std::string Duration() {
  const std::string time = "T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)";
  const std::string date = "(?:\\d+Y(?:\\d+M(?:\\d+D)?)?|\\d+M(?:\\d+D)?|\\d+D)";
  return "P(?:" + date + "(?:" + time + ")?|" + time + "|\\d+W)";
}

/// Labels of `inner` characters, with hyphens inside. A host name has at most 253 characters. Instead of a count
/// over all labels there are three cases: up to 3 labels of 63, 8 of 30 or 15 of 15 characters.
std::string Labels(const std::string& inner) {
  std::string all;
  for (const auto& [label, count] : {std::pair(63, 3), {30, 8}, {15, 15}}) {
    const std::string one = fmt::format("[{0}](?:[{0}-]{{0,{1}}}[{0}])?", inner, label - 2);
    all += (all.empty() ? "" : "|") + fmt::format("{0}(?:\\.{0}){{0,{1}}}", one, count - 1);
  }
  return Group(all);
}
std::string Hostname() { return Labels("a-zA-Z0-9"); }
/// The syntax alone: which characters IDNA allows is not looked up.
std::string IdnHostname() { return Labels("a-zA-Z0-9\\u0080-\\u{10FFFF}"); }

std::string Ipv4() {
  const std::string byte = "(?:\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])";
  return byte + "(?:\\." + byte + "){3}";
}
/// RFC 3986's IPv6address: eight groups, the last two also as IPv4, or fewer with one ::.
std::string Ipv6() {
  const std::string h = "[0-9a-fA-F]{1,4}";
  const std::string last = "(?:" + h + ":" + h + "|" + Ipv4() + ")";
  std::string all = fmt::format("(?:{}:){{6}}{}|::(?:{}:){{5}}{}", h, last, h, last);
  for (int before = 1; before <= 5; ++before)
    all += fmt::format("|(?:(?:{0}:){{0,{1}}}{0})?::(?:{0}:){{{2}}}{3}", h, before - 1, 5 - before, last);
  all += fmt::format("|(?:(?:{0}:){{0,5}}{0})?::{0}|(?:(?:{0}:){{0,6}}{0})?::", h);
  return Group(all);
}

/// RFC 5321's Mailbox; `more`: characters allowed beyond ASCII.
std::string Mailbox(const std::string& more, const std::string& hostname) {
  const std::string atom = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~" + more + "-]+";
  const std::string quoted = "\"(?:[ !#-\\[\\]-~" + more + "]|\\\\[ -~]){0,31}\"";
  return "(?:(?=[^@]{1,64}@)" + atom + "(?:\\." + atom + ")*|" + quoted + ")@(?:" + hostname + "|\\[" +
         Ipv4() + "\\]|\\[IPv6:" + Ipv6() + "\\])";
}
std::string Email() { return Mailbox("", Hostname()); }
std::string IdnEmail() { return Mailbox("\\u0080-\\u{10FFFF}", IdnHostname()); }

std::string Uuid() { return "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"; }

/// RFC 3986, and 3987 with characters beyond ASCII.
struct UriPatterns {
  explicit UriPatterns(bool international) {
    const std::string ucs =
        international
            ? "\\u00A0-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFEF\\u{10000}-\\u{1FFFD}\\u{20000}-\\u{2FFFD}"
              "\\u{30000}-\\u{3FFFD}\\u{40000}-\\u{4FFFD}\\u{50000}-\\u{5FFFD}\\u{60000}-\\u{6FFFD}"
              "\\u{70000}-\\u{7FFFD}\\u{80000}-\\u{8FFFD}\\u{90000}-\\u{9FFFD}\\u{A0000}-\\u{AFFFD}"
              "\\u{B0000}-\\u{BFFFD}\\u{C0000}-\\u{CFFFD}\\u{D0000}-\\u{DFFFD}\\u{E1000}-\\u{EFFFD}"
            : "";
    const std::string secret =
        international ? "\\uE000-\\uF8FF\\u{F0000}-\\u{FFFFD}\\u{100000}-\\u{10FFFD}" : "";
    const std::string plain = "a-zA-Z0-9._~!$&'()*+,;=" + ucs + "-";  // unreserved and sub-delims
    const auto characters = [](const std::string& set) { return "(?:[" + set + "]|%[0-9a-fA-F]{2})"; };
    const std::string segment = characters(":@" + plain);
    const std::string address = "\\[(?:" + Ipv6() + "|[vV][0-9a-fA-F]+\\.[a-zA-Z0-9._~!$&'()*+,;=:-]+)\\]";
    const std::string authority =
        "(?:" + characters(":" + plain) + "*@)?(?:" + address + "|" + characters(plain) + "*)(?::\\d*)?";
    const std::string absolute_or_empty = "(?:/" + segment + "*)*";
    const std::string tail =
        "(?:\\?" + characters("/?:@" + secret + plain) + "*)?(?:#" + characters("/?:@" + plain) + "*)?";
    const auto hierarchy = [&](const std::string& first) {
      return "(?://" + authority + absolute_or_empty + "|/(?:" + segment + "+" + absolute_or_empty + ")?|" +
             first + absolute_or_empty + "|)";
    };
    uri = "[a-zA-Z][a-zA-Z0-9+.-]*:" + hierarchy(segment + "+") + tail;
    reference = "(?:" + uri + "|" + hierarchy(characters("@" + plain) + "+") + tail + ")";
  }
  std::string uri, reference;
};

/// RFC 6570.
std::string UriTemplate() {
  const std::string literal =
      "[!#$&(-;=?-\\[\\]_a-z~\\u00A0-\\uD7FF\\uE000-\\uFDCF\\uFDF0-\\uFFEF\\u{10000}-\\u{10FFFD}]";
  const std::string character = "(?:[a-zA-Z0-9_]|%[0-9a-fA-F]{2})";
  const std::string name = character + "(?:\\.?" + character + ")*";
  const std::string variable = name + "(?::[1-9]\\d{0,3}|\\*)?";
  return "(?:" + literal + "|%[0-9a-fA-F]{2}|\\{[+#./;?&=,!@|]?" + variable + "(?:," + variable + ")*\\})*";
}

std::string JsonPointer() { return "(?:/(?:[^/~]|~[01])*)*"; }
std::string RelativeJsonPointer() { return "(?:0|[1-9]\\d*)(?:#|" + JsonPointer() + ")"; }

/// The ends of a range in order: both digits, or letters of one case.
std::string RangeEnds() {
  std::string all;
  for (const std::string_view row :
       {"0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"}) {
    for (const char first : row)
      all += fmt::format("{}{}-[{}-{}]", all.empty() ? "" : "|", first, first, row.back());
  }
  return Group(all);
}
/// {m}, {m,} and {m,n} in order: n has more digits than m, or m is one digit and n not less.
std::string RegexCounts() {
  std::string all = R"(\d{1,3},?|\d,[1-9]\d{1,2}|[1-9]\d,[1-9]\d{2})";
  for (char least = '0'; least <= '9'; ++least) all += fmt::format("|{},[{}-9]", least, least);
  return R"(\{)" + Group(all) + R"(\})";
}
/// Expressions that all programs understand alike: without back references, names, flags and assertions
/// beyond ^, $ and \b, and with groups in groups up to three times.
std::string Regex() {
  const std::string escape = R"(\\[dDwWsSnrtfv.*+?()[\]{}|^$/\\])";
  const std::string member = Group(RangeEnds() + "|" + escape + R"(|\\-|[^[\]\\^&~\-\n\r\u2028\u2029])");
  const std::string one = Group(R"([^\\^$.*+?()[\]{}|\n\r\u2028\u2029]|\.|)" + escape + R"(|\[\^?)" + member +
                                R"((?:)" + member + R"()*-?\])");
  const std::string repetition = "(?:(?:[*+?]|" + RegexCounts() + ")\\?{0,1})?";
  std::string part = one + repetition + R"(|[\^$|]|\\b)";
  constexpr int kGroups = 3;
  for (int i = 0; i < kGroups; ++i)
    part = one + repetition + R"(|[\^$|]|\\b|\((?:\?:)?)" + Group(part) + R"(*\))" + repetition;
  return Group(part) + "*";
}

using FormatPattern = std::pair<std::string_view, std::string (*)()>;
constexpr std::array<FormatPattern, 19> kFormats = {
    {{"date", Date},
     {"time", Time},
     {"date-time", DateTime},
     {"duration", Duration},
     {"email", Email},
     {"idn-email", IdnEmail},
     {"hostname", Hostname},
     {"idn-hostname", IdnHostname},
     {"ipv4", Ipv4},
     {"ipv6", Ipv6},
     {"uri", [] { return UriPatterns(false).uri; }},
     {"uri-reference", [] { return UriPatterns(false).reference; }},
     {"iri", [] { return UriPatterns(true).uri; }},
     {"iri-reference", [] { return UriPatterns(true).reference; }},
     {"uri-template", UriTemplate},
     {"uuid", Uuid},
     {"regex", Regex},
     {"json-pointer", JsonPointer},
     {"relative-json-pointer", RelativeJsonPointer}}};

}  // namespace

Result<std::optional<RegularLanguage>> LanguageOfFormat(std::string_view format) {
  static std::mutex mutex;
  static std::map<std::string_view, RegularLanguage> compiled;  // by name
  for (const auto& [name, pattern] : kFormats) {
    if (name != format) continue;
    const std::lock_guard lock(mutex);
    auto found = compiled.find(name);
    if (found == compiled.end()) {
      RegularBudget budget;
      TERN_ASSIGN_OR_RETURN(const RegularLanguage language,
                            RegularLanguage::OfPattern("^(?:" + pattern() + ")$", &budget));
      found = compiled.emplace(name, language).first;
    }
    return std::optional<RegularLanguage>(found->second);
  }
  return std::optional<RegularLanguage>();
}

}  // namespace tern
