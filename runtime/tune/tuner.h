// Times the forms of a kernel against each other, each only after it has computed the right result, and remembers.
//
// A form that computes something wrong, does not compile or loses the device goes into quarantine at once; one that is
// hopelessly slow is dropped after a single run. Nothing is believed of a device that computes nothing at all.
// Thread rule: one thread, which nothing else may submit beside.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tune/cases.h"
#include "tune/database.h"
#include "tune/plan.h"

namespace lahar::tune {

// Errors: kUnsupported where the device does not do what it is told (a driver that only pretends to run).
Status prove_device(gpu::Device& device);

struct FormResult {
  // kWrong: a wrong result, or none. kUnavailable: the device lacks what the pipeline needs. kSkipped: in quarantine, or of
  // a path that is hopelessly slow.
  enum class Status { kOk, kWrong, kUnavailable, kSkipped } status = Status::kOk;
  std::string form, path;
  std::string reason;        // but for kOk
  double check_seconds = 0;  // of one call that was not warmed up
};
struct CheckOptions {
  bool retry = false;
  // Once a form has taken so many times as long as the fastest one, the others of its path are skipped.
  double hopeless = std::numeric_limits<double>::infinity();
  std::function<bool(const std::string& form)> on_form;  // before each; false cancels
};
// Runs every form of the case once and compares. Forms in quarantine are kSkipped unless `retry`. With a database, forms
// that are wrong are put into quarantine, but only where another one was right. Errors: kDeviceLost (the form is in
// quarantine), kOutOfMemory, kCancelled.
Result<std::vector<FormResult>> check_case(gpu::Device& device, const Case& c, Database* database,
                                           const CheckOptions& options = {});

struct TuneOptions {
  double seconds = std::numeric_limits<double>::infinity();  // stop after so long, with what there is
  double form_seconds = 0.15;                                // of timing one form
  double least_gain = 0.03;                                  // by which a form must beat the default one to replace it
  uint64_t cold_bytes = 256ull << 20;  // of weights or caches that take turns, so that no cache of the device holds them
  std::function<bool(const std::string& form)> on_form;
};

struct TunedCase {
  std::string name, label;
  std::string default_form, form;
  double default_seconds = 0, seconds = 0;  // of one call
  double bytes = 0, flops = 0;
  uint32_t forms = 0, wrong = 0, slow = 0;
  std::string note;  // why nothing was chosen; else empty
};
// Puts the choice into the database (unsaved). Errors: those of check_case().
Result<TunedCase> tune_case(gpu::Device& device, const Case& c, Database& database, const TuneOptions& options);

// Called after each case; false stops.
using OnTuned = std::function<bool(size_t done, size_t all, const TunedCase& tuned)>;
// Tunes all of it; the database is saved after each case. What was done counts, also when it stops early (time, a request)
// or fails. Errors: kLimit (another tuner is at work), kUnsupported (see prove_device), those of tune_case().
Status tune_all(gpu::Device& device, const TunePlan& plan, Database& database, const TuneOptions& options,
                const OnTuned& on_tuned);

}  // namespace lahar::tune
