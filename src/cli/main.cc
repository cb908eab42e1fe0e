// tern: runs, converts and inspects RWKV models.
#include <cstdio>
#include <exception>
#include <iostream>

#include <fmt/format.h>

#include "base/log.h"
#include "cli/command.h"
#include "cli/numbers.h"

namespace {

constexpr int kOk = 0, kFailed = 1, kUsage = 2, kInterrupted = 130;

int ExitCode(const tern::Status& status) {
  if (status.ok()) return kOk;
  if (status.code() == tern::StatusCode::kCancelled) return kInterrupted;
  fmt::print(stderr, "tern: {}\n", status.message());
  return status.code() == tern::StatusCode::kInvalidArgument ? kUsage : kFailed;
}

}  // namespace

int main(int argc, char** argv) {
  tern::InitLogging(false);
  // C's streams give up a write that a signal interrupts; C++'s own buffers try again, so that Ctrl-C loses no text.
  std::ios::sync_with_stdio(false);
  CLI::App app{"Tern runs, trains and serves RWKV language models.", "tern"};
  app.require_subcommand(1);
  app.set_version_flag("--version", TERN_VERSION);
  app.set_help_all_flag("--help-all", "The help of every command");
  tern::Run run;
  tern::AddGenerate(app, &run);
  tern::AddChat(app, &run);
  tern::AddInfo(app, &run);
  tern::AddLogits(app, &run);
  tern::AddTokenize(app, &run);
  tern::AddDetokenize(app, &run);
  tern::AddTokenizer(app, &run);
  tern::AddConvert(app, &run);
  tern::AddEval(app, &run);
  tern::AddTrain(app, &run);
  tern::AddBench(app, &run);
  tern::AddServe(app, &run);
  tern::ReadNumbersAsWritten(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    if (argc > 1 && argv[1][0] != '-' && app.get_subcommands().empty()) {
      fmt::print(stderr, "tern: there is no command '{}' (see tern --help)\n", argv[1]);
      return kUsage;
    }
    fmt::print(stderr, "tern: {} (see tern {}--help)\n", error.what(),
               app.get_subcommands().empty() ? "" : app.get_subcommands().front()->get_name() + " ");
    return kUsage;
  }
  try {
    const int code = ExitCode(run());
    std::cout.flush();
    if (!std::cout && code == kOk) {
      fmt::print(stderr, "tern: cannot write to standard output\n");
      return kFailed;
    }
    return code;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "tern: out of memory\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "tern: internal error: {}\n", error.what());
  }
  return kFailed;
}
