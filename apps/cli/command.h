// One file a subcommand: each adds itself to the program and hands back what to do when it is chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "core/result.h"

namespace lahar::cli {

// What a subcommand does. An error becomes one line on stderr and exit code 1.
using Action = std::function<Status()>;

// Adds a subcommand whose options are parsed into a `State` that lives as long as the program.
template <typename State>
CLI::App* add_command(CLI::App& program, const std::string& name, const std::string& help, Action& chosen,
                      Status (*run)(const State&), std::shared_ptr<State> state) {
  CLI::App* command = program.add_subcommand(name, help);
  command->callback([&chosen, run, state] { chosen = [run, state] { return run(*state); }; });
  return command;
}

void add_bench(CLI::App& program, Action& chosen);
void add_chat(CLI::App& program, Action& chosen);
void add_devices(CLI::App& program, Action& chosen);
void add_doctor(CLI::App& program, Action& chosen);
void add_inspect(CLI::App& program, Action& chosen);
void add_kernels(CLI::App& program, Action& chosen);
void add_logits(CLI::App& program, Action& chosen);
void add_perplexity(CLI::App& program, Action& chosen);
void add_quantize(CLI::App& program, Action& chosen);
void add_run(CLI::App& program, Action& chosen);
void add_synth(CLI::App& program, Action& chosen);
void add_template(CLI::App& program, Action& chosen);
void add_tokenize(CLI::App& program, Action& chosen);  // tokenize and detokenize
void add_tune(CLI::App& program, Action& chosen);

}  // namespace lahar::cli
