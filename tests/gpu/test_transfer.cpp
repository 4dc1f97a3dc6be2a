// Uploads, downloads and the staging ring.
#include "gpu/gpu_test.h"

namespace lahar {
namespace {

using gpu::Buffer;
using gpu::Memory;

using Transfer = test::GpuTest;

std::vector<std::byte> pattern(size_t n) {
  std::vector<std::byte> bytes(n);
  for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::byte>(i * 31 + i / 251);
  return bytes;
}

TEST_F(Transfer, BytesComeBackFromEveryKindOfMemory) {
  const std::vector<std::byte> bytes = pattern(10007);
  for (const Memory memory : {Memory::kDevice, Memory::kUpload, Memory::kReadback}) {
    const Buffer buffer = test::make_buffer(device(), 10100, memory);
    const gpu::BufferRange part(buffer, 13, 10007);
    const Status up = gpu::upload(device(), bytes, part);
    ASSERT_TRUE(up.ok()) << test::why(up);
    EXPECT_EQ(test::from_device_bytes(device(), part), bytes);
  }
}

TEST_F(Transfer, MoreThanATemporaryHolds) {
  const std::vector<std::byte> bytes = pattern((33 << 20) + 3);
  const Buffer buffer = test::make_buffer(device(), bytes.size());
  ASSERT_TRUE(gpu::upload(device(), bytes, buffer).ok());
  EXPECT_TRUE(test::from_device_bytes(device(), buffer) == bytes);
}

TEST_F(Transfer, WhatDoesNotFitIsRefused) {
  const Buffer buffer = test::make_buffer(device(), 64);
  std::vector<std::byte> bytes(65);
  EXPECT_EQ(gpu::upload(device(), bytes, buffer).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(gpu::download(device(), buffer, bytes).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(gpu::upload(device(), bytes, {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(gpu::upload(device(), {}, buffer).ok());
}

TEST_F(Transfer, TheRingStaysWithinItsCapacity) {
  constexpr uint64_t kCapacity = 64 << 10;
  const std::vector<std::byte> bytes = pattern(1000003);
  const Buffer buffer = test::make_buffer(device(), bytes.size());
  Result<gpu::StagingRing> ring = gpu::StagingRing::create(device(), kCapacity, 4);
  ASSERT_TRUE(ring.ok()) << test::why(ring);
  uint64_t next = 0;
  const Status written = ring->write(buffer, 34, [&](uint64_t offset, std::span<std::byte> out) -> Status {
    EXPECT_EQ(offset, next);
    EXPECT_TRUE(out.size() % 34 == 0 || offset + out.size() == bytes.size());
    EXPECT_LE(out.size(), kCapacity / 4);
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    next += out.size();
    return {};
  });
  ASSERT_TRUE(written.ok()) << test::why(written);
  EXPECT_EQ(next, bytes.size());
  ASSERT_TRUE(ring->flush().ok());
  EXPECT_TRUE(test::from_device_bytes(device(), buffer) == bytes);
  EXPECT_LE(ring->peak_bytes(), kCapacity);
  EXPECT_GT(ring->peak_bytes(), 0u);
}

TEST_F(Transfer, TheRingPassesErrorsOnAndStaysUsable) {
  const std::vector<std::byte> bytes = pattern(4096);
  const Buffer buffer = test::make_buffer(device(), bytes.size());
  Result<gpu::StagingRing> ring = gpu::StagingRing::create(device(), 4096, 4);
  ASSERT_TRUE(ring.ok());
  const Status failed = ring->write(buffer, 16, [](uint64_t offset, std::span<std::byte>) -> Status {
    if (offset > 0) return Error{ErrorCode::kCancelled, "enough"};
    return {};
  });
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kCancelled);
  const Status written = ring->write(buffer, 16, [&](uint64_t offset, std::span<std::byte> out) -> Status {
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  });
  ASSERT_TRUE(written.ok()) << test::why(written);
  ASSERT_TRUE(ring->flush().ok());
  EXPECT_EQ(test::from_device_bytes(device(), buffer), bytes);
}

TEST_F(Transfer, ImpossibleRingsAreRefused) {
  EXPECT_EQ(gpu::StagingRing::create(device(), (256ull << 20) + 1, 4).error().code, ErrorCode::kLimit);
  EXPECT_EQ(gpu::StagingRing::create(device(), 1024, 0).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(gpu::StagingRing::create(device(), 8, 4).error().code, ErrorCode::kInvalidArgument);
  Result<gpu::StagingRing> ring = gpu::StagingRing::create(device(), 4096, 4);
  ASSERT_TRUE(ring.ok());
  const Buffer buffer = test::make_buffer(device(), 64);
  const auto nothing = [](uint64_t, std::span<std::byte>) -> Status { return {}; };
  EXPECT_EQ(ring->write(buffer, 1025, nothing).error().code, ErrorCode::kLimit);
  EXPECT_EQ(ring->write(buffer, 0, nothing).error().code, ErrorCode::kLimit);
}

}  // namespace
}  // namespace lahar
