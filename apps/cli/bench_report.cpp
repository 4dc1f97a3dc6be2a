#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/bench.h"
#include "engine/step_cost.h"

namespace lahar::cli {

std::string BenchCase::name() const {
  std::string text = prompt > 0 ? "pp" + std::to_string(prompt) : "tg" + std::to_string(generated);
  if (batch > 1) text += " b" + std::to_string(batch);
  if (depth > 0) text += " @ d" + std::to_string(depth);
  return text;
}

std::vector<BenchCase> bench_cases(const BenchOptions& options) {
  std::vector<BenchCase> cases;
  for (const uint32_t depth : options.depths) {
    for (const uint32_t n : options.prompts)
      if (n > 0) cases.push_back({.prompt = n, .depth = depth});
    for (const uint32_t n : options.generated)
      for (const uint32_t batch : options.batches)
        if (n > 0 && batch > 0) cases.push_back({.generated = n, .depth = depth, .batch = batch});
  }
  return cases;
}

uint32_t longest(const std::vector<BenchCase>& cases) {
  uint32_t most = 1;
  for (const BenchCase& c : cases) most = std::max(most, c.depth + c.prompt + c.generated);
  return most;
}

Result<Session> open_for(const BenchOptions& options, const std::vector<BenchCase>& cases) {
  ModelOptions model = options.model;
  if (model.context == 0) model.context = longest(cases);
  for (const BenchCase& c : cases) model.slots = std::max(model.slots, c.batch);
  return Session::open(model, false);
}

double mean(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return v.empty() ? 0 : sum / static_cast<double>(v.size());
}

double deviation(const std::vector<double>& v) {
  if (v.size() < 2) return 0;
  const double m = mean(v);
  double sum = 0;
  for (const double x : v) sum += (x - m) * (x - m);
  return std::sqrt(sum / static_cast<double>(v.size() - 1));
}

double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  return (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2;
}

std::string share_of(double rate, double most) {
  if (most <= 0) return "-";
  char text[24];
  std::snprintf(text, sizeof(text), "%.0f %%", 100 * rate / most);
  return text;
}

Work work_of(const Engine& engine, const BenchCase& c) {
  const Model& model = engine.model();
  if (c.prompt > 0) return {.flops = prefill_flops(model.spec, model.weights, c.prompt, c.depth)};
  // The average row sees half of what is decoded.
  const uint64_t context = c.depth + (c.generated + 1) / 2;
  const double step = static_cast<double>(step_weight_bytes(model.spec, model.weights)) +
                      static_cast<double>(c.batch * row_kv_bytes(model.spec, engine.kv().layout(), context));
  return {.bytes = step * c.generated};
}

}  // namespace lahar::cli
