// tern: runs, converts and inspects RWKV models.
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

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

/// Sends what stands in the buffer: a full disk is noticed only here.
int FlushOutput(int code) {
  std::cout.flush();
  if (std::cout || code != kOk) return code;
  fmt::print(stderr, "tern: cannot write to standard output\n");
  return kFailed;
}

/// The commands as given, the program first: tern, eval, perplexity.
std::vector<const CLI::App*> GivenCommands(const CLI::App& app) {
  std::vector<const CLI::App*> commands = {&app};
  while (!commands.back()->get_subcommands().empty()) {
    commands.push_back(commands.back()->get_subcommands().front());
  }
  return commands;
}

/// What is wrong with the command line, and where to read how it goes. An argument that nobody knows comes
/// before one that is missing: it is often the missing one, misspelt.
std::string ExplainUsage(const CLI::App& app, const CLI::ParseError& error) {
  std::string name, what = error.what();
  const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr ||
                       dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  for (const CLI::App* command : GivenCommands(app)) {
    name += (name.empty() ? "" : " ") + command->get_name();
    const std::vector<std::string> unknown = command->remaining();
    if (!missing || unknown.empty()) continue;
    const std::string& first = unknown.front();
    const bool groups = !command->get_subcommands([](const CLI::App*) { return true; }).empty();
    if (first.starts_with('-')) {
      what = fmt::format("there is no option '{}'", first);
    } else if (groups && command->get_subcommands().empty()) {
      what = fmt::format("there is no command '{}'", (name + " " + first).substr(app.get_name().size() + 1));
    } else {
      what = fmt::format("nothing is expected at '{}'", first);
    }
    break;
  }
  return fmt::format("{} (see {} --help)", what, name);
}

}  // namespace

int main(int argc, char** argv) {
  tern::InitLogging(false);
  // A file that outgrows `ulimit -f` is then a write that fails: a message, and no temporary file is left.
  std::signal(SIGXFSZ, SIG_IGN);
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
    if (error.get_exit_code() == 0) return FlushOutput(app.exit(error));  // --help, --version
    fmt::print(stderr, "tern: {}\n", ExplainUsage(app, error));
    return kUsage;
  }
  try {
    return FlushOutput(ExitCode(run()));
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "tern: out of memory\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "tern: internal error: {}\n", error.what());
  }
  return kFailed;
}
