#include <cstdio>
#include <exception>

#include "cli/command.h"

namespace {

constexpr int kFailure = 1;
constexpr int kBadUsage = 2;

int report(const std::string& message, int code) {
  std::string line = message;
  for (char& c : line)
    if (c == '\n' || c == '\r') c = ' ';
  std::fprintf(stderr, "lahar: %s\n", line.c_str());
  return code;
}

int run(int argc, char** argv) {
  CLI::App program("Runs large language models on any GPU, through Vulkan.", "lahar");
  program.require_subcommand(1);
  program.set_help_all_flag("--help-all", "Help of every subcommand");
  program.set_version_flag("--version", LAHAR_VERSION);
  lahar::cli::Action chosen;
  for (const auto add : {lahar::cli::add_chat, lahar::cli::add_run, lahar::cli::add_devices, lahar::cli::add_inspect,
                         lahar::cli::add_tokenize, lahar::cli::add_template, lahar::cli::add_logits,
                         lahar::cli::add_perplexity, lahar::cli::add_bench, lahar::cli::add_tune, lahar::cli::add_doctor,
                         lahar::cli::add_synth, lahar::cli::add_quantize, lahar::cli::add_kernels})
    add(program, chosen);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return program.exit(e);
    return report(std::string(e.what()) + "; see lahar --help", kBadUsage);
  }
  const lahar::Status status = chosen();
  if (status.ok()) return 0;
  return report(status.error().message, status.error().code == lahar::ErrorCode::kInvalidArgument ? kBadUsage : kFailure);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) { return report("out of memory", kFailure); } catch (const std::exception& e) {
    return report(e.what(), kFailure);
  }
}
