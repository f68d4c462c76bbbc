#pragma once

#include <mat/io/durable_file.hpp>
#include <mat/version.hpp>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace example {

// What the command lines of the programs have in common.

/// The command line asks for what cannot be: exit status 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A value of the command line that is a whole number from `least` to `most`.
[[nodiscard]] inline CLI::Validator whole(mat::Index least, mat::Index most = std::numeric_limits<mat::Index>::max()) {
  const bool bounded = most < std::numeric_limits<mat::Index>::max();
  const std::string expected =
      "a whole number of at least " + std::to_string(least) + (bounded ? " and at most " + std::to_string(most) : "");
  const auto check = [=](const std::string& text) -> std::string {
    mat::Index value = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool read = end.ec == std::errc() && end.ptr == text.data() + text.size();
    return read && value >= least && value <= most ? "" : "the value is " + text + ", expected " + expected;
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

/// A file that a program will write: the option that names it, its path, which may be empty, and whether what it holds
/// is replaced.
struct Output {
  enum class Mode { replace, append };
  std::string option, path;
  Mode mode = Mode::replace;
};

/// True if both paths name one file, which need not be there yet.
[[nodiscard]] inline bool same_file(const std::string& a, const std::string& b) {
  namespace fs = std::filesystem;
  std::error_code none;
  // Absolute first: of a relative path without a folder that is there, weakly_canonical makes nothing.
  const auto whole = [&](const std::string& path) { return fs::weakly_canonical(fs::absolute(path, none), none); };
  return fs::equivalent(a, b, none) || whole(a) == whole(b);
}

/// Throws before a long training what would only fail after it, or spoil what the user has: an output that is an input,
/// another output or a folder (UsageError), or that cannot be created (FileError).
inline void check_outputs(const std::vector<Output>& outputs, const std::vector<std::string>& inputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Output& output = outputs[i];
    if (output.path.empty()) continue;
    for (const std::string& input : inputs) {
      if (input.empty() || !same_file(input, output.path)) continue;
      const bool replaces = output.mode == Output::Mode::replace;
      throw UsageError(output.option + (replaces ? " would replace " : " would write to ") + input);
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (outputs[j].path.empty() || !same_file(outputs[j].path, output.path)) continue;
      throw UsageError(outputs[j].option + " and " + output.option + " are one file: " + output.path);
    }
    if (std::filesystem::is_directory(output.path)) throw UsageError(output.option + " is a folder: " + output.path);
    if (output.mode == Output::Mode::replace) const mat::DurableFile can_be_created(output.path);
  }
}

/// Throws UsageError unless every head has as many features.
inline void check_heads(mat::Index dim, mat::Index heads) {
  if (dim % heads == 0) return;
  throw UsageError("--dim " + std::to_string(dim) + " is no multiple of --heads " + std::to_string(heads));
}

/// A path of the command line that is not empty.
[[nodiscard]] inline CLI::Validator named() {
  return CLI::Validator([](const std::string& path) { return path.empty() ? "the path is empty" : std::string(); }, "",
                        "named");
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
