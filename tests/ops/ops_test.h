// What the tests of ops share: a step in device memory, weight matrices with their values as floats, and the comparison with
// a float64 reference.
#pragma once

#include <cmath>
#include <numeric>

#include "gpu/gpu_test.h"
#include "gpu/hazard_prover.h"
#include "ops/common.h"
#include "quant/matrix.h"

namespace lahar::test {

// A step's state as the prepare kernel would leave it: one run of `used` rows in slot 0, positions from `position` on.
// The caller may change everything before upload().
struct HostStep {
  explicit HostStep(uint32_t bucket, uint32_t used, uint32_t position = 0);
  ops::StepRef upload(gpu::Device& device);  // the buffer stays with this object

  params::StepState state{};
  std::vector<params::Row> rows;  // [bucket]
  gpu::Buffer buffer;
};

// A matrix on the device and the weights that its planes stand for.
struct HostMatrix {
  quant::Matrix matrix;
  std::vector<float> values;  // [rows][cols]
  std::vector<gpu::Buffer> buffers;
  std::vector<const gpu::Buffer*> pointers() const;
};
// Random bits in the format's blocks as a file holds them (scales of a sensible size), split into planes. group: for
// kF8, kI8 and kI4. Values are decoded from the file's blocks, so that the split is tested too.
HostMatrix random_matrix(gpu::Device& device, quant::WeightFormat format, uint32_t rows, uint32_t cols, uint64_t seed,
                         uint32_t group = 0);

// Rows of `width` floats, `stride` apart; what lies between them is NaN.
std::vector<float> padded_rows(const std::vector<float>& dense, uint32_t rows, uint32_t width, uint32_t stride);

// A sum of products as the reference knows it: the value, and the sum of magnitudes that bounds what rounding can do.
struct Bounded {
  double value = 0, magnitude = 0;
};

// Counts the mismatches between y (rows `stride` floats apart) and the reference [rows][width], |difference| <= c * eps *
// magnitude + floor, and reports the first few; rows in [used, rows) must still hold NaN.
void expect_close(const std::vector<float>& y, uint32_t stride, const std::vector<Bounded>& reference, uint32_t used,
                  uint32_t rows, uint32_t width, double c, double floor = 0);

}  // namespace lahar::test
