#include <cstdlib>

#include "base/cpu.h"
#include "tests/kernels/kernel_testing.h"

namespace tern::kernels {
namespace {

TEST(Dispatch, EveryLevelHasAName) {
  EXPECT_EQ(Name(Level::kRef), "ref");
  EXPECT_EQ(Name(Level::kAvx2), "avx2");
  EXPECT_EQ(Name(Level::kAvx512), "avx512");
  EXPECT_EQ(Name(Level::kAmx), "amx");
}

TEST(Dispatch, TablesAreThoseThatTheProcessorHas) {
  ASSERT_NE(KernelsOf(Level::kRef), nullptr);
#if defined(__x86_64__)
  EXPECT_EQ(KernelsOf(Level::kAvx2) != nullptr, GetCpuFeatures().avx2);
  EXPECT_EQ(KernelsOf(Level::kAvx512) != nullptr, GetCpuFeatures().avx512);
  EXPECT_EQ(KernelsOf(Level::kAmx) != nullptr, GetCpuFeatures().amx_bf16);
#endif
}

TEST(Dispatch, TablesAreCompleteAndSayTheirLevel) {
  for (Level level : {Level::kRef, Level::kAvx2, Level::kAvx512, Level::kAmx}) {
    const KernelTable* t = KernelsOf(level);
    if (t == nullptr) continue;
    EXPECT_EQ(t->level, level);
    EXPECT_TRUE(t->matmul && t->packed_matmul && t->column_matmul && t->quantise_token && t->layer_norm &&
                t->group_norm && t->shift_mix && t->shift_mix_dynamic &&
                t->sigmoid && t->tanh && t->silu && t->relu_squared && t->exp_neg_exp && t->decay7 &&
                t->add && t->mul && t->wkv4 && t->wkv6 && t->wkv7)
        << Name(level);
    if (t->bf16 == nullptr) continue;
    EXPECT_TRUE(t->bf16->matmul && t->bf16->tile && t->bf16->tile_bytes) << Name(level);
    EXPECT_LE(t->bf16->most_tokens, kMostTileTokens) << Name(level);
    EXPECT_EQ(t->bf16->most_rows % kBf16Rows, 0) << Name(level);
  }
}

TEST(Dispatch, UseLevelSwitchesOrSaysWhyNot) {
  const Level before = Kernels().level;
  for (Level level : {Level::kRef, Level::kAvx2, Level::kAvx512, Level::kAmx}) {
    const Status status = UseLevel(level);
    EXPECT_EQ(status.ok(), KernelsOf(level) != nullptr);
    if (status.ok()) {
      EXPECT_EQ(Kernels().level, level);
    }
  }
  ASSERT_TRUE(UseLevel(before).ok());
}

/// Runs in a process of its own, since the table is chosen once.
TEST(DispatchDeathTest, EnvironmentNamesTheLevel) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (const char* level : {"ref", "avx2", "avx512", "amx"}) {
    bool available = false;
    for (const KernelTable* table : AvailableTables()) available |= Name(table->level) == level;
    if (!available) continue;
    EXPECT_EXIT(
        {
          setenv("TERN_ISA", level, 1);
          std::exit(Name(Kernels().level) == level ? 0 : 1);
        },
        ::testing::ExitedWithCode(0), "")
        << level;
  }
}

}  // namespace
}  // namespace tern::kernels
