// Inside of ops: how a matrix becomes push constants.
#pragma once

#include "ops/op_helpers.h"
#include "params_matmul.h"
#include "quant/layout.h"

namespace lahar::ops::detail {

// The shader of a kernel with one variant per weight format, in the order of WeightFormat, f32 first.
inline gpu::ShaderId for_format(gpu::ShaderId f32, quant::WeightFormat format) {
  return static_cast<gpu::ShaderId>(static_cast<uint16_t>(f32) + static_cast<uint16_t>(format));
}

inline Status check_matrix(std::string_view label, const quant::Matrix* w, quant::Layout& shape) {
  if (w == nullptr) return invalid(label, "the matrix is missing");
  auto found = quant::layout(w->format, w->rows, w->cols, w->group);
  if (!found.ok()) return annotate(found.error(), label);
  shape = *found;
  for (uint32_t plane = 0; plane < shape.planes; ++plane)
    if (!w->planes[plane] || w->planes[plane].size < shape.plane_bytes[plane] || w->planes[plane].address() % 16 != 0)
      return invalid(label, "plane " + std::to_string(plane) + " needs " + std::to_string(shape.plane_bytes[plane]) +
                                " bytes on a base of 16, has " + std::to_string(w->planes[plane].size));
  return {};
}

// The planes' part of MatmulPush and EmbedPush.
template <typename Push>
void push_matrix(const quant::Matrix& w, const quant::Layout& shape, Push& push) {
  push.w0 = w.planes[0].address(), push.w1 = w.planes[1].address(), push.w2 = w.planes[2].address();
  push.row_bytes0 = shape.row_bytes[0], push.row_bytes1 = shape.row_bytes[1], push.row_bytes2 = shape.row_bytes[2];
  push.cols = w.cols;
  push.group = w.group == 0 ? (w.cols + 15) / 16 * 16 : w.group;
}

// Which part of the planes the kernels read.
inline gpu::BufferRange plane_range(const quant::Matrix& w, const quant::Layout& shape, uint32_t plane) {
  return plane < shape.planes ? w.planes[plane].part(0, shape.plane_bytes[plane]) : gpu::BufferRange{};
}

}  // namespace lahar::ops::detail
