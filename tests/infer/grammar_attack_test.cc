// Damaged grammars and schemas: a short run of what the fuzzers do at length.
#include "tests/infer/grammar_attack.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tern {
namespace {

/// Cuts, doubles and swaps pieces, and puts marks of the language in random places.
std::string Damage(std::string text, std::string_view marks, Random* random) {
  for (uint64_t n = 1 + random->Below(4); n > 0; --n) {
    const size_t at = random->Below(text.size() + 1);
    switch (random->Below(4)) {
      case 0:
        text.insert(at, 1, marks[random->Below(marks.size())]);
        break;
      case 1:
        text.erase(at, 1 + random->Below(4));
        break;
      case 2:
        text.insert(at, text.substr(random->Below(text.size() + 1), random->Below(30)));
        break;
      default:
        if (at < text.size()) text[at] = marks[random->Below(marks.size())];
        break;
    }
  }
  return text;
}

template <typename Attack>
void AttackAll(const std::vector<std::string>& seeds, std::string_view marks, int rounds, Attack attack) {
  for (size_t i = 0; i < seeds.size(); ++i) {
    SCOPED_TRACE("seed " + std::to_string(i));
    Random random(i);
    for (int round = 0; round < rounds; ++round) {
      const std::string text = round == 0 ? seeds[i] : Damage(seeds[i], marks, &random);
      EXPECT_EQ(attack(reinterpret_cast<const uint8_t*>(text.data()), text.size()), "") << text;
    }
  }
}

TEST(GrammarAttack, DamagedGrammarsAreRefusedOrHold) {
  AttackAll(
      {
          "root ::= item (\",\" item)*\nitem ::= [a-z]+ | \"(\" root \")\" # nested\n",
          "root ::= (\"a\" root \"b\" | \"a\" root \"c\" | [^\\n\"\\u00e9-\\U0001F600]){1,3}\n",
          "root ::= a{2,40} b?\na ::= b{3} \"x\" | . \nb ::= \"y\" | \"\\x41\" [0-9]{,5}\n",
          "root ::= \"[\" (e (\", \" e)*)? \"]\"\ne ::= root | s | n\ns ::= \"\\\"\" [^\"\\\\]* \"\\\"\"\nn "
          "::= \"-\"? [1-9] [0-9]{0,3}\n",
      },
      "\"()[]{}|*+?:=\\^-,.#\n ax09\xc3", 300, AttackGrammar);
}

TEST(GrammarAttack, DamagedSchemasAreRefusedOrHold) {
  AttackAll(
      {
          R"({"type":"object","properties":{"a":{"type":"integer","minimum":-5,"maximum":120},"b":{"type":["string","null"],"maxLength":4}},"required":["b"],"additionalProperties":{"type":"boolean"}})",
          R"({"$defs":{"t":{"type":"array","items":{"anyOf":[{"$ref":"#/$defs/t"},{"enum":[1,"x",null]}]},"minItems":1,"maxItems":3}},"$ref":"#/$defs/t"})",
          R"({"oneOf":[{"type":"string","pattern":"^[a-c]{1,3}(x|yz)?$"},{"allOf":[{"properties":{"k":{"const":2}}},{"required":["k"]}],"type":"object"}]})",
          R"({"type":"array","prefixItems":[{"format":"date","type":"string"},{"type":"number","minimum":0}],"items":false,"minItems":1})",
      },
      "\"{}[]:,#/$\\^-+.0159aetnx", 300, AttackJsonSchema);
}

}  // namespace
}  // namespace tern
