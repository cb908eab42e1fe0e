// Corpora on disk for the tests of the data.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "tests/testing/test_data.h"
#include "train/dataset.h"

namespace tern::testing {

/// Tokens given by a test.
class GivenTokens final : public train::TokenData {
 public:
  GivenTokens(std::vector<int32_t> tokens, std::vector<int64_t> documents = {0}, int32_t document_end = -1)
      : tokens_(std::move(tokens)), documents_(std::move(documents)) {
    document_end_ = document_end;
    for (const int32_t token : tokens_) largest_token_ = std::max(largest_token_, token);
  }
  int64_t tokens() const override { return static_cast<int64_t>(tokens_.size()); }
  void Read(int64_t begin, std::span<int32_t> out) const override {
    ASSERT_GE(begin, 0);
    ASSERT_LE(begin + static_cast<int64_t>(out.size()), tokens());
    std::copy_n(tokens_.begin() + begin, out.size(), out.begin());
  }
  std::span<const int64_t> documents() const override { return documents_; }

 private:
  std::vector<int32_t> tokens_;
  std::vector<int64_t> documents_;
};

/// 0, 1, 2, …: a token is its own place.
inline std::shared_ptr<const train::TokenData> Counting(int64_t tokens) {
  std::vector<int32_t> list(static_cast<size_t>(tokens));
  std::iota(list.begin(), list.end(), 0);
  return std::make_shared<GivenTokens>(std::move(list));
}

inline std::vector<int32_t> AllTokens(const train::TokenData& data) {
  std::vector<int32_t> tokens(static_cast<size_t>(data.tokens()));
  data.Read(0, tokens);
  return tokens;
}
inline std::vector<int64_t> Documents(const train::TokenData& data) {
  return {data.documents().begin(), data.documents().end()};
}
inline void WriteFile(const std::string& path, const std::string& text) {
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  WriteBytes(path, {bytes, bytes + text.size()});
}

}  // namespace tern::testing
