// Which devices are refused, in which order they stand, and how one is named: no device needed.
#include <gtest/gtest.h>

#include "gpu/physical_device.h"

namespace lahar::gpu {
namespace {

DeviceFeatures complete() {
  DeviceFeatures f;
  f.api_version = VK_API_VERSION_1_3;
  f.buffer_device_address = f.timeline_semaphore = f.synchronization2 = f.maintenance4 = true;
  f.scalar_block_layout = f.shader_int64 = f.compute_queue = true;
  f.subgroup_stages = VK_SHADER_STAGE_COMPUTE_BIT;
  f.subgroup_operations = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
                          VK_SUBGROUP_FEATURE_SHUFFLE_BIT | VK_SUBGROUP_FEATURE_BALLOT_BIT;
  return f;
}

TEST(Refusal, ACompleteDeviceIsTaken) { EXPECT_EQ(refusal(complete()), ""); }

TEST(Refusal, NamesEachMissingFeature) {
  const auto without = [](auto change) {
    DeviceFeatures f = complete();
    change(f);
    return refusal(f);
  };
  EXPECT_EQ(without([](auto& f) { f.buffer_device_address = false; }), "lacks bufferDeviceAddress");
  EXPECT_EQ(without([](auto& f) { f.timeline_semaphore = false; }), "lacks timelineSemaphore");
  EXPECT_EQ(without([](auto& f) { f.synchronization2 = false; }), "lacks synchronization2");
  EXPECT_EQ(without([](auto& f) { f.maintenance4 = false; }), "lacks maintenance4");
  EXPECT_EQ(without([](auto& f) { f.scalar_block_layout = false; }), "lacks scalarBlockLayout");
  EXPECT_EQ(without([](auto& f) { f.shader_int64 = false; }), "lacks shaderInt64");
  EXPECT_EQ(without([](auto& f) { f.compute_queue = false; }), "lacks a compute queue");
  EXPECT_EQ(without([](auto& f) { f.subgroup_stages = VK_SHADER_STAGE_FRAGMENT_BIT; }),
            "lacks subgroup operations in compute shaders");
  EXPECT_EQ(without([](auto& f) { f.subgroup_operations &= ~VkSubgroupFeatureFlags{VK_SUBGROUP_FEATURE_SHUFFLE_BIT}; }),
            "lacks subgroup shuffle");
  EXPECT_EQ(without([](auto& f) { f.shader_int64 = f.maintenance4 = false; }), "lacks maintenance4, shaderInt64");
  EXPECT_EQ(without([](auto& f) { f.api_version = VK_API_VERSION_1_2; }), "lacks Vulkan 1.3 (its driver has 1.2)");
}

DeviceInfo device(std::string name, DeviceType type, std::string uuid = "", std::string refused = "") {
  DeviceInfo d;
  d.name = std::move(name), d.type = type, d.uuid = std::move(uuid), d.refusal = std::move(refused);
  return d;
}

class Selection : public ::testing::Test {
 protected:
  void SetUp() override { put_in_order(devices_); }
  std::vector<DeviceInfo> devices_ = {
      device("llvmpipe (LLVM 15)", DeviceType::kCpu, "6d000000000000000000000000000001"),
      device("Intel UHD Graphics 630", DeviceType::kIntegrated, "86000000000000000000000000000002"),
      device("GeForce RTX 4090", DeviceType::kDiscrete, "de000000000000000000000000000003"),
      device("Radeon RX 580", DeviceType::kDiscrete, "aa000000000000000000000000000004", "lacks maintenance4"),
      device("GeForce GTX 1080", DeviceType::kDiscrete, "de000000000000000000000000000005"),
  };
};

TEST_F(Selection, DiscreteBeforeIntegratedBeforeCpu) {
  std::vector<std::string> names;
  for (const DeviceInfo& d : devices_) names.push_back(d.name);
  EXPECT_EQ(names, (std::vector<std::string>{"GeForce RTX 4090", "Radeon RX 580", "GeForce GTX 1080",
                                             "Intel UHD Graphics 630", "llvmpipe (LLVM 15)"}));
  for (uint32_t i = 0; i < devices_.size(); ++i) EXPECT_EQ(devices_[i].index, i);
}

TEST_F(Selection, ByNothingIndexNameAndUuid) {
  const auto name = [&](std::string_view selector) {
    const Result<DeviceInfo> found = select_device(devices_, selector);
    return found.ok() ? found->name : "error: " + found.error().message;
  };
  EXPECT_EQ(name(""), "GeForce RTX 4090");
  EXPECT_EQ(name("3"), "Intel UHD Graphics 630");
  EXPECT_EQ(name("4090"), "error: there is no device 4090; the last one is 4");
  EXPECT_EQ(name("uhd"), "Intel UHD Graphics 630");
  EXPECT_EQ(name("LLVMpipe"), "llvmpipe (LLVM 15)");
  EXPECT_EQ(name("DE000000000000000000000000000005"), "GeForce GTX 1080");
  EXPECT_EQ(name("de000000-0000-0000-0000-000000000005"), "GeForce GTX 1080");
}

TEST_F(Selection, Errors) {
  const auto error = [&](std::span<const DeviceInfo> devices, std::string_view selector) {
    const Result<DeviceInfo> found = select_device(devices, selector);
    return found.ok() ? Error{ErrorCode::kInternal, "found " + found->name} : found.error();
  };
  EXPECT_EQ(error(devices_, "7").code, ErrorCode::kNotFound);
  EXPECT_EQ(error(devices_, "voodoo").code, ErrorCode::kNotFound);
  EXPECT_NE(error(devices_, "voodoo").message.find("GeForce GTX 1080"), std::string::npos);
  EXPECT_EQ(error(devices_, "geforce").code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error(devices_, "radeon").code, ErrorCode::kUnsupported);
  EXPECT_EQ(error(devices_, "radeon").message, "Radeon RX 580 lacks maintenance4");
  EXPECT_EQ(error(devices_, "1").code, ErrorCode::kUnsupported);
  EXPECT_EQ(error({}, "").code, ErrorCode::kNotFound);
  EXPECT_EQ(error(std::span(devices_).subspan(1, 1), "").code, ErrorCode::kUnsupported);
}

TEST_F(Selection, ARefusedDeviceIsPassedOver) {
  const Result<DeviceInfo> found = select_device(std::span(devices_).subspan(1), "");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->name, "GeForce GTX 1080");
}

}  // namespace
}  // namespace lahar::gpu
