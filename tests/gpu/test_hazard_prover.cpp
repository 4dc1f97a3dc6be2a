// The prover of declarations must pass what is true and catch each kind of lie.
#include "gpu/gpu_test.h"
#include "gpu/hazard_prover.h"
#include "gpu/stream_kernel.h"

namespace lahar {
namespace {

using gpu::Buffer;
using gpu::BufferRange;

class HazardProver : public test::GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (HasFatalFailure()) return;
    for (Buffer* b : {&a_, &b_, &c_}) *b = test::to_device(device(), std::vector<uint32_t>(64, 11));
    buffers_ = {&a_, &b_, &c_};
  }

  // to = from + add over whole buffers, with the declarations that are given.
  void record(gpu::Recorder& recorder, const Buffer& from, const Buffer& to, uint32_t add, std::vector<BufferRange> reads,
              std::vector<BufferRange> writes) {
    const params::StreamParams push{from.address(), to.address(), 16, add};
    recorder.dispatch({.label = "node",
                       .kernel = test::stream_kernel(device()),
                       .push = gpu::push_bytes(push),
                       .groups = {1},
                       .reads = reads,
                       .writes = writes});
  }

  std::string violations(const std::function<void(gpu::Recorder&)>& record) {
    std::string all;
    for (const std::string& v : test::find_hazards(
             device(), [&](gpu::Recorder& r) -> Status { return record(r), Status(); }, buffers_))
      all += v + "\n";
    return all;
  }

  Buffer a_, b_, c_;
  std::vector<const Buffer*> buffers_;
};

TEST_F(HazardProver, TrueDeclarationsPassAndTheBuffersAreRestored) {
  EXPECT_EQ(violations([&](gpu::Recorder& r) {
              record(r, a_, b_, 1, {a_}, {b_});
              record(r, a_, c_, 2, {a_}, {c_});
              record(r, b_, a_, 3, {b_}, {a_});
              record(r, a_, a_, 5, {a_}, {a_});
              r.copy("copy", {a_, 0, 128}, {b_, 128, 128});
              r.fill("fill", {c_, 64, 64}, 9);
            }),
            "");
  for (const Buffer* b : buffers_) EXPECT_EQ(test::from_device<uint32_t>(device(), *b), std::vector<uint32_t>(64, 11));
}

TEST_F(HazardProver, AnUndeclaredWriteIsSeen) {
  EXPECT_NE(
      violations([&](gpu::Recorder& r) { record(r, a_, b_, 1, {a_}, {}); }).find("writes a byte that it does not declare"),
      std::string::npos);
}

TEST_F(HazardProver, AWriteThatIsDeclaredTooSmallIsSeen) {
  EXPECT_NE(violations([&](gpu::Recorder& r) {
              record(r, a_, b_, 1, {a_}, {{b_, 0, 252}});
            }).find("(buffer 1, byte 252)"),
            std::string::npos);
}

TEST_F(HazardProver, AnUndeclaredReadIsSeen) {
  EXPECT_NE(violations([&](gpu::Recorder& r) { record(r, a_, b_, 1, {}, {b_}); }).find("does not declare as read"),
            std::string::npos);
}

TEST_F(HazardProver, AReadThatIsDeclaredTooSmallIsSeen) {
  EXPECT_NE(violations([&](gpu::Recorder& r) {
              record(r, a_, b_, 1, {{a_, 0, 240}}, {b_});
            }).find("(buffer 1, byte 240)"),
            std::string::npos);
}

TEST_F(HazardProver, ReadingWhatIsOnlyDeclaredAsWrittenIsSeen) {
  EXPECT_NE(violations([&](gpu::Recorder& r) { record(r, a_, a_, 1, {}, {a_}); }).find("does not declare as read"),
            std::string::npos);
}

TEST_F(HazardProver, AWriteThatKeepsPartOfItsRangePasses) {
  EXPECT_EQ(violations([&](gpu::Recorder& r) {
              const params::StreamParams push{a_.address(), b_.address(), 4, 1};  // 64 of the 256 bytes that are declared
              const BufferRange reads[] = {a_}, writes[] = {b_};
              r.dispatch({.label = "part",
                          .kernel = test::stream_kernel(device()),
                          .push = gpu::push_bytes(push),
                          .groups = {1},
                          .reads = reads,
                          .writes = writes});
            }),
            "");
}

TEST_F(HazardProver, ALieThatHidesABarrierChangesTheOrder) {
  // The second node reads b_, but says that it reads c_: no barrier stands between them, and reversed they differ.
  const std::string all = violations([&](gpu::Recorder& r) {
    record(r, a_, b_, 1, {a_}, {b_});
    record(r, b_, c_, 1, {}, {c_});
  });
  EXPECT_NE(all.find("the reversed order gives another result"), std::string::npos) << all;
}

TEST_F(HazardProver, ABufferItWasNotGivenIsAnError) {
  const Buffer other = test::make_buffer(device(), 256);
  EXPECT_NE(violations([&](gpu::Recorder& r) { record(r, a_, other, 1, {a_}, {other}); }).find("was not given"),
            std::string::npos);
}

}  // namespace
}  // namespace lahar
