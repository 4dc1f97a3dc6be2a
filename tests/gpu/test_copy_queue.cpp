// Copies behind what the device computes.
#include <chrono>
#include <numeric>
#include <thread>

#include "gpu/commands.h"
#include "gpu/copy_queue.h"
#include "gpu/gpu_test.h"
#include "gpu/transfer.h"

namespace lahar {
namespace {

using gpu::Buffer;
using gpu::CopyQueue;
using gpu::Memory;

class CopyQueueTest : public test::GpuTest {
 protected:
  void SetUp() override {
    test::GpuTest::SetUp();
    auto made = CopyQueue::create(device().shared_from_this());
    ASSERT_TRUE(made.ok()) << test::why(made);
    queue_ = std::move(*made);
  }
  // Polls, as steps do; blocks here alone.
  void finish() {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (Result<bool> busy = true; *busy;) {
      busy = queue_->busy();
      ASSERT_TRUE(busy.ok()) << test::why(busy);
      ASSERT_LT(std::chrono::steady_clock::now(), limit) << "the copies never end";
      std::this_thread::yield();
    }
  }
  std::unique_ptr<CopyQueue> queue_;
};

TEST_F(CopyQueueTest, PartsArriveWhereTheyBelong) {
  std::vector<uint32_t> values(4096);
  std::iota(values.begin(), values.end(), 7);
  const Buffer from = test::make_buffer(device(), values.size() * 4, Memory::kHost),
               to = test::make_buffer(device(), from.size());
  ASSERT_TRUE(gpu::upload(device(), std::as_bytes(std::span(values)), from).ok());
  const std::vector<uint32_t> before(values.size(), 99);
  ASSERT_TRUE(gpu::upload(device(), std::as_bytes(std::span(before)), to).ok());
  EXPECT_FALSE(queue_->finished()) << "nothing was copied yet";

  for (int round = 0; round < 2; ++round) {  // the queue's objects are used again
    const CopyQueue::Copy batch[] = {{{from, 0, 1024}, {to, 4096, 1024}}, {{from, 8192, 16}, {to, 0, 16}}};
    const Status started = queue_->start(batch);
    ASSERT_TRUE(started.ok()) << test::why(started);
    finish();
  }
  EXPECT_EQ(queue_->finished().has_value(), queue_->beside_kernels());
  const auto got = test::from_device<uint32_t>(device(), to);
  for (uint32_t i = 0; i < got.size(); ++i) {
    const uint32_t want = i < 4 ? values[2048 + i] : i >= 1024 && i < 1280 ? values[i - 1024] : 99;
    ASSERT_EQ(got[i], want) << i;
  }
}

TEST_F(CopyQueueTest, RefusesASecondBatchAndSizesThatDiffer) {
  const Buffer a = test::make_buffer(device(), 256), b = test::make_buffer(device(), 256);
  const CopyQueue::Copy wrong[] = {{{a, 0, 64}, {b, 0, 32}}};
  EXPECT_EQ(queue_->start(wrong).error().code, ErrorCode::kInvalidArgument);
  ASSERT_TRUE(queue_->start({}).ok());
  EXPECT_FALSE(*queue_->busy()) << "of nothing";
  if (queue_->beside_kernels()) GTEST_SKIP() << "nothing holds back a queue of its own";

  // The device is held, and with it a batch in between its submissions.
  VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type, 0};
  VkSemaphore gate = VK_NULL_HANDLE;
  ASSERT_EQ(device().fn().vkCreateSemaphore(device().handle(), &info, nullptr, &gate), VK_SUCCESS);
  gpu::Recorder recorder(device());
  recorder.copy("held", {a, 0, 64}, {b, 0, 64});
  Result<gpu::CommandList> list = recorder.finish();
  ASSERT_TRUE(list.ok()) << test::why(list);
  const gpu::CommandList* lists[] = {&*list};
  const gpu::TimelineWait waits[] = {{gate, 1}};
  ASSERT_TRUE(device().submit(lists, waits).ok());
  const CopyQueue::Copy copy[] = {{{a, 0, 64}, {b, 64, 64}}};
  ASSERT_TRUE(queue_->start(copy).ok());
  EXPECT_TRUE(*queue_->busy());
  EXPECT_EQ(queue_->start(copy).error().code, ErrorCode::kInvalidArgument);
  const VkSemaphoreSignalInfo signal{VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO, nullptr, gate, 1};
  ASSERT_EQ(device().fn().vkSignalSemaphore(device().handle(), &signal), VK_SUCCESS);
  finish();
  device().fn().vkDestroySemaphore(device().handle(), gate, nullptr);
}

}  // namespace
}  // namespace lahar
