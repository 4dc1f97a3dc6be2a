// Inside of matmul: what each path offers to matmul(), and what the paths of GPUs share.
#pragma once

#include "ops/matmul_push.h"
#include "ops/matmul_variants.h"

namespace lahar::ops {

// Products of rows that are sorted by expert (shaders/matmul/experts.glsl). Rows of y are pairs; row p of y comes from row
// p / pairs_a_row of x.
struct ExpertRows {
  gpu::BufferRange table;                   // uint64 [experts]: addresses of slabs
  std::span<const gpu::BufferRange> slabs;  // where they may lie
  uint32_t experts = 0;
  std::array<uint64_t, 3> planes{};  // of the matrix in a slab
  uint32_t pairs = 0;                // at most; those in use are known on the device
  uint32_t pairs_a_row = 1;
  gpu::BufferRange sorted;  // uint32 [pairs]
  gpu::BufferRange tiles;   // params::kMoeTilesHeader, then params::MoeTile, for the form's number of rows
};

namespace detail {

// Of one path. Defaults first in list(); record() is given params and a form for which can() holds.
struct MatmulPathOps {
  bool (*can)(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& form);
  void (*list)(const gpu::Caps& caps, const MatmulParams& p, std::vector<MatmulForm>& out);
  Status (*record)(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& form);
};
extern const MatmulPathOps kGemvOps, kGemvInt8Ops, kGemmOps, kCoopOps, kGemmInt8Ops, kLoopOps, kCoopInt8Ops, kCoop2Ops;
const MatmulPathOps& matmul_path_ops(MatmulPath path);
// In the order in which a device takes them where nothing was measured.
std::vector<MatmulPath> preferred_matmul_paths(const gpu::Caps& caps, quant::WeightFormat format);
void list_gemv_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_tile_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_loop_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_coop_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_coop_int8_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_coop2_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_int8_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);

constexpr uint32_t kGemvRows = 16;  // of x
constexpr uint16_t kFormats = static_cast<uint16_t>(quant::WeightFormat::kCount);

// Of a norm over `width` floats that a product over `rows` rows computes along: its check, and what kernels touch for it.
Status check_norm_fold(std::string_view label, const NormFold& fold, uint32_t width, uint32_t rows);
// How many sums a GEMV leaves for a norm folded in after it, one a workgroup; there is room for params::kSquareParts.
uint32_t norm_sums(const MatmulParams& params, const MatmulForm& form);
void add_x_norm(const NormFold& fold, Ranges& reads);
void add_y_norm(const NormFold& fold, uint32_t rows, uint32_t width, Ranges& reads, Ranges& writes);

// Columns that one load of the kernels covers: 16 bytes of plane 0.
uint32_t unit_columns(quant::WeightFormat format);
uint32_t flags_with_tail(const MatmulParams& params);
params::MatmulPush matmul_push(const MatmulParams& params, const quant::Layout& shape);

// x as a kernel reads it that takes converted rows: in params.x_scratch, which this fills.
struct ConvertedX {
  gpu::BufferRange range;
  uint32_t row_bytes = 0;
};
bool can_convert(const MatmulParams& params, RowsKind kind);
Result<ConvertedX> converted_x(gpu::Recorder& recorder, const MatmulParams& params, RowsKind kind);
params::MatmulPush matmul_push(const MatmulParams& params, const quant::Layout& shape, const ConvertedX& x);
void record_matmul(gpu::Recorder& recorder, const MatmulParams& params, const quant::Layout& shape,
                   const gpu::KernelDesc& kernel, std::span<const std::byte> push, gpu::GroupCount groups,
                   const gpu::BufferRange& x);

// Formats with an int8 form (quant/dot.glsl), in the order of the kernels' variants.
constexpr quant::WeightFormat kInt8Formats[] = {
    quant::WeightFormat::kQ8_0, quant::WeightFormat::kQ4_0,   quant::WeightFormat::kQ4_1,   quant::WeightFormat::kQ4_K,
    quant::WeightFormat::kQ6_K, quant::WeightFormat::kI8,     quant::WeightFormat::kQ5_0,   quant::WeightFormat::kQ5_1,
    quant::WeightFormat::kQ5_K, quant::WeightFormat::kIQ4_NL, quant::WeightFormat::kIQ4_XS, quant::WeightFormat::kMXFP4,
    quant::WeightFormat::kI4};
// Of a kernel with one variant for each of them, `first` the first; nullopt where the format has none or the device cannot.
std::optional<gpu::ShaderId> int8_shader(const gpu::Caps& caps, gpu::ShaderId first, quant::WeightFormat format);

// For kernels without gated activations: gate and up into the scratch rows, then the activation by itself. Without one,
// `record` alone.
Status record_unfused(gpu::Recorder& recorder, const MatmulParams& params, const quant::Layout& shape,
                      const MatmulForm& form,
                      Status (*record)(gpu::Recorder&, const MatmulParams&, const quant::Layout&, const MatmulForm&));

// Formats of much code for each weight: loops over CPU vectors do better with fewer rows of them.
constexpr bool quants_are_bytes(quant::WeightFormat format) {
  using enum quant::WeightFormat;
  return format == kQ8_0 || format == kQ6_K || format == kF8 || format == kI8;
}
// Of one row of x, what such loops take by default.
constexpr MatmulForm loop_form(quant::WeightFormat format) {
  return {.path = MatmulPath::kLoop, .rows = quants_are_bytes(format) ? 4u : 8u, .x_rows = 1};
}

// Workgroups along the rows of x, `tile` of them each.
uint32_t matmul_row_groups(const MatmulParams& params, uint32_t tile);
// What stands in the push constants instead of the matrix, bias and residual where rows are grouped.
template <typename Push>
void push_expert_rows(const ExpertRows& rows, Push& push) {
  push.w0 = rows.table.address(), push.w1 = rows.planes[0] | (rows.planes[1] << 32), push.w2 = rows.planes[2];
  push.bias = rows.tiles.address(), push.residual = rows.sorted.address();
  push.residual_stride = rows.pairs_a_row, push.x_rows = rows.pairs, push.bucket = rows.experts;
}

}  // namespace detail
}  // namespace lahar::ops
