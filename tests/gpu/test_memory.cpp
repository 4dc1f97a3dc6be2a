// Buffers: where they lie, what they refuse, and how they die.
#include "gpu/gpu_test.h"

namespace lahar {
namespace {

using gpu::Buffer;
using gpu::Memory;

using MemoryTest = test::GpuTest;

TEST_F(MemoryTest, IntentsAreMappedOrNot) {
  const Buffer fast = test::make_buffer(device(), 1000, Memory::kDevice);
  const Buffer up = test::make_buffer(device(), 1000, Memory::kUpload);
  const Buffer large_up = test::make_buffer(device(), 4 << 20, Memory::kUpload);
  const Buffer back = test::make_buffer(device(), 1000, Memory::kReadback);
  EXPECT_EQ(fast.mapped(), nullptr);
  for (const Buffer* b : {&up, &large_up, &back}) {
    ASSERT_NE(b->mapped(), nullptr);
    std::fill_n(b->mapped(), b->size(), std::byte{7});
  }
  for (const Buffer* b : {&fast, &up, &large_up, &back}) {
    EXPECT_NE(b->address(), 0u);
    EXPECT_EQ(b->address() % 16, 0u);
  }
  EXPECT_EQ(fast.size(), 1000u);
  EXPECT_EQ(up.mapped_as<uint32_t>().size(), 250u);
}

TEST_F(MemoryTest, WrongSizesAreRefused) {
  const auto error = [&](uint64_t size) {
    const Result<Buffer> b = device().create_buffer(size, Memory::kDevice, "too much");
    return b.ok() ? Error{ErrorCode::kInternal, "it was allocated"} : b.error();
  };
  EXPECT_EQ(error(0).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error(UINT64_MAX).code, ErrorCode::kLimit);
  const uint64_t limit = std::min(device().caps().max_buffer, device().caps().max_allocation);
  EXPECT_EQ(error(limit + 1).code, ErrorCode::kLimit);
  EXPECT_NE(error(limit + 1).message.find("too much"), std::string::npos);
}

TEST_F(MemoryTest, MovingKeepsOneOwner) {
  Buffer a = test::make_buffer(device(), 64);
  const uint64_t address = a.address();
  Buffer b = std::move(a);
  EXPECT_FALSE(a);
  EXPECT_EQ(a.address(), 0u);
  EXPECT_EQ(b.address(), address);
  a = std::move(b);
  EXPECT_TRUE(a);
  EXPECT_FALSE(b);
  Buffer& alias = a;
  a = std::move(alias);
  EXPECT_EQ(a.address(), address);
  a = Buffer();
  EXPECT_FALSE(a);
}

TEST_F(MemoryTest, UseIsCounted) {
  const gpu::MemoryUse before = device().memory_use();
  const Buffer large = test::make_buffer(device(), 300 << 20);
  const gpu::MemoryUse during = device().memory_use();
  EXPECT_GE(during.used, before.used + (300 << 20));
  EXPECT_GT(during.budget, 0u);
}

TEST_F(MemoryTest, ABufferInUseOutlivesItsObject) {
  // The GPU is held before the list that reads the buffer; its destruction must wait, and the copy must see its bytes.
  VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type, 0};
  VkSemaphore gate = VK_NULL_HANDLE;
  ASSERT_EQ(device().fn().vkCreateSemaphore(device().handle(), &info, nullptr, &gate), VK_SUCCESS);

  const std::vector<uint32_t> values(256, 42);
  const Buffer to = test::make_buffer(device(), 1024, Memory::kReadback);
  bool destroyed = false;
  uint64_t value = 0;
  {
    const Buffer from = test::to_device(device(), values);
    gpu::Recorder recorder(device());
    recorder.copy("copy", from, to);
    Result<gpu::CommandList> list = recorder.finish();
    ASSERT_TRUE(list.ok()) << test::why(list);
    const gpu::CommandList* lists[] = {&*list};
    const gpu::TimelineWait waits[] = {{gate, 1}};
    const Result<uint64_t> submitted = device().submit(lists, waits);
    ASSERT_TRUE(submitted.ok()) << test::why(submitted);
    value = *submitted;
    device().retire([&destroyed] { destroyed = true; });
  }
  device().collect();
  EXPECT_FALSE(destroyed);
  const VkSemaphoreSignalInfo signal{VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO, nullptr, gate, 1};
  ASSERT_EQ(device().fn().vkSignalSemaphore(device().handle(), &signal), VK_SUCCESS);
  const Result<bool> done = device().wait(value);
  ASSERT_TRUE(done.ok()) << test::why(done);
  EXPECT_TRUE(*done);
  device().collect();
  EXPECT_TRUE(destroyed);
  EXPECT_EQ(to.mapped_as<uint32_t>()[255], 42u);
  device().fn().vkDestroySemaphore(device().handle(), gate, nullptr);
}

TEST_F(MemoryTest, RetiredThingsGoInOrderAndAtOnceWhenNothingRuns) {
  ASSERT_TRUE(device().wait_idle().ok());
  std::string order;
  device().retire([&] { order += 'a'; });
  device().retire([&] { order += 'b'; });
  EXPECT_EQ(order, "ab");
}

}  // namespace
}  // namespace lahar
