// lahar synth: a model of random weights, for benchmarks without a download.
#include <cstdio>

#include "cli/command.h"
#include "cli/terminal.h"
#include "format/synth.h"

namespace lahar::cli {
namespace {

struct State {
  std::string shape, format, out;
};

std::string join(const std::vector<std::string_view>& names) {
  std::string text;
  for (const std::string_view name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

Status run(const State& state) {
  ProgressBar bar("Writing " + state.out);
  SynthOptions options;
  options.progress = [&](uint64_t done, uint64_t total) {
    bar.update(done, total);
    return true;
  };
  return synthesize(state.shape, state.format, state.out, options);
}

}  // namespace

void add_synth(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  CLI::App* command =
      add_command(program, "synth", "Write a GGUF model of random weights, for benchmarks", chosen, run, state);
  command->add_option("SHAPE", state->shape, join(synth_shapes()))->required();
  command->add_option("FORMAT", state->format, join(synth_formats()))->required();
  command->add_option("OUT", state->out, "File to write")->required();
}

}  // namespace lahar::cli
