// Helpers for the tests of container formats: files built byte by byte, tensors to write, attacks on a
// reader.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "formats/tensor_source.h"
#include "tests/testing/corruption.h"
#include "tests/testing/test_data.h"

namespace tern::testing {

using SourceResult = Result<std::shared_ptr<const TensorSource>>;
using Opener = std::function<SourceResult(std::shared_ptr<const MappedFile>)>;

/// A file's content, put together piece by piece.
class FileBuilder {
 public:
  template <typename T>
  FileBuilder& Put(T value) {
    const auto* p = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), p, p + sizeof value);
    return *this;
  }
  FileBuilder& Text(std::string_view text) {
    const auto* p = reinterpret_cast<const std::byte*>(text.data());
    bytes_.insert(bytes_.end(), p, p + text.size());
    return *this;
  }
  FileBuilder& PadTo(size_t alignment) {
    while (bytes_.size() % alignment != 0) bytes_.push_back(std::byte{0});
    return *this;
  }
  FileBuilder& Zeros(size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

/// Opens a file of these bytes, which exists in memory alone: attacks open thousands.
inline SourceResult OpenBytes(const std::vector<std::byte>& bytes, const Opener& open) {
  const int fd = ::memfd_create("weights", MFD_CLOEXEC);
  if (fd < 0 || ::write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    ADD_FAILURE() << "cannot make a file in memory";
  }
  auto file = MappedFile::Open("/proc/self/fd/" + std::to_string(fd));
  ::close(fd);
  if (!file.ok()) return file.status();
  return open(std::move(*file));
}

/// The error of opening a file of these bytes.
inline Status ErrorOf(const std::vector<std::byte>& bytes, const Opener& open) {
  return OpenBytes(bytes, open).status();
}

/// A tensor to be written, of bytes that differ from tensor to tensor.
inline OutputTensor RandomOutput(const std::string& name, DType dtype, Shape shape, Random* random) {
  std::vector<std::byte> bytes(*NumBytes(dtype, shape));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random->Below(256));
  return {name, dtype, std::move(shape),
          [bytes]() -> Result<TensorBytes> { return TensorBytes{.view = {}, .owned = bytes}; }};
}

inline void ExpectSameTensors(const TensorSource& source, const std::vector<OutputTensor>& expected) {
  ASSERT_EQ(source.tensors().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const TensorInfo* found = source.Find(expected[i].name);
    ASSERT_NE(found, nullptr) << expected[i].name;
    EXPECT_EQ(found, &source.tensors()[i]) << expected[i].name << " is not at place " << i;
    EXPECT_EQ(found->dtype, expected[i].dtype) << expected[i].name;
    EXPECT_EQ(found->shape, expected[i].shape) << expected[i].name;
    const auto produced = expected[i].produce();
    const auto bytes = produced->bytes();
    ASSERT_EQ(found->bytes.size(), bytes.size()) << expected[i].name;
    EXPECT_TRUE(bytes.empty() || std::memcmp(found->bytes.data(), bytes.data(), bytes.size()) == 0)
        << expected[i].name;
  }
}

/// A source's tensors as something to write.
inline std::vector<OutputTensor> Rewritten(const TensorSource& source) {
  std::vector<OutputTensor> outputs;
  for (const TensorInfo& tensor : source.tensors()) {
    const auto view = tensor.bytes;
    outputs.push_back({tensor.name, tensor.dtype, tensor.shape,
                       [view]() -> Result<TensorBytes> { return TensorBytes{.view = view, .owned = {}}; }});
  }
  return outputs;
}

/// Every attack on a good file: whatever opens must have tensors whose bytes can all be read. The first
/// `header` bytes are the ones that hold numbers.
inline void AttackReader(const std::vector<std::byte>& good, size_t header, const Opener& open) {
  int refused = 0;
  const Parse parse = [&](const std::vector<std::byte>& bytes) {
    if (bytes.empty()) return;  // refused before any reader sees it
    const auto source = OpenBytes(bytes, open);
    if (!source.ok()) {
      ++refused;
      EXPECT_FALSE(source.status().message().empty());
      return;
    }
    uint64_t total = 0;
    for (const TensorInfo& tensor : (*source)->tensors()) {
      ASSERT_EQ(NumBytes(tensor.dtype, tensor.shape), tensor.bytes.size());
      for (std::byte b : tensor.bytes) total += static_cast<uint64_t>(b);
    }
    ASSERT_LE(total, bytes.size() * 255);  // no byte belongs to two tensors
  };
  ASSERT_TRUE(OpenBytes(good, open).ok()) << OpenBytes(good, open).status().message();
  constexpr uint64_t kSeed = 20240607;
  SCOPED_TRACE(::testing::Message() << "seed " << kSeed);
  AttackByTruncation(good, parse);
  EXPECT_GT(refused, 0);
  AttackByFlips(good, header, 300, kSeed, parse);
  AttackByHugeNumbers(good, header, 1, parse);
}

}  // namespace tern::testing
