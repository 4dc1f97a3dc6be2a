// lahar doctor: what a bug report should say of a device, and whether each kernel computes the right thing on it.
#include <cstdio>

#include "cli/command.h"
#include "cli/session.h"
#include "core/platform.h"
#include "tune/doctor.h"

namespace lahar::cli {
namespace {

// For the checks on a CPU, whose compiler is slow: seconds.
constexpr double kCpuSeconds = 90;

struct State {
  std::string device;
  bool json = false, full = false, verbose = false;
  double limit = 0;
};

Status run(const State& state) {
  LAHAR_ASSIGN(const auto device, open_device(state.device, stderr_log(state.verbose)));
  tune::Database database = tune::Database::open(*device);
  platform::InterruptGuard interrupts;
  const bool progress = platform::stderr_is_terminal();
  tune::DoctorOptions options;
  options.all_forms = state.full || !device->caps().is_cpu();
  if (state.limit > 0) options.seconds = state.limit;
  else if (!state.full && device->caps().is_cpu()) options.seconds = kCpuSeconds;
  options.on_check = [&](const std::string& what) {
    if (progress) {
      const auto most = static_cast<size_t>(std::max(platform::terminal_columns() - 1, 20));
      std::fprintf(stderr, "\r\033[K%s", what.substr(0, most).c_str());
    }
    return !platform::InterruptGuard::interrupted();
  };
  const auto report = tune::examine(*device, database, options);
  if (progress) std::fprintf(stderr, "\r\033[K");
  if (!report.ok() && report.error().code == ErrorCode::kDeviceLost)
    return annotate(report.error(), "the form that ran is in quarantine; run this again");
  if (!report.ok()) return report.error();
  std::printf("%s", (state.json ? tune::to_json_text(*report) + "\n" : tune::to_markdown(*report)).c_str());
  if (!report->failures.empty())
    return Error{ErrorCode::kInternal, std::to_string(report->failures.size()) +
                                           " forms of kernels failed; they are in quarantine, others are used instead"};
  return {};
}

}  // namespace

void add_doctor(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  CLI::App* command =
      add_command(program, "doctor", "Check the device and every kernel on it, for a bug report", chosen, run, state);
  command->add_option("--device", state->device, "Device: its number, UUID or a part of its name");
  command->add_flag("--json", state->json, "As JSON");
  command->add_flag("--full", state->full, "On a CPU too: every form of the common formats, without a time limit");
  command->add_option("--limit", state->limit, "Check for so many seconds at most")->check(CLI::PositiveNumber);
  command->add_flag("-v,--verbose", state->verbose, "Say what is being done");
}

}  // namespace lahar::cli
