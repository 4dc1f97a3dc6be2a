// What tests that need a device share. One device per test program, under the Khronos validation layer: any message of the
// layer fails the test in which it came.
//   LAHAR_DEVICE       which device, as --device takes it
//   LAHAR_KERNELS      gpu: on a CPU device, the kernels that a GPU would get
//   LAHAR_VALIDATION   0: without the layer; gpu: GPU-assisted validation too
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "gpu/buffer.h"
#include "gpu/commands.h"
#include "gpu/device.h"
#include "gpu/transfer.h"

namespace lahar::test {

// The instance that all devices of the program come from, and its device. Null where they could not be opened; the reason
// is in open_error().
gpu::Instance* shared_instance();
gpu::Device* shared_device();
const std::string& open_error();

// Another device of the same instance and selector, with other options (disabled features).
std::shared_ptr<gpu::Device> open_device(gpu::DeviceOptions options = {});

// Fixture: fails where there is no device, and when the layer has said anything during the test.
class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
  gpu::Device& device() const { return *shared_device(); }

 private:
  uint64_t messages_before_ = 0;
};

// The error's text, for EXPECT_TRUE(r.ok()) << why(r).
template <typename T>
std::string why(const Result<T>& result) {
  return result.ok() ? "" : std::string(to_string(result.error().code)) + ": " + result.error().message;
}

// The helpers below record a test failure when something goes wrong, and return something empty.

gpu::Buffer make_buffer(gpu::Device& device, uint64_t bytes, gpu::Memory memory = gpu::Memory::kDevice,
                        const std::string& name = "test");
gpu::Buffer to_device_bytes(gpu::Device& device, std::span<const std::byte> bytes, const std::string& name);
std::vector<std::byte> from_device_bytes(gpu::Device& device, gpu::BufferRange range);

template <typename T>
gpu::Buffer to_device(gpu::Device& device, const std::vector<T>& values, const std::string& name = "input") {
  return to_device_bytes(device, std::as_bytes(std::span(values)), name);
}

template <typename T>
std::vector<T> from_device(gpu::Device& device, gpu::BufferRange range) {
  const std::vector<std::byte> bytes = from_device_bytes(device, range);
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

// An output between guard bytes, filled with 0xFF bytes (a NaN in fp32, fp16 and bf16; -1 in integers).
struct Output {
  gpu::Buffer buffer;
  uint64_t guard = 0;  // bytes on each side
  // What the kernel may write. Valid while the Output stays where it is.
  gpu::BufferRange range() const { return {buffer, guard, buffer.size() - 2 * guard}; }
};
Output make_output(gpu::Device& device, uint64_t bytes, const std::string& name = "output");
// Fails the test where a guard byte has changed.
void expect_guards(gpu::Device& device, const Output& output);

// Records everything in the recorder, submits it and waits.
void run(gpu::Recorder& recorder, const gpu::RecordOptions& options = {});
void run(gpu::Device& device, const std::function<Status(gpu::Recorder&)>& record);

// Deterministic random numbers. The seed goes into the failure message (SCOPED_TRACE).
std::vector<float> random_floats(size_t n, uint64_t seed, float low = -1, float high = 1);

}  // namespace lahar::test
