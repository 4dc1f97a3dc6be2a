// Recording, submitting and waiting.
#include <thread>

#include "gpu/gpu_test.h"
#include "stream.h"

namespace lahar {
namespace {

using gpu::Buffer;
using gpu::BufferRange;
using test::GpuTest;

class Commands : public GpuTest {
 protected:
  const gpu::Kernel* stream(uint32_t factor = 1) { return device().kernels().get({gpu::ShaderId::stream, {64, 1, 1, {factor}}, 0}); }

  void record(gpu::Recorder& recorder, const BufferRange& from, const BufferRange& to, uint32_t add, uint32_t factor = 1) {
    const params::StreamParams push{from.address(), to.address(), static_cast<uint32_t>(to.size / 16), add};
    const BufferRange reads[] = {from}, writes[] = {to};
    recorder.dispatch({.label = "stream",
                       .kernel = stream(factor),
                       .push = gpu::push_bytes(push),
                       .groups = {static_cast<uint32_t>((to.size / 16 + 63) / 64)},
                       .reads = reads,
                       .writes = writes});
  }
};

TEST_F(Commands, DispatchReadsAndWrites) {
  std::vector<uint32_t> values(4 * 101);
  for (uint32_t i = 0; i < values.size(); ++i) values[i] = i * 7;
  const Buffer source = test::to_device(device(), values);
  const test::Output out = test::make_output(device(), values.size() * 4);
  gpu::Recorder recorder(device());
  record(recorder, source, out.range(), 5, 3);
  test::run(recorder);
  test::expect_guards(device(), out);
  const std::vector<uint32_t> got = test::from_device<uint32_t>(device(), out.range());
  for (uint32_t i = 0; i < values.size(); ++i) ASSERT_EQ(got[i], values[i] * 3 + 5) << i;
}

}  // namespace
}  // namespace lahar
