// Each format accepts the texts of its standard and no others.
#include "infer/json_schema_formats.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tern {
namespace {

struct FormatRow {
  const char* format;
  std::vector<std::string> valid, invalid;
};

const std::vector<FormatRow>& FormatRows() {
  static const std::string label63(63, 'a'), label64(64, 'a');
  static const std::vector<FormatRow> rows = {
      {"date",
       {"2024-02-29", "2000-02-29", "2023-12-31", "0001-01-01"},
       {"2023-02-29", "1900-02-29", "2023-04-31", "2023-13-01", "2023-00-10", "2023-1-1", "20230101", ""}},
      {"time",
       {"12:34:56Z", "00:00:00.123+05:30", "23:59:60Z", "23:59:60.5+00:00"},
       {"24:00:00Z", "12:60:00Z", "12:34:56", "12:34Z", "12:34:60Z", "12:34:56z", "12:34:56+24:00"}},
      {"date-time",
       {"2024-02-29T12:34:56Z", "1985-04-12T23:20:50.52Z", "1990-12-31T15:59:59-08:00"},
       {"2023-02-29T12:00:00Z", "2024-01-01 12:00:00Z", "2024-01-01T12:00:00", "2024-01-01",
        "2024-01-01t12:00:00Z"}},
      {"duration",
       {"P1Y", "P1Y2M3DT4H5M6S", "PT36H", "P4W", "P1DT12H", "PT0S"},
       {"P", "PT", "P1", "1Y", "P1S", "PT1H2S", "P1W1D", "P-1Y", "P1.5D"}},
      {"email",
       {"joe.bloggs@example.com", "te~st+tag@example.com", "\"joe bloggs\"@example.com", "a@b",
        "joe@[127.0.0.1]", "joe@[IPv6:::1]"},
       {"2962", "@example.com", "joe@", ".joe@example.com", "joe.@example.com", "j..b@example.com",
        "a b@example.com", "joe@-example.com", "joe@example..com", label64 + "a@example.com"}},
      {"idn-email", {"실례@실례.테스트", "joe@example.com"}, {"2962", "실례@"}},
      {"hostname",
       {"www.example.com", "xn--4gbwdl.xn--wgbh1c", "a", "1host", label63 + ".com"},
       {"-a.com", "a-.com", "a_b.com", "a..b", ".com", "", "a b", label64 + ".com"}},
      {"idn-hostname", {"실례.테스트", "example.com"}, {"a b", "-실례"}},
      {"ipv4",
       {"192.168.0.1", "0.0.0.0", "255.255.255.255"},
       {"256.0.0.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.a"}},
      {"ipv6",
       {"::", "::1", "1:2:3:4:5:6:7:8", "fe80::a:b", "1::", "1:2:3:4:5:6:7::", "::ffff:192.168.0.1",
        "ABCD:ef01::"},
       {"1:2:3:4:5:6:7:8:9", "1::2::3", ":1", "1:2:3:4:5:6:7", "12345::", "::1%eth0",
        "1:2:3:4:5:6:7:8::", "g::"}},
      {"uri",
       {"http://foo.bar/?baz=qux#quux", "ftp://ftp.is.co.za/rfc/rfc1808.txt", "mailto:a@b.com",
        "urn:isbn:0451450523", "http://[2001:db8::7]/c=GB?one", "http://x:y@host:80/%20",
        "tel:+1-816-555-1212"},
       {"//foo.bar", "/abc", "abc", "http:// x", "http://a b", "\\\\WINDOWS\\share", "bar,:foo",
        "http://x/%2", "1http://x"}},
      {"uri-reference",
       {"/abc", "", "../a?b#c", "//host/x", "a", "http://a.b/"},
       {"a b", "\\a", "#a#b", "%zz"}},
      {"iri", {"http://ƒøø.ßår/?∂éœ=πîx", "http://a.b/"}, {"/abc", "http:// x", "http://a\\b"}},
      {"iri-reference", {"/â/ö", "#ƒ", "a"}, {"a b", "\\\\x", "#a#b"}},
      {"uri-template",
       {"http://example.com/{user}/{+path:3}{?q*,r}", "", "a"},
       {"{", "{a", "a}b{", "{a,}", "{a:0}", "a b"}},
      {"uuid",
       {"2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2EB8AA08-AA98-11EA-B4AA-73B441D16380"},
       {"2eb8aa08-aa98-11ea-b4aa-73b441d1638", "2eb8aa08aa9811eab4aa73b441d16380",
        "2eb8aa08-aa98-11ea-b4aa-73b441d1638g"}},
      {"json-pointer", {"", "/", "/a/b~0c~1d/0", "/é"}, {"a", "/~", "/~2", "#/a"}},
      {"relative-json-pointer", {"0", "1/a", "12#", "0/a~1b"}, {"", "/a", "01/a", "-1", "0##", "1a"}},
      {"regex",
       {"", "^[a-z]+$", "^\\d{3,16}(?:a|(b(c)*))?$", "a|b", "[^'\"\\]]", "^/api/(.*)$", "\\(\\s*[+-]",
        "x{2}?", "[a-z0-9_.-]"},
       {"[", "*", "\\", "(a", "a)", "a**", "[z-a]", "x{3,2}", "{", "(?<a", "\\q", "[a", "a{10,9}"}},
  };
  return rows;
}

RegularLanguage FormatLanguage(const std::string& format) {
  const auto language = LanguageOfFormat(format);
  EXPECT_TRUE(language.ok()) << format << ": " << language.status().message();
  if (!language.ok() || !*language) return {};
  return **language;
}

TEST(JsonSchemaFormatsTest, AcceptTheTextsOfTheirStandardsAlone) {
  for (const FormatRow& row : FormatRows()) {
    const RegularLanguage language = FormatLanguage(row.format);
    for (const std::string& text : row.valid)
      EXPECT_TRUE(language.Contains(text)) << row.format << ": " << text;
    for (const std::string& text : row.invalid)
      EXPECT_FALSE(language.Contains(text)) << row.format << ": " << text;
  }
}

TEST(JsonSchemaFormatsTest, NoFormatAcceptsControlsAroundItsTexts) {
  for (const FormatRow& row : FormatRows()) {
    const RegularLanguage language = FormatLanguage(row.format);
    for (const char* mark : {"\n", "\r", "\t", "\x01"}) {
      const std::string text = row.valid[0] + mark;
      if (std::string(row.format).ends_with("json-pointer")) continue;  // any character may stand there
      if (std::string(row.format) == "regex" && mark != std::string("\n") && mark != std::string("\r"))
        continue;
      EXPECT_FALSE(language.Contains(text)) << row.format;
    }
  }
}

TEST(JsonSchemaFormatsTest, OtherNamesAreAnnotations) {
  for (const char* name : {"", "int32", "password", "Date", "binary", "uuid4", "color"}) {
    const auto language = LanguageOfFormat(name);
    ASSERT_TRUE(language.ok());
    EXPECT_FALSE(language->has_value()) << name;
  }
}

}  // namespace
}  // namespace tern
