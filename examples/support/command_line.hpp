#pragma once

#include <mat/core/types.hpp>
#include <mat/version.hpp>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>

namespace example {

// What the command lines of the programs have in common.

/// The command line asks for what cannot be: exit status 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A value of the command line that is a whole number of at least `least`.
[[nodiscard]] inline CLI::Validator whole(mat::Index least) {
  const std::string expected = "a whole number of at least " + std::to_string(least);
  const auto check = [=](const std::string& text) -> std::string {
    mat::Index value = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool read = end.ec == std::errc() && end.ptr == text.data() + text.size();
    return read && value >= least ? "" : "the value is " + text + ", expected " + expected;
  };
  return CLI::Validator(check, "", "whole");
}

/// A value of the command line that is a number in [least, end).
[[nodiscard]] inline CLI::Validator number(double least, double end) {
  const auto check = [=](const std::string& text) -> std::string {
    char* after = nullptr;
    const double value = std::strtod(text.c_str(), &after);
    if (!text.empty() && *after == '\0' && value >= least && value < end) return "";
    std::ostringstream message;
    message << "the value is " << text << ", expected a number in [" << least << ", " << end << ")";
    return message.str();
  };
  return CLI::Validator(check, "", "number");
}

/// Parses the command line and runs: exit status 0; 1 for what goes wrong; 2 for what was asked wrongly. `commands`
/// names the subcommands for a message.
template <class Run>
int run_program(CLI::App& app, int argc, char** argv, const std::string& program, const std::string& commands,
                const Run& run) {
  const auto complain = [&](std::string what, int status) {
    for (char& c : what) c = c == '\n' ? ' ' : c;  // one line, whatever went wrong
    std::fprintf(stderr, "%s: %s\n", program.c_str(), what.c_str());
    return status;
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::Error& error) {
    if (commands.empty() || !app.get_subcommands().empty()) return complain(error.what(), 2);
    const std::vector<std::string> rest = app.remaining();
    const std::string what = rest.empty() ? "there is no command" : "'" + rest[0] + "' is no command";
    return complain(what + ", expected " + commands + " (or --help)", 2);
  }
  try {
    run();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
      throw std::runtime_error("standard output cannot be written");
  } catch (const UsageError& error) {
    return complain(error.what(), 2);
  } catch (const std::bad_alloc&) {
    return complain("there is not enough memory", 1);
  } catch (const std::exception& error) {
    return complain(error.what(), 1);
  }
  return 0;
}

}  // namespace example
