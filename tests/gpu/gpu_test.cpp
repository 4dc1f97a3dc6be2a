#include "gpu/gpu_test.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>

namespace lahar::test {
namespace {

constexpr uint64_t kGuard = 256;  // bytes on each side
constexpr std::byte kGuardByte{0xA5};

std::mutex log_mutex;
std::string log_text;  // what was logged as a warning or an error since the last test began

gpu::Validation validation() {
  const char* value = std::getenv("LAHAR_VALIDATION");
  if (value == nullptr || std::strcmp(value, "1") == 0) return gpu::Validation::kOn;
  return std::strcmp(value, "gpu") == 0 ? gpu::Validation::kGpuAssisted : gpu::Validation::kOff;
}

class DeviceEnvironment : public ::testing::Environment {
 public:
  void SetUp() override {
    gpu::InstanceOptions options;
    options.validation = validation();
    options.log = Log(
        [](LogLevel, std::string_view text) {
          const std::lock_guard lock(log_mutex);
          log_text.append(text).append("\n");
        },
        LogLevel::kWarning);
    Result<std::shared_ptr<gpu::Instance>> opened = gpu::Instance::create(options);
    if (!opened.ok()) {
      error = opened.error().message;
      return;
    }
    instance = *opened;
    device = open({});
    EXPECT_EQ(instance->validation_messages(), 0u) << log_text;
  }

  // A device that is closed with objects left is reported by the layer.
  void TearDown() override {
    if (!instance) return;
    const uint64_t before = instance->validation_messages();
    device.reset();
    EXPECT_EQ(instance->validation_messages(), before) << log_text;
    instance.reset();
  }

  std::shared_ptr<gpu::Device> open(gpu::DeviceOptions options) {
    if (const char* selector = std::getenv("LAHAR_DEVICE")) options.selector = selector;
    if (const char* kernels = std::getenv("LAHAR_KERNELS"); kernels != nullptr && std::strcmp(kernels, "gpu") == 0)
      options.gpu_kernels = true;
    if (options.pipeline_cache_folder.empty())
      options.pipeline_cache_folder = std::filesystem::temp_directory_path() / "lahar-test-cache";
    Result<std::shared_ptr<gpu::Device>> opened = gpu::Device::open(instance, options);
    if (opened.ok()) return *opened;
    error = opened.error().message;
    return nullptr;
  }

  std::shared_ptr<gpu::Instance> instance;
  std::shared_ptr<gpu::Device> device;
  std::string error;
};

// GoogleTest owns it.
DeviceEnvironment* const environment = [] {
  auto* e = new DeviceEnvironment;
  ::testing::AddGlobalTestEnvironment(e);
  return e;
}();

}  // namespace

gpu::Instance* shared_instance() { return environment->instance.get(); }
gpu::Device* shared_device() { return environment->device.get(); }
const std::string& open_error() { return environment->error; }
std::shared_ptr<gpu::Device> open_device(gpu::DeviceOptions options) { return environment->open(std::move(options)); }

void GpuTest::SetUp() {
  ASSERT_NE(shared_device(), nullptr) << open_error();
  const std::lock_guard lock(log_mutex);
  log_text.clear();
  messages_before_ = shared_instance()->validation_messages();
}

void GpuTest::TearDown() {
  if (shared_device() == nullptr) return;
  EXPECT_TRUE(shared_device()->wait_idle().ok());
  const std::lock_guard lock(log_mutex);
  EXPECT_EQ(shared_instance()->validation_messages(), messages_before_) << log_text;
}

gpu::Buffer make_buffer(gpu::Device& device, uint64_t bytes, gpu::Memory memory, const std::string& name) {
  Result<gpu::Buffer> buffer = device.create_buffer(bytes, memory, name);
  EXPECT_TRUE(buffer.ok()) << why(buffer);
  return buffer.ok() ? std::move(*buffer) : gpu::Buffer();
}

gpu::Buffer to_device_bytes(gpu::Device& device, std::span<const std::byte> bytes, const std::string& name) {
  gpu::Buffer buffer = make_buffer(device, std::max<uint64_t>(bytes.size(), 1), gpu::Memory::kDevice, name);
  if (!buffer) return buffer;
  const Status uploaded = gpu::upload(device, bytes, buffer);
  EXPECT_TRUE(uploaded.ok()) << why(uploaded);
  return buffer;
}

std::vector<std::byte> from_device_bytes(gpu::Device& device, gpu::BufferRange range) {
  std::vector<std::byte> bytes(range.size);
  const Status downloaded = gpu::download(device, range, bytes);
  EXPECT_TRUE(downloaded.ok()) << why(downloaded);
  return bytes;
}

Output make_output(gpu::Device& device, uint64_t bytes, const std::string& name) {
  std::vector<std::byte> content(bytes + 2 * kGuard, std::byte{0xFF});
  std::fill_n(content.begin(), kGuard, kGuardByte);
  std::fill_n(content.end() - static_cast<ptrdiff_t>(kGuard), kGuard, kGuardByte);
  return {to_device_bytes(device, content, name), kGuard};
}

void expect_guards(gpu::Device& device, const Output& output) {
  const std::vector<std::byte> bytes = from_device_bytes(device, output.buffer);
  for (size_t i = 0; i < kGuard; ++i) {
    EXPECT_EQ(bytes[i], kGuardByte) << kGuard - i << " bytes before the output were overwritten";
    EXPECT_EQ(bytes[bytes.size() - kGuard + i], kGuardByte) << i << " bytes behind the output were overwritten";
    if (::testing::Test::HasFailure()) return;
  }
}

void run(gpu::Recorder& recorder, const gpu::RecordOptions& options) {
  Result<gpu::CommandList> list = recorder.finish(options);
  ASSERT_TRUE(list.ok()) << why(list);
  const gpu::CommandList* lists[] = {&*list};
  const Result<uint64_t> value = recorder.device().submit(lists);
  ASSERT_TRUE(value.ok()) << why(value);
  const Result<bool> done = recorder.device().wait(*value);
  ASSERT_TRUE(done.ok()) << why(done);
}

void run(gpu::Device& device, const std::function<Status(gpu::Recorder&)>& record) {
  gpu::Recorder recorder(device);
  const Status recorded = record(recorder);
  ASSERT_TRUE(recorded.ok()) << why(recorded);
  run(recorder);
}

std::vector<float> random_floats(size_t n, uint64_t seed, float low, float high) {
  std::mt19937_64 random(seed);
  std::vector<float> values(n);
  // Not std::uniform_real_distribution: its numbers differ between standard libraries.
  for (float& v : values) v = low + (high - low) * static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-53);
  return values;
}

}  // namespace lahar::test
