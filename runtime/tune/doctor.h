// Everything about a device that a bug report should say: what it is, what it can do, which workarounds are in force, how
// fast it really is, what was measured on it, and whether each kernel computes the right thing.
// Thread rule: as tuner.h.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tune/tuner.h"

namespace lahar::tune {

struct ReportSection {
  std::string name;
  std::vector<std::pair<std::string, std::string>> rows;
};

// Of one kernel, all shapes and forms together.
struct KernelCheck {
  std::string kernel;  // "matmul gemv", "attention decode"
  uint32_t ok = 0, wrong = 0, unavailable = 0, skipped = 0;
};

struct DoctorReport {
  std::vector<ReportSection> sections;
  std::vector<KernelCheck> checks;
  std::vector<std::string> failures;  // "gemv rows 2: wrong result for ..."
  std::string stopped;                // why not everything was checked; else empty
};
std::string to_markdown(const DoctorReport& report);
std::string to_json_text(const DoctorReport& report);

struct DoctorOptions {
  bool rates = true;
  bool all_forms = true;  // of the common formats; else the first form of each path (which a CPU's compiler has time for)
  double seconds = std::numeric_limits<double>::infinity();  // for the checks
  std::vector<quant::WeightFormat> formats;                  // empty: all
  std::function<bool(const std::string& what)> on_check;     // before each form; false ends the checks
};
// What can be said without running a kernel.
std::vector<ReportSection> describe_device(const gpu::Device& device, const Database& database);
// All of it. Forms that are wrong go into the database's quarantine; those in it that are right
// in every check leave it, where the checks come to their end. Errors: kDeviceLost (the report is lost, the form is in
// quarantine), kOutOfMemory.
Result<DoctorReport> examine(gpu::Device& device, Database& database, const DoctorOptions& options);

// The checks alone, into `report`.
Status check_kernels(gpu::Device& device, Database& database, const DoctorOptions& options, DoctorReport& report);

}  // namespace lahar::tune
