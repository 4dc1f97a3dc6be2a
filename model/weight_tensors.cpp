#include "weight_tensors.h"

#include <array>
#include <cstring>
#include <tuple>

#include "expert_tensors.h"

namespace lahar {

namespace {

// Where a checkpoint's names begin: it depends on the class that saved it.
constexpr std::string_view kRoots[] = {"model.",         "backbone.", "transformer.",          "gpt_neox.",
                                       "rwkv.",          "",          "language_model.model.", "model.language_model.",
                                       "language_model."};
constexpr std::string_view kHeadRoots[] = {"", "language_model.", "model.language_model."};

std::string weight_of(std::string_view name) { return std::string(name) + ".weight"; }
std::string bias_of(std::string_view name) { return std::string(name) + ".bias"; }

class Resolver {
 public:
  Resolver(const ModelSource& source, const HfQuantization& quantization, const ModelSpec& spec,
           const arch::Architecture& architecture, const arch::TensorLayout& layout)
      : source_(source), quantization_(quantization), spec_(spec), architecture_(architecture), layout_(layout) {}

  Result<ModelTensors> resolve();

 private:
  Error missing(const std::string& name) const;
  Error wrong_shape(const TensorView& tensor, const Shape& expected) const;
  Result<MatrixPiece> matrix(const std::string& name, uint32_t rows, uint32_t cols, bool transposed, bool scaled) const;
  Result<VectorTensors> vector(const std::string& name, uint32_t size, float offset = 0) const;
  Result<NormTensors> norm(const std::string& name) const;
  Status linear(const std::string& name, uint32_t rows, uint32_t cols, bool bias, bool scaled, LinearTensors& out) const;
  Status append_bias(const std::string& name, uint32_t size, LinearTensors& out) const;
  Status qk_norm(const std::string& name, uint32_t heads, const AttentionSpec& a, VectorTensors& out) const;
  Status qkv(const std::string& layer, const LayerSpec& spec, LayerTensors& out) const;
  Status fused_qkv(const std::string& name, const AttentionSpec& a, LinearTensors& out) const;
  Status half_q(const std::string& name, const AttentionSpec& a, bool gates, LinearTensors& out) const;
  Status ffn(const std::string& layer, const FfnSpec& f, LayerTensors& out) const;
  Result<LayerTensors> layer(size_t index) const;
  Result<VectorTensors> vector_of(const std::string& prefix, const VectorRole& role) const;
  Result<BlockTensors> block(const std::string& prefix, const BlockRoles& roles) const;

  bool has_matrix(const std::string& name) const {
    return source_.find_tensor(weight_of(name)) != nullptr || has_packed(source_, name);
  }

  const ModelSource& source_;
  const HfQuantization& quantization_;
  const ModelSpec& spec_;
  const arch::Architecture& architecture_;
  const arch::TensorLayout& layout_;
  std::string root_;
};

struct FoundEmbedding {
  std::string root, name;  // root: what all names begin with; name: without it and without ".weight"
};

// Where there is none, a name for the message.
FoundEmbedding find_embedding(const ModelSource& source, const arch::TensorNames& names) {
  if (source.gguf() != nullptr) return {"", std::string(names.embedding)};
  for (std::string_view name : {names.embedding, names.other_embedding})
    for (std::string_view root : kRoots)
      if (!name.empty() && source.find_tensor(std::string(root) + weight_of(name)) != nullptr)
        return {std::string(root), std::string(name)};
  return {std::string(kRoots[0]), std::string(names.embedding)};
}

// The head's name without ".weight" or what else is looked for; empty where the source has none.
std::string find_head(const ModelSource& source, std::string_view head, std::string_view suffix = ".weight") {
  for (std::string_view root : kHeadRoots) {
    const std::string name = std::string(root) + std::string(head);
    if (source.find_tensor(name + std::string(suffix)) != nullptr) return name;
  }
  return "";
}

std::string missing_note(const ModelSource& source) {
  if (source.missing_files().empty()) return "";
  return " (the file '" + source.missing_files().front() + "' is missing)";
}

Error Resolver::missing(const std::string& name) const {
  return {ErrorCode::kFormat, source_.name() + ": tensor '" + name + "' is missing" + missing_note(source_)};
}

Error Resolver::wrong_shape(const TensorView& tensor, const Shape& expected) const {
  return {ErrorCode::kFormat, source_.name() + ": tensor '" + tensor.name + "': expected shape " + expected.to_string() +
                                  ", found " + tensor.shape.to_string()};
}

// [n, rows, cols], n matrices one behind the other, is one of n * rows rows.
Shape one_matrix(const Shape& shape) { return shape.rank() == 3 ? Shape{shape[0] * shape[1], shape[2]} : shape; }

Result<MatrixPiece> Resolver::matrix(const std::string& name, uint32_t rows, uint32_t cols, bool transposed,
                                     bool scaled) const {
  LAHAR_ASSIGN(auto packed, find_packed(source_, quantization_, name, rows, cols));
  if (packed) return std::move(*packed);
  MatrixPiece piece;
  piece.tensor = source_.find_tensor(weight_of(name));
  // A parameter that belongs to no module of its own.
  if (piece.tensor == nullptr && source_.hf() != nullptr) piece.tensor = source_.find_tensor(name);
  if (piece.tensor == nullptr) return missing(weight_of(name));
  const Shape expected = transposed ? Shape{cols, rows} : Shape{rows, cols};
  if (one_matrix(piece.tensor->shape) != expected) return wrong_shape(*piece.tensor, expected);
  piece.rows = rows;
  piece.cols = cols;
  piece.transposed = transposed;
  piece.runs.push_back({0, rows});
  if (source_.hf() != nullptr || piece.tensor->dtype == DType::kF8E4M3) {
    for (const char* suffix : {"_scale_inv", "_scale"})
      if (piece.scales == nullptr) piece.scales = source_.find_tensor(weight_of(name) + suffix);
  }
  const bool gguf_scaled = scaled && source_.hf() == nullptr;
  if (const TensorView* scale = gguf_scaled ? source_.find_tensor(name + ".scale") : nullptr; scale != nullptr) {
    if (scale->dtype != DType::kF32 || scale->data.size() != sizeof(float)) return wrong_shape(*scale, Shape{1});
    std::memcpy(&piece.scale, scale->data.data(), sizeof(float));
  }
  return piece;
}

Result<VectorTensors> Resolver::vector(const std::string& name, uint32_t size, float offset) const {
  const TensorView* tensor = source_.find_tensor(name);
  if (tensor == nullptr) return missing(name);
  if (tensor->shape != Shape{size}) return wrong_shape(*tensor, Shape{size});
  return VectorTensors{{{tensor, {{0, size}}, size}}, size, offset};
}

Result<NormTensors> Resolver::norm(const std::string& name) const {
  NormTensors norm;
  // GGUF has norms that end with their name (Falcon H1).
  const bool plain = source_.gguf() != nullptr && source_.find_tensor(weight_of(name)) == nullptr;
  LAHAR_ASSIGN(norm.weight, vector(plain && source_.find_tensor(name) != nullptr ? name : weight_of(name), spec_.hidden,
                                   layout_.norm_offset));
  if (spec_.norm.bias) { LAHAR_ASSIGN(norm.bias, vector(bias_of(name), spec_.hidden)); }
  return norm;
}

// GGUF may have the biases of some of what is stacked; the others count as zeros.
Status Resolver::append_bias(const std::string& name, uint32_t size, LinearTensors& out) const {
  if (source_.gguf() != nullptr && source_.find_tensor(bias_of(name)) == nullptr) {
    out.bias.pieces.push_back({nullptr, {}, size});
  } else {
    LAHAR_ASSIGN(VectorTensors bias, vector(bias_of(name), size));
    out.bias.pieces.push_back(std::move(bias.pieces[0]));
  }
  out.bias.size += size;
  return {};
}

// Stacks one more matrix onto `out`.
Status Resolver::linear(const std::string& name, uint32_t rows, uint32_t cols, bool bias, bool scaled,
                        LinearTensors& out) const {
  LAHAR_ASSIGN(MatrixPiece piece, matrix(name, rows, cols, layout_.transposed, scaled));
  out.pieces.push_back(std::move(piece));
  out.rows += rows;
  out.cols = cols;
  if (bias) LAHAR_TRY(append_bias(name, rows, out));
  return {};
}

Status Resolver::fused_qkv(const std::string& name, const AttentionSpec& a, LinearTensors& out) const {
  const uint32_t rows = (a.heads + 2 * a.kv_heads) * a.head_dim;
  LAHAR_TRY(linear(name, rows, spec_.hidden, a.qkv_bias, layout_.scaled_qkv, out));
  if (layout_.fused_qkv == arch::FusedQkv::kStacked) return {};
  const uint32_t in_group = a.heads / a.kv_heads * a.head_dim, group = in_group + 2 * a.head_dim;
  std::vector<RowRun> runs;
  for (uint32_t g = 0; g < a.kv_heads; ++g) runs.push_back({g * group, in_group});
  for (uint32_t g = 0; g < a.kv_heads; ++g) runs.push_back({g * group + in_group, a.head_dim});
  for (uint32_t g = 0; g < a.kv_heads; ++g) runs.push_back({g * group + in_group + a.head_dim, a.head_dim});
  out.pieces[0].runs = runs;
  if (a.qkv_bias && out.bias.pieces[0].tensor != nullptr) out.bias.pieces[0].runs = runs;
  return {};
}

// Weights, then biases where there are some.
Status Resolver::qk_norm(const std::string& name, uint32_t heads, const AttentionSpec& a, VectorTensors& out) const {
  const auto append = [&](const std::string& tensor_name, uint32_t size) -> Status {
    const TensorView* tensor = source_.find_tensor(tensor_name);
    if (tensor == nullptr) return missing(tensor_name);
    const bool by_head = a.qk_norm == ops::QkNorm::kEachHead && tensor->shape == Shape{size / a.head_dim, a.head_dim};
    if (!by_head && tensor->shape != Shape{size}) return wrong_shape(*tensor, Shape{size});
    out.pieces.push_back({tensor, {{0, size}}, size});
    out.size += size;
    return {};
  };
  out.offset = layout_.norm_offset;
  if (const size_t at = name.find("{}"); at != std::string::npos) {
    for (uint32_t h = 0; h < heads; ++h) {
      std::string numbered = name;
      LAHAR_TRY(append(weight_of(numbered.replace(at, 2, std::to_string(h))), a.head_dim));
    }
    return {};
  }
  const uint32_t size = a.qk_norm == ops::QkNorm::kPerHead ? a.head_dim : heads * a.head_dim;
  LAHAR_TRY(append(weight_of(name), size));
  return a.qk_norm_bias ? append(bias_of(name), size) : Status{};
}

// Of a tensor that holds, for each head, its rows of q and those of its gate.
Status Resolver::half_q(const std::string& name, const AttentionSpec& a, bool gates, LinearTensors& out) const {
  const uint32_t rows = a.heads * a.head_dim;
  LAHAR_TRY(linear(name, 2 * rows, spec_.hidden, a.qkv_bias, layout_.scaled_qkv, out));
  std::vector<RowRun> runs;
  for (uint32_t h = 0; h < a.heads; ++h) runs.push_back({(2 * h + (gates ? 1 : 0)) * a.head_dim, a.head_dim});
  out.pieces.back().runs = runs;
  out.pieces.back().rows = rows;
  out.rows -= rows;
  if (!a.qkv_bias) return {};
  VectorPiece& bias = out.bias.pieces.back();
  if (bias.tensor != nullptr) bias.runs = runs;
  bias.size = rows;
  out.bias.size -= rows;
  return {};
}

Status Resolver::qkv(const std::string& layer, const LayerSpec& spec, LayerTensors& out) const {
  const AttentionSpec& a = spec.attention;
  const arch::TensorNames& n = layout_.names;
  const std::string fused = layer + std::string(n.qkv);
  if (!n.qkv.empty() && (n.q.empty() || has_matrix(fused))) {
    LAHAR_TRY(fused_qkv(fused, a, out.qkv));
  } else {
    const std::array<std::pair<std::string_view, uint32_t>, 3> parts{{{n.q, a.heads}, {n.k, a.kv_heads}, {n.v, a.kv_heads}}};
    const std::string q = layer + std::string(n.q);
    if (a.output_gate) LAHAR_TRY(half_q(q, a, false, out.qkv));
    const auto own = std::span(parts).first(a.kv_source >= 0 ? 1 : a.keys_as_values ? 2 : 3);  // the others are not there
    for (const auto& [name, heads] : own.subspan(a.output_gate ? 1 : 0))
      LAHAR_TRY(
          linear(layer + std::string(name), heads * a.head_dim, spec_.hidden, a.qkv_bias, layout_.scaled_qkv, out.qkv));
    if (a.output_gate) LAHAR_TRY(half_q(q, a, true, out.qkv));
  }
  if (a.qk_norm != ops::QkNorm::kNone && a.qk_norm_weight) {
    LAHAR_TRY(qk_norm(layer + std::string(n.q_norm), a.heads, a, out.q_norm));
    if (a.kv_source < 0) LAHAR_TRY(qk_norm(layer + std::string(n.k_norm), a.kv_heads, a, out.k_norm));
  }
  if (a.sinks) { LAHAR_ASSIGN(out.sinks, vector(layer + std::string(n.sinks), a.heads)); }
  LAHAR_TRY(linear(layer + std::string(n.attention_output), spec_.hidden, a.heads * a.head_dim, a.output_bias,
                   layout_.scaled_attention_output, out.attention_output));
  for (LinearTensors* part : {&out.qkv, &out.attention_output})
    for (VectorPiece& bias : part->bias.pieces) bias.factor *= a.bias_scale;
  return {};
}

Status Resolver::ffn(const std::string& layer, const FfnSpec& f, LayerTensors& out) const {
  const arch::TensorNames& n = layout_.names;
  const std::string gate_up = layer + std::string(n.gate_up);
  const bool has_gate = !n.gate.empty() && has_matrix(layer + std::string(n.gate));
  if (f.gated && !n.gate_up.empty() && !has_gate) {
    LAHAR_TRY(linear(gate_up, 2 * f.width, spec_.hidden, f.up_bias, layout_.scaled_ffn, out.up));
  } else {
    if (f.gated)
      LAHAR_TRY(linear(layer + std::string(n.gate), f.width, spec_.hidden, f.up_bias, layout_.scaled_ffn, out.up));
    LAHAR_TRY(linear(layer + std::string(n.up), f.width, spec_.hidden, f.up_bias, layout_.scaled_ffn, out.up));
  }
  LAHAR_TRY(linear(layer + std::string(n.down), spec_.hidden, f.width, f.down_bias, layout_.scaled_ffn, out.down));
  if (f.gated && f.gate_scale != 1) out.up.pieces.front().scale *= f.gate_scale;
  out.down.pieces.front().scale *= f.down_scale;
  for (LinearTensors* part : {&out.up, &out.down})
    for (size_t i = 0; i < part->bias.pieces.size(); ++i) part->bias.pieces[i].factor = part->pieces[i].scale;
  return {};
}

// Without the dimensions of 1, which formats add and drop as they like.
Shape squeezed(const Shape& shape) {
  Shape out;
  for (const uint64_t dim : shape.dims())
    if (dim != 1) out.push_back(dim);
  return out;
}

Result<VectorTensors> Resolver::vector_of(const std::string& prefix, const VectorRole& role) const {
  if (role.name.empty()) return VectorTensors{};
  const std::string name = prefix + role.name;
  const TensorView* tensor = source_.find_tensor(name);
  if (tensor == nullptr && role.optional) return VectorTensors{};
  if (tensor == nullptr) return missing(name);
  if (squeezed(tensor->shape) != squeezed(role.shape)) return wrong_shape(*tensor, role.shape);
  const auto size = static_cast<uint32_t>(role.shape.elements().value_or(0));
  VectorTensors out{{}, size, role.offset, role.map, role.limit};
  uint32_t first = 0;
  for (const FactorRun& run : role.factors) {
    out.pieces.push_back({tensor, {{first, run.values}}, run.values, run.factor});
    first += run.values;
  }
  if (role.factors.empty()) out.pieces.push_back({tensor, {{0, size}}, size});
  return out;
}

// The last piece's rows become those of the role's runs.
void select_rows(const MatrixRole& role, LinearTensors& tensors) {
  uint32_t rows = 0;
  for (const RowRun& run : role.runs) rows += run.rows;
  tensors.rows -= role.rows - rows;
  tensors.pieces.back().rows = rows;
  tensors.pieces.back().runs = role.runs;
  if (!role.bias) return;
  VectorPiece& bias = tensors.bias.pieces.back();
  tensors.bias.size -= role.rows - rows;
  bias.size = rows;
  if (bias.tensor != nullptr) bias.runs = role.runs;
}

Result<BlockTensors> Resolver::block(const std::string& prefix, const BlockRoles& roles) const {
  BlockTensors out;
  for (const LinearRole& role : roles.linears) {
    LinearTensors& tensors = out.linears.emplace_back();
    for (const MatrixRole& m : role.stacked) {
      LAHAR_TRY(linear(prefix + m.name, m.rows, m.cols, m.bias, m.scaled, tensors));
      if (!m.runs.empty()) select_rows(m, tensors);
    }
    tensors.keep_type = role.keep_type;
  }
  LAHAR_ASSIGN(out.experts, resolve_experts(source_, prefix, roles.experts,
                                            [this](const std::string& name, uint32_t rows, uint32_t cols, bool transposed) {
                                              return matrix(name, rows, cols, transposed, false);
                                            }));
  for (const VectorRole& role : roles.vectors) {
    LAHAR_ASSIGN(VectorTensors tensors, vector_of(prefix, role));
    out.vectors.push_back(std::move(tensors));
  }
  return out;
}

Result<LayerTensors> Resolver::layer(size_t index) const {
  const LayerSpec& spec = spec_.layers[index];
  const arch::TensorNames& n = layout_.names;
  const std::string prefix = root_ + std::string(n.layer) + std::to_string(index) + ".";
  LayerTensors out;
  const std::tuple<bool, std::string_view, NormTensors*> norms[] = {
      {spec.pre_attention_norm, n.pre_attention, &out.pre_attention},
      {spec.post_attention_norm, n.post_attention, &out.post_attention},
      {spec.pre_ffn_norm, n.pre_ffn, &out.pre_ffn},
      {spec.post_ffn_norm, n.post_ffn, &out.post_ffn},
  };
  for (const auto& [present, name, norm_tensors] : norms) {
    if (!present) continue;
    LAHAR_ASSIGN(*norm_tensors, norm(prefix + std::string(name)));
  }
  if (spec.mixer == Mixer::kAttention || spec.mixer == Mixer::kAttentionMamba2) LAHAR_TRY(qkv(prefix, spec, out));
  if (spec.ffn_kind == FfnKind::kDense || spec.ffn_kind == FfnKind::kDenseAndExperts) LAHAR_TRY(ffn(prefix, spec.ffn, out));
  if (architecture_.roles != nullptr) {
    const LayerRoles roles = architecture_.roles(spec_, static_cast<uint32_t>(index), source_);
    LAHAR_ASSIGN(out.mixer, block(prefix, roles.mixer));
    LAHAR_ASSIGN(out.ffn, block(prefix, roles.ffn));
  }
  return out;
}

Result<ModelTensors> Resolver::resolve() {
  const arch::TensorNames& n = layout_.names;
  const FoundEmbedding embedding = find_embedding(source_, n);
  root_ = embedding.root;
  ModelTensors out;
  const auto table = [&](const std::string& name, uint32_t rows, LinearTensors& table_out) -> Status {
    LAHAR_ASSIGN(MatrixPiece piece, matrix(name, rows, spec_.hidden, false, true));
    table_out = {rows, spec_.hidden, {std::move(piece)}, {}};
    return {};
  };
  LAHAR_TRY(table(root_ + embedding.name, spec_.vocabulary, out.embedding));
  if (spec_.learned_positions) LAHAR_TRY(table(root_ + std::string(n.positions), spec_.context_length, out.positions));
  if (!spec_.tied_head) {
    const std::string head = find_head(source_, n.head);
    if (head.empty()) return missing(weight_of(n.head));
    LAHAR_TRY(table(head, spec_.vocabulary, out.head));
  }
  if (spec_.head_bias) {  // its own, whoever's the weights are
    const std::string head = find_head(source_, n.head, ".bias");
    LAHAR_TRY(append_bias(head.empty() ? std::string(n.head) : head, spec_.vocabulary, out.head));
  }
  LAHAR_ASSIGN(out.final_norm, norm(root_ + std::string(n.final_norm)));
  if (spec_.embedding_norm) { LAHAR_ASSIGN(out.embedding_norm, norm(root_ + std::string(n.embedding_norm))); }
  for (size_t i = 0; i < spec_.layers.size(); ++i) {
    LAHAR_ASSIGN(LayerTensors layer_tensors, layer(i));
    out.layers.push_back(std::move(layer_tensors));
  }
  if (architecture_.extra != nullptr) { LAHAR_ASSIGN(out.extra, block(root_, architecture_.extra(spec_, source_))); }
  return out;
}

}  // namespace

Result<ModelTensors> resolve_tensors(const ModelSource& source, const ModelSpec& spec) {
  const bool gguf = source.gguf() != nullptr;
  const arch::Architecture* architecture = arch::find_architecture(source.architecture(), gguf);
  if (architecture == nullptr || architecture->name != spec.architecture)
    return Error{ErrorCode::kInvalidArgument, source.name() + ": the spec is of another model"};
  const arch::TensorLayout layout = arch::tensor_layout(*architecture, spec, gguf);
  LAHAR_ASSIGN(const HfQuantization quantization, read_hf_quantization(source));
  LAHAR_ASSIGN(ModelTensors tensors, Resolver(source, quantization, spec, *architecture, layout).resolve());
  tensors.quantization = quantization;
  return tensors;
}

Result<FoundVocabulary> find_vocabulary(const ModelSource& source, const arch::TensorLayout& layout, uint32_t hidden) {
  const FoundEmbedding embedding = find_embedding(source, layout.names);
  const std::string name = embedding.root + weight_of(embedding.name);
  const TensorView* table = source.find_tensor(name);
  if (table == nullptr)
    return Error{ErrorCode::kFormat, source.name() + ": tensor '" + name + "' is missing" + missing_note(source)};
  if (table->shape.rank() != 2 || table->shape[1] != hidden || table->shape[0] == 0 ||
      table->shape[0] > arch::kMaxVocabulary)
    return Error{ErrorCode::kFormat, source.name() + ": tensor '" + name + "': expected shape [vocabulary, " +
                                         std::to_string(hidden) + "], found " + table->shape.to_string()};
  const std::string head = find_head(source, layout.names.head);
  return FoundVocabulary{static_cast<uint32_t>(table->shape[0]), table,
                         head.empty() ? nullptr : source.find_tensor(weight_of(head))};
}

bool FoundVocabulary::head_differs() const {
  if (head == nullptr || head->shape != table->shape) return false;
  return head->dtype != table->dtype || head->data.size() != table->data.size() ||
         std::memcmp(head->data.data(), table->data.data(), head->data.size()) != 0;
}

}  // namespace lahar
