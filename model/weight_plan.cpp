#include "weight_plan.h"

#include <algorithm>

#include "quant/quantize.h"

namespace lahar {

using quant::WeightFormat;

std::optional<Quantize> quantize_from_name(std::string_view name) {
  if (name == "int8") return Quantize::kInt8;
  if (name == "int4") return Quantize::kInt4;
  if (name == "fp8") return Quantize::kFp8;
  return std::nullopt;
}

namespace {

enum class Role { kLinear, kTable, kKept, kExpert };  // kTable: embedding and head; kKept: not quantized

class Planner {
 public:
  Planner(const ModelSource& source, Quantize quantize, const Log& log, WeightPlan::Data& data)
      : source_(source), quantize_(quantize), log_(log), data_(data) {}

  Status plan();

 private:
  Error refuse_type(const TensorView& tensor, const std::string& hint) const;
  std::optional<WeightFormat> target(const TensorView& tensor, uint32_t cols, Role role);
  Result<uint32_t> scale_group(const MatrixPiece& piece) const;
  Result<MatrixPlan> matrix(MatrixPiece piece, Role role);
  MatrixPlan packed(MatrixPiece piece);
  Status linear(const LinearTensors& tensors, Role role, LinearPlan& out, uint64_t& bytes);
  Status count_vector(const VectorTensors& vector);
  Status count_norm(const NormTensors& norm);
  Status experts(const LayerExperts& tensors, LayerExpertsPlan& out);
  Status block(const BlockTensors& tensors, BlockPlan& out);

  const ModelSource& source_;
  const Quantize quantize_;
  const Log& log_;
  WeightPlan::Data& data_;
  uint64_t kept_ = 0;  // matrices that could not be quantized
  std::string first_kept_;
  uint64_t expanded_ = 0;  // packed matrices that become F16
  std::string first_expanded_;
};

Error Planner::refuse_type(const TensorView& tensor, const std::string& hint) const {
  return {ErrorCode::kUnsupported, source_.name() + ": tensor '" + tensor.name + "': type " +
                                       std::string(to_string(tensor.dtype)) + " is not supported here; " + hint};
}

bool is_float(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

// What the tensor is converted to; nullopt: it keeps its bits.
std::optional<WeightFormat> Planner::target(const TensorView& tensor, uint32_t cols, Role role) {
  if (quantize_ == Quantize::kNone || role == Role::kKept || !is_float(tensor.dtype)) return std::nullopt;
  WeightFormat format = quant::kInt8Format;
  if (quantize_ == Quantize::kInt4 && role != Role::kTable) format = quant::kInt4Format;
  if (quantize_ == Quantize::kFp8) format = quant::kFp8Format;
  if (quant::can_quantize(format, cols)) return format;
  if (kept_++ == 0) first_kept_ = tensor.name + " (" + std::to_string(cols) + " columns)";
  return std::nullopt;
}

// Columns per scale of an fp8 or int8 matrix, by the shape of its scales.
Result<uint32_t> Planner::scale_group(const MatrixPiece& piece) const {
  const auto ceil_div = [](uint64_t a, uint64_t b) { return (a + b - 1) / b; };
  const Shape& tensor = piece.tensor->shape;
  if (piece.scales == nullptr) {
    if (piece.tensor->dtype == DType::kF8E4M3) return piece.cols;  // plain fp8: a scale of 1
    return Error{ErrorCode::kFormat, source_.name() + ": tensor '" + piece.tensor->name + "_scale' is missing"};
  }
  const Shape& shape = piece.scales->shape;
  if (!is_float(piece.scales->dtype)) return refuse_type(*piece.scales, "scales are F32, F16 or BF16");
  const uint64_t rows = tensor[0];
  const bool one = shape.elements() == uint64_t{1};
  if (one || shape == Shape{rows} || shape == Shape{rows, 1}) return piece.cols;
  const HfQuantization& q = data_.tensors.quantization;
  const Shape blocks{ceil_div(rows, q.block_rows), ceil_div(piece.cols, q.block_cols)};
  if (shape != blocks)
    return Error{ErrorCode::kFormat, source_.name() + ": tensor '" + piece.scales->name + "': expected shape [" +
                                         std::to_string(rows) + ", 1] or " + blocks.to_string() + ", found " +
                                         shape.to_string()};
  return std::min(q.block_cols, piece.cols);
}

// The types of files that are kept as they are.
std::string supported_types() {
  std::string list;
  for (size_t i = 0; i < static_cast<size_t>(WeightFormat::kCount); ++i) {
    const quant::FormatTraits& t = quant::traits(static_cast<WeightFormat>(i));
    if (!t.grouped) list += (list.empty() ? "" : ", ") + std::string(t.name);
  }
  return list;
}

// What no format can hold as it is, is expanded to F16.
MatrixPlan Planner::packed(MatrixPiece piece) {
  MatrixPlan plan;
  const PackedFormat found = packed_format(piece);
  plan.format = found.format;
  plan.group = found.group;
  plan.rows = piece.rows;
  plan.cols = piece.cols;
  if (found.format == WeightFormat::kF16 && expanded_++ == 0) first_expanded_ = piece.tensor->name;
  data_.source_bytes += piece.rows * packed_row_bytes(piece);
  plan.pieces.push_back(std::move(piece));
  return plan;
}

Result<MatrixPlan> Planner::matrix(MatrixPiece piece, Role role) {
  MatrixPlan plan;
  const TensorView& tensor = *piece.tensor;
  if (piece.packed) return packed(std::move(piece));
  const auto same = quant::format_for(tensor.dtype);
  if (!same) return refuse_type(tensor, supported_types() + " are, and F8_E4M3 and I8 with scales");
  if (piece.transposed && !is_float(tensor.dtype)) return refuse_type(tensor, "F32, F16 and BF16 are");
  const auto converted = target(tensor, piece.cols, role);
  plan.format = converted.value_or(*same);
  plan.quantize = converted.has_value();
  if (plan.quantize) {
    if (plan.format == WeightFormat::kF8) plan.group = std::min(quant::kFp8Group, piece.cols);
  } else if (quant::traits(plan.format).grouped) {
    LAHAR_ASSIGN(plan.group, scale_group(piece));
  }
  plan.rows = piece.rows;
  plan.cols = piece.cols;
  if (piece.fold_scale) {
    if (!is_float(tensor.dtype)) return refuse_type(tensor, "with a scale for each expert F32, F16 and BF16 are");
    if (!plan.quantize) plan.format = WeightFormat::kF32;
    plan.quantize = plan.fold_scale = true;
  } else {
    plan.scale = piece.scale;
  }
  data_.source_bytes += tensor.data.size();
  plan.pieces.push_back(std::move(piece));
  return plan;
}

// Neighbours that agree in everything but their rows become one matrix, so that one dispatch computes them.
Status Planner::linear(const LinearTensors& tensors, Role role, LinearPlan& out, uint64_t& bytes) {
  out.rows = tensors.rows;
  out.cols = tensors.cols;
  out.bias = tensors.bias;
  for (const MatrixPiece& piece : tensors.pieces) {
    LAHAR_ASSIGN(MatrixPlan next, matrix(piece, role));
    MatrixPlan* last = out.parts.empty() ? nullptr : &out.parts.back();
    if (last != nullptr && last->format == next.format && last->group == next.group && last->scale == next.scale) {
      last->rows += next.rows;
      last->quantize = last->quantize || next.quantize;
      last->fold_scale = last->fold_scale || next.fold_scale;
      last->pieces.push_back(std::move(next.pieces[0]));
    } else {
      out.parts.push_back(std::move(next));
    }
  }
  for (MatrixPlan& part : out.parts) {
    auto layout = quant::layout(part.format, part.rows, part.cols, part.group);
    if (!layout.ok()) {
      const std::string& name = part.pieces[0].tensor->name;
      return Error{ErrorCode::kUnsupported, source_.name() + ": tensor '" + name + "': " + layout.error().message};
    }
    part.layout = *layout;
    for (uint32_t p = 0; p < part.layout.planes; ++p) {
      const uint64_t plane = part.layout.plane_bytes[p];
      bytes += plane;
      data_.memory.padding += align_weight(plane) - plane;
      data_.memory.largest = std::max(data_.memory.largest, plane);
    }
  }
  return count_vector(tensors.bias);
}

Status Planner::count_vector(const VectorTensors& vector) {
  for (const VectorPiece& piece : vector.pieces) {
    if (piece.tensor == nullptr) continue;
    if (!is_float(piece.tensor->dtype)) return refuse_type(*piece.tensor, "vectors are F32, F16 or BF16");
    data_.source_bytes += piece.tensor->data.size();
  }
  const uint64_t bytes = uint64_t{vector.size} * sizeof(float);
  data_.memory.vectors += bytes;
  data_.memory.padding += align_weight(bytes) - bytes;
  return {};
}

Status Planner::count_norm(const NormTensors& norm) {
  LAHAR_TRY(count_vector(norm.weight));
  return count_vector(norm.bias);
}

Status Planner::block(const BlockTensors& tensors, BlockPlan& out) {
  out.linears.resize(tensors.linears.size());
  for (size_t i = 0; i < out.linears.size(); ++i)
    LAHAR_TRY(linear(tensors.linears[i], tensors.linears[i].keep_type ? Role::kKept : Role::kLinear, out.linears[i],
                     data_.memory.linear));
  for (const VectorTensors& vector : tensors.vectors) LAHAR_TRY(count_vector(vector));
  return experts(tensors.experts, out.experts);
}

bool alike(const LinearPlan& a, const LinearPlan& b) {
  return std::equal(a.parts.begin(), a.parts.end(), b.parts.begin(), b.parts.end(),
                    [](const MatrixPlan& x, const MatrixPlan& y) { return x.format == y.format && x.group == y.group; });
}

Status Planner::experts(const LayerExperts& tensors, LayerExpertsPlan& out) {
  if (tensors.experts.empty()) return {};
  MemoryNeed& memory = data_.memory;
  const MemoryNeed before = memory;
  for (const ExpertTensors& expert : tensors.experts) {
    ExpertPlan plan;
    LAHAR_TRY(linear(expert.up, Role::kExpert, plan.up, memory.linear));
    LAHAR_TRY(linear(expert.down, Role::kExpert, plan.down, memory.linear));
    out.experts.push_back(std::move(plan));
    const ExpertPlan &first = out.experts.front(), &last = out.experts.back();
    if (!alike(first.up, last.up) || !alike(first.down, last.down))
      return Error{ErrorCode::kUnsupported, source_.name() + ": tensor '" + expert.up.pieces[0].tensor->name +
                                                "': the experts of a layer have different weight formats"};
  }
  LAHAR_ASSIGN(out.slab, lay_out_slab(out.experts[0].up, out.experts[0].down));
  // A slab is all of an expert, with biases and padding.
  memory.linear = before.linear, memory.vectors = before.vectors, memory.padding = before.padding;
  memory.experts += out.slab.bytes * out.experts.size();
  memory.largest = std::max(memory.largest, out.slab.bytes);
  const uint64_t table = out.experts.size() * sizeof(uint64_t);
  memory.vectors += table;
  memory.padding += align_weight(table) - table;
  return {};
}

Status Planner::plan() {
  MemoryNeed& memory = data_.memory;
  LAHAR_TRY(linear(data_.tensors.embedding, Role::kTable, data_.embedding, memory.embedding));
  LAHAR_TRY(linear(data_.tensors.positions, Role::kKept, data_.positions, memory.embedding));
  for (const LayerTensors& layer : data_.tensors.layers) {
    LayerPlan plan;
    const uint64_t before = memory.linear;
    LAHAR_TRY(linear(layer.qkv, Role::kLinear, plan.qkv, memory.linear));
    LAHAR_TRY(linear(layer.attention_output, Role::kLinear, plan.attention_output, memory.linear));
    LAHAR_TRY(linear(layer.up, Role::kLinear, plan.up, memory.linear));
    LAHAR_TRY(linear(layer.down, Role::kLinear, plan.down, memory.linear));
    for (const NormTensors* norm : {&layer.pre_attention, &layer.post_attention, &layer.pre_ffn, &layer.post_ffn})
      LAHAR_TRY(count_norm(*norm));
    LAHAR_TRY(count_vector(layer.q_norm));
    LAHAR_TRY(count_vector(layer.k_norm));
    LAHAR_TRY(count_vector(layer.sinks));
    LAHAR_TRY(block(layer.mixer, plan.mixer));
    LAHAR_TRY(block(layer.ffn, plan.ffn));
    data_.layers.push_back(std::move(plan));
    memory.layers.push_back(memory.linear - before);
  }
  LAHAR_TRY(linear(data_.tensors.head, Role::kTable, data_.head, memory.linear));
  LAHAR_TRY(count_norm(data_.tensors.final_norm));
  LAHAR_TRY(count_norm(data_.tensors.embedding_norm));
  LAHAR_TRY(block(data_.tensors.extra, data_.extra));
  if (kept_ > 0)
    log_.warning(source_.name() + ": " + std::to_string(kept_) +
                 " matrices keep their type, their rows do not divide into " + "quantized groups: " + first_kept_ +
                 (kept_ > 1 ? ", ..." : ""));
  if (expanded_ > 0)
    log_.warning(
        source_.name() + ": " + std::to_string(expanded_) +
        " matrices are expanded to F16: their groups are out of order (act-order), asymmetric in 8 bits, or no multiple "
        "of 32 columns: " +
        first_expanded_ + (expanded_ > 1 ? ", ..." : ""));
  return {};
}

}  // namespace

WeightPlan::WeightPlan() : data_(std::make_unique<Data>()) {}
WeightPlan::WeightPlan(WeightPlan&&) noexcept = default;
WeightPlan& WeightPlan::operator=(WeightPlan&&) noexcept = default;
WeightPlan::~WeightPlan() = default;
const MemoryNeed& WeightPlan::memory() const { return data_->memory; }
uint64_t WeightPlan::source_bytes() const { return data_->source_bytes; }

Result<WeightPlan> WeightPlan::make(const ModelSource& source, const ModelSpec& spec, Quantize quantize, const Log& log) {
  WeightPlan plan;
  LAHAR_ASSIGN(plan.data_->tensors, resolve_tensors(source, spec));
  Planner planner(source, quantize, log, *plan.data_);
  LAHAR_TRY(planner.plan());
  for (const RopeSpec& rope : spec.ropes) {
    const uint64_t bytes = uint64_t{rope.dims} / 2 * sizeof(float);
    plan.data_->memory.vectors += bytes;
    plan.data_->memory.padding += align_weight(bytes) - bytes;
  }
  return plan;
}

}  // namespace lahar
