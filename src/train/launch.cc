#include "train/launch.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "train/mpi/module.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModule = "tern_mpi.so";

Result<std::string> FindModule() {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  const fs::path beside = folder / kModule, installed = folder.parent_path() / "lib" / "tern" / kModule;
  for (const fs::path& path : {beside, installed}) {
    if (fs::exists(path, error)) return path.string();
  }
  return NotFound(fmt::format(
      "started by mpirun, but there is no module for MPI ('{}' or '{}'): build tern with libopenmpi-dev "
      "installed",
      beside.string(), installed.string()));
}

}  // namespace

bool StartedWithOthers() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    if (const char* value = std::getenv(name); value != nullptr) return std::string_view(value) != "1";
  }
  return std::getenv("PMIX_RANK") != nullptr || std::getenv("PMI_RANK") != nullptr;
}

Result<std::unique_ptr<Communicator>> Launch(const LaunchOptions& options) {
  if (!StartedWithOthers()) return std::unique_ptr<Communicator>(std::make_unique<SingleProcess>());
  std::string path = options.module;
  if (path.empty()) {
    TERN_ASSIGN_OR_RETURN(path, FindModule());
  }
  // Global: Open MPI loads parts of its own that look for its symbols.
  void* module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (module == nullptr) return IoError(fmt::format("cannot load '{}': {}", path, ::dlerror()));
  const auto connect = reinterpret_cast<ConnectFunction>(::dlsym(module, kConnectName));
  if (connect == nullptr) return Corrupt(fmt::format("'{}' has no function {}", path, kConnectName));
  Result<std::unique_ptr<Communicator>> communicator(Status{StatusCode::kUnsupported, "MPI did not start"});
  connect(options.reduce_bf16 ? Wire::kBf16 : Wire::kF32, &communicator);
  return communicator;
}

Status CheckSame(Communicator& communicator, const std::vector<uint64_t>& values, const std::string& what) {
  // Halves, whose sums doubles hold exactly.
  std::vector<double> sums;
  for (const uint64_t value : values) {
    sums.push_back(static_cast<double>(value >> 32));
    sums.push_back(static_cast<double>(value & 0xffffffffu));
  }
  const std::vector<double> own = sums;
  TERN_RETURN_IF_ERROR(communicator.Sum(sums));
  double differences[1] = {0};
  for (size_t i = 0; i < own.size(); ++i) {
    if (sums[i] != own[i] * communicator.size()) differences[0] = 1;
  }
  // Those that happen to have the mean learn it as well.
  TERN_RETURN_IF_ERROR(communicator.Sum(differences));
  if (differences[0] == 0) return OkStatus();
  return InvalidArgument(fmt::format("the {} processes do not have the same {}: do all read the same files?",
                                     communicator.size(), what));
}

}  // namespace tern::train
