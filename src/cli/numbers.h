// How the command line reads numbers.
#pragma once

#include <CLI/CLI.hpp>

namespace tern {

/// Makes every option of every command that takes numbers (type names N, N,…, INT, UINT, FLOAT, ID…, ID,ID,…) refuse what
/// is no number, an empty text above all, and read whole numbers as decimal ones: CLI11 alone takes 010 for eight.
/// Called once, after all options are declared.
void ReadNumbersAsWritten(CLI::App& app);

/// A number of `least` or more. (CLI::PositiveNumber's refusals print 300 digits.)
CLI::Validator AtLeast(double least);

/// For --memory and its like: "800M", "1.5G", "64KiB", "1000000"; what the option gets is bytes. Thousands unless an i says
/// otherwise.
CLI::Validator AsBytes();

}  // namespace tern
