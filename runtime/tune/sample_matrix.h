// Matrices and activations whose values are known, at a cost that does not grow with the matrix: a few random rows,
// repeated. The period is a prime larger than any tile, so that a kernel that takes one row for another computes something
// else.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "gpu/device.h"
#include "quant/matrix.h"

namespace lahar::tune {

struct MatrixShape {
  quant::WeightFormat format = quant::WeightFormat::kF16;
  uint32_t rows = 0, cols = 0, group = 0;
  bool operator==(const MatrixShape&) const = default;
};

class SampleMatrix {
 public:
  static constexpr uint32_t kPeriod = 251;  // rows

  // As many copies behind each other as fit into ring_bytes, one at least. Errors: kInvalidArgument (a shape that the format
  // does not allow), kOutOfMemory, kDeviceLost.
  static Result<SampleMatrix> create(gpu::Device& device, const MatrixShape& shape, uint64_t ring_bytes);

  const MatrixShape& shape() const { return shape_; }
  uint32_t copies() const { return static_cast<uint32_t>(copies_.size()); }
  // Stays where it is when the object is moved.
  const quant::Matrix& copy(uint32_t i) const { return copies_[i]; }
  uint64_t copy_bytes() const { return copy_bytes_; }
  // cols values, of a deviation that makes products with x of deviation 1 about as large.
  std::span<const float> row(uint32_t r) const {
    return std::span(values_).subspan(size_t{r % kPeriod} * shape_.cols, shape_.cols);
  }

 private:
  SampleMatrix() = default;
  MatrixShape shape_;
  uint64_t copy_bytes_ = 0;
  std::vector<float> values_;  // [min(rows, kPeriod)][cols]
  std::unique_ptr<gpu::Buffer> memory_;
  std::vector<quant::Matrix> copies_;
};

// Rows of activations of mean 0 and deviation 1, with a period of their own.
class SampleRows {
 public:
  static constexpr uint32_t kPeriod = 13;

  static Result<SampleRows> create(gpu::Device& device, uint32_t rows, uint32_t width);
  const gpu::Buffer& buffer() const { return buffer_; }
  uint32_t stride() const { return (width_ + 3) / 4 * 4; }  // floats
  std::span<const float> row(uint32_t t) const { return std::span(values_).subspan(size_t{t % kPeriod} * width_, width_); }

 private:
  SampleRows() = default;
  uint32_t width_ = 0;
  std::vector<float> values_;  // [kPeriod][width]
  gpu::Buffer buffer_;         // [rows][stride]
};

}  // namespace lahar::tune
