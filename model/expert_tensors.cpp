#include "expert_tensors.h"

#include <algorithm>
#include <cmath>

#include "packed_weights.h"
#include "tensor_values.h"

namespace lahar {
namespace {

class ExpertResolver {
 public:
  ExpertResolver(const ModelSource& source, const std::string& prefix, uint32_t experts, const FindMatrix& find_matrix)
      : source_(source), prefix_(prefix), experts_(experts), find_matrix_(find_matrix) {
    out_.experts.resize(experts);
  }

  Result<LayerExperts> resolve(const ExpertRoles& roles) {
    for (const ExpertMatrixRole& role : roles.up) LAHAR_TRY(add(role, &ExpertTensors::up));
    for (const ExpertMatrixRole& role : roles.down) LAHAR_TRY(add(role, &ExpertTensors::down));
    return std::move(out_);
  }

 private:
  using Member = LinearTensors ExpertTensors::*;

  const TensorView* find(const std::string& name) const { return source_.find_tensor(name); }
  const TensorView* find_any(const std::string& name, std::initializer_list<const char*> suffixes) const;
  Error missing(const std::string& name) const {
    return {ErrorCode::kFormat, source_.name() + ": tensor '" + name + "' is missing"};
  }
  Error wrong_shape(const TensorView& tensor, const Shape& expected) const;
  Status check(const TensorView& tensor, const Shape& expected) const;
  const TensorView* slice(const TensorView& tensor, uint32_t expert, std::optional<Shape> shape = {});
  Status add(const ExpertMatrixRole& role, Member member);
  Status add_stacked(const ExpertMatrixRole& role, const std::string& name, const TensorView& tensor, Member member);
  Result<std::vector<float>> factors_of(const ExpertMatrixRole& role, const std::string& name) const;
  Status add_blocks(const ExpertMatrixRole& role, const std::string& name, const TensorView& blocks, Member member);
  Status add_each(const ExpertMatrixRole& role, Member member);
  Status add_stacked_bias(const ExpertMatrixRole& role, const std::string& name, Member member);
  void append(const ExpertMatrixRole& role, MatrixPiece piece, LinearTensors& out) const;
  void append_bias(const ExpertMatrixRole& role, const TensorView* tensor, LinearTensors& out) const;

  const ModelSource& source_;
  const std::string& prefix_;
  const uint32_t experts_;
  const FindMatrix& find_matrix_;
  LayerExperts out_;
};

const TensorView* ExpertResolver::find_any(const std::string& name, std::initializer_list<const char*> suffixes) const {
  for (const char* suffix : suffixes)
    if (const TensorView* found = find(name + suffix); found != nullptr) return found;
  return nullptr;
}

Error ExpertResolver::wrong_shape(const TensorView& tensor, const Shape& expected) const {
  return {ErrorCode::kFormat, source_.name() + ": tensor '" + tensor.name + "': expected shape " + expected.to_string() +
                                  ", found " + tensor.shape.to_string()};
}

Status ExpertResolver::check(const TensorView& tensor, const Shape& expected) const {
  if (tensor.shape != expected) return wrong_shape(tensor, expected);
  return {};
}

// One expert's part of a tensor whose first dimension counts them (or their rows, then of the shape given).
const TensorView* ExpertResolver::slice(const TensorView& tensor, uint32_t expert, std::optional<Shape> shape) {
  auto view = std::make_unique<TensorView>();
  view->name = tensor.name + "[" + std::to_string(expert) + "]";
  view->dtype = tensor.dtype;
  for (size_t d = 1; d < tensor.shape.rank() && !shape; ++d) view->shape.push_back(tensor.shape[d]);
  if (shape) view->shape = *shape;
  const size_t bytes = tensor.data.size() / experts_;
  view->data = tensor.data.subspan(expert * bytes, bytes);
  out_.slices.push_back(std::move(view));
  return out_.slices.back().get();
}

void ExpertResolver::append(const ExpertMatrixRole& role, MatrixPiece piece, LinearTensors& out) const {
  if (!role.runs.empty()) piece.runs = role.runs;
  out.pieces.push_back(std::move(piece));
  out.rows += role.rows;
  out.cols = role.cols;
}

void ExpertResolver::append_bias(const ExpertMatrixRole& role, const TensorView* tensor, LinearTensors& out) const {
  VectorPiece piece{tensor, role.runs, role.rows};
  if (piece.runs.empty()) piece.runs.push_back({0, role.rows});
  out.bias.pieces.push_back(std::move(piece));
  out.bias.size += role.rows;
}

Status ExpertResolver::add_stacked_bias(const ExpertMatrixRole& role, const std::string& name, Member member) {
  if (!role.bias) return {};
  const TensorView* bias = find_any(name, {".bias", "_bias"});
  if (bias == nullptr) return missing(name + ".bias");
  LAHAR_TRY(check(*bias, Shape{experts_, role.rows}));
  for (uint32_t e = 0; e < experts_; ++e) append_bias(role, slice(*bias, e), out_.experts[e].*member);
  return {};
}

// A GGUF's scale of every expert; empty where there is none, or where all are 1: the experts of a layer keep one format.
Result<std::vector<float>> ExpertResolver::factors_of(const ExpertMatrixRole& role, const std::string& name) const {
  const TensorView* tensor = role.scaled && source_.gguf() != nullptr ? find(name + ".scale") : nullptr;
  if (tensor == nullptr) return std::vector<float>{};
  if (tensor->shape != Shape{experts_} || !float_at(*tensor, 0)) return wrong_shape(*tensor, Shape{experts_});
  std::vector<float> factors;
  for (uint32_t e = 0; e < experts_; ++e) factors.push_back(float_at(*tensor, e).value_or(NAN));
  if (!std::all_of(factors.begin(), factors.end(), [](float f) { return std::isfinite(f); }))
    return Error{ErrorCode::kFormat, source_.name() + ": tensor '" + tensor->name + "': a scale is not finite"};
  if (std::all_of(factors.begin(), factors.end(), [](float f) { return f == 1; })) factors.clear();
  return factors;
}

Status ExpertResolver::add_stacked(const ExpertMatrixRole& role, const std::string& name, const TensorView& tensor,
                                   Member member) {
  LAHAR_TRY(check(tensor, role.transposed ? Shape{experts_, role.cols, role.rows} : Shape{experts_, role.rows, role.cols}));
  const TensorView* scales = nullptr;
  if (source_.hf() != nullptr || tensor.dtype == DType::kF8E4M3) scales = find_any(tensor.name, {"_scale_inv", "_scale"});
  // `lahar quantize` writes a row of scales for every row of the stack.
  const bool flat = scales != nullptr && scales->shape.rank() == 2 && scales->shape[0] == uint64_t{experts_} * role.rows;
  if (scales != nullptr && !flat && (scales->shape.rank() < 2 || scales->shape[0] != experts_))
    return Error{ErrorCode::kFormat, source_.name() + ": tensor '" + scales->name + "': expected " +
                                         std::to_string(experts_) + " experts, found shape " + scales->shape.to_string()};
  LAHAR_ASSIGN(const std::vector<float> factors, factors_of(role, name));
  for (uint32_t e = 0; e < experts_; ++e) {
    MatrixPiece piece;
    piece.tensor = slice(tensor, e);
    if (flat) piece.scales = slice(*scales, e, Shape{role.rows, scales->shape[1]});
    else if (scales != nullptr) piece.scales = slice(*scales, e);
    piece.rows = role.rows;
    piece.cols = role.cols;
    piece.transposed = role.transposed;
    piece.runs.push_back({0, role.rows});
    if (!factors.empty()) piece.scale = factors[e], piece.fold_scale = true;
    append(role, std::move(piece), out_.experts[e].*member);
  }
  return add_stacked_bias(role, name, member);
}

// MXFP4 as gpt-oss has it: never transposed.
Status ExpertResolver::add_blocks(const ExpertMatrixRole& role, const std::string& name, const TensorView& blocks,
                                  Member member) {
  const TensorView* scales = find(name + "_scales");
  if (scales == nullptr) return missing(name + "_scales");
  LAHAR_TRY(check(blocks, Shape{experts_, role.rows, role.cols / 32, 16}));
  LAHAR_TRY(check(*scales, Shape{experts_, role.rows, role.cols / 32}));
  for (uint32_t e = 0; e < experts_; ++e) {
    LAHAR_ASSIGN(MatrixPiece piece, packed_fp4(source_, *slice(blocks, e), *slice(*scales, e), role.rows, role.cols));
    append(role, std::move(piece), out_.experts[e].*member);
  }
  return add_stacked_bias(role, name, member);
}

Status ExpertResolver::add_each(const ExpertMatrixRole& role, Member member) {
  for (uint32_t e = 0; e < experts_; ++e) {
    const std::string name = prefix_ + role.before + std::to_string(e) + role.after;
    LAHAR_ASSIGN(MatrixPiece piece, find_matrix_(name, role.rows, role.cols, role.transposed));
    append(role, std::move(piece), out_.experts[e].*member);
    if (!role.bias) continue;
    const TensorView* bias = find(name + ".bias");
    if (bias == nullptr) return missing(name + ".bias");
    LAHAR_TRY(check(*bias, Shape{role.rows}));
    append_bias(role, bias, out_.experts[e].*member);
  }
  return {};
}

Status ExpertResolver::add(const ExpertMatrixRole& role, Member member) {
  const std::string all = prefix_ + role.all;
  if (!role.all.empty()) {
    if (const TensorView* tensor = find_any(all, {".weight", ""}); tensor != nullptr)
      return add_stacked(role, all, *tensor, member);
    if (const TensorView* blocks = find(all + "_blocks"); blocks != nullptr) return add_blocks(role, all, *blocks, member);
    // A GGUF has them stacked unless it is very old.
    const std::string first = prefix_ + role.before + "0" + role.after;
    if (role.before.empty() || (source_.gguf() != nullptr && find(first + ".weight") == nullptr))
      return missing(source_.gguf() != nullptr ? all + ".weight" : all);
  }
  return add_each(role, member);
}

}  // namespace

Result<LayerExperts> resolve_experts(const ModelSource& source, const std::string& prefix, const ExpertRoles& roles,
                                     const FindMatrix& find_matrix) {
  if (roles.experts == 0) return LayerExperts{};
  return ExpertResolver(source, prefix, roles.experts, find_matrix).resolve(roles);
}

}  // namespace lahar
