#include <cmath>
#include <cstring>
#include <set>

#include "gpu/transfer.h"
#include "tune/timed.h"
#include "tune/tuner.h"

namespace lahar::tune {
namespace {

constexpr uint32_t kNan = 0xffffffffu;  // what y holds before a form runs
constexpr double kWorst = 40;           // of the root of the tolerance, for a single value

std::string number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", v);
  return text;
}

// Fills y, runs the candidate once, reads y back. seconds: of its nodes, by the device's clock where it has one.
Result<std::vector<float>> compute(gpu::Device& device, const Case& c, const Candidate& candidate, double& seconds) {
  gpu::Recorder fill(device);
  fill.fill("fill", c.y, kNan);
  LAHAR_TRY(run_once(fill));
  gpu::Recorder recorder(device);
  LAHAR_TRY(candidate.record(recorder, 0));
  LAHAR_ASSIGN(const gpu::CommandList list, recorder.finish({.timestamps = true}));
  LAHAR_ASSIGN(seconds, time_nodes(device, list));
  std::vector<float> y(c.y.size / sizeof(float));
  LAHAR_TRY(gpu::download(device, c.y, std::as_writable_bytes(std::span(y))));
  return y;
}

bool ends_everything(ErrorCode code) {
  return code == ErrorCode::kDeviceLost || code == ErrorCode::kOutOfMemory || code == ErrorCode::kCancelled;
}

FormResult check_form(gpu::Device& device, const Case& c, const Candidate& candidate, ErrorCode& fatal, Error& error) {
  FormResult result{.form = candidate.form, .path = candidate.path, .reason = {}};
  const auto y = compute(device, c, candidate, result.check_seconds);
  if (y.ok()) {
    result.reason = disagreement(*y, c.stride, c.rows, c.expected, candidate.tolerance);
    if (!result.reason.empty()) {
      result.status = FormResult::Status::kWrong;
      result.reason = "wrong result for " + c.name + ": " + result.reason;
    }
    return result;
  }
  result.reason = y.error().message;
  result.status = y.error().code == ErrorCode::kUnsupported ? FormResult::Status::kUnavailable : FormResult::Status::kWrong;
  if (ends_everything(y.error().code)) fatal = y.error().code, error = y.error();
  return result;
}

}  // namespace

std::string disagreement(std::span<const float> y, uint32_t stride, uint32_t rows, const Expected& expected,
                         double tolerance) {
  double squares = 0, errors = 0, worst = 0;
  uint32_t worst_row = 0, worst_column = 0;
  for (uint32_t t = 0; t < rows; ++t) {
    const double* row = expected.values.data() + size_t{t % expected.period} * expected.width;
    for (uint32_t i = 0; i < expected.width; ++i) {
      const float v = y[size_t{t} * stride + i];
      if (!std::isfinite(v))
        return number(v) + " in row " + std::to_string(t) + ", column " + std::to_string(i) + ", not " + number(row[i]);
      const double off = std::abs(v - row[i]);
      squares += row[i] * row[i], errors += off * off;
      if (off > worst) worst = off, worst_row = t, worst_column = i;
    }
  }
  const double count = static_cast<double>(rows) * expected.width, size = std::sqrt(squares / count);
  if (squares == 0 || errors / squares > tolerance || worst > kWorst * std::sqrt(tolerance) * size)
    return "normalised error " + number(squares == 0 ? errors : errors / squares) + " (" + number(tolerance) +
           " allowed), row " + std::to_string(worst_row) + ", column " + std::to_string(worst_column) + " is off by " +
           number(worst) + " where values are about " + number(size);
  return {};
}

Status prove_device(gpu::Device& device) {
  constexpr uint32_t kPattern = 0x3f123456;
  constexpr uint64_t kBytes = 4096;
  LAHAR_ASSIGN(const gpu::Buffer from, device.create_buffer(kBytes, gpu::Memory::kDevice, "proof"));
  LAHAR_ASSIGN(const gpu::Buffer to, device.create_buffer(kBytes, gpu::Memory::kReadback, "proof read back"));
  std::memset(to.mapped(), 0, kBytes);
  gpu::Recorder recorder(device);
  recorder.fill("proof", from, kPattern);
  recorder.copy("proof", from, to);
  LAHAR_TRY(run_once(recorder));
  for (const uint32_t word : to.mapped_as<const uint32_t>())
    if (word != kPattern)
      return Error{ErrorCode::kUnsupported,
                   device.caps().info.name + " does not do what it is told: a fill left its memory as it was"};
  return {};
}

Result<std::vector<FormResult>> check_case(gpu::Device& device, const Case& c, Database* database,
                                           const CheckOptions& options) {
  std::vector<FormResult> results;
  bool any_right = false;
  double fastest = std::numeric_limits<double>::infinity();
  std::set<std::string> hopeless;  // paths
  for (const Candidate& candidate : c.candidates) {
    const std::string* known = database != nullptr && !options.retry ? database->quarantined(candidate.form) : nullptr;
    if (known != nullptr || hopeless.contains(candidate.path)) {
      results.push_back({FormResult::Status::kSkipped, candidate.form, candidate.path,
                         known != nullptr ? *known : "another form of the path was hopelessly slow", 0});
      continue;
    }
    if (options.on_form && !options.on_form(candidate.form)) return Error{ErrorCode::kCancelled, "cancelled"};
    if (database != nullptr) LAHAR_TRY(database->trying(candidate.form));
    ErrorCode fatal = ErrorCode::kInternal;
    Error error;
    FormResult result = check_form(device, c, candidate, fatal, error);
    if (fatal == ErrorCode::kDeviceLost && database != nullptr)
      LAHAR_TRY(database->quarantine(candidate.form, "lost the device: " + error.message));
    if (database != nullptr) LAHAR_TRY(database->trying(""));
    if (ends_everything(fatal)) return error;
    any_right = any_right || result.status == FormResult::Status::kOk;
    if (result.status == FormResult::Status::kOk) fastest = std::min(fastest, result.check_seconds);
    if (result.check_seconds > fastest * options.hopeless) hopeless.insert(result.path);
    results.push_back(std::move(result));
  }
  if (database != nullptr && any_right)
    for (const FormResult& r : results)
      if (r.status == FormResult::Status::kWrong) LAHAR_TRY(database->quarantine(r.form, r.reason));
  return results;
}

}  // namespace lahar::tune
