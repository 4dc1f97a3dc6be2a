// The runtime, devices, and the rules for versioned structs.
#include <cstring>
#include <thread>

#include "api/api_test.h"

extern "C" {
size_t lahar_test_c_size(int which);
int lahar_test_c_init_is_right(void);
lahar_status lahar_test_c_round_trip(void);
}

namespace lahar::test {
namespace {

using RuntimeTest = ApiTest;

TEST(Header, IsTheSameInC) {
  EXPECT_EQ(lahar_test_c_size(0), sizeof(lahar_runtime_options));
  EXPECT_EQ(lahar_test_c_size(1), sizeof(lahar_device));
  EXPECT_EQ(lahar_test_c_size(2), sizeof(lahar_engine_options));
  EXPECT_EQ(lahar_test_c_size(3), sizeof(lahar_memory_plan));
  EXPECT_EQ(lahar_test_c_size(4), sizeof(lahar_sampling));
  EXPECT_EQ(lahar_test_c_size(5), sizeof(lahar_token));
  EXPECT_EQ(lahar_test_c_size(6), sizeof(lahar_generate_options));
  EXPECT_EQ(lahar_test_c_size(7), sizeof(lahar_generate_result));
  EXPECT_TRUE(lahar_test_c_init_is_right());
  EXPECT_EQ(lahar_test_c_round_trip(), LAHAR_OK);
}

TEST(Header, NamesEveryStatus) {
  for (int status = LAHAR_OK; status <= LAHAR_INTERNAL; ++status)
    EXPECT_STRNE(lahar_status_name(static_cast<lahar_status>(status)), "unknown status") << status;
  EXPECT_STREQ(lahar_status_name(static_cast<lahar_status>(LAHAR_INTERNAL + 1)), "unknown status");
  int major = -1, minor = -1, patch = -1;
  EXPECT_EQ(std::sscanf(lahar_version(), "%d.%d.%d", &major, &minor, &patch), 3) << lahar_version();
}

TEST_F(RuntimeTest, NullIsNoHandle) {
  lahar_runtime_destroy(nullptr);
  EXPECT_STREQ(lahar_runtime_error(nullptr), "");
  EXPECT_EQ(lahar_runtime_create(nullptr, nullptr), LAHAR_INVALID_ARGUMENT);
  size_t count = 7;
  EXPECT_EQ(lahar_list_devices(nullptr, nullptr, 0, &count), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(count, 0u);
  const Runtime runtime = make_runtime();
  EXPECT_STREQ(lahar_runtime_error(runtime.get()), "");
  EXPECT_EQ(lahar_list_devices(runtime.get(), nullptr, 0, nullptr), LAHAR_INVALID_ARGUMENT);
  EXPECT_STREQ(lahar_runtime_error(runtime.get()), "count must not be NULL");
  EXPECT_EQ(lahar_list_devices(runtime.get(), nullptr, 1, &count), LAHAR_INVALID_ARGUMENT);
  EXPECT_STREQ(lahar_runtime_error(runtime.get()), "devices must not be NULL");
}

TEST_F(RuntimeTest, SizesOfOtherVersions) {
  const auto create = [](const void* options) {
    lahar_runtime* runtime = nullptr;
    const lahar_status status = lahar_runtime_create(static_cast<const lahar_runtime_options*>(options), &runtime);
    EXPECT_EQ(runtime != nullptr, status == LAHAR_OK);
    lahar_runtime_destroy(runtime);
    return status;
  };
  lahar_runtime_options older = LAHAR_RUNTIME_OPTIONS_INIT;
  older.size = offsetof(lahar_runtime_options, log_user);
  EXPECT_EQ(create(&older), LAHAR_OK);

  struct {
    lahar_runtime_options known = LAHAR_RUNTIME_OPTIONS_INIT;
    uint64_t unknown = 0;
  } newer;
  newer.known.size = sizeof(newer);
  EXPECT_EQ(create(&newer), LAHAR_OK);
  newer.unknown = 1;
  EXPECT_EQ(create(&newer), LAHAR_INVALID_ARGUMENT);

  lahar_runtime_options wrong = LAHAR_RUNTIME_OPTIONS_INIT;
  for (const size_t size : {size_t{0}, size_t{4}, sizeof(wrong) - 1, size_t{1} << 20, SIZE_MAX}) {
    wrong.size = size;
    EXPECT_EQ(create(&wrong), LAHAR_INVALID_ARGUMENT) << size;
  }
}

TEST_F(RuntimeTest, ListsDevices) {
  const Runtime runtime = make_runtime();
  size_t count = 0;
  ASSERT_EQ(lahar_list_devices(runtime.get(), nullptr, 0, &count), LAHAR_OK) << lahar_runtime_error(runtime.get());
  ASSERT_GT(count, 0u) << "these tests need a Vulkan device";
  std::vector<lahar_device> devices(count + 2);
  for (lahar_device& d : devices) {
    std::memset(static_cast<void*>(&d), 0xA5, sizeof(d));
    d.size = sizeof(d);
  }
  ASSERT_EQ(lahar_list_devices(runtime.get(), devices.data(), devices.size(), &count), LAHAR_OK);
  ASSERT_EQ(count, devices.size() - 2);
  for (size_t i = 0; i < count; ++i) {
    EXPECT_EQ(devices[i].size, sizeof(lahar_device));
    EXPECT_EQ(devices[i].index, i);
    EXPECT_GT(std::strlen(devices[i].name), 0u);
    EXPECT_EQ(std::strlen(devices[i].uuid), 32u);
    EXPECT_GT(devices[i].memory_bytes, 0u);
    if (i > 0) { EXPECT_GE(devices[i].type, devices[i - 1].type); }
  }
  EXPECT_EQ(devices[count].index, 0xA5A5A5A5u) << "written beyond the number there are";
}

TEST_F(RuntimeTest, DevicesOfOtherVersions) {
  const Runtime runtime = make_runtime();
  size_t count = 0;
  ASSERT_EQ(lahar_list_devices(runtime.get(), nullptr, 0, &count), LAHAR_OK);

  // A caller whose struct ends before the driver's name: the stride is its own.
  constexpr size_t kOld = offsetof(lahar_device, driver);
  std::vector<uint64_t> memory(2 * kOld / sizeof(uint64_t), UINT64_MAX);
  auto* bytes = reinterpret_cast<unsigned char*>(memory.data());
  for (size_t i = 0; i < 2; ++i) std::memcpy(bytes + i * kOld, &kOld, sizeof(kOld));
  ASSERT_EQ(lahar_list_devices(runtime.get(), reinterpret_cast<lahar_device*>(bytes), 2, &count), LAHAR_OK);
  size_t size = 0;
  std::memcpy(&size, bytes, sizeof(size));
  EXPECT_EQ(size, kOld);
  EXPECT_GT(std::strlen(reinterpret_cast<const char*>(bytes) + offsetof(lahar_device, name)), 0u);

  struct {
    lahar_device known;
    uint64_t unknown = 5;
  } newer;
  newer.known.size = sizeof(newer);
  ASSERT_EQ(lahar_list_devices(runtime.get(), &newer.known, 1, &count), LAHAR_OK);
  EXPECT_EQ(newer.known.size, sizeof(newer));
  EXPECT_EQ(newer.unknown, 0u);

  lahar_device mixed[2] = {};
  mixed[0].size = sizeof(lahar_device);
  mixed[1].size = kOld;
  EXPECT_EQ(lahar_list_devices(runtime.get(), mixed, 2, &count), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(count, 0u);
}

TEST_F(RuntimeTest, DevicesFromSeveralThreads) {
  const Runtime runtime = make_runtime();
  std::vector<std::thread> threads;
  std::vector<size_t> counts(4);
  for (size_t& count : counts)
    threads.emplace_back([&] { EXPECT_EQ(lahar_list_devices(runtime.get(), nullptr, 0, &count), LAHAR_OK); });
  for (std::thread& thread : threads) thread.join();
  for (const size_t count : counts) EXPECT_EQ(count, counts[0]);
}

}  // namespace
}  // namespace lahar::test
