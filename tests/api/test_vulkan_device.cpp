// An engine on a VkDevice that the application has made and goes on using.
#include <atomic>

#include "api/api_test.h"
#include "gpu/instance.h"
#include "gpu/loader.h"

namespace lahar::test {
namespace {

// An application: an instance of its own, with the validation layer, and a device as lahar_vulkan_requirements says.
class VulkanDeviceTest : public ApiTest {
 protected:
  void SetUp() override {
    runtime = make_runtime();
    model = pumice(runtime);
    ASSERT_NE(model, nullptr);
    auto made =
        gpu::Instance::create({.log = Log([this](LogLevel level, std::string_view text) {
                                 LogKeeper::write(&log, static_cast<lahar_log_level>(level), std::string(text).c_str());
                               })});
    ASSERT_TRUE(made.ok()) << made.error().message;
    instance = *made;
    const char* selector = std::getenv("LAHAR_DEVICE");
    const auto chosen = instance->select(selector ? selector : "");
    ASSERT_TRUE(chosen.ok()) << chosen.error().message;
    physical = chosen->handle;
    fn = gpu::load_instance_table(*gpu::open_loader(), instance->handle());
  }
  void TearDown() override {
    if (device != VK_NULL_HANDLE) {
      reinterpret_cast<PFN_vkDestroyDevice>(fn.vkGetDeviceProcAddr(device, "vkDestroyDevice"))(device, nullptr);
    }
    instance.reset();
    ApiTest::TearDown();
  }

  void make_device() {
    lahar_vulkan_needs needs{};
    needs.size = sizeof(needs);
    ASSERT_EQ(lahar_vulkan_requirements(runtime.get(), instance->handle(), physical, nullptr, &needs), LAHAR_OK)
        << lahar_runtime_error(runtime.get());
    ASSERT_NE(needs.features, nullptr);
    const float priority = 1;
    VkDeviceQueueCreateInfo queue_info{VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
    queue_info.queueFamilyIndex = needs.queue_family;
    queue_info.queueCount = 1;
    queue_info.pQueuePriorities = &priority;
    VkDeviceCreateInfo info{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, needs.features};
    info.queueCreateInfoCount = 1;
    info.pQueueCreateInfos = &queue_info;
    info.enabledExtensionCount = needs.extension_count;
    info.ppEnabledExtensionNames = needs.extensions;
    ASSERT_EQ(fn.vkCreateDevice(physical, &info, nullptr, &device), VK_SUCCESS);
    VkQueue queue = VK_NULL_HANDLE;
    reinterpret_cast<PFN_vkGetDeviceQueue>(fn.vkGetDeviceProcAddr(device, "vkGetDeviceQueue"))(device, needs.queue_family, 0,
                                                                                               &queue);
    given.instance = instance->handle();
    given.physical_device = physical;
    given.device = device;
    given.queue = queue;
    given.queue_family = needs.queue_family;
  }
  lahar_status open(Engine& engine) {
    lahar_engine_options options = LAHAR_ENGINE_OPTIONS_INIT;
    options.context = 256;
    options.vulkan = &given;
    lahar_engine* handle = nullptr;
    const lahar_status status = lahar_engine_open(model.get(), &options, &handle);
    engine.reset(handle);
    return status;
  }

  Runtime runtime;
  Model model;
  std::shared_ptr<gpu::Instance> instance;
  gpu::InstanceTable fn;
  VkPhysicalDevice physical = VK_NULL_HANDLE;
  VkDevice device = VK_NULL_HANDLE;
  lahar_vulkan_device given = LAHAR_VULKAN_DEVICE_INIT;
};

// Two engines share it, one after the other and side by side; each submission is made under the application's lock.
TEST_F(VulkanDeviceTest, EnginesOnTheApplicationsDevice) {
  make_device();
  ASSERT_NE(device, VK_NULL_HANDLE);
  struct Lock {
    std::mutex mutex;
    std::atomic<int> locked = 0, unlocked = 0;
  } lock;
  given.queue_user = &lock;
  given.lock_queue = [](void* user) {
    static_cast<Lock*>(user)->mutex.lock();
    ++static_cast<Lock*>(user)->locked;
  };
  given.unlock_queue = [](void* user) {
    ++static_cast<Lock*>(user)->unlocked;
    static_cast<Lock*>(user)->mutex.unlock();
  };
  for (int round = 0; round < 2; ++round) {
    Engine first, second;
    ASSERT_EQ(open(first), LAHAR_OK) << lahar_model_error(model.get());
    ASSERT_EQ(open(second), LAHAR_OK) << lahar_model_error(model.get());
    EXPECT_EQ(generate(first.get(), user_message("What is 7 + 8?")).text, "7 + 8 = 15.");
    EXPECT_EQ(generate(second.get(), user_message("What is the capital of Japan?")).text, "The capital of Japan is Tokyo.");
  }
  EXPECT_GT(lock.locked, 10);
  EXPECT_EQ(lock.locked, lock.unlocked);
}

TEST_F(VulkanDeviceTest, WhatCannotBeImported) {
  make_device();
  ASSERT_NE(device, VK_NULL_HANDLE);
  Engine engine;
  const lahar_vulkan_device good = given;
  const auto refused = [&](const char* what) {
    EXPECT_EQ(open(engine), LAHAR_INVALID_ARGUMENT) << what;
    EXPECT_NE(std::string(lahar_model_error(model.get())), "") << what;
    given = good;
  };
  given.instance = nullptr;
  refused("instance");
  given.physical_device = nullptr;
  refused("physical device");
  given.queue = nullptr;
  refused("queue");
  given.queue_family = 1000;
  refused("family");
  given.lock_queue = [](void*) {};
  refused("a lock without unlock");
  given.size = 3;
  refused("size");

  lahar_engine_options both = LAHAR_ENGINE_OPTIONS_INIT;
  both.device = "0";
  both.vulkan = &given;
  lahar_engine* handle = nullptr;
  EXPECT_EQ(lahar_engine_open(model.get(), &both, &handle), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_vulkan_requirements(runtime.get(), instance->handle(), nullptr, nullptr, nullptr), LAHAR_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace lahar::test
