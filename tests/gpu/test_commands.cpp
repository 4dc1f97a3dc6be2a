// Recording, submitting and waiting.
#include "gpu/gpu_test.h"
#include "gpu/stream_kernel.h"

namespace lahar {
namespace {

using gpu::Buffer;
using gpu::BufferRange;
using test::record_stream;

using Commands = test::GpuTest;

std::vector<uint32_t> counting(uint32_t n) {
  std::vector<uint32_t> values(n);
  for (uint32_t i = 0; i < n; ++i) values[i] = i * 7;
  return values;
}

TEST_F(Commands, DispatchReadsAndWrites) {
  const std::vector<uint32_t> values = counting(4 * 101);
  const Buffer source = test::to_device(device(), values);
  const test::Output out = test::make_output(device(), values.size() * 4);
  gpu::Recorder recorder(device());
  record_stream(recorder, source, out.range(), 5, 3);
  test::run(recorder);
  test::expect_guards(device(), out);
  const std::vector<uint32_t> got = test::from_device<uint32_t>(device(), out.range());
  for (uint32_t i = 0; i < values.size(); ++i) ASSERT_EQ(got[i], values[i] * 3 + 5) << i;
}

TEST_F(Commands, AChainIsOrderedAndCountsItsBarriers) {
  const std::vector<uint32_t> values = counting(4096);
  const Buffer a = test::to_device(device(), values), b = test::make_buffer(device(), a.size()),
               c = test::make_buffer(device(), a.size());
  gpu::Recorder recorder(device());
  record_stream(recorder, a, b, 1);
  record_stream(recorder, b, c, 2);
  record_stream(recorder, c, a, 3);
  record_stream(recorder, c, b, 4);  // no barrier: b's reader is before the one above
  Result<gpu::CommandList> list = recorder.finish();
  ASSERT_TRUE(list.ok()) << test::why(list);
  EXPECT_EQ(list->dispatches(), 4u);
  EXPECT_EQ(list->barriers(), 2u);
  test::run(recorder);
  EXPECT_EQ(test::from_device<uint32_t>(device(), a)[9], values[9] + 6);
  EXPECT_EQ(test::from_device<uint32_t>(device(), b)[9], values[9] + 7);
}

TEST_F(Commands, AListIsSubmittedAgainAndAgain) {
  const Buffer a = test::to_device(device(), std::vector<uint32_t>(64, 0)), b = test::make_buffer(device(), a.size());
  gpu::Recorder recorder(device());
  record_stream(recorder, a, b, 1);
  record_stream(recorder, b, a, 0);
  Result<gpu::CommandList> list = recorder.finish();
  ASSERT_TRUE(list.ok()) << test::why(list);
  const gpu::CommandList* lists[] = {&*list};
  for (int i = 0; i < 10; ++i) {
    const Result<uint64_t> value = device().submit(lists);
    ASSERT_TRUE(value.ok()) << test::why(value);
    ASSERT_TRUE(device().wait(*value).ok());
  }
  EXPECT_EQ(test::from_device<uint32_t>(device(), a)[63], 10u);
}

TEST_F(Commands, ListsOfOneSubmissionAndOfSeveralRunInOrder) {
  const Buffer a = test::to_device(device(), std::vector<uint32_t>(64, 1));
  const auto times = [&](uint32_t factor, uint32_t add) {
    gpu::Recorder recorder(device());
    record_stream(recorder, a, a, add, factor);
    Result<gpu::CommandList> list = recorder.finish();
    EXPECT_TRUE(list.ok()) << test::why(list);
    return std::move(*list);
  };
  const gpu::CommandList twice = times(2, 0), plus = times(1, 3), thrice = times(3, 0);
  const gpu::CommandList* first[] = {&twice, &plus};
  const gpu::CommandList* second[] = {&thrice};
  const Result<uint64_t> v1 = device().submit(first), v2 = device().submit(second);
  ASSERT_TRUE(v1.ok() && v2.ok());
  EXPECT_EQ(*v2, *v1 + 1);
  EXPECT_EQ(device().submitted(), *v2);
  ASSERT_TRUE(device().wait(*v2).ok());
  EXPECT_EQ(*device().completed(), *v2);
  EXPECT_EQ(test::from_device<uint32_t>(device(), a)[0], 15u);
}

TEST_F(Commands, SubmissionsQueueUpBehindATimelineTheHostHolds) {
  VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type, 0};
  VkSemaphore gate = VK_NULL_HANDLE;
  ASSERT_EQ(device().fn().vkCreateSemaphore(device().handle(), &info, nullptr, &gate), VK_SUCCESS);

  const Buffer a = test::to_device(device(), std::vector<uint32_t>(64, 1));
  gpu::Recorder recorder(device());
  record_stream(recorder, a, a, 1);
  Result<gpu::CommandList> one = recorder.finish(), two = recorder.finish();
  ASSERT_TRUE(one.ok() && two.ok());
  ASSERT_TRUE(device().wait_idle().ok());
  const uint64_t before = *device().completed();
  const gpu::CommandList* first[] = {&*one};
  const gpu::CommandList* second[] = {&*two};
  const gpu::TimelineWait waits[] = {{gate, 1}};
  const Result<uint64_t> v1 = device().submit(first, waits), v2 = device().submit(second);
  ASSERT_TRUE(v1.ok() && v2.ok());
  EXPECT_EQ(*v2, before + 2);
  const Result<bool> early = device().wait(*v1, 1000000);
  ASSERT_TRUE(early.ok());
  EXPECT_FALSE(*early);
  EXPECT_EQ(*device().completed(), before);

  const VkSemaphoreSignalInfo signal{VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO, nullptr, gate, 1};
  ASSERT_EQ(device().fn().vkSignalSemaphore(device().handle(), &signal), VK_SUCCESS);
  ASSERT_TRUE(device().wait(*v2).ok());
  EXPECT_EQ(test::from_device<uint32_t>(device(), a)[5], 3u);
  device().fn().vkDestroySemaphore(device().handle(), gate, nullptr);
}

TEST_F(Commands, WaitingForWhatWasNeverSubmittedIsAnError) {
  const Result<bool> waited = device().wait(device().submitted() + 1);
  ASSERT_FALSE(waited.ok());
  EXPECT_EQ(waited.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(Commands, HostWritesBeforeASubmissionAreSeen) {
  const Buffer in = test::make_buffer(device(), 1024, gpu::Memory::kUpload),
               out = test::make_buffer(device(), 1024, gpu::Memory::kReadback);
  gpu::Recorder recorder(device());
  record_stream(recorder, in, out, 0);
  Result<gpu::CommandList> list = recorder.finish();
  ASSERT_TRUE(list.ok()) << test::why(list);
  const gpu::CommandList* lists[] = {&*list};
  for (uint32_t i = 1; i < 4; ++i) {
    for (uint32_t& v : in.mapped_as<uint32_t>()) v = i;
    const Result<uint64_t> value = device().submit(lists);
    ASSERT_TRUE(value.ok() && device().wait(*value).ok());
    for (uint32_t v : out.mapped_as<uint32_t>()) ASSERT_EQ(v, i);
  }
}

TEST_F(Commands, IndirectGroupsAreReadOnTheDevice) {
  const std::vector<uint32_t> values = counting(4 * 64 * 3);
  const Buffer source = test::to_device(device(), values);
  const Buffer out = test::to_device(device(), std::vector<uint32_t>(values.size(), 0));
  const Buffer groups = test::to_device(device(), std::vector<uint32_t>{9, 2, 1, 1});
  gpu::Recorder recorder(device());
  record_stream(recorder, source, out, 1, 1, {groups, 4, 12});
  test::run(recorder);
  const std::vector<uint32_t> got = test::from_device<uint32_t>(device(), out);
  EXPECT_EQ(got[4 * 64 * 2 - 1], values[4 * 64 * 2 - 1] + 1);
  EXPECT_EQ(got[4 * 64 * 2], 0u);
}

TEST_F(Commands, CopiesAndFills) {
  const Buffer a = test::to_device(device(), counting(64));
  const test::Output out = test::make_output(device(), 256);
  gpu::Recorder recorder(device());
  recorder.fill("fill", out.range(), 0x01020304);
  recorder.copy("copy", {a, 16, 32}, out.range().part(64, 32));
  test::run(recorder);
  test::expect_guards(device(), out);
  const std::vector<uint32_t> got = test::from_device<uint32_t>(device(), out.range());
  EXPECT_EQ(got[15], 0x01020304u);
  EXPECT_EQ(got[16], 4 * 7u);
  EXPECT_EQ(got[23], 11 * 7u);
  EXPECT_EQ(got[24], 0x01020304u);
}

TEST_F(Commands, OrdersDifferOnlyBetweenBarriers) {
  const Buffer a = test::to_device(device(), counting(64)), b = test::make_buffer(device(), 256),
               c = test::make_buffer(device(), 256), d = test::make_buffer(device(), 256);
  gpu::Recorder recorder(device());
  record_stream(recorder, a, b, 1);
  record_stream(recorder, a, c, 2);
  record_stream(recorder, b, d, 4);
  for (const auto order :
       {gpu::RecordOptions::Order::kAsGiven, gpu::RecordOptions::Order::kReversed, gpu::RecordOptions::Order::kShuffled}) {
    for (const Buffer* buffer : {&b, &c, &d}) ASSERT_TRUE(gpu::upload(device(), std::vector<std::byte>(256), *buffer).ok());
    test::run(recorder, {.order = order, .shuffle_seed = 5});
    EXPECT_EQ(test::from_device<uint32_t>(device(), c)[9], 65u);
    EXPECT_EQ(test::from_device<uint32_t>(device(), d)[9], 68u);
  }
}

TEST_F(Commands, TimestampsNameTheirNodes) {
  if (device().caps().timestamp_period == 0) GTEST_SKIP() << "the queue has no timestamps";
  const Buffer a = test::to_device(device(), counting(1 << 16)), b = test::make_buffer(device(), a.size());
  gpu::Recorder recorder(device());
  recorder.set_scope("L3 ");
  record_stream(recorder, a, b, 1);
  recorder.fill("clear", a, 0);
  Result<gpu::CommandList> list = recorder.finish({.timestamps = true});
  ASSERT_TRUE(list.ok()) << test::why(list);
  EXPECT_FALSE(list->timings().ok());  // nothing has run yet
  const gpu::CommandList* lists[] = {&*list};
  const Result<uint64_t> value = device().submit(lists);
  ASSERT_TRUE(value.ok() && device().wait(*value).ok());
  const Result<std::vector<gpu::CommandList::Timing>> timings = list->timings();
  ASSERT_TRUE(timings.ok()) << test::why(timings);
  ASSERT_EQ(timings->size(), 2u);
  EXPECT_EQ((*timings)[0].label, "L3 stream");
  EXPECT_EQ((*timings)[1].label, "L3 clear");
  EXPECT_EQ((*timings)[0].begin_ns, 0);
  EXPECT_GE((*timings)[1].begin_ns, (*timings)[0].duration_ns);
  EXPECT_GE((*timings)[1].duration_ns, 0);
}

TEST_F(Commands, WrongNodesAreErrorsWithTheirLabel) {
  const Buffer a = test::make_buffer(device(), 64);
  const auto error = [&](auto record) {
    gpu::Recorder recorder(device());
    record(recorder);
    const Result<gpu::CommandList> list = recorder.finish();
    return list.ok() ? Error{ErrorCode::kInternal, "it was recorded"} : list.error();
  };
  const BufferRange beyond(a, 32, 64), huge(a, UINT64_MAX - 3, 8);
  for (const BufferRange& r : {beyond, huge}) {
    EXPECT_EQ(error([&](gpu::Recorder& rec) { rec.fill("mine", r, 0); }).code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(error([&](gpu::Recorder& rec) { rec.copy("mine", r, r); }).code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(
        error([&](gpu::Recorder& rec) {
          const BufferRange reads[] = {r};
          rec.dispatch({.label = "mine", .kernel = test::stream_kernel(device()), .push = {}, .reads = reads, .writes = {}});
        }).code,
        ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(error([&](gpu::Recorder& rec) { rec.fill("mine", {a, 2, 4}, 0); }).message.substr(0, 5), "mine:");
  EXPECT_EQ(error([&](gpu::Recorder& rec) { rec.copy("mine", {a, 0, 8}, {a, 8, 16}); }).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error([&](gpu::Recorder& rec) { rec.dispatch({.label = "mine", .push = {}, .reads = {}, .writes = {}}); }).code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error([&](gpu::Recorder& rec) {
              rec.dispatch({.label = "mine",
                            .kernel = test::stream_kernel(device()),
                            .push = {},
                            .groups = {UINT32_MAX, 1, 1},
                            .reads = {},
                            .writes = {}});
            }).code,
            device().caps().max_workgroup_count[0] == UINT32_MAX ? ErrorCode::kInternal : ErrorCode::kInvalidArgument);
  gpu::Recorder recorder(device());
  EXPECT_FALSE(recorder.finish(0, 1).ok());
}

TEST_F(Commands, AnEmptyListIsAList) {
  gpu::Recorder recorder(device());
  test::run(recorder);
  const Result<uint64_t> value = device().submit({});
  ASSERT_TRUE(value.ok() && device().wait(*value).ok());
}

}  // namespace
}  // namespace lahar
