#include "tune/doctor.h"

#include <algorithm>
#include <cstdio>

#include "core/json.h"
#include "gpu/heaps.h"
#include "gpu/pipeline_cache.h"
#include "gpu/quirks.h"
#include "tune/device_rates.h"

namespace lahar::tune {
namespace {

using nlohmann::ordered_json;

std::string yes_no(bool v) { return v ? "yes" : "no"; }

std::string fixed(double v, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, v);
  return text;
}
std::string mebibytes(uint64_t bytes) { return fixed(static_cast<double>(bytes) / (1 << 20), 0) + " MiB"; }

std::string version(uint32_t v) {
  return std::to_string(VK_API_VERSION_MAJOR(v)) + "." + std::to_string(VK_API_VERSION_MINOR(v)) + "." +
         std::to_string(VK_API_VERSION_PATCH(v));
}

std::string id(uint32_t v) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%04x", v);
  return text;
}

std::string triple(const uint32_t (&v)[3]) {
  return std::to_string(v[0]) + " x " + std::to_string(v[1]) + " x " + std::to_string(v[2]);
}

std::string shapes(const std::vector<gpu::CooperativeMatrixShape>& all) {
  std::string text;
  for (const gpu::CooperativeMatrixShape& s : all)
    text += (text.empty() ? "" : ", ") + std::to_string(s.m) + "x" + std::to_string(s.n) + "x" + std::to_string(s.k);
  return text.empty() ? "none" : text;
}

std::string multiples(const std::vector<gpu::FlexibleMatrix>& all) {
  std::string text;
  for (const gpu::FlexibleMatrix& m : all)
    text += (text.empty() ? "" : ", ") + std::to_string(m.m) + "x" + std::to_string(m.n) + "x" + std::to_string(m.k) +
            (m.invocations == 0 ? " of a subgroup" : " of " + std::to_string(m.invocations) + " invocations");
  return text.empty() ? "none" : text;
}

ReportSection device_section(const gpu::Caps& c) {
  const gpu::DeviceInfo& d = c.info;
  return {"Device",
          {{"name", d.name},
           {"type", std::string(gpu::to_string(d.type))},
           {"UUID", d.uuid},
           {"vendor and device", id(d.vendor_id) + " " + id(d.device_id)},
           {"driver", d.driver_name + " " + d.driver_info},
           {"driver version", std::to_string(d.driver_version)},
           {"Vulkan", version(d.api_version)},
           {"kernels of this build", gpu::hex16(gpu::hash_shader_bank())}}};
}

ReportSection limits_section(const gpu::Caps& c) {
  return {"Limits",
          {{"workgroup", std::to_string(c.max_workgroup_invocations) + " invocations, " + triple(c.max_workgroup_size)},
           {"workgroups", triple(c.max_workgroup_count)},
           {"shared memory", std::to_string(c.max_shared_memory / 1024) + " KiB"},
           {"largest allocation", mebibytes(c.max_allocation)},
           {"largest buffer", mebibytes(c.max_buffer)},
           {"timestamp", c.timestamp_period > 0 ? fixed(c.timestamp_period, 2) + " ns" : "none"}}};
}

ReportSection features_section(const gpu::Caps& c) {
  return {"Features",
          {{"in use", c.features == 0 ? "none" : gpu::feature_names(c.features)},
           {"int8 dot products in hardware", yes_no(c.int8_dot_accelerated)},
           {"subgroup size",
            std::to_string(c.subgroup_size) + (c.subgroup_size_control ? ", from " + std::to_string(c.min_subgroup_size) +
                                                                             " to " + std::to_string(c.max_subgroup_size)
                                                                       : ", fixed")},
           {"full subgroups", yes_no(c.full_subgroups)},
           {"matrices, fp16 to fp32", shapes(c.cooperative_matrix_shapes)},
           {"matrices, fp16 to fp16", shapes(c.half_matrix_shapes)},
           {"matrices, int8 to int32", shapes(c.int8_matrix_shapes)},
           {"matrices, multiples of", multiples(c.flexible_matrices)},
           {"pipeline statistics", yes_no(c.executable_statistics)}}};
}

ReportSection memory_section(const gpu::Device& device) {
  const std::vector<gpu::Heap> heaps = device.heaps();
  ReportSection s{"Memory", {}};
  for (size_t i = 0; i < heaps.size(); ++i) {
    const gpu::Heap& h = heaps[i];
    s.rows.emplace_back("heap " + std::to_string(i),
                        mebibytes(h.size) + ", " + mebibytes(h.budget - std::min(h.budget, h.used)) + " free" +
                            (h.device_local ? ", device-local" : "") + (h.host_visible ? ", host-visible" : ""));
  }
  s.rows.emplace_back("resizable BAR", yes_no(gpu::has_resizable_bar(heaps)));
  s.rows.emplace_back("unified", yes_no(device.caps().unified_memory));
  s.rows.emplace_back("VK_EXT_memory_budget", yes_no(device.caps().memory_budget));
  return s;
}

ReportSection quirks_section(const gpu::Caps& c) {
  ReportSection s{"Quirks in force", {}};
  for (const gpu::Quirk& q : gpu::quirks_in_force(c))
    s.rows.emplace_back(q.name, std::string(q.condition) + ": " + std::string(q.effect));
  if (s.rows.empty()) s.rows.emplace_back("none", "");
  return s;
}

ReportSection tuning_section(const Database& d) {
  ReportSection s{"Tuning", {}};
  s.rows.emplace_back("database", d.stored() ? d.file().string() : "none yet");
  s.rows.emplace_back("used", tuning_wanted() ? "yes" : "no, LAHAR_TUNING is off");
  size_t other = 0;
  for (const auto& [name, choice] : d.choices()) other += choice.form != choice.default_form ? 1 : 0;
  s.rows.emplace_back("choices", std::to_string(d.choices().size()) + ", " + std::to_string(other) + " not the default");
  s.rows.emplace_back("in quarantine", std::to_string(d.quarantined().size()));
  for (const auto& [form, reason] : d.quarantined()) s.rows.emplace_back(form, reason);
  return s;
}

// A cell of a Markdown table.
std::string cell(std::string text) {
  for (char& c : text)
    if (c == '|' || c == '\n' || c == '\r') c = ' ';
  return text;
}

}  // namespace

std::vector<ReportSection> describe_device(const gpu::Device& device, const Database& database) {
  const gpu::Caps& caps = device.caps();
  return {device_section(caps),   limits_section(caps), features_section(caps),
          memory_section(device), quirks_section(caps), tuning_section(database)};
}

Result<DoctorReport> examine(gpu::Device& device, Database& database, const DoctorOptions& options) {
  DoctorReport report;
  LAHAR_TRY(check_kernels(device, database, options, report));
  report.sections = describe_device(device, database);
  if (options.rates) {
    const Status proof = prove_device(device);
    const auto rates =
        proof.ok() ? measure_device_rates(device, database.tuning().get()) : Result<DeviceRates>(proof.error());
    ReportSection s{"Measured rates", {}};
    if (rates.ok()) {
      s.rows.emplace_back("copy", fixed(rates->copy / 1e9, 1) + " GB/s");
      s.rows.emplace_back("matrix product, fp16 weights", fixed(rates->matrix / 1e12, 3) + " TFLOP/s");
    } else {
      s.rows.emplace_back("none", rates.error().message);
    }
    report.sections.push_back(std::move(s));
  }
  return report;
}

std::string to_markdown(const DoctorReport& report) {
  std::string text;
  for (const ReportSection& s : report.sections) {
    text += "### " + s.name + "\n\n| | |\n|---|---|\n";
    for (const auto& [key, value] : s.rows) text += "| " + cell(key) + " | " + cell(value) + " |\n";
    text += "\n";
  }
  text += "### Kernels\n\n| kernel | ok | wrong | not available | skipped |\n|---|---:|---:|---:|---:|\n";
  for (const KernelCheck& c : report.checks)
    text += "| " + c.kernel + " | " + std::to_string(c.ok) + " | " + std::to_string(c.wrong) + " | " +
            std::to_string(c.unavailable) + " | " + std::to_string(c.skipped) + " |\n";
  if (!report.stopped.empty()) text += "\n" + report.stopped + "\n";
  for (const std::string& f : report.failures) text += "\n- " + f;
  if (!report.failures.empty()) text += "\n";
  return text;
}

std::string to_json_text(const DoctorReport& report) {
  ordered_json all = ordered_json::object();
  for (const ReportSection& s : report.sections) {
    ordered_json section = ordered_json::object();
    for (const auto& [key, value] : s.rows) section[key] = value;
    all[s.name] = section;
  }
  ordered_json checks = ordered_json::array();
  for (const KernelCheck& c : report.checks)
    checks.push_back(
        {{"kernel", c.kernel}, {"ok", c.ok}, {"wrong", c.wrong}, {"not_available", c.unavailable}, {"skipped", c.skipped}});
  all["Kernels"] = checks;
  all["failures"] = report.failures;
  all["stopped"] = report.stopped;
  return all.dump(2, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace lahar::tune
