#include "train/run_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/file.h"

namespace tern::train {
namespace {

using Json = nlohmann::json;

void AddToChart(const Json& line, LossChart* chart) {
  const int64_t step = line["step"];
  if (line.contains("smoothed_loss") && line["smoothed_loss"].is_number())
    chart->AddTraining(step, line["smoothed_loss"]);
  if (line.contains("validation_loss") && line["validation_loss"].is_number()) {
    chart->AddValidation(step, line["validation_loss"]);
  }
}

/// The lines up to `step`. What is no line of a log (a write that was cut off) is left out.
std::string LinesKept(const std::string& content, int64_t step, LossChart* chart) {
  std::string kept;
  std::istringstream lines(content);
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) continue;
    if (json["step"].get<int64_t>() > step) continue;
    AddToChart(json, chart);
    kept += line + "\n";
  }
  return kept;
}

Status Failed(const std::string& path) {
  return IoError(fmt::format("cannot write '{}': {}", path, std::strerror(errno)));
}

}  // namespace

Result<std::unique_ptr<RunLog>> RunLog::Open(const std::string& path, int64_t step, LossChart* chart) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return Failed(path);
  std::unique_ptr<RunLog> log(new RunLog(path, fd));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return InvalidArgument(fmt::format("'{}' is being written: another run uses this folder", path));
  }
  TERN_ASSIGN_OR_RETURN(const std::string content, ReadFileToString(path));
  const std::string kept = LinesKept(content, step, chart);
  if (kept == content) return log;
  // Shortened in place, so that the lock stays on this file: a crash in between loses old lines of a log, no
  // weights.
  if (::ftruncate(fd, 0) != 0) return Failed(path);
  for (size_t done = 0; done < kept.size();) {
    const ssize_t wrote = ::write(fd, kept.data() + done, kept.size() - done);
    if (wrote < 0 && errno != EINTR) return Failed(path);
    if (wrote > 0) done += static_cast<size_t>(wrote);
  }
  return log;
}

RunLog::~RunLog() { ::close(fd_); }

Status RunLog::Append(const nlohmann::json& line) {
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const ssize_t wrote = ::write(fd_, text.data(), text.size());
  return wrote == static_cast<ssize_t>(text.size()) ? OkStatus() : Failed(path_);
}

}  // namespace tern::train
