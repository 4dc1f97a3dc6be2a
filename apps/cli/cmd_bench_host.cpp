// lahar bench --host-only: what a decode step costs the host.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/bench.h"
#include "core/platform.h"
#include "engine/step_bench.h"

namespace lahar::cli {
namespace {

constexpr double kMicro = 1e6;

// Seconds a step. `rest`: bookkeeping, and reading what was sampled.
struct HostCost {
  double record = 0, write = 0, submit = 0, wait = 0, rest = 0, total = 0, cpu = 0;
  double apart_from_waiting() const { return total - wait; }
};

Result<HostCost> measure(Engine& engine, StepBench& bench, const BenchCase& c) {
  HostSeconds sums;
  engine.steps().measure_host(&sums);
  const double cpu = platform::process_cpu_seconds();
  const Result<double> seconds = bench.decode(c.generated, c.depth, c.batch);
  engine.steps().measure_host(nullptr);
  if (!seconds.ok()) return seconds.error();
  const double steps = c.generated;
  HostCost cost{.record = sums.record / steps,
                .write = sums.write / steps,
                .submit = sums.submit / steps,
                .wait = sums.wait / steps,
                .total = *seconds / steps,
                .cpu = (platform::process_cpu_seconds() - cpu) / steps};
  cost.rest = cost.total - cost.record - cost.write - cost.submit - cost.wait;
  return cost;
}

double part(const std::vector<HostCost>& costs, double HostCost::*field) {
  std::vector<double> values;
  for (const HostCost& cost : costs) values.push_back(cost.*field);
  return median(values);
}

void print(const BenchCase& c, const std::vector<HostCost>& costs) {
  const auto us = [&](double HostCost::*field) { return part(costs, field) * kMicro; };
  std::vector<double> apart;
  for (const HostCost& cost : costs) apart.push_back(cost.apart_from_waiting());
  const double total = part(costs, &HostCost::total);
  std::printf("%s: %.1f us a step, %.1f us apart from waiting; %.1f tokens/s; %.0f %% of one processor core\n",
              c.name().c_str(), total * kMicro, median(apart) * kMicro, c.batch / total,
              100 * part(costs, &HostCost::cpu) / total);
  std::printf("  record %.2f, write the input %.2f, submit %.2f, wait %.2f, the rest %.2f us\n", us(&HostCost::record),
              us(&HostCost::write), us(&HostCost::submit), us(&HostCost::wait), us(&HostCost::rest));
}

nlohmann::ordered_json to_json(const Session& session, const BenchCase& c, const std::vector<HostCost>& costs) {
  const auto us = [&](double HostCost::*field) { return part(costs, field) * kMicro; };
  const gpu::Caps& caps = session.device->caps();
  nlohmann::ordered_json j;
  j["build"] = LAHAR_VERSION;
  j["gpu_info"] = caps.info.name;
  j["driver"] = caps.info.driver_info;
  j["host_only"] = true;
  j["n_prompt"] = 0;
  j["n_gen"] = c.generated;
  j["n_depth"] = c.depth;
  j["n_sequences"] = c.batch;
  j["avg_ts"] = c.batch / part(costs, &HostCost::total);
  j["total_us"] = us(&HostCost::total);
  j["record_us"] = us(&HostCost::record);
  j["write_us"] = us(&HostCost::write);
  j["submit_us"] = us(&HostCost::submit);
  j["wait_us"] = us(&HostCost::wait);
  j["rest_us"] = us(&HostCost::rest);
  j["cpu_us"] = us(&HostCost::cpu);
  return j;
}

}  // namespace

Status bench_host(const BenchOptions& options) {
  BenchOptions decoding = options;
  decoding.prompts.clear();
  const std::vector<BenchCase> cases = bench_cases(decoding);
  if (cases.empty()) return Error{ErrorCode::kInvalidArgument, "there is nothing to measure: -n must be above 0"};
  LAHAR_ASSIGN(Session session, open_for(decoding, cases));
  const bool json = options.output == "json";
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  if (!json)
    std::printf(
        "%s on %s: the host's part of a step. Nobody looks at the tokens: a device that only pretends to run gives "
        "none that mean anything.\n",
        session.source->name().c_str(), session.device->caps().info.name.c_str());
  StepBench bench(*session.engine);
  for (const BenchCase& c : cases) {
    LAHAR_TRY(measure(*session.engine, bench, c));  // records the programs
    std::vector<HostCost> costs;
    for (uint32_t i = 0; i < options.repetitions; ++i) {
      LAHAR_ASSIGN(const HostCost cost, measure(*session.engine, bench, c));
      costs.push_back(cost);
    }
    if (json) list.push_back(to_json(session, c, costs));
    else print(c, costs);
  }
  if (json) std::printf("%s\n", list.dump(2).c_str());
  return {};
}

}  // namespace lahar::cli
