// lahar bench: tokens per second of prompts (pp) and decoding (tg), and what share of the device's measured rates that is.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/bench.h"
#include "cli/command.h"
#include "engine/step_bench.h"

namespace lahar::cli {
namespace {

struct Measured {
  BenchCase what;
  Work work;                    // of one run
  std::vector<double> seconds;  // by run

  std::vector<double> rates() const {
    std::vector<double> r;
    for (const double s : seconds) r.push_back(static_cast<double>(what.tokens()) / s);
    return r;
  }
  double bytes_per_second() const { return work.bytes / median(seconds); }
  double flops_per_second() const { return work.flops / median(seconds); }
};

// Around the cases: what the device can do, and how long starting took.
struct Surroundings {
  tune::DeviceRates device;
  double load_seconds = 0, first_token_seconds = 0;
  uint32_t first_prompt = 0;  // tokens
};

nlohmann::ordered_json to_json(const Session& session, const ModelOptions& options, const Surroundings& around,
                               const Measured& m) {
  std::vector<double> ns;
  for (const double s : m.seconds) ns.push_back(std::round(s * 1e9));
  const gpu::Caps& caps = session.device->caps();
  nlohmann::ordered_json j;
  j["build"] = LAHAR_VERSION;
  j["backends"] = "Vulkan";
  j["gpu_info"] = caps.info.name;
  j["driver"] = caps.info.driver_info;
  j["model_filename"] = options.model.empty() ? session.source->name() : options.model;
  j["model_type"] = session.engine->spec().architecture;
  j["model_size"] = session.engine->weight_bytes();
  j["precision"] = options.precision;
  j["quantize"] = options.quantize;
  j["n_prompt"] = m.what.prompt;
  j["n_gen"] = m.what.generated;
  j["n_depth"] = m.what.depth;
  j["n_sequences"] = m.what.batch;
  j["avg_ns"] = mean(ns);
  j["stddev_ns"] = deviation(ns);
  j["avg_ts"] = mean(m.rates());
  j["stddev_ts"] = deviation(m.rates());
  j["samples_ns"] = ns;
  j["samples_ts"] = m.rates();
  j["bytes_per_second"] = m.bytes_per_second();
  j["flops_per_second"] = m.flops_per_second();
  j["device_copy_bytes_per_second"] = around.device.copy;
  j["device_matrix_flops_per_second"] = around.device.matrix;
  j["load_seconds"] = around.load_seconds;
  j["first_token_seconds"] = around.first_token_seconds;
  j["first_token_prompt"] = around.first_prompt;
  return j;
}

void print_head(const Session& session, const Surroundings& around) {
  std::printf("%s on %s, weights %s\n", session.source->name().c_str(), session.device->caps().info.name.c_str(),
              format_bytes(session.engine->weight_bytes()).c_str());
  std::printf("the device copies %.1f GB/s and multiplies %.2f TFLOP/s (measured)\n", around.device.copy / 1e9,
              around.device.matrix / 1e12);
  std::printf("loaded in %.2f s; then the first token of a prompt of %u after %.3f s\n\n", around.load_seconds,
              around.first_prompt, around.first_token_seconds);
  std::printf("| test | tokens/s | deviation | GB/s | of the copy | TFLOP/s | of the product |\n");
  std::printf("|---|---:|---:|---:|---:|---:|---:|\n");
}

void print_row(const Surroundings& around, const Measured& m) {
  char bytes[48] = "- | -", flops[48] = "- | -";
  if (const double rate = m.bytes_per_second(); rate > 0)
    std::snprintf(bytes, sizeof(bytes), "%.2f | %s", rate / 1e9, share_of(rate, around.device.copy).c_str());
  if (const double rate = m.flops_per_second(); rate > 0)
    std::snprintf(flops, sizeof(flops), "%.3f | %s", rate / 1e12, share_of(rate, around.device.matrix).c_str());
  std::printf("| %s | %.2f | %.2f | %s | %s |\n", m.what.name().c_str(), mean(m.rates()), deviation(m.rates()), bytes,
              flops);
}

Result<double> run_once(StepBench& bench, const BenchCase& c) {
  return c.prompt > 0 ? bench.prefill(c.prompt, c.depth) : bench.decode(c.generated, c.depth, c.batch);
}

Result<Measured> measure(const Engine& engine, StepBench& bench, const BenchCase& c, uint32_t repetitions) {
  Measured m{c, work_of(engine, c), {}};
  LAHAR_TRY(run_once(bench, c));  // records the programs, warms the caches
  for (uint32_t i = 0; i < repetitions; ++i) {
    LAHAR_ASSIGN(const double seconds, run_once(bench, c));
    m.seconds.push_back(seconds);
  }
  return m;
}

// The first prompt after loading: programs are recorded and pipelines built meanwhile.
Status time_first_token(Engine& engine, Surroundings& around) {
  std::vector<int32_t> prompt(around.first_prompt, 1);
  LAHAR_ASSIGN(const GenerateOutcome outcome,
               engine.generate({.prompt = prompt, .max_tokens = 1, .sampling = {.temperature = 0}}));
  around.first_token_seconds = outcome.stats.prefill_seconds;
  return {};
}

Status bench_model(const BenchOptions& options) {
  const std::vector<BenchCase> cases = bench_cases(options);
  if (cases.empty()) return Error{ErrorCode::kInvalidArgument, "there is nothing to measure: -p or -n must be above 0"};
  LAHAR_ASSIGN(Session session, open_for(options, cases));

  Surroundings around;
  around.load_seconds = session.times.load;
  for (const BenchCase& c : cases)
    if (around.first_prompt == 0) around.first_prompt = c.prompt;
  around.first_prompt = std::clamp(around.first_prompt, 1u, session.engine->context());
  LAHAR_TRY(time_first_token(*session.engine, around));
  LAHAR_ASSIGN(around.device, tune::measure_device_rates(*session.device, session.engine->tuning().get()));

  const bool json = options.output == "json";
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  if (!json) print_head(session, around);
  StepBench bench(*session.engine);
  for (const BenchCase& c : cases) {
    LAHAR_ASSIGN(const Measured m, measure(*session.engine, bench, c, options.repetitions));
    if (json) list.push_back(to_json(session, options.model, around, m));
    else print_row(around, m);
    std::fflush(stdout);
  }
  if (json) std::printf("%s\n", list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  return {};
}

Status run(const BenchOptions& options) {
  if (options.host_only) return bench_host(options);
  if (options.ops) return bench_ops(options);
  if (!options.trace.empty()) return bench_trace(options);
  return bench_model(options);
}

}  // namespace

void add_bench(CLI::App& program, Action& chosen) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = add_command(program, "bench", "Measure speed: tokens, kernels, one step's trace, the host's part",
                                  chosen, run, options);
  add_model_options(*command, options->model, "the built-in model; with --ops, shapes of common models");
  const auto numbers = [&](const char* name, std::vector<uint32_t>& values, const char* help) {
    return command->add_option(name, values, help)->delimiter(',')->allow_extra_args(false)->capture_default_str();
  };
  numbers("-p,--prompt", options->prompts, "Prompt lengths, separated by commas; 0: none")
      ->each([options](const std::string&) { options->prompt_given = true; });
  numbers("-n,--generate", options->generated, "Tokens to decode, separated by commas; 0: none")
      ->each([options](const std::string&) { options->generate_given = true; });
  numbers("-d,--depth", options->depths, "Tokens in the cache beforehand, separated by commas");
  numbers("-b,--batch", options->batches, "Sequences decoded together, separated by commas")
      ->check(CLI::Range(1u, params::kMaxRuns));
  command->add_option("-r,--repetitions", options->repetitions, "How often each is measured")
      ->check(CLI::Range(1u, 1000u))
      ->capture_default_str();
  command->add_option("-o,--output", options->output, "md or json")
      ->check(CLI::IsMember({"md", "json"}))
      ->capture_default_str();
  CLI::Option* trace = command->add_option("--trace", options->trace,
                                           "Run one decode step (with -p a chunk of a prompt too), write the device's times "
                                           "of each op to this file (for Perfetto "
                                           "or chrome://tracing) and sum them up");
  CLI::Option* ops = command->add_flag("--ops", options->ops, "Measure each kernel by itself, with cold weights");
  CLI::Option* host = command->add_flag(
      "--host-only", options->host_only,
      "Time what the host does in a decode step; works on devices that only pretend to run, whose tokens mean nothing");
  trace->excludes(ops)->excludes(host);
  ops->excludes(host);
}

}  // namespace lahar::cli
