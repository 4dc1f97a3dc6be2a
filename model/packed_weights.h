// Weights that a safetensors checkpoint holds several to a word, with scales and zero points for groups of columns: AWQ,
// GPTQ, compressed-tensors, and MXFP4. weight = scale * (n - zero), n and zero unsigned. Pure functions; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "block_roles.h"
#include "core/result.h"
#include "core/tensor_view.h"
#include "format/model_source.h"
#include "hf_quantization.h"
#include "quant/block.h"

namespace lahar {

struct MatrixPiece;
struct MatrixPlan;

// How a tensor of R rows and C columns lies in the file.
enum class Packing {
  kGptq,   // I32 [C * bits / 32, R]: neighbours in a column, lowest first; zero points I32 [groups, R * bits / 32]
  kAwq,    // I32 [C, R / 8]: eight neighbours in a row, in the order 0 2 4 6 1 3 5 7; zero points the same [groups, R / 8]
  kRows,   // I32 [R, C * bits / 32]: neighbours in a row, lowest first; zero points I32 [R * bits / 32, groups], or I8
  kBytes,  // I8 [R, C], n = value + 128; zero points I8 [R, groups]
  kFp4Pairs,  // U8 [R, C / 2]: two fp4 e2m1 of a row, the low nibble first; scales U8 [R, C / 32] are powers of two
};

struct PackedTensors {
  Packing packing = Packing::kGptq;
  uint32_t bits = 4;
  uint32_t tensor_rows = 0;              // R
  uint32_t group = 0, groups = 1;        // columns of a group; how many there are in a row
  const TensorView* zeros = nullptr;     // null: 2^(bits - 1)
  uint32_t zero_offset = 0;              // is added to the stored ones, modulo 2^bits
  const TensorView* group_of = nullptr;  // I32 [C]: the group of each column; null where they are in order
};

// The tensors of projection `name` (".qweight" and others beside it); nullopt where it is not packed. Errors: kFormat (a
// tensor that is missing or has the wrong shape or type, a group that is not there: the message names it), kUnsupported.
Result<std::optional<MatrixPiece>> find_packed(const ModelSource& source, const HfQuantization& quantization,
                                               const std::string& name, uint32_t rows, uint32_t cols);
// MXFP4 of one matrix: `tensor` is U8 [rows, cols / 32, 16] or [rows, cols / 2]. Errors: as find_packed.
Result<MatrixPiece> packed_fp4(const ModelSource& source, const TensorView& tensor, const TensorView& scales, uint32_t rows,
                               uint32_t cols);
// True where the source has a packed projection of that name, whatever it is worth.
bool has_packed(const ModelSource& source, const std::string& name);

// The format and group that hold a packed piece as it is; F16 where none does (groups out of order, eight bits with zero
// points, groups that are no multiple of 32 columns).
struct PackedFormat {
  quant::WeightFormat format;
  uint32_t group = 0;
};
PackedFormat packed_format(const MatrixPiece& piece);

// Bytes of a row in the file.
uint64_t packed_row_bytes(const MatrixPiece& piece);

// Rows of a packed piece's tensor as planes of plan.format, with the planes' row_bytes. Errors: kFormat (a scale that is not
// finite).
Status repack_rows(const MatrixPlan& plan, const MatrixPiece& piece, const RowRun& run,
                   std::array<std::span<std::byte>, quant::kMaxPlanes> planes);

}  // namespace lahar
