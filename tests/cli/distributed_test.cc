// One run by several processes: the numbers must be those of one process, whoever computes which rows.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/cli/cli_testing.h"

namespace tern::testing {
namespace {

using ::testing::HasSubstr;

/// tools/install-dependencies installs MPI: where the whole suite must run, its absence is an error.
#define TERN_REQUIRE_MPI()                                              \
  if (const std::string missing = MissingMpi(); !missing.empty()) {     \
    if (!kSanitized && std::getenv("CI") != nullptr) FAIL() << missing; \
    GTEST_SKIP() << missing;                                            \
  }                                                                     \
  static_assert(true)

#ifdef TERN_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::string MissingMpi() {
  if (std::system("command -v mpirun >/dev/null") != 0)
    return "mpirun is not installed (Debian: openmpi-bin)";
  const auto module = std::filesystem::path(TERN_PROGRAM).parent_path() / "tern_mpi.so";
  if (!std::filesystem::exists(module))
    return "tern was built without its module for MPI, " + module.string();
  return "";
}

class DistributedTest : public ::testing::Test {
 protected:
  DistributedTest() {
    std::string text;
    for (int i = 0; i < 400; ++i) {
      text += "the bird number " + std::to_string(i * 7 % 100) + " flies north and then south\n";
    }
    std::ofstream(data_) << text;
  }

  /// `tern train`, by so many processes (0: without mpirun), on the first of the runs `out`. Its exit status;
  /// what it said is in `said_`.
  int Train(int processes, const std::string& out, const std::string& more) {
    std::string command;
    if (processes > 0) {
      // The limit is only there to end what hangs.
      command =
          "timeout 120 mpirun -n " + std::to_string(processes) + " --oversubscribe --allow-run-as-root ";
    }
    command += std::string("'") + TERN_PROGRAM + "' train --out '" + dir_.File(out) + "' --threads 1 " + more;
    const std::string log = dir_.File("said.txt");
    const int status = std::system((command + " >'" + log + "' 2>&1").c_str());
    std::ifstream file(log);
    said_.assign(std::istreambuf_iterator<char>(file), {});
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string NewRun(const std::string& more) const {
    return "--data '" + data_ +
           "' --tokenizer bytes --layers 2 --width 32 --head-size 16 --context 16 --batch 5 --steps 10 --lr "
           "0.003 "
           "--warmup 2 --precision f32 --eval-every 0 --save-every 5 " +
           more;
  }
  /// By step. A step that was done twice counts as it was done last.
  std::vector<double> Losses(const std::string& out) const {
    std::vector<double> losses;
    std::ifstream file(dir_.File(out) + "/log.jsonl");
    for (std::string line; std::getline(file, line);) {
      const auto json = nlohmann::json::parse(line);
      if (!json.contains("loss")) continue;
      losses.resize(json.at("step").get<size_t>(), std::nan(""));
      losses.back() = json.at("loss").get<double>();
    }
    return losses;
  }
  static void ExpectNear(const std::vector<double>& got, const std::vector<double>& expected,
                         double tolerance) {
    ASSERT_EQ(got.size(), 10u);
    ASSERT_EQ(expected.size(), 10u);
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], expected[i], tolerance * expected[i]) << "step " << i + 1;
    }
  }

  TempDir dir_;
  const std::string data_ = dir_.File("birds.txt");
  std::string said_;
};

// 1e-5: fp32 sums of the same numbers in another order, over ten steps.
constexpr double kRounding = 1e-5;

TEST_F(DistributedTest, TwoProcessesTrainAsOneDoes) {
  TERN_REQUIRE_MPI();
  ASSERT_EQ(Train(0, "one", NewRun("")), 0) << said_;
  ASSERT_EQ(Train(2, "two", NewRun("")), 0) << said_;
  ExpectNear(Losses("two"), Losses("one"), kRounding);
  EXPECT_LT(Losses("two").back(), 0.9 * Losses("two").front());  // and they learn
  EXPECT_TRUE(std::filesystem::exists(dir_.File("two") + "/model.safetensors"));
  // Gradients rounded to 8 bits: the direction of ten steps differs by 2⁻⁸ or so, the losses by less than 2
  // %.
  ASSERT_EQ(Train(2, "rounded", NewRun("--reduce bf16")), 0) << said_;
  ExpectNear(Losses("rounded"), Losses("one"), 0.02);
  EXPECT_NE(Losses("rounded"), Losses("two"));
}

TEST_F(DistributedTest, ARunGoesOnWithAnotherNumberOfProcesses) {
  TERN_REQUIRE_MPI();
  const std::string streams = NewRun("--order streams");
  ASSERT_EQ(Train(0, "one", streams), 0) << said_;
  ASSERT_EQ(Train(2, "two", streams), 0) << said_;
  const std::vector<double> whole = Losses("one");
  const std::string last = dir_.File("two") + "/step-00000010.safetensors";
  ASSERT_TRUE(std::filesystem::remove(last)) << "two processes saved no last step";
  ASSERT_EQ(Train(0, "two", "--resume"), 0) << said_;  // from step 5, which two processes saved
  EXPECT_THAT(said_, HasSubstr("step 5"));
  ExpectNear(Losses("two"), whole, kRounding);
  ASSERT_TRUE(std::filesystem::remove(last));
  ASSERT_EQ(Train(3, "two", "--resume"), 0) << said_;
  ExpectNear(Losses("two"), whole, kRounding);
}

TEST_F(DistributedTest, AnErrorEndsAllProcesses) {
  TERN_REQUIRE_MPI();
  EXPECT_EQ(Train(2, "none", NewRun("--clip=-1")), 2) << said_;
  EXPECT_THAT(said_, HasSubstr("process 0 of 2: --clip -1: expected 0 to 1000000"));
  EXPECT_EQ(Train(6, "few", NewRun("")), 2) << said_;
  EXPECT_THAT(said_, HasSubstr("--batch 5: 6 processes need a row each"));
}

}  // namespace
}  // namespace tern::testing
