#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "gpu/gpu_test.h"
#include "gpu/heaps.h"
#include "gpu/quirks.h"
#include "temporary_folder.h"
#include "tune/doctor.h"

namespace lahar::test {
namespace {

class Doctor : public GpuTest {
 protected:
  tune::Database empty_database() { return tune::Database::open(device(), folder_.path()); }

 private:
  const TemporaryFolder folder_;
};

constexpr const char* kSections[] = {"Device", "Limits", "Features", "Memory", "Quirks in force", "Tuning"};

TEST_F(Doctor, ReportHasEverySection) {
  tune::Database database = empty_database();
  size_t asked = 0;
  const auto report = tune::examine(
      device(), database,
      {.rates = false, .all_forms = false, .formats = {quant::WeightFormat::kF16}, .on_check = [&](const std::string&) {
         return ++asked <= 1;
       }});
  ASSERT_TRUE(report.ok()) << why(report);
  const std::string text = tune::to_markdown(*report);
  const auto json = nlohmann::json::parse(tune::to_json_text(*report), nullptr, false);
  ASSERT_FALSE(json.is_discarded());
  for (const char* section : kSections) {
    EXPECT_NE(text.find("### " + std::string(section) + "\n"), std::string::npos) << section;
    EXPECT_TRUE(json.contains(section)) << section;
  }
  EXPECT_NE(text.find("### Kernels"), std::string::npos);
  EXPECT_NE(text.find(device().caps().info.name), std::string::npos);
  EXPECT_NE(text.find("resizable BAR"), std::string::npos);
  EXPECT_TRUE(report->failures.empty());
  EXPECT_NE(report->stopped, "");
}

TEST_F(Doctor, AWrongFormIsInTheReport) {
  tune::DoctorReport report;
  report.checks = {{.kernel = "matmul gemv", .ok = 3, .wrong = 1}};
  report.failures = {"gemv rows 2: wrong result"};
  const std::string text = tune::to_markdown(report);
  EXPECT_NE(text.find("| matmul gemv | 3 | 1 | 0 | 0 |"), std::string::npos) << text;
  EXPECT_NE(text.find("- gemv rows 2: wrong result"), std::string::npos) << text;
}

TEST_F(Doctor, HeapsAddUpToTheDevicesMemory) {
  uint64_t local = 0;
  for (const gpu::Heap& heap : device().heaps()) local += heap.device_local ? heap.size : 0;
  EXPECT_EQ(local, device().caps().info.device_memory);
}

TEST(Heaps, ResizableBarNeedsMoreThanTheOldWindow) {
  const gpu::Heap memory{.size = 8ull << 30, .device_local = true};
  gpu::Heap window{.size = 256ull << 20, .device_local = true, .host_visible = true};
  EXPECT_FALSE(gpu::has_resizable_bar({memory, window}));
  window.size += 1;
  EXPECT_TRUE(gpu::has_resizable_bar({memory, window}));
}

TEST(Quirks, AreNamedWhereTheirConditionHolds) {
  const auto named = [](const gpu::Caps& caps, std::string_view name) {
    for (const gpu::Quirk& quirk : gpu::quirks_in_force(caps))
      if (quirk.name == name) return true;
    return false;
  };
  gpu::Caps caps;
  caps.info.type = gpu::DeviceType::kDiscrete;
  EXPECT_FALSE(named(caps, "cpu-driver"));
  EXPECT_TRUE(named(caps, "no-timestamps"));
  caps.info.type = gpu::DeviceType::kCpu;
  caps.timestamp_period = 1;
  EXPECT_TRUE(named(caps, "cpu-driver"));
  EXPECT_FALSE(named(caps, "no-timestamps"));
}

}  // namespace
}  // namespace lahar::test
