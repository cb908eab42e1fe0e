#include "formats/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/formats/pickle_assembler.h"
#include "tests/testing/corruption.h"

namespace tern {
namespace {

using namespace pickle_op;  // NOLINT: the opcodes' own names
using testing::AsBytes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::PickleAssembler;

/// The error of a pickle that must be refused.
Status Refused(const std::string& program) {
  const auto pickle = Pickle::Load(AsBytes(program));
  EXPECT_FALSE(pickle.ok());
  return pickle.status();
}

void ExpectRefused(const std::string& program, const std::string& part) {
  const Status status = Refused(program);
  EXPECT_EQ(status.code(), StatusCode::kUnsupported) << status.message();
  EXPECT_THAT(status.message(), HasSubstr(part));
}

void ExpectCorrupt(const std::string& program, const std::string& part) {
  const Status status = Refused(program);
  EXPECT_EQ(status.code(), StatusCode::kCorrupt) << status.message();
  EXPECT_THAT(status.message(), HasSubstr(part));
}

PickleAssembler Start() { return PickleAssembler().Proto(); }

TEST(Pickle, ReadsScalars) {
  auto p = Start().Op(kMark).Op(kNone).Op(kNewTrue).Op(kBinInt1, uint8_t{200}).Op(kBinInt2, uint16_t{40000});
  p.Op(kBinInt, int32_t{-7}).Int(INT64_MIN).Op(kLong1, uint8_t{1}).Raw("\xfe").Op(kLong1, uint8_t{0});
  p.Op(kBinFloat)
      .Raw(std::string("\xc0\x04\0\0\0\0\0\0", 8))
      .Text("h\xc3\xa9")
      .Op(kShortBinBytes, uint8_t{2})
      .Raw("ab");
  const std::string program = p.Op(kTuple).Stop();
  const auto pickle = Pickle::Load(AsBytes(program));
  ASSERT_TRUE(pickle.ok()) << pickle.status().message();
  const auto items = pickle->Items(pickle->root());
  ASSERT_EQ(items.size(), 11u);
  EXPECT_EQ(pickle->kind(items[0]), PickleKind::kNone);
  EXPECT_EQ(pickle->kind(items[1]), PickleKind::kBool);
  EXPECT_EQ(pickle->Int(items[2]), 200);
  EXPECT_EQ(pickle->Int(items[3]), 40000);
  EXPECT_EQ(pickle->Int(items[4]), -7);
  EXPECT_EQ(pickle->Int(items[5]), INT64_MIN);
  EXPECT_EQ(pickle->Int(items[6]), -2);
  EXPECT_EQ(pickle->Int(items[7]), 0);
  EXPECT_EQ(pickle->Float(items[8]), -2.5);
  EXPECT_EQ(pickle->String(items[9]), "h\xc3\xa9");
  EXPECT_EQ(pickle->kind(items[10]), PickleKind::kBytes);
  EXPECT_EQ(pickle->String(items[10]), "ab");
}

TEST(Pickle, BuildsContainersThroughTheMemo) {
  auto p = Start().Op(kEmptyDict).Op(kBinPut, uint8_t{0}).Op(kMark).Text("list").Op(kBinPut, uint8_t{1});
  p.Op(kEmptyList)
      .Op(kMark)
      .Int(1)
      .Int(2)
      .Op(kAppends)
      .Op(kBinGet, uint8_t{1})
      .Op(kBinGet, uint8_t{0})
      .Op(kSetItems);
  const std::string program = p.Stop();
  const auto pickle = Pickle::Load(AsBytes(program));
  ASSERT_TRUE(pickle.ok()) << pickle.status().message();
  const auto items = pickle->Items(pickle->root());
  ASSERT_EQ(items.size(), 4u);
  EXPECT_EQ(pickle->Ints(items[1], 2), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(pickle->Ints(items[1], 1), std::nullopt) << "the limit holds";
  EXPECT_EQ(pickle->String(items[2]), "list");
  EXPECT_EQ(items[3], pickle->root()) << "a dict may hold itself";
}

TEST(Pickle, RebuildsTensorsAndParameters) {
  auto p = Start().Global("torch._utils", "_rebuild_parameter").Op(kMark);
  p.Tensor("BFloat16Storage", "7", 12, 2, {2, 3}, {1, 2}).Op(kNewTrue).Op(kEmptyDict).Op(kTuple).Op(kReduce);
  const std::string program = p.Stop();
  const auto pickle = Pickle::Load(AsBytes(program));
  ASSERT_TRUE(pickle.ok()) << pickle.status().message();
  ASSERT_EQ(pickle->kind(pickle->root()), PickleKind::kTensor);
  const PickleTensor& tensor = pickle->Tensor(pickle->root());
  EXPECT_EQ(tensor.storage.key, "7");
  EXPECT_EQ(tensor.storage.numel, 12);
  EXPECT_EQ(tensor.dtype, DType::kBF16);
  EXPECT_EQ(tensor.offset, 2);
  EXPECT_THAT(*pickle->Ints(tensor.shape, 8), ElementsAre(2, 3));
  EXPECT_THAT(*pickle->Ints(tensor.strides, 8), ElementsAre(1, 2));
}

TEST(Pickle, ReadsUntypedStoragesWithTheTypeOfTheTensor) {
  auto p =
      Start().Global("torch._utils", "_rebuild_tensor_v3").Op(kMark).Storage("UntypedStorage", "0", 8).Int(0);
  p.Ints({2}).Ints({1}).Op(kNewFalse).Op(kEmptyDict).Global("torch", "float32").Op(kTuple).Op(kReduce);
  const std::string program = p.Stop();
  const auto pickle = Pickle::Load(AsBytes(program));
  ASSERT_TRUE(pickle.ok()) << pickle.status().message();
  EXPECT_EQ(pickle->Tensor(pickle->root()).dtype, DType::kF32);
  EXPECT_EQ(pickle->Tensor(pickle->root()).storage.dtype, std::nullopt);
}

TEST(Pickle, AcceptsAttributesOfAnOrderedDict) {
  auto p = Start().Global("collections", "OrderedDict").Op(kEmptyTuple).Op(kReduce);
  p.Op(kEmptyDict).Text("_metadata").Op(kEmptyDict).Op(kSetItem).Op(kBuild);
  const std::string program = p.Stop();
  EXPECT_TRUE(Pickle::Load(AsBytes(program)).ok());
}

TEST(Pickle, RefusesNamesThatRunCodeAndSaysWhich) {
  ExpectRefused(Start().Global("os", "system").Text("id").Op(kTuple1).Op(kReduce).Stop(), "'os.system'");
  ExpectRefused(Start().Global("builtins", "eval").Stop(), "'builtins.eval'");
  ExpectRefused(Start().Global("__builtin__", "exec").Stop(), "'__builtin__.exec'");
  ExpectRefused(Start().Global("torch", "load").Stop(), "'torch.load'");
  ExpectRefused(Start().Text("posix").Text("system").Op(kStackGlobal).Stop(), "'posix.system'");
  ExpectRefused(Start().Op(kMark).Raw("ios\nsystem\n").Stop(), "'os.system'");
  ExpectRefused(Start().Global("subprocess.x\x1b[2J", "run").Stop(), "'subprocess.x?[2J.run'");
}

/// The only value of a program must be opaque, made by `maker`.
void ExpectOpaque(const std::string& program, const std::string& maker) {
  const auto pickle = Pickle::Load(AsBytes(program));
  ASSERT_TRUE(pickle.ok()) << pickle.status().message();
  ASSERT_EQ(pickle->kind(pickle->root()), PickleKind::kOpaque);
  EXPECT_EQ(pickle->MakerOf(pickle->root()), maker);
}

TEST(Pickle, CallsNothing) {
  ExpectOpaque(Start().Global("my.module", "Config").Op(kEmptyTuple).Op(kNewObj).Stop(), "my.module.Config");
  ExpectOpaque(Start().Global("my.module", "Config").Op(kEmptyTuple).Op(kEmptyDict).Op(kNewObjEx).Stop(),
               "my.module.Config");
  ExpectOpaque(Start().Global("my", "f").Op(kEmptyTuple).Op(kReduce).Op(kEmptyTuple).Op(kReduce).Stop(),
               "my.f");
  ExpectOpaque(Start().Op(kMark).Raw("imy\nOld\n").Stop(), "my.Old");
  ExpectOpaque(Start().Op(kMark).Global("my", "Old").Int(1).Op(kObj).Stop(), "my.Old");
  ExpectOpaque(
      Start().Global("builtins", "getattr").Global("my", "Outer").Text("In").Op(kTuple2).Op(kReduce).Stop(),
      "builtins.getattr");
  ExpectOpaque(Start().Global("torch", "float32").Op(kEmptyTuple).Op(kReduce).Stop(), "torch.float32");
  ExpectOpaque(Start().Global("torch", "FloatStorage").Int(1 << 30).Op(kTuple1).Op(kReduce).Stop(),
               "torch.FloatStorage");
}

TEST(Pickle, PassesOverWhatIsDoneToObjects) {
  auto p = Start().Global("my", "DictLike").Op(kEmptyTuple).Op(kReduce);
  p.Text("key")
      .Int(1)
      .Op(kSetItem)
      .Int(2)
      .Op(kAppend)
      .Op(kMark)
      .Int(3)
      .Op(kAddItems)
      .Op(kEmptyDict)
      .Op(kBuild);
  ExpectOpaque(p.Stop(), "my.DictLike");
}

TEST(Pickle, RefusesCallsThatMakeNoSense) {
  ExpectRefused(Start().Text("os.system").Op(kEmptyTuple).Op(kReduce).Stop(), "not a name");
  ExpectCorrupt(Start().Global("torch", "Size").Op(kEmptyTuple).Op(kNewObj).Stop(), "torch.Size");
  ExpectRefused(Start().Op(kEmptyDict).Op(kEmptyDict).Op(kBuild).Stop(), "BUILD");
  ExpectRefused(Start().Global("torch", "Size").Op(kEmptyDict).Op(kBuild).Stop(), "BUILD");
  ExpectCorrupt(Start()
                    .Global("collections", "OrderedDict")
                    .Op(kEmptyList)
                    .Int(1)
                    .Op(kAppend)
                    .Op(kTuple1)
                    .Op(kReduce)
                    .Stop(),
                "OrderedDict");
  ExpectCorrupt(Start().Op(kMark).Op(kObj).Stop(), "without a class");
}

TEST(Pickle, RefusesCopiesThatUseUpMemory) {
  // Each set is made of the one before and holds as much: the copies of 300 lists of 1,000 are more than the
  // program.
  auto p = Start().Op(kEmptyList).Op(kMark);
  for (int i = 0; i < 1000; ++i) p.Op(kNone);
  p.Op(kAppends).Op(kBinPut, uint8_t{0});
  for (int i = 0; i < 300; ++i) {
    p.Op(kPop).Global("builtins", "set").Op(kBinGet, uint8_t{0}).Op(kTuple1).Op(kReduce);
  }
  ExpectRefused(p.Stop(), "copy more values");
}

TEST(Pickle, RefusesOpcodesThatReachOutOfIt) {
  for (const int opcode : {0x82, 0x83, 0x84, 0x97, 0x98}) {
    SCOPED_TRACE(opcode);
    ExpectRefused(Start().Op(kNone).Op(static_cast<uint8_t>(opcode), uint32_t{1}).Stop(), "is not allowed");
  }
  ExpectRefused(PickleAssembler().Proto(6).Op(kNone).Stop(), "protocol 6");
}

TEST(Pickle, RefusesForeignPersistentIds) {
  ExpectRefused(Start().Text("module").Op(kBinPersId).Stop(), "persistent id");
  auto renamed = Start().Op(kMark).Text("file").Global("torch", "FloatStorage").Text("0").Text("cpu").Int(1);
  ExpectRefused(renamed.Op(kTuple).Op(kBinPersId).Stop(), "persistent id");
  auto untyped =
      Start().Op(kMark).Text("storage").Global("collections", "OrderedDict").Text("0").Text("cpu").Int(1);
  ExpectRefused(untyped.Op(kTuple).Op(kBinPersId).Stop(), "persistent id");
  ExpectCorrupt(Start().Storage("FloatStorage", "0", -1).Stop(), "-1 elements");
}

TEST(Pickle, RefusesProgramsThatMakeNoSense) {
  ExpectCorrupt("", "without STOP");
  ExpectCorrupt(Start().Stop(), "one value");
  ExpectCorrupt(Start().Op(kNone).Op(kNone).Stop(), "one value");
  ExpectCorrupt(Start().Op(kNone).Op(kMark).Stop(), "one value");
  ExpectCorrupt(Start().Op(kPop).Stop(), "stack is empty");
  ExpectCorrupt(Start().Op(kNone).Op(kMark).Op(kTuple1).Stop(), "stack is empty");
  ExpectCorrupt(Start().Op(kTuple).Stop(), "no mark");
  ExpectCorrupt(Start().Op(kEmptyDict).Op(kMark).Op(kNone).Op(kSetItems).Stop(), "no value");
  ExpectCorrupt(Start().Op(kNone).Op(kNone).Op(kAppend).Stop(), "does not hold them");
  ExpectCorrupt(Start().Op(kBinGet, uint8_t{3}).Stop(), "memo slot 3 is empty");
  ExpectCorrupt(Start().Op(kBinUnicode, uint32_t{0xffffffff}).Stop(), "beyond its end");
  ExpectCorrupt(Start().Op(kBinUnicode8, ~uint64_t{0}).Stop(), "beyond its end");
  ExpectCorrupt(Start().Op(kLong4, int32_t{-1}).Stop(), "negative length");
  ExpectCorrupt(Start().Op(kFrame, uint64_t{1} << 60).Stop(), "frame");
  ExpectCorrupt(Start().Op(kGlobal).Raw("os").Stop(), "without an end");
}

TEST(Pickle, BoundsTheMemoByItsOwnLength) {
  ExpectCorrupt(Start().Op(kNone).Op(kLongBinPut, uint32_t{0xfffffff0}).Stop(), "memo slot 4294967280");
}

TEST(Pickle, SurvivesDeepNestingAndDoubling) {
  const size_t depth = 200000;
  PickleAssembler deep = Start().Op(kEmptyTuple);
  for (size_t i = 0; i < depth; ++i) deep.Op(kTuple1);
  const std::string nested = deep.Stop();
  EXPECT_TRUE(Pickle::Load(AsBytes(nested)).ok());

  // Each value holds the one before twice: 2^200000 leaves if anything ever walked them.
  PickleAssembler bomb = Start().Op(kEmptyTuple);
  for (size_t i = 0; i < depth; ++i) bomb.Op(kDup).Op(kTuple2);
  const std::string doubled = bomb.Stop();
  EXPECT_TRUE(Pickle::Load(AsBytes(doubled)).ok());
}

TEST(Pickle, LimitsLengthAndNumberOfValues) {
  ExpectRefused(Start().Raw(std::string(Pickle::kMaxBytes, 'N')).Stop(), "at most are read");
  ExpectRefused(Start().Raw(std::string(Pickle::kMaxValues + 1, 'N')).Stop(), "values");
}

TEST(Pickle, SurvivesDamage) {
  auto p = Start().Op(kEmptyDict).Op(kBinPut, uint8_t{0}).Op(kMark).Text("a");
  p.Tensor("FloatStorage", "0", 6, 0, {2, 3}, {3, 1}).Text("b").Op(kEmptyList).Op(kMark).Int(1).Op(kAppends);
  const std::string program = p.Op(kSetItems).Stop();
  const auto bytes = AsBytes(program);
  const std::vector<std::byte> good(bytes.begin(), bytes.end());
  ASSERT_TRUE(Pickle::Load(good).ok());
  const uint64_t seed = 20240817;
  SCOPED_TRACE(seed);
  int read = 0;
  const auto parse = [&read](const std::vector<std::byte>& bad) { read += Pickle::Load(bad).ok() ? 1 : 0; };
  testing::AttackByTruncation(good, parse);
  EXPECT_EQ(read, 0) << "a pickle cut short has lost its STOP";
  testing::AttackByFlips(good, good.size(), 3000, seed, parse);
  testing::AttackByHugeNumbers(good, good.size(), 1, parse);
}

}  // namespace
}  // namespace tern
