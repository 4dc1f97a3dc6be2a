#include "packed_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "quant/formats.h"
#include "weight_plan.h"

namespace lahar {
namespace {

using quant::load;
using quant::WeightFormat;

uint32_t ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
uint32_t word_at(const TensorView& t, size_t i) { return load<uint32_t>(t.data.data() + i * sizeof(uint32_t)); }

float float_at(const TensorView& t, size_t i) {
  if (t.dtype == DType::kF16) return quant::half_at(t.data.data() + i * 2);
  if (t.dtype == DType::kBF16) return quant::bf16_to_float(load<uint16_t>(t.data.data() + i * 2));
  return load<float>(t.data.data() + i * 4);
}

// Checks the tensors of one projection.
class Finder {
 public:
  Finder(const ModelSource& source, const HfQuantization& quantization, const std::string& name, uint32_t rows,
         uint32_t cols)
      : source_(source), quantization_(quantization), name_(name), rows_(rows), cols_(cols) {
    piece_.rows = rows, piece_.cols = cols;
    piece_.runs.push_back({0, rows});
    packed_.tensor_rows = rows;
  }

  Result<std::optional<MatrixPiece>> find();
  Result<MatrixPiece> fp4(const TensorView& tensor, const TensorView& scales) {
    LAHAR_TRY(find_fp4(tensor, scales));
    piece_.packed = packed_;
    return std::move(piece_);
  }

 private:
  Error error(const std::string& tensor, const std::string& what, ErrorCode code = ErrorCode::kFormat) const {
    return {code, source_.name() + ": tensor '" + tensor + "': " + what};
  }
  const TensorView* optional(const std::string& suffix) const { return source_.find_tensor(name_ + suffix); }
  Result<const TensorView*> required(const std::string& suffix) const;
  Status check(const TensorView& tensor, std::initializer_list<DType> types, const Shape& shape) const;
  Status check_scales(const TensorView& scales, const Shape& shape) const;
  Status find_transposed(Packing packing);
  Status find_group_order(const TensorView* order);
  Status find_rows();
  Status find_bytes();
  Status find_fp4(const TensorView& tensor, const TensorView& scales);
  Status find_groups_by_shape(const TensorView& scales);

  const ModelSource& source_;
  const HfQuantization& quantization_;
  const std::string& name_;
  const uint32_t rows_, cols_;
  MatrixPiece piece_;
  PackedTensors packed_;
};

Result<const TensorView*> Finder::required(const std::string& suffix) const {
  const TensorView* found = optional(suffix);
  if (found == nullptr) return error(name_ + suffix, "is missing");
  return found;
}

Status Finder::check(const TensorView& tensor, std::initializer_list<DType> types, const Shape& shape) const {
  std::string list;
  for (const DType type : types) list += (list.empty() ? "" : " or ") + std::string(to_string(type));
  if (std::find(types.begin(), types.end(), tensor.dtype) == types.end())
    return error(tensor.name, "expected type " + list + ", found " + std::string(to_string(tensor.dtype)));
  if (tensor.shape != shape)
    return error(tensor.name, "expected shape " + shape.to_string() + ", found " + tensor.shape.to_string());
  return {};
}

Status Finder::check_scales(const TensorView& scales, const Shape& shape) const {
  return check(scales, {DType::kF16, DType::kBF16, DType::kF32}, shape);
}

// AWQ and GPTQ: columns outside.
Status Finder::find_transposed(Packing packing) {
  packed_.packing = packing;
  packed_.bits = quantization_.bits;
  const uint32_t in_word = 32 / packed_.bits;
  const bool gptq = packing == Packing::kGptq;
  LAHAR_ASSIGN(piece_.tensor, required(".qweight"));
  if (rows_ % in_word != 0 || (gptq && cols_ % in_word != 0))
    return error(piece_.tensor->name, "a matrix of " + std::to_string(rows_) + " x " + std::to_string(cols_) +
                                          " does not divide into words of " + std::to_string(in_word));
  LAHAR_TRY(check(*piece_.tensor, {DType::kI32}, gptq ? Shape{cols_ / in_word, rows_} : Shape{cols_, rows_ / in_word}));
  packed_.group = quantization_.group == 0 ? cols_ : std::min(quantization_.group, cols_);
  packed_.groups = ceil_div(cols_, packed_.group);
  LAHAR_ASSIGN(piece_.scales, required(".scales"));
  LAHAR_TRY(check_scales(*piece_.scales, Shape{packed_.groups, rows_}));
  LAHAR_ASSIGN(packed_.zeros, required(".qzeros"));
  LAHAR_TRY(check(*packed_.zeros, {DType::kI32}, Shape{packed_.groups, rows_ / in_word}));
  if (!gptq) return {};
  // Some tools write the true zero points and call the form "gptq" all the same. In a symmetric checkpoint they are in the
  // middle: 2^(bits - 1), which in the old form would stand for one more. https://github.com/vllm-project/vllm/pull/38966
  packed_.zero_offset = quantization_.zero_less_one ? 1 : 0;
  const uint32_t middle = packed_.bits == 4 ? 0x88888888u : 0x80808080u;
  bool all_middle = quantization_.symmetric;
  const size_t words = size_t{packed_.groups} * (rows_ / in_word);
  for (size_t i = 0; all_middle && i < words; ++i) all_middle = word_at(*packed_.zeros, i) == middle;
  if (all_middle) packed_.zero_offset = 0;
  return find_group_order(optional(".g_idx"));
}

// With act-order the columns of a group lie anywhere.
Status Finder::find_group_order(const TensorView* order) {
  if (order == nullptr || order->data.empty()) return {};
  LAHAR_TRY(check(*order, {DType::kI32}, Shape{cols_}));
  bool in_order = true;
  for (uint32_t c = 0; c < cols_; ++c) {
    const uint32_t g = word_at(*order, c);
    if (g >= packed_.groups)
      return error(order->name, "column " + std::to_string(c) + " is of group " + std::to_string(static_cast<int32_t>(g)) +
                                    ", there are " + std::to_string(packed_.groups));
    in_order = in_order && g == c / packed_.group;
  }
  if (!in_order) packed_.group_of = order;
  return {};
}

// [rows, groups] of compressed-tensors; a group is what the number of scales says.
Status Finder::find_groups_by_shape(const TensorView& scales) {
  const Shape& shape = scales.shape;
  const uint64_t groups = shape.rank() == 2 ? shape[1] : 1;
  if (groups == 0 || groups > cols_ || cols_ % groups != 0)
    return error(scales.name, "expected shape [" + std::to_string(rows_) + ", groups of " + std::to_string(cols_) +
                                  " columns], found " + shape.to_string());
  packed_.groups = static_cast<uint32_t>(groups);
  packed_.group = cols_ / packed_.groups;
  if (shape == Shape{rows_}) return check_scales(scales, Shape{rows_});
  return check_scales(scales, Shape{rows_, packed_.groups});
}

// compressed-tensors, pack-quantized.
Status Finder::find_rows() {
  packed_.packing = Packing::kRows;
  for (packed_.bits = 4; packed_.bits <= 8; packed_.bits += 4)
    if (piece_.tensor->shape == Shape{rows_, ceil_div(cols_, 32 / packed_.bits)}) break;
  if (packed_.bits > 8)
    return error(piece_.tensor->name, "expected shape " + Shape{rows_, ceil_div(cols_, 8)}.to_string() + " (4 bits) or " +
                                          Shape{rows_, ceil_div(cols_, 4)}.to_string() + " (8 bits), found " +
                                          piece_.tensor->shape.to_string());
  if (const TensorView* shape = optional(".weight_shape"); shape != nullptr) {
    LAHAR_TRY(check(*shape, {DType::kI64, DType::kI32}, Shape{2}));
    const auto at = [&](size_t i) {
      return shape->dtype == DType::kI64 ? load<int64_t>(shape->data.data() + 8 * i)
                                         : int64_t{load<int32_t>(shape->data.data() + 4 * i)};
    };
    if (at(0) != rows_ || at(1) != cols_)
      return error(shape->name, "expected " + Shape{rows_, cols_}.to_string() + ", found [" + std::to_string(at(0)) + ", " +
                                    std::to_string(at(1)) + "]");
  }
  LAHAR_ASSIGN(piece_.scales, required(".weight_scale"));
  LAHAR_TRY(find_groups_by_shape(*piece_.scales));
  packed_.zeros = optional(".weight_zero_point");
  if (packed_.zeros != nullptr)
    LAHAR_TRY(check(*packed_.zeros, {DType::kI32, DType::kI8},
                    packed_.zeros->dtype == DType::kI8 ? piece_.scales->shape
                                                       : Shape{ceil_div(rows_, 32 / packed_.bits), packed_.groups}));
  return find_group_order(optional(".weight_g_idx"));
}

// compressed-tensors, int-quantized with zero points; without any, the weights are kept as they are.
Status Finder::find_bytes() {
  packed_.packing = Packing::kBytes;
  packed_.bits = 8;
  LAHAR_TRY(check(*piece_.tensor, {DType::kI8}, Shape{rows_, cols_}));
  LAHAR_ASSIGN(piece_.scales, required(".weight_scale"));
  LAHAR_TRY(find_groups_by_shape(*piece_.scales));
  packed_.zeros = optional(".weight_zero_point");
  return check(*packed_.zeros, {DType::kI8}, piece_.scales->shape);
}

Status Finder::find_fp4(const TensorView& tensor, const TensorView& scales) {
  packed_.packing = Packing::kFp4Pairs;
  piece_.tensor = &tensor, piece_.scales = &scales;
  packed_.group = 32, packed_.groups = cols_ / 32;
  if (cols_ % 32 != 0)
    return error(tensor.name, std::to_string(cols_) + " columns are no multiple of 32", ErrorCode::kUnsupported);
  const Shape flat{rows_, cols_ / 2};
  LAHAR_TRY(check(tensor, {DType::kU8}, tensor.shape.rank() == 3 ? Shape{rows_, packed_.groups, 16} : flat));
  return check(scales, {DType::kU8}, Shape{rows_, packed_.groups});
}

Result<std::optional<MatrixPiece>> Finder::find() {
  if (source_.hf() == nullptr) return std::optional<MatrixPiece>();
  if (optional(".qweight") != nullptr) {
    if (quantization_.method != HfMethod::kAwq && quantization_.method != HfMethod::kGptq)
      return error(name_ + ".qweight", "quantization_config names neither awq nor gptq");
    LAHAR_TRY(find_transposed(quantization_.method == HfMethod::kAwq ? Packing::kAwq : Packing::kGptq));
  } else if (piece_.tensor = optional(".weight_packed"); piece_.tensor != nullptr) {
    if (piece_.tensor->dtype == DType::kU8) {
      LAHAR_ASSIGN(const TensorView* scales, required(".weight_scale"));
      LAHAR_TRY(find_fp4(*piece_.tensor, *scales));
    } else {
      LAHAR_TRY(check(*piece_.tensor, {DType::kI32}, piece_.tensor->shape));
      LAHAR_TRY(find_rows());
    }
  } else if (const TensorView* blocks = optional("_blocks"); blocks != nullptr) {
    LAHAR_ASSIGN(const TensorView* scales, required("_scales"));
    LAHAR_TRY(find_fp4(*blocks, *scales));
  } else if (optional(".weight_zero_point") != nullptr) {
    LAHAR_ASSIGN(piece_.tensor, required(".weight"));
    LAHAR_TRY(find_bytes());
  } else {
    return std::optional<MatrixPiece>();
  }
  piece_.packed = packed_;
  return std::optional<MatrixPiece>(std::move(piece_));
}

// n of some rows, a byte each.
void unpack(const MatrixPiece& piece, const RowRun& run, uint8_t* out) {
  const PackedTensors& p = *piece.packed;
  const TensorView& t = *piece.tensor;
  const uint32_t rows = run.rows, cols = piece.cols, in_word = 32 / p.bits, mask = (1u << p.bits) - 1;
  const auto row_of = [&](uint32_t r) { return run.first + r * run.step; };
  switch (p.packing) {
    case Packing::kGptq:
      for (uint32_t c = 0; c < cols; c += in_word)
        for (uint32_t r = 0; r < rows; ++r) {
          const uint32_t word = word_at(t, size_t{c / in_word} * p.tensor_rows + row_of(r));
          for (uint32_t k = 0; k < in_word; ++k)
            out[size_t{r} * cols + c + k] = static_cast<uint8_t>(word >> p.bits * k & mask);
        }
      break;
    case Packing::kAwq:
      for (uint32_t c = 0; c < cols; ++c)
        for (uint32_t r = 0; r < rows; ++r) {
          const uint32_t row = row_of(r), place = row % 2 * 4 + row % 8 / 2;
          const uint32_t word = word_at(t, size_t{c} * (p.tensor_rows / 8) + row / 8);
          out[size_t{r} * cols + c] = static_cast<uint8_t>(word >> 4 * place & 15);
        }
      break;
    case Packing::kRows:
      for (uint32_t r = 0; r < rows; ++r)
        for (uint32_t c = 0; c < cols; ++c) {
          const uint32_t word = word_at(t, size_t{row_of(r)} * ceil_div(cols, in_word) + c / in_word);
          out[size_t{r} * cols + c] = static_cast<uint8_t>(word >> p.bits * (c % in_word) & mask);
        }
      break;
    case Packing::kBytes:
      for (uint32_t r = 0; r < rows; ++r)
        for (uint32_t c = 0; c < cols; ++c)
          *out++ = static_cast<uint8_t>(std::to_integer<uint32_t>(t.data[size_t{row_of(r)} * cols + c]) ^ 0x80u);
      break;
    case Packing::kFp4Pairs:
      for (uint32_t r = 0; r < rows; ++r)
        for (uint32_t c = 0; c < cols; ++c)
          *out++ = static_cast<uint8_t>(
              std::to_integer<uint32_t>(t.data[(size_t{row_of(r)} * cols + c) / 2]) >> 4 * (c % 2) & 15);
      break;
  }
}

uint8_t zero_at(const MatrixPiece& piece, uint32_t row, uint32_t group) {
  const PackedTensors& p = *piece.packed;
  const uint32_t mask = (1u << p.bits) - 1, middle = 1u << (p.bits - 1), in_word = 32 / p.bits;
  if (p.zeros == nullptr) return static_cast<uint8_t>(middle);
  const TensorView& t = *p.zeros;
  if (t.dtype == DType::kI8)
    return static_cast<uint8_t>((std::to_integer<uint32_t>(t.data[size_t{row} * p.groups + group]) + middle) & mask);
  uint32_t place = row % in_word;
  size_t word = size_t{group} * (p.tensor_rows / in_word) + row / in_word;
  if (p.packing == Packing::kAwq) place = row % 2 * 4 + row % 8 / 2;
  if (p.packing == Packing::kRows) word = size_t{row / in_word} * p.groups + group;
  return static_cast<uint8_t>(((word_at(t, word) >> p.bits * place) + p.zero_offset) & mask);
}

struct RowGroups {
  std::vector<float> scales;
  std::vector<uint8_t> zeros;
};

Status read_groups(const MatrixPiece& piece, uint32_t row, RowGroups& out) {
  const PackedTensors& p = *piece.packed;
  const bool columns_outside = p.packing == Packing::kGptq || p.packing == Packing::kAwq;
  out.scales.resize(p.groups), out.zeros.resize(p.groups);
  for (uint32_t g = 0; g < p.groups; ++g) {
    out.scales[g] = float_at(*piece.scales, columns_outside ? size_t{g} * p.tensor_rows + row : size_t{row} * p.groups + g);
    if (!std::isfinite(out.scales[g]))
      return Error{ErrorCode::kFormat, "tensor '" + piece.scales->name + "': a scale is not finite"};
    out.zeros[g] = zero_at(piece, row, g);
  }
  return {};
}

void store_nibbles(std::span<const uint8_t> n, std::byte* out) {
  for (size_t c = 0; c < n.size(); c += 32)
    for (size_t i = 0; i < 16; ++i) *out++ = static_cast<std::byte>(n[c + i] | n[c + 16 + i] << 4);
}

void store_row(const MatrixPlan& plan, const MatrixPiece& piece, std::span<const uint8_t> n, const RowGroups& groups,
               std::byte* quants, std::byte* scales) {
  const PackedTensors& p = *piece.packed;
  if (plan.format == WeightFormat::kI8) {
    for (size_t c = 0; c < n.size(); ++c) quants[c] = static_cast<std::byte>(n[c] ^ 0x80u);
    std::memcpy(scales, groups.scales.data(), groups.scales.size() * sizeof(float));
  } else if (plan.format == WeightFormat::kI4) {
    store_nibbles(n, quants);
    for (uint32_t g = 0; g < p.groups; ++g) {
      const float packed = quant::I4::pack_scale(groups.scales[g], groups.zeros[g]);
      std::memcpy(scales + g * sizeof packed, &packed, sizeof packed);
    }
  } else {
    for (uint32_t c = 0; c < n.size(); ++c) {
      const uint32_t g = p.group_of != nullptr ? word_at(*p.group_of, c) : c / p.group;
      const uint16_t half = quant::float_to_half(groups.scales[g] * (static_cast<float>(n[c]) - groups.zeros[g]));
      std::memcpy(quants + c * sizeof half, &half, sizeof half);
    }
  }
}

}  // namespace

Result<std::optional<MatrixPiece>> find_packed(const ModelSource& source, const HfQuantization& quantization,
                                               const std::string& name, uint32_t rows, uint32_t cols) {
  return Finder(source, quantization, name, rows, cols).find();
}

Result<MatrixPiece> packed_fp4(const ModelSource& source, const TensorView& tensor, const TensorView& scales, uint32_t rows,
                               uint32_t cols) {
  return Finder(source, {}, tensor.name, rows, cols).fp4(tensor, scales);
}

bool has_packed(const ModelSource& source, const std::string& name) {
  if (source.hf() == nullptr) return false;
  for (const char* suffix : {".qweight", ".weight_packed", "_blocks"})
    if (source.find_tensor(name + suffix) != nullptr) return true;
  return false;
}

PackedFormat packed_format(const MatrixPiece& piece) {
  const PackedTensors& p = *piece.packed;
  if (p.packing == Packing::kFp4Pairs) return {WeightFormat::kMXFP4};
  const uint32_t group = p.groups == 1 ? piece.cols : p.group;
  if (p.group_of != nullptr) return {WeightFormat::kF16};
  if (p.bits == 4 && piece.cols % 32 == 0 && group % 32 == 0) return {WeightFormat::kI4, group};
  bool symmetric = p.bits == 8 && (p.groups == 1 || group % 16 == 0);
  for (uint32_t r = 0; symmetric && r < p.tensor_rows && p.zeros != nullptr; ++r)
    for (uint32_t g = 0; symmetric && g < p.groups; ++g) symmetric = zero_at(piece, r, g) == 128;
  if (symmetric) return {WeightFormat::kI8, group};
  return {WeightFormat::kF16};
}

uint64_t packed_row_bytes(const MatrixPiece& piece) { return uint64_t{piece.cols} * piece.packed->bits / 8; }

Status repack_rows(const MatrixPlan& plan, const MatrixPiece& piece, const RowRun& run,
                   std::array<std::span<std::byte>, quant::kMaxPlanes> planes) {
  constexpr uint32_t kTile = 16;  // rows whose words lie in one cache line where columns are outside
  const uint32_t cols = piece.cols;
  std::vector<uint8_t> n(size_t{kTile} * cols);
  RowGroups groups;
  for (uint32_t p = 0; p < plan.layout.planes; ++p) std::memset(planes[p].data(), 0, planes[p].size());
  for (uint32_t done = 0; done < run.rows; done += kTile) {
    const uint32_t tile = std::min(kTile, run.rows - done);
    unpack(piece, {run.first + done * run.step, tile, run.step}, n.data());
    for (uint32_t r = 0; r < tile; ++r) {
      const uint32_t file_row = run.first + (done + r) * run.step;
      const auto row = std::span<const uint8_t>(n).subspan(size_t{r} * cols, cols);
      std::byte* quants = planes[0].data() + size_t{done + r} * plan.layout.row_bytes[0];
      std::byte* scales = planes[1].empty() ? nullptr : planes[1].data() + size_t{done + r} * plan.layout.row_bytes[1];
      if (plan.format == WeightFormat::kMXFP4) {
        store_nibbles(row, quants);
        std::memcpy(scales, piece.scales->data.data() + size_t{file_row} * (cols / 32), cols / 32);
        continue;
      }
      LAHAR_TRY(read_groups(piece, file_row, groups));
      store_row(plan, piece, row, groups, quants, scales);
    }
  }
  return {};
}

}  // namespace lahar
