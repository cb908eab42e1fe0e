#include "train/join_data.h"

#include <algorithm>

namespace tern::train {
namespace {

class JoinedTokens final : public TokenData {
 public:
  explicit JoinedTokens(std::vector<std::shared_ptr<const TokenData>> parts) : parts_(std::move(parts)) {
    token_bytes_ = parts_.front()->token_bytes();
    document_end_ = parts_.front()->document_end();
    for (const auto& part : parts_) {
      starts_.push_back(tokens_);
      for (const int64_t document : part->documents()) documents_.push_back(tokens_ + document);
      tokens_ += part->tokens();
      largest_token_ = std::max(largest_token_, part->largest_token());
    }
  }
  int64_t tokens() const override { return tokens_; }
  std::span<const int64_t> documents() const override { return documents_; }

  void Read(int64_t begin, std::span<int32_t> out) const override {
    auto part =
        static_cast<size_t>(std::upper_bound(starts_.begin(), starts_.end(), begin) - starts_.begin() - 1);
    for (size_t done = 0; done < out.size(); ++part) {
      const int64_t from = begin + static_cast<int64_t>(done) - starts_[part];
      const auto here = std::min(out.size() - done, static_cast<size_t>(parts_[part]->tokens() - from));
      parts_[part]->Read(from, out.subspan(done, here));
      done += here;
    }
  }

 private:
  std::vector<std::shared_ptr<const TokenData>> parts_;
  std::vector<int64_t> starts_, documents_;
  int64_t tokens_ = 0;
};

}  // namespace

std::shared_ptr<const TokenData> Join(std::vector<std::shared_ptr<const TokenData>> parts) {
  if (parts.size() == 1) return parts.front();
  return std::make_shared<JoinedTokens>(std::move(parts));
}

}  // namespace tern::train
