// lahar bench: tokens per second of prefill (pp) and decode (tg).
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/session.h"

namespace lahar::cli {
namespace {

struct State {
  ModelOptions model;
  std::vector<uint32_t> prompts, generated, depths = {0};
  uint32_t repetitions = 5;
  std::string output = "md";
};

struct Row {
  uint32_t prompt = 0, generated = 0, depth = 0;
  std::vector<double> seconds;

  uint32_t tokens() const { return prompt + generated; }
  std::string name() const {
    const std::string test = prompt > 0 ? "pp" + std::to_string(prompt) : "tg" + std::to_string(generated);
    return depth > 0 ? test + " @ d" + std::to_string(depth) : test;
  }
  std::vector<double> rates() const {
    std::vector<double> r;
    for (const double s : seconds) r.push_back(tokens() / s);
    return r;
  }
};

double mean(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return sum / static_cast<double>(v.size());
}

double deviation(const std::vector<double>& v) {
  if (v.size() < 2) return 0;
  const double m = mean(v);
  double sum = 0;
  for (const double x : v) sum += (x - m) * (x - m);
  return std::sqrt(sum / static_cast<double>(v.size() - 1));
}

nlohmann::ordered_json to_json(const Session& session, const ModelOptions& options, const Row& row) {
  std::vector<double> ns;
  for (const double s : row.seconds) ns.push_back(std::round(s * 1e9));
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
  j["n_prompt"] = row.prompt;
  j["n_gen"] = row.generated;
  j["n_depth"] = row.depth;
  j["avg_ns"] = mean(ns);
  j["stddev_ns"] = deviation(ns);
  j["avg_ts"] = mean(row.rates());
  j["stddev_ts"] = deviation(row.rates());
  j["samples_ns"] = ns;
  j["samples_ts"] = row.rates();
  return j;
}

Result<Row> measure(Engine& engine, Row row, uint32_t repetitions) {
  LAHAR_TRY(engine.time_steps(row.prompt, row.generated, row.depth));  // records the programs, warms the caches
  for (uint32_t i = 0; i < repetitions; ++i) {
    LAHAR_ASSIGN(const double seconds, engine.time_steps(row.prompt, row.generated, row.depth));
    row.seconds.push_back(seconds);
  }
  return row;
}

Status run(const State& state) {
  std::vector<Row> rows;
  uint32_t longest = 0;
  for (const uint32_t depth : state.depths) {
    for (const uint32_t n : state.prompts)
      if (n > 0) rows.push_back({.prompt = n, .depth = depth});
    for (const uint32_t n : state.generated)
      if (n > 0) rows.push_back({.generated = n, .depth = depth});
  }
  for (const Row& row : rows) longest = std::max(longest, row.depth + row.tokens());
  if (rows.empty()) return Error{ErrorCode::kInvalidArgument, "there is nothing to measure: -p or -n must be above 0"};
  ModelOptions options = state.model;
  if (options.context == 0) options.context = longest;
  LAHAR_ASSIGN(Session session, Session::open(options, false));

  const bool json = state.output == "json";
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  if (!json) {
    std::printf("%s on %s, weights %s\n\n| test | tokens/s | deviation |\n|---|---:|---:|\n", session.source->name().c_str(),
                session.device->caps().info.name.c_str(), format_bytes(session.engine->weight_bytes()).c_str());
  }
  for (Row& row : rows) {
    LAHAR_ASSIGN(row, measure(*session.engine, row, state.repetitions));
    if (json) list.push_back(to_json(session, options, row));
    else std::printf("| %s | %.2f | %.2f |\n", row.name().c_str(), mean(row.rates()), deviation(row.rates()));
    std::fflush(stdout);
  }
  if (json) std::printf("%s\n", list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  return {};
}

}  // namespace

void add_bench(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  state->prompts = {512};
  state->generated = {128};
  CLI::App* command = add_command(program, "bench", "Measure tokens per second", chosen, run, state);
  add_model_options(*command, state->model);
  command->add_option("-p,--prompt", state->prompts, "Prompt lengths, separated by commas; 0: none")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("-n,--generate", state->generated, "Tokens to decode, separated by commas; 0: none")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("-d,--depth", state->depths, "Tokens in the cache beforehand, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("-r,--repetitions", state->repetitions, "How often each is measured")
      ->check(CLI::Range(1u, 1000u))
      ->capture_default_str();
  command->add_option("-o,--output", state->output, "md or json")
      ->check(CLI::IsMember({"md", "json"}))
      ->capture_default_str();
}

}  // namespace lahar::cli
