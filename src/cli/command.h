// The program is a list of commands, one file each.
#pragma once

#include <functional>

#include <CLI/CLI.hpp>

#include "base/status.h"

namespace tern {

/// What the parsed command line asks for. Set by the chosen command's callback, run by main.
using Run = std::function<Status()>;

// Each adds its subcommand, with all its options, to `app`.
void AddGenerate(CLI::App& app, Run* run);
void AddChat(CLI::App& app, Run* run);
void AddInfo(CLI::App& app, Run* run);
void AddLogits(CLI::App& app, Run* run);
void AddTokenize(CLI::App& app, Run* run);
void AddDetokenize(CLI::App& app, Run* run);
void AddTokenizer(CLI::App& app, Run* run);
void AddConvert(CLI::App& app, Run* run);
void AddEval(CLI::App& app, Run* run);
void AddTrain(CLI::App& app, Run* run);
void AddBench(CLI::App& app, Run* run);
void AddServe(CLI::App& app, Run* run);

}  // namespace tern
