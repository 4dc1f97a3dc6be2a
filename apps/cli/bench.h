// What the parts of lahar bench share: its options, and its ways to measure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/session.h"
#include "tune/device_rates.h"

namespace lahar::cli {

struct BenchOptions {
  ModelOptions model;
  std::vector<uint32_t> prompts = {512}, generated = {128}, depths = {0}, batches = {1};
  uint32_t repetitions = 5;
  std::string output = "md", trace;
  bool ops = false, host_only = false;
  bool prompt_given = false, generate_given = false;  // by the user, not by default
};

// One measurement: a prompt of one sequence, or decoding of `batch` sequences together.
struct BenchCase {
  uint32_t prompt = 0, generated = 0, depth = 0, batch = 1;

  uint64_t tokens() const { return prompt > 0 ? prompt : uint64_t{generated} * batch; }
  std::string name() const;  // "tg128 b4 @ d4096"
};
// The whole list that the options ask for, and what a context must hold for it.
std::vector<BenchCase> bench_cases(const BenchOptions& options);
uint32_t longest(const std::vector<BenchCase>& cases);

// Opens the model with room for the cases.
Result<Session> open_for(const BenchOptions& options, const std::vector<BenchCase>& cases);

double mean(const std::vector<double>& v);
double deviation(const std::vector<double>& v);
double median(std::vector<double> v);

// "12 %"; "-" where there is nothing to compare with.
std::string share_of(double rate, double most);

// Bytes read or operations done by one run of a case, counted from the model; the other one is 0.
struct Work {
  double bytes = 0, flops = 0;
};
Work work_of(const Engine& engine, const BenchCase& c);

Status bench_host(const BenchOptions& options);
Status bench_ops(const BenchOptions& options);
Status bench_trace(const BenchOptions& options);

}  // namespace lahar::cli
