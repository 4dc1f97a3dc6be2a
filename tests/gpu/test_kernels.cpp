// Pipelines: specialization, refusals, statistics, the cache on disk, and sources compiled at run time.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "gpu/gpu_test.h"
#include "gpu/pipeline_cache.h"
#include "gpu/stream_kernel.h"
#include "temporary_folder.h"

namespace lahar {
namespace {

namespace fs = std::filesystem;
using gpu::Buffer;

using Kernels = test::GpuTest;

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  return files;
}

std::vector<char> contents(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void overwrite(const fs::path& file, const std::vector<char>& bytes) {
  std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// 64 * factor, by a dispatch.
uint32_t streamed(gpu::Device& device, uint32_t factor) {
  const Buffer a = test::to_device(device, std::vector<uint32_t>(256, 64)), b = test::make_buffer(device, 1024);
  gpu::Recorder recorder(device);
  test::record_stream(recorder, a, b, 0, factor);
  test::run(recorder);
  return test::from_device<uint32_t>(device, b)[255];
}

TEST_F(Kernels, ConstantsSpecialize) {
  for (uint32_t factor : {1u, 2u, 3u, 1000u}) EXPECT_EQ(streamed(device(), factor), 64 * factor);
}

TEST_F(Kernels, TheSameDescriptionIsTheSameKernel) {
  const gpu::Kernel* a = test::stream_kernel(device(), 77);
  EXPECT_EQ(a, test::stream_kernel(device(), 77));
  EXPECT_NE(a, test::stream_kernel(device(), 78));
  EXPECT_EQ(a->shader().name, "stream");
  const std::vector<const gpu::Kernel*> all = device().kernels().kernels();
  EXPECT_EQ(std::count(all.begin(), all.end(), a), 1);
}

TEST_F(Kernels, ManyAreBuiltAtATime) {
  for (uint32_t factor = 100; factor < 140; ++factor) test::stream_kernel(device(), factor);
  const Status built = device().kernels().wait_all();
  EXPECT_TRUE(built.ok()) << test::why(built);
}

TEST_F(Kernels, AClosedDeviceLeavesNoBuildBehind) {
  const std::shared_ptr<gpu::Device> other = test::open_device({.use_pipeline_cache = false});
  ASSERT_NE(other, nullptr) << test::open_error();
  for (uint32_t factor = 0; factor < 50; ++factor) test::stream_kernel(*other, factor);
}

TEST_F(Kernels, WhatTheDeviceCannotDoIsRefusedByName) {
  gpu::DeviceOptions options;
  options.use_pipeline_cache = false;
  options.disabled_features = ~0u;
  const std::shared_ptr<gpu::Device> bare = test::open_device(options);
  ASSERT_NE(bare, nullptr) << test::open_error();
  EXPECT_EQ(bare->caps().features, 0u);
  EXPECT_EQ(streamed(*bare, 5), 320u);
  for (uint16_t i = 0; i < static_cast<uint16_t>(gpu::ShaderId::kCount); ++i) {
    const gpu::ShaderInfo shader = gpu::shader_info(static_cast<gpu::ShaderId>(i));
    if (shader.required_features == 0) continue;
    const Result<VkPipeline> built = bare->kernels().get({static_cast<gpu::ShaderId>(i), {64, 1, 1}, 0})->pipeline();
    ASSERT_FALSE(built.ok()) << shader.name;
    EXPECT_EQ(built.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(built.error().message.find(gpu::feature_names(shader.required_features)), std::string::npos)
        << built.error().message;
  }

  const auto refused = [&](const gpu::KernelDesc& desc) {
    const Result<VkPipeline> built = bare->kernels().get(desc)->pipeline();
    return !built.ok() && built.error().code == ErrorCode::kUnsupported;
  };
  const uint32_t most = bare->caps().max_workgroup_invocations;
  EXPECT_TRUE(refused({gpu::ShaderId::stream, {most * 2, 1, 1}, 0}));
  EXPECT_TRUE(refused({gpu::ShaderId::stream, {most, 2, 1}, 0}));
  EXPECT_TRUE(refused({gpu::ShaderId::stream, {0, 1, 1}, 0}));
  EXPECT_TRUE(refused({gpu::ShaderId::stream, {64, 1, 1}, bare->caps().max_subgroup_size * 2}));
  EXPECT_FALSE(bare->kernels().get({gpu::ShaderId::kCount, {64, 1, 1}, 0})->pipeline().ok());
}

TEST_F(Kernels, ARequiredSubgroupSizeBuilds) {
  const Result<VkPipeline> built =
      device()
          .kernels()
          .get({gpu::ShaderId::stream, {device().caps().max_subgroup_size * 2, 1, 1}, device().caps().max_subgroup_size})
          ->pipeline();
  EXPECT_TRUE(built.ok()) << test::why(built);
}

TEST_F(Kernels, StatisticsWhereTheDriverHasThem) {
  const Result<gpu::KernelStatistics> s = device().kernels().statistics({gpu::ShaderId::stream, {64, 1, 1}, 0});
  ASSERT_TRUE(s.ok()) << test::why(s);
  if (device().caps().executable_statistics) {
    EXPECT_FALSE(s->all.empty());
  } else {
    EXPECT_TRUE(s->all.empty());
    EXPECT_FALSE(s->registers || s->spills || s->shared_memory || s->occupancy);
  }
}

// Opens a device on the folder, builds a kernel, and closes it again.
void use_cache(const fs::path& folder, uint32_t factor = 9) {
  gpu::DeviceOptions options;
  options.pipeline_cache_folder = folder;
  const std::shared_ptr<gpu::Device> device = test::open_device(options);
  ASSERT_NE(device, nullptr) << test::open_error();
  EXPECT_EQ(streamed(*device, factor), 64 * factor);
}

TEST_F(Kernels, TheCacheIsSavedAndADamagedOneIsReplaced) {
  const test::TemporaryFolder folder;
  use_cache(folder.path());
  const std::vector<fs::path> files = files_in(folder.path());
  ASSERT_EQ(files.size(), 1u);
  EXPECT_TRUE(files[0].filename().string().starts_with("pipelines-" + device().caps().info.uuid));
  const std::vector<char> good = contents(files[0]);

  std::vector<std::vector<char>> damaged;
  damaged.emplace_back();                                                              // empty
  damaged.emplace_back(good.begin(), good.begin() + 20);                               // cut in the header
  damaged.emplace_back(good.begin(), good.end() - 1);                                  // cut at the end
  for (size_t at : {size_t{0}, size_t{9}, size_t{17}, size_t{25}, good.size() - 1}) {  // a flipped bit in each field
    damaged.push_back(good);
    damaged.back()[at] ^= 1;
  }
  for (const std::vector<char>& bytes : damaged) {
    overwrite(files[0], bytes);
    use_cache(folder.path());
    EXPECT_EQ(contents(files[0]).size(), good.size());
  }
  EXPECT_EQ(files_in(folder.path()).size(), 1u);
}

TEST(PipelineCacheFile, OnlyItsOwnKeyReadsIt) {
  const test::TemporaryFolder folder;
  gpu::PipelineCacheKey key{"00ff", 3, "ab", 17};
  const fs::path file = gpu::pipeline_cache_file(folder.path(), key);
  const std::vector<std::byte> data(1000, std::byte{5});
  ASSERT_TRUE(gpu::write_pipeline_cache(file, key, data).ok());
  std::vector<std::string> messages;
  const Log log([&](LogLevel, std::string_view text) { messages.emplace_back(text); });
  EXPECT_EQ(gpu::read_pipeline_cache(file, key, log), data);
  EXPECT_TRUE(gpu::read_pipeline_cache(folder.path() / "none", key, log).empty());
  EXPECT_TRUE(messages.empty());
  for (gpu::PipelineCacheKey other :
       {gpu::PipelineCacheKey{"00fe", 3, "ab", 17}, {"00ff", 4, "ab", 17}, {"00ff", 3, "ac", 17}, {"00ff", 3, "ab", 18}}) {
    EXPECT_NE(gpu::pipeline_cache_file(folder.path(), other), file);
    messages.clear();
    EXPECT_TRUE(gpu::read_pipeline_cache(file, other, log).empty());
    EXPECT_EQ(messages.size(), 1u);
  }
}

TEST(PipelineCacheFile, OldFilesOfTheDeviceGo) {
  const test::TemporaryFolder folder;
  overwrite(folder.path() / "pipelines-0a-somebody-else.bin", {'x'});
  for (uint64_t build = 0; build < 9; ++build) {
    const gpu::PipelineCacheKey key{"00ff", 3, "ab", build};
    ASSERT_TRUE(gpu::write_pipeline_cache(gpu::pipeline_cache_file(folder.path(), key), key, {}).ok());
  }
  EXPECT_EQ(files_in(folder.path()).size(), 5u);
}

class ShaderFolder : public Kernels {
 protected:
  void SetUp() override {
    Kernels::SetUp();
    fs::copy(fs::path(LAHAR_SOURCE_DIR) / "shaders", folder_.path(), fs::copy_options::recursive);
    ::setenv("LAHAR_SHADER_DIR", folder_.path().c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("LAHAR_SHADER_DIR");
    Kernels::TearDown();
  }
  void replace(const std::string& what, const std::string& with) {
    const fs::path file = folder_.path() / "bench" / "stream.comp";
    std::vector<char> bytes = contents(file);
    std::string text(bytes.begin(), bytes.end());
    ASSERT_NE(text.find(what), std::string::npos);
    text.replace(text.find(what), what.size(), with);
    overwrite(file, {text.begin(), text.end()});
  }
  Result<VkPipeline> build() {
    device_ = test::open_device({.use_pipeline_cache = false});
    return test::stream_kernel(*device_)->pipeline();
  }

  test::TemporaryFolder folder_;
  std::shared_ptr<gpu::Device> device_;
};

TEST_F(ShaderFolder, ChangedSourcesAreCompiled) {
  replace("* kFactor + p.add", "* kFactor + p.add + 7");
  const Result<VkPipeline> built = build();
  if (!built.ok() && built.error().code == ErrorCode::kNotFound) GTEST_SKIP() << built.error().message;
  ASSERT_TRUE(built.ok()) << test::why(built);
  EXPECT_EQ(streamed(*device_, 2), 135u);
}

TEST_F(ShaderFolder, AMistakeIsThatKernelsError) {
  replace("void main()", "void main(");
  const Result<VkPipeline> built = build();
  ASSERT_FALSE(built.ok());
  if (built.error().code == ErrorCode::kNotFound) GTEST_SKIP() << built.error().message;
  EXPECT_EQ(built.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(built.error().message.find("stream.comp"), std::string::npos) << built.error().message;
}

}  // namespace
}  // namespace lahar
