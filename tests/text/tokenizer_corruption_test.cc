// Damaged vocabularies are refused, or read as what they say; nothing else happens.
#include <gtest/gtest.h>

#include "tests/testing/corruption.h"
#include "tests/text/small_vocabularies.h"
#include "text/json_vocab.h"
#include "text/neox_tokenizer.h"
#include "text/world_vocab.h"

namespace tern {
namespace {

constexpr uint64_t kFlipsSeed = 99;

std::vector<std::byte> Bytes(const std::string& text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}
std::string_view Text(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// What was read must hold together.
void Check(const Result<std::shared_ptr<const Tokenizer>>& read) {
  if (!read.ok()) {
    EXPECT_NE(read.status().message(), "");
    return;
  }
  for (const int32_t id : (*read)->Encode("abc\xC3\xA9\xFF  <|endoftext|>\n\n")) {
    EXPECT_GE(id, 0);
    EXPECT_LT(id, (*read)->vocab_size());
    EXPECT_NE((*read)->TokenBytes(id), "");
  }
}

void Attack(const std::vector<std::byte>& good, const testing::Parse& parse) {
  SCOPED_TRACE(kFlipsSeed);
  testing::AttackByTruncation(good, parse);
  testing::AttackByFlips(good, 400, 300, kFlipsSeed, parse);
  testing::AttackByHugeNumbers(good, 64, 3, parse);
}

TEST(TokenizerCorruption, World) {
  Attack(Bytes(testing::SmallWorldVocab()),
         [](const auto& bytes) { Check(ParseWorldTokenizer(Text(bytes), "bad")); });
}

TEST(TokenizerCorruption, WorldDigits) {
  // Flips of bytes rarely make another valid number: change digits to digits.
  const std::string good = testing::SmallWorldVocab();
  for (size_t at = 0; at < good.size(); ++at) {
    if (good[at] < '0' || good[at] > '9') continue;
    std::string bad = good;
    bad.insert(at, "9");
    Check(ParseWorldTokenizer(bad, "bad"));
  }
}

TEST(TokenizerCorruption, JsonVocab) {
  Attack(Bytes(testing::SmallJsonVocab().dump()), [](const auto& bytes) {
    const auto tokens = ParseJsonVocab(Text(bytes), "bad");
    if (tokens.ok()) Check(MakeWorldTokenizer(*tokens));
  });
}

TEST(TokenizerCorruption, Neox) {
  Attack(Bytes(testing::SmallNeoxVocab().dump()),
         [](const auto& bytes) { Check(MakeNeoxTokenizer(Text(bytes), "bad")); });
}

TEST(TokenizerCorruption, NeoxValuesOfOtherTypes) {
  const nlohmann::json good = testing::SmallNeoxVocab();
  const nlohmann::json flat = good.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    if (pointer.find("/vocab/") != std::string::npos && pointer.size() > 14)
      continue;  // a few of the bytes are enough
    for (const nlohmann::json& other :
         {nlohmann::json(), nlohmann::json(-1), nlohmann::json("x"), nlohmann::json(1e300),
          nlohmann::json::array({1}), nlohmann::json(true), nlohmann::json::object()}) {
      nlohmann::json bad = good;
      bad[nlohmann::json::json_pointer(pointer)] = other;
      Check(MakeNeoxTokenizer(bad.dump(), "bad"));
    }
  }
}

}  // namespace
}  // namespace tern
