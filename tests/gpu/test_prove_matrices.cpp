// The proof that tensor loads have to stand before they are used: on matrices of a subgroup without such loads, which are
// the same kernel otherwise. That it fails where it should is what makes it one.
#include <filesystem>
#include <fstream>

#include "gpu/gpu_test.h"
#include "gpu/prove_matrices.h"
#include "temporary_folder.h"

namespace lahar {
namespace {

namespace fs = std::filesystem;

class ProveMatrices : public test::GpuTest {
 protected:
  gpu::MatrixTrial stand_in() const {
    const uint32_t subgroup = device().caps().subgroup_size;
    return {.shader = gpu::ShaderId::gemm_coop2_stand_in,
            .invocations = subgroup,
            .subgroup = subgroup,
            .tile_m = 16,
            .tile_n = 16,
            .depth = 16};
  }
  bool right(const gpu::MatrixTrial& trial) const {
    const Result<bool> result = gpu::product_is_right(device(), trial);
    EXPECT_TRUE(result.ok()) << test::why(result);
    return result.ok() && *result;
  }
};

class ProveStandIn : public ProveMatrices {
 protected:
  void SetUp() override {
    ProveMatrices::SetUp();
    if (test::shared_device() != nullptr && !device().caps().has(gpu::kFlexibleMatrix))
      GTEST_SKIP() << "needs cooperative matrices of flexible dimensions";
  }
};

TEST_F(ProveStandIn, RightProductsAreTaken) {
  EXPECT_TRUE(right(stand_in()));
  gpu::MatrixTrial trial = stand_in();
  trial.tile_m = 32, trial.depth = 8;
  EXPECT_TRUE(right(trial));
}

TEST_F(ProveStandIn, WrongOnesAreNot) {
  gpu::MatrixTrial trial = stand_in();
  trial.format = 4;  // Q4_0
  EXPECT_FALSE(right(trial));
}

TEST_F(ProveMatrices, WhatDoesNotCompileIsNotTaken) {
  gpu::MatrixTrial trial = stand_in();
  trial.invocations = 2 * device().caps().max_workgroup_invocations;
  EXPECT_FALSE(right(trial));
}

// After a process that did not come to the end of its proof.
TEST_F(ProveMatrices, ACrashIsRemembered) {
  const test::TemporaryFolder folder;
  const gpu::DeviceOptions options{.pipeline_cache_folder = folder.path()};
  const auto proven = [&] {
    const Result<bool> result = gpu::tensor_matrices_are_right(device(), options);
    EXPECT_TRUE(result.ok()) << test::why(result);
    return result.ok() && *result;
  };
  EXPECT_TRUE(proven());
  EXPECT_TRUE(proven());
  for (const fs::directory_entry& file : fs::directory_iterator(folder.path())) std::ofstream(file.path()) << "trying";
  EXPECT_FALSE(proven());
}

TEST_F(ProveMatrices, TheDeviceSaysWhatItHas) {
  const gpu::Caps& caps = device().caps();
  for (const gpu::FlexibleMatrix& m : caps.flexible_matrices) {
    EXPECT_GT(m.m * m.n * m.k, 0u);
    EXPECT_TRUE(caps.has(m.invocations > 0 ? gpu::kTensorMatrix : gpu::kFlexibleMatrix));
  }
  const std::shared_ptr<gpu::Device> without =
      test::open_device({.disabled_features = gpu::kMatrixElements, .use_pipeline_cache = false});
  ASSERT_NE(without, nullptr) << test::open_error();
  EXPECT_FALSE(without->caps().has(gpu::kFlexibleMatrix));
  EXPECT_FALSE(without->caps().has(gpu::kTensorMatrix));
  EXPECT_TRUE(without->caps().flexible_matrices.empty());
}

}  // namespace
}  // namespace lahar
