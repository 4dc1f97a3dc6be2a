// Inside of ops, and for the tuner: the forms in which a matmul can be computed. matmul() takes the one that was measured to
// be fastest (ops/tuning.h), else a default by what the device is; tests and measurements name one.
// Thread rule: everything here but recording is pure.
#pragma once

#include <optional>
#include <vector>

#include "ops/matmul.h"
#include "quant/layout.h"

namespace lahar::ops {

enum class MatmulPath : uint8_t {
  kGemv,      // a subgroup along the columns of W; up to 16 rows of x
  kGemm,      // tiles in shared memory, fp32 or (Precision::kDefault alone) fp16; any number of rows of x
  kCoop,      // cooperative matrices, fp16 operands; any number of rows of x, Precision::kDefault alone
  kGemvInt8,  // as kGemv with integer dot products; as kGemmInt8
  kGemmInt8,  // integer dot products of int8 rows of x (in x_scratch), Precision::kDefault alone
  kLine,      // straight-line code over CPU vectors; any number of rows of x
  kLoop,      // loops over CPU vectors, for drivers that keep uniform values in loops; any number of rows of x
  kCoopInt8,  // cooperative matrices, int8 operands, for formats with a scale per 32 columns; as kGemmInt8
  kCoop2,     // matrices of a workgroup that decode weights as they load them; any number of rows of x, Precision::kDefault
              // alone
  kCount,
};

// A kernel's path and the numbers that specialize it; those that the path has no use for are 0.
struct MatmulForm {
  MatmulPath path = MatmulPath::kGemv;
  uint32_t rows = 0;             // of W for each team (gemv) or subgroup (line)
  uint32_t x_rows = 0;           // of x for the same
  uint32_t x_step = 0;           // of x that are taken or left together, by how many are in use
  uint32_t subgroup = 0;         // invocations of a subgroup
  uint32_t teams = 0;            // groups of rows in a workgroup (gemv) or subgroups that share its matrices (coop2)
  uint32_t split = 0;            // parts of the columns, one for each subgroup of a team (gemv) or one each (line)
  uint32_t tile_m = 0;           // rows of W for each workgroup
  uint32_t tile_n = 0;           // rows of x for the same
  uint32_t depth = 0;            // columns of W at a time
  uint32_t part_m = 0;           // rows of W for each subgroup of it
  uint32_t part_n = 0;           // rows of x for the same
  uint32_t m = 0, n = 0, k = 0;  // shape of the device's matrices
  uint32_t half_sums = 0;        // 1: sums are in fp16: of matrices, or of 32 columns of tiles
  uint32_t half_rows = 0;        // 1: x is converted to fp16 rows first, in x_scratch
  uint32_t elements = 0;  // 1: results go straight from the matrices to memory; coop2: a subgroup without tensor loads
  bool operator==(const MatmulForm&) const = default;
};
// "gemv rows 2 x_rows 4 subgroup 32 teams 4": the path, then what is not 0.
std::string to_string(const MatmulForm& form);
// nullopt where the text is no form.
std::optional<MatmulForm> parse_matmul_form(std::string_view text);

// What tells one measured case from another: "q4_k 4096x14336, bucket 1, gated". Needs params.w and the sizes alone.
std::string matmul_case(const MatmulParams& params);

// False where the device, the shape or the precision rules the form out. params has passed matmul()'s checks.
bool can_matmul(const gpu::Caps& caps, const MatmulParams& params, const MatmulForm& form);
// Every form worth measuring, a handful for each path, the path's default first; never empty for params that matmul() takes.
std::vector<MatmulForm> matmul_forms(const gpu::Caps& caps, const MatmulParams& params);
// What matmul() takes where nothing was measured; forms in quarantine are passed over.
MatmulForm default_form(const gpu::Caps& caps, const MatmulParams& params);
// Errors: those of matmul(); kInvalidArgument where !can_matmul().
Status matmul_with(gpu::Recorder& recorder, const MatmulParams& params, const MatmulForm& form);

// How line.comp cuts the work: rows of W and of x for each subgroup, and the parts that the columns are cut into.
struct LineShape {
  uint32_t rows = 0, x_rows = 0, chunks = 0;
};
// All zero where no shape will do.
LineShape line_shape(const gpu::Caps& caps, const MatmulParams& params);
// kLine with a shape of the caller's, for measurements: rows is even with a gated activation, chunks divides the columns
// into whole steps of the format.
Status matmul_line(gpu::Recorder& recorder, const MatmulParams& params, const LineShape& shape);

namespace detail {
// What the files of matmul share.
Status check_matmul(const MatmulParams& params, quant::Layout& shape);
uint32_t matmul_flags(const MatmulParams& params);  // without kMatmulTail
uint32_t matmul_y_rows(const MatmulParams& params);
uint32_t matmul_x_rows(const MatmulParams& params);
uint64_t fold_address(const MatmulParams& params);  // of the norm that is folded in; 0 without one
// Records one dispatch with matmul's reads and writes.
void record_matmul(gpu::Recorder& recorder, const MatmulParams& params, const quant::Layout& shape,
                   const gpu::KernelDesc& kernel, std::span<const std::byte> push, gpu::GroupCount groups);
// n workgroups as x * y, each below the device's limit; some may lie beyond n.
gpu::GroupCount spread_groups(uint64_t n, const gpu::Caps& caps);
void list_line_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
}  // namespace detail

}  // namespace lahar::ops
