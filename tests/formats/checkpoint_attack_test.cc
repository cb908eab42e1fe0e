// Damage that a container's reader lets through (names, shapes, types and keys are all well-formed, but wrong
// together): every such model is read or refused, never a crash.
#include <algorithm>

#include "base/random.h"
#include "tests/formats/checkpoint_testing.h"

namespace tern::testing {
namespace {

constexpr DType kSomeTypes[] = {DType::kF32,  DType::kF16, DType::kQ8_0,
                                DType::kQ4_K, DType::kI8,  DType::kF64};

Shape DamagedShape(Shape shape, Random* random) {
  switch (random->Below(6)) {
    case 0:
      return {};
    case 1:
      shape.push_back(1);
      return shape;
    case 2:
      std::swap(shape.front(), shape.back());
      return shape;
    case 3:
      shape[random->Below(shape.size())] = static_cast<int64_t>(random->Below(300));
      return shape;
    case 4:
      return {NumElements(shape).value_or(0)};
    default:
      shape.insert(shape.begin(), 1);
      return shape;
  }
}

std::string DamagedName(std::string name, Random* random) {
  const size_t digit = name.find_first_of("0123456789");
  switch (random->Below(4)) {
    case 0:
      return "x" + name;
    case 1:
      return name.substr(0, name.size() / 2);
    case 2:
      return digit == std::string::npos ? name : name.replace(digit, 1, "77");
    default:
      return digit == std::string::npos ? name : name.replace(digit, 1, "1");
  }
}

MetaValue DamagedValue(Random* random) {
  switch (random->Below(5)) {
    case 0:
      return uint64_t{0};
    case 1:
      return int64_t{-1};
    case 2:
      return 1e300;
    case 3:
      return std::string("nan");
    default:
      return std::vector<std::string>{"\\", "\\x", ""};
  }
}

/// The same model with one to three things wrong.
std::shared_ptr<MemorySource> Damaged(const TensorSource& good, Random* random) {
  auto source = std::make_shared<MemorySource>(good.format());
  for (const auto& [key, value] : good.metadata()) source->Set(key, value);
  if (!good.metadata().empty() && random->Below(3) == 0) {
    auto it = good.metadata().begin();
    std::advance(it, random->Below(good.metadata().size()));
    source->Set(it->first, DamagedValue(random));
  }
  const auto tensors = static_cast<uint64_t>(good.tensors().size());
  const uint64_t victims[] = {random->Below(tensors), random->Below(tensors), random->Below(tensors * 2)};
  for (uint64_t i = 0; i < tensors; ++i) {
    TensorInfo info = good.tensors()[i];
    if (std::count(std::begin(victims), std::end(victims), i) == 0) {
      source->Put(info.name, info.dtype, info.shape, {info.bytes.begin(), info.bytes.end()});
      continue;
    }
    const uint64_t what = random->Below(4);
    if (what == 0) continue;  // dropped
    if (what == 1) info.name = DamagedName(info.name, random);
    if (what == 2 && !info.shape.empty()) info.shape = DamagedShape(info.shape, random);
    if (what == 3) info.dtype = kSomeTypes[random->Below(std::size(kSomeTypes))];
    const auto size = NumBytes(info.dtype, info.shape);
    const bool taken = what == 1 && good.Find(info.name) != nullptr;
    if (!size || taken || source->Find(info.name) != nullptr) continue;
    source->Put(info.name, info.dtype, info.shape, std::vector<std::byte>(*size, std::byte{0x3c}));
  }
  return source;
}

void ReadAll(const Checkpoint& checkpoint) {
  for (const CheckpointTensor& tensor : checkpoint.tensors()) {
    ASSERT_EQ(NumBytes(tensor.dtype, tensor.StoredShape()), tensor.bytes.size()) << tensor.name;
    Canonical(tensor);
  }
}

TEST(CheckpointAttack, DamagedModelsAreReadOrRefused) {
  constexpr uint64_t kSeed = 20260601;
  SCOPED_TRACE(::testing::Message() << "seed " << kSeed);
  Random random(kSeed);
  const TempDir dir;
  int read = 0, refused = 0;
  for (Generation generation : kGenerations) {
    const auto model = MustGather(RandomSource(SmallModel(generation)));
    for (int target = 0; target < 5; ++target) {
      SaveOptions options;
      constexpr FileFormat kFormats[] = {FileFormat::kPth, FileFormat::kSafetensors, FileFormat::kSafetensors,
                                         FileFormat::kGguf, FileFormat::kRwkvBin};
      options.format = kFormats[target];
      if (target == 2) options.names = SaveOptions::Names::kHuggingFace;
      if (target == 3) options.vocabulary = {"", "a"};
      ASSERT_TRUE(SaveCheckpoint(*model, dir.File("good"), options).ok());
      const auto good = OpenTensorSource(dir.File("good"));
      ASSERT_TRUE(good.ok());
      for (int round = 0; round < 60; ++round) {
        const auto damaged = Checkpoint::FromSource(Damaged(**good, &random));
        if (!damaged.ok()) {
          EXPECT_FALSE(damaged.status().message().empty());
          ++refused;
          continue;
        }
        ++read;
        ReadAll(**damaged);
        if (round % 10 != 0) continue;
        options.format = kFormats[random.Below(5)];
        const Status saved = SaveCheckpoint(**damaged, dir.File("saved"), options);
        EXPECT_TRUE(saved.ok() || !saved.message().empty());
      }
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace tern::testing
