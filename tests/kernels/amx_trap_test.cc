// AMX in software: against cases worked out by hand, and against the hardware where there is any.
#include "tests/testing/amx_trap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "base/cpu.h"
#include "base/random.h"
#include "tensor/dtype.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace tern::testing {
namespace {

struct Config {
  uint8_t bytes[TileFile::kConfigBytes] = {1};
  Config& Tile(int tile, int rows, int row_bytes) {
    bytes[16 + 2 * tile] = static_cast<uint8_t>(row_bytes);
    bytes[48 + tile] = static_cast<uint8_t>(rows);
    return *this;
  }
  const std::byte* data() const { return reinterpret_cast<const std::byte*>(bytes); }
};
Config AllTiles() {
  Config config;
  for (int tile = 0; tile < TileFile::kTiles; ++tile) config.Tile(tile, 16, 64);
  return config;
}

void SetBf16(TileFile& tiles, int tile, int row, int i, float value) {
  const uint16_t bits = FloatToBf16(value);
  std::memcpy(&tiles.data[tile][row][2 * i], &bits, sizeof bits);
}
void SetFloat(TileFile& tiles, int tile, int row, int i, float value) {
  std::memcpy(&tiles.data[tile][row][4 * i], &value, sizeof value);
}
float FloatOf(const TileFile& tiles, int tile, int row, int i) {
  float value;
  std::memcpy(&value, &tiles.data[tile][row][4 * i], sizeof value);
  return value;
}

TEST(AmxTrap, RefusesWhatTheHardwareRefusesToConfigure) {
  TileFile tiles = {};
  EXPECT_EQ(tiles.LoadConfig(AllTiles().data()), TileFault::kNone);
  const auto with = [](int at, uint8_t value) {
    Config config = AllTiles();
    config.bytes[at] = value;
    return config;
  };
  for (const Config& bad : {with(0, 2), with(2, 1), with(15, 1), with(32, 64), with(47, 1), with(56, 1), with(63, 1),
                            AllTiles().Tile(3, 17, 64), AllTiles().Tile(3, 16, 65), AllTiles().Tile(3, 0, 64),
                            AllTiles().Tile(3, 16, 0)}) {
    EXPECT_EQ(tiles.LoadConfig(bad.data()), TileFault::kProtection);
  }
  EXPECT_EQ(tiles.palette, 1);  // what was refused has changed nothing
  EXPECT_EQ(tiles.LoadConfig(Config().Tile(2, 4, 8).data()), TileFault::kNone);
  std::byte stored[TileFile::kConfigBytes];
  tiles.StoreConfig(stored);
  EXPECT_EQ(std::memcmp(stored, Config().Tile(2, 4, 8).data(), sizeof stored), 0);
  tiles.Release();
  EXPECT_EQ(tiles.Zero(2), TileFault::kInvalidOpcode);
}

TEST(AmxTrap, MovesTheConfiguredPartAndZeroesTheRest) {
  TileFile tiles = {};
  std::byte from[16 * 80], to[16 * 80];
  for (size_t i = 0; i < sizeof from; ++i) from[i] = static_cast<std::byte>(i % 251 + 1);
  std::memset(to, 0, sizeof to);
  EXPECT_EQ(tiles.Load(0, from, 80), TileFault::kInvalidOpcode);  // not configured
  ASSERT_EQ(tiles.LoadConfig(Config().Tile(1, 3, 20).data()), TileFault::kNone);
  std::memset(tiles.data[1], 0xff, sizeof tiles.data[1]);
  ASSERT_EQ(tiles.Load(1, from, 80), TileFault::kNone);
  for (int row = 0; row < 16; ++row) {
    for (int i = 0; i < 64; ++i) {
      ASSERT_EQ(tiles.data[1][row][i], row < 3 && i < 20 ? from[80 * row + i] : std::byte{0}) << row << ", " << i;
    }
  }
  ASSERT_EQ(tiles.Store(1, to, -80 + 160), TileFault::kNone);
  for (size_t i = 0; i < sizeof to; ++i) ASSERT_EQ(to[i], i < 240 && i % 80 < 20 ? from[i] : std::byte{0}) << i;
  EXPECT_EQ(tiles.Store(0, to, 80), TileFault::kInvalidOpcode);  // of no size
  EXPECT_EQ(tiles.Zero(1), TileFault::kNone);
  EXPECT_EQ(tiles.data[1][0][0], std::byte{0});
}

/// A product of one pair: sum + a0·b0 + a1·b1.
float OnePair(float sum, float a0, float a1, float b0, float b1) {
  TileFile tiles = {};
  EXPECT_EQ(tiles.LoadConfig(Config().Tile(0, 1, 4).Tile(1, 1, 4).Tile(2, 1, 4).data()), TileFault::kNone);
  SetFloat(tiles, 0, 0, 0, sum);
  SetBf16(tiles, 1, 0, 0, a0), SetBf16(tiles, 1, 0, 1, a1);
  SetBf16(tiles, 2, 0, 0, b0), SetBf16(tiles, 2, 0, 1, b1);
  EXPECT_EQ(tiles.MultiplyBf16(0, 1, 2), TileFault::kNone);
  return FloatOf(tiles, 0, 0, 0);
}

TEST(AmxTrap, MultipliesAsTheManualSays) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(OnePair(1, 2, 3, 5, 7), 32.0f);
  // The products are added to each other first: one by one, 2^24 + 1 would be 2^24 twice.
  EXPECT_EQ(OnePair(0x1p24f, 1, 1, 1, 1), 0x1p24f + 2);
  EXPECT_EQ(OnePair(0x1p24f, 1, 0, 1, 0), 0x1p24f);          // a tie goes to even
  EXPECT_EQ(OnePair(0x1p24f + 2, 1, 0, 1, 0), 0x1p24f + 4);  // the other way
  EXPECT_EQ(OnePair(0, 0x1p-130f, 1, 0x1p30f, 0), 0.0f);     // a subnormal factor counts as zero
  EXPECT_EQ(OnePair(0, 0x1p-70f, 0, 0x1p-70f, 0), 0.0f);     // a subnormal product becomes zero
  EXPECT_EQ(OnePair(0x1p-127f, 0, 0, 0, 0), 0.0f);           // and a subnormal sum
  EXPECT_EQ(OnePair(0, 0x1p-63f, 0, 0x1p-63f, 0), 0x1p-126f);
  EXPECT_EQ(OnePair(0, inf, 1, 1, 1), inf);
  EXPECT_TRUE(std::isnan(OnePair(0, inf, 1, 0, 1)));
  EXPECT_TRUE(std::isnan(OnePair(0, 1, nan, 1, 1)));
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x6000);  // towards zero: the instruction does not care
  const float tie = OnePair(0x1p24f + 2, 1, 0, 1, 0), sum = OnePair(1, 2, 3, 5, 7);
  const unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  EXPECT_EQ(tie, 0x1p24f + 4);
  EXPECT_EQ(sum, 32.0f);
  EXPECT_EQ(after, before | 0x6000);
}

TEST(AmxTrap, MultipliesMatricesOfTheConfiguredShape) {
  // [3 × 4] · [4 × 5]: a holds two pairs of columns, b as many rows.
  TileFile tiles = {};
  ASSERT_EQ(tiles.LoadConfig(Config().Tile(5, 3, 20).Tile(6, 3, 8).Tile(7, 2, 20).data()), TileFault::kNone);
  const auto a = [](int m, int k) { return static_cast<float>(m + 2 * k - 3); };
  const auto b = [](int k, int n) { return static_cast<float>(k * k - 2 * n); };
  for (int m = 0; m < 3; ++m) {
    for (int k = 0; k < 4; ++k) SetBf16(tiles, 6, m, k, a(m, k));
    for (int n = 0; n < 5; ++n) SetFloat(tiles, 5, m, n, static_cast<float>(100 * m));
  }
  for (int k = 0; k < 4; ++k) {
    for (int n = 0; n < 5; ++n) SetBf16(tiles, 7, k / 2, 2 * n + k % 2, b(k, n));
  }
  SetFloat(tiles, 5, 0, 7, 1);
  SetFloat(tiles, 5, 9, 0, 1);
  ASSERT_EQ(tiles.MultiplyBf16(5, 6, 7), TileFault::kNone);
  for (int m = 0; m < 3; ++m) {
    for (int n = 0; n < 5; ++n) {
      float expected = static_cast<float>(100 * m);
      for (int k = 0; k < 4; ++k) expected += a(m, k) * b(k, n);
      EXPECT_EQ(FloatOf(tiles, 5, m, n), expected) << m << ", " << n;
    }
  }
  EXPECT_EQ(FloatOf(tiles, 5, 0, 7), 0.0f);  // outside of the shape everything becomes zero
  EXPECT_EQ(FloatOf(tiles, 5, 9, 0), 0.0f);

  EXPECT_EQ(tiles.MultiplyBf16(5, 6, 6), TileFault::kInvalidOpcode);  // one register twice
  EXPECT_EQ(tiles.MultiplyBf16(5, 7, 6), TileFault::kInvalidOpcode);  // shapes that do not fit
  EXPECT_EQ(tiles.MultiplyBf16(5, 6, 1), TileFault::kInvalidOpcode);  // not configured
}

/// Registers whose number is their value in hundreds of bytes from `base`.
TileOperands RegistersFrom(const std::byte* base) {
  TileOperands operands;
  for (size_t i = 0; i < 16; ++i) operands.general[i] = reinterpret_cast<uint64_t>(base) + 100 * i;
  operands.instruction = reinterpret_cast<uint64_t>(base);
  return operands;
}

int Execute(std::vector<int> code, const TileOperands& operands, TileFile& tiles) {
  std::vector<std::byte> bytes;
  for (int byte : code) bytes.push_back(static_cast<std::byte>(byte));
  return ExecuteTileInstruction(bytes.data(), operands, tiles);
}

TEST(AmxTrap, ReadsEveryFormOfOperands) {
  std::vector<std::byte> memory(4096);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::byte>(i * 7 / 3 % 256);
  struct Form {
    std::vector<int> code;
    int stride_register;  ///< −1: none
    int scale;
    int64_t at;  ///< of the first row
  };
  // Bytes as GNU as writes them.
  const Form forms[] = {
      {{0xc4, 0xe2, 0x7b, 0x4b, 0x0c, 0x10}, 2, 1, 0},                                 // tileloadd (%rax,%rdx), %tmm1
      {{0xc4, 0xe2, 0x79, 0x4b, 0x0c, 0xd3}, 2, 8, 300},                               // tileloaddt1 (%rbx,%rdx,8), %tmm1
      {{0xc4, 0xe2, 0x7b, 0x4b, 0x4c, 0x4d, 0xf8}, 1, 2, 500 - 8},                     // tileloadd -8(%rbp,%rcx,2), %tmm1
      {{0xc4, 0xe2, 0x7b, 0x4b, 0x8c, 0x24, 0x00, 0x01, 0, 0}, -1, 0, 400 + 256},      // tileloadd 256(%rsp), %tmm1
      {{0xc4, 0x82, 0x7b, 0x4b, 0x0c, 0x3c}, 15, 1, 1200},                             // tileloadd (%r12,%r15), %tmm1
      {{0xc4, 0xa2, 0x7b, 0x4b, 0x4c, 0x20, 0x10}, 12, 1, 16},                         // tileloadd 16(%rax,%r12), %tmm1
      {{0xc4, 0xc2, 0x7b, 0x4b, 0x4c, 0x0d, 0x00}, 1, 1, 1300},                        // tileloadd 0(%r13,%rcx), %tmm1
  };
  for (const Form& form : forms) {
    TileFile tiles = {};
    ASSERT_EQ(tiles.LoadConfig(Config().Tile(1, 2, 12).data()), TileFault::kNone);
    TileOperands operands = RegistersFrom(memory.data());
    if (form.stride_register >= 0) operands.general[form.stride_register] = 24;
    ASSERT_EQ(Execute(form.code, operands, tiles), static_cast<int>(form.code.size()));
    const int64_t stride = form.stride_register >= 0 ? 24 * form.scale : 0;
    EXPECT_EQ(std::memcmp(tiles.data[1][0], memory.data() + form.at, 12), 0) << form.at;
    EXPECT_EQ(std::memcmp(tiles.data[1][1], memory.data() + form.at + stride, 12), 0) << form.at;
  }
}

TEST(AmxTrap, TellsTheInstructionsApart) {
  std::vector<std::byte> memory(4096);
  const Config config = Config().Tile(1, 2, 12).Tile(2, 2, 8).Tile(3, 2, 12);
  std::memcpy(memory.data() + 1000 - 32, config.data(), TileFile::kConfigBytes);
  TileFile tiles = {};
  TileOperands operands = RegistersFrom(memory.data());
  operands.general[1] = 24;
  EXPECT_EQ(Execute({0xc4, 0xc2, 0x78, 0x49, 0x42, 0xe0}, operands, tiles), 6);  // ldtilecfg -32(%r10)
  EXPECT_EQ(tiles.rows[2], 2);
  EXPECT_EQ(Execute({0xc4, 0xe2, 0x79, 0x49, 0x05, 0x60, 0, 0, 0}, operands, tiles), 9);  // sttilecfg 0x60(%rip)
  EXPECT_EQ(std::memcmp(memory.data() + 0x69, config.data(), TileFile::kConfigBytes), 0);
  SetFloat(tiles, 3, 1, 2, 1.0f);
  EXPECT_EQ(Execute({0xc4, 0xe2, 0x7a, 0x4b, 0x1c, 0x0f}, operands, tiles), 6);  // tilestored %tmm3, (%rdi,%rcx)
  EXPECT_EQ(std::memcmp(memory.data() + 700 + 24, tiles.data[3][1], 12), 0);
  EXPECT_EQ(Execute({0xc4, 0xe2, 0x62, 0x5c, 0xca}, operands, tiles), 5);  // tdpbf16ps %tmm3, %tmm2, %tmm1
  EXPECT_EQ(Execute({0xc4, 0xe2, 0x7b, 0x49, 0xd8}, operands, tiles), 5);  // tilezero %tmm3
  EXPECT_EQ(FloatOf(tiles, 3, 1, 2), 0.0f);

  for (const std::vector<int>& other : {std::vector<int>{0x0f, 0x0b, 0, 0, 0, 0},       // ud2
                                        {0xc4, 0xe2, 0x7b, 0x49, 0xe8, 0},              // tilezero of a tile of no size
                                        {0xc4, 0x62, 0x7b, 0x49, 0xd8, 0},              // of a ninth register on
                                        {0xc4, 0xe2, 0xfb, 0x49, 0xd8, 0},              // W = 1
                                        {0xc4, 0xe2, 0x7f, 0x49, 0xd8, 0},              // L = 1
                                        {0xc4, 0xe2, 0x63, 0x49, 0xd8, 0},              // a third register
                                        {0xc4, 0xe2, 0x7b, 0x4b, 0x08, 0},              // tileloadd without SIB
                                        {0xc4, 0xe2, 0x63, 0x5c, 0xca, 0},              // 5C with another prefix
                                        {0xc4, 0xe2, 0x62, 0x5e, 0xca, 0}}) {           // integers
    EXPECT_EQ(Execute(other, operands, tiles), 0);
  }
  EXPECT_EQ(Execute({0xc4, 0xe2, 0x78, 0x49, 0xc0}, operands, tiles), 5);  // tilerelease
  EXPECT_EQ(tiles.palette, 0);
}

/// The instructions themselves, by the hardware or by the handler.
__attribute__((target("amx-tile,amx-bf16"))) void Multiply(const void* config, const float* sums, const uint16_t* a,
                                                          const uint16_t* b, float* result) {
  asm volatile(
      "ldtilecfg (%[config])\n"
      "tileloadd (%[sums],%[stride]), %%tmm0\n"
      "tileloadd (%[a],%[stride]), %%tmm3\n"
      "tileloaddt1 (%[b],%[stride]), %%tmm7\n"
      "tdpbf16ps %%tmm7, %%tmm3, %%tmm0\n"
      "tilestored %%tmm0, (%[result],%[stride])\n"
      "tilerelease\n"
      :
      : [config] "r"(config), [sums] "r"(sums), [a] "r"(a), [b] "r"(b), [result] "r"(result), [stride] "r"(int64_t{64})
      : "memory");
}

TEST(AmxTrap, GivesTheHardwaresBits) {
  if (!GetCpuFeatures().avx512 || (!GetCpuFeatures().amx_bf16 && !InstallAmxTrap())) GTEST_SKIP() << "no AVX-512";
  Random random(1);
  SCOPED_TRACE("seed 1");
  const Config config = AllTiles();
  const auto run = [&] {
    for (int round = 0; round < 20; ++round) {
      float sums[256], result[256];
      uint16_t a[512], b[512];
      for (float& sum : sums) sum = static_cast<float>(random.Normal() * std::exp2(random.Uniform(-130, 20)));
      for (uint16_t& x : a) x = FloatToBf16(static_cast<float>(random.Normal() * std::exp2(random.Uniform(-70, 10))));
      for (uint16_t& x : b) x = FloatToBf16(static_cast<float>(random.Normal() * std::exp2(random.Uniform(-70, 10))));
      TileFile tiles = {};
      ASSERT_EQ(tiles.LoadConfig(config.data()), TileFault::kNone);
      ASSERT_EQ(tiles.Load(0, reinterpret_cast<const std::byte*>(sums), 64), TileFault::kNone);
      ASSERT_EQ(tiles.Load(3, reinterpret_cast<const std::byte*>(a), 64), TileFault::kNone);
      ASSERT_EQ(tiles.Load(7, reinterpret_cast<const std::byte*>(b), 64), TileFault::kNone);
      ASSERT_EQ(tiles.MultiplyBf16(0, 3, 7), TileFault::kNone);
      Multiply(&config, sums, a, b, result);
      ASSERT_EQ(std::memcmp(result, tiles.data[0], sizeof result), 0);
    }
  };
  run();
  std::thread(run).join();  // every thread has tiles of its own
}

TEST(AmxTrapDeathTest, LeavesOtherIllegalInstructionsAlone) {
  if (!InstallAmxTrap()) GTEST_SKIP() << "the hardware has AMX, or nobody has";
  EXPECT_EXIT(__builtin_trap(), ::testing::KilledBySignal(SIGILL), "");
}

}  // namespace
}  // namespace tern::testing
#endif
