#include "reference_model.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "span_values.h"
#include "weight_reader.h"

namespace lahar::test {

namespace {

using Row = std::vector<double>;

#define ORDIE(expr)                 \
  do {                              \
    if (!(expr).ok()) std::abort(); \
  } while (false)

std::vector<float> vector_of(const VectorTensors& tensors) {
  std::vector<float> values;
  ORDIE(read_vector(tensors, values));
  return values;
}

// [rows, cols] of a plan's matrices, with scales and `scale` applied.
std::vector<float> matrix_of(const WeightPlan::Data& data, const LinearPlan& linear) {
  std::vector<float> out;
  for (const MatrixPlan& part : linear.parts) {
    for (const RowSpan& span : row_spans(part, 1 << 16)) {
      std::vector<float> values;
      ORDIE(span_values(data, part, span, values));
      for (float& v : values) v *= part.scale;
      out.insert(out.end(), values.begin(), values.end());
    }
  }
  return out;
}

Row apply(const std::vector<float>& w, const std::vector<float>& bias, const Row& x) {
  const size_t rows = w.size() / x.size();
  Row y(rows);
  for (size_t r = 0; r < rows; ++r) {
    double sum = bias.empty() ? 0 : bias[r];
    for (size_t c = 0; c < x.size(); ++c) sum += double{w[r * x.size() + c]} * x[c];
    y[r] = sum;
  }
  return y;
}

struct Norm {
  NormSpec spec;
  std::vector<float> weight, bias;
  bool present = false;

  void take(const NormSpec& s, const NormTensors& tensors) {
    spec = s;
    present = !tensors.weight.pieces.empty();
    weight = vector_of(tensors.weight);
    bias = vector_of(tensors.bias);
  }
  Row operator()(const Row& x) const {
    if (!present) return x;
    double mean = 0, square = 0;
    if (spec.kind == ops::NormKind::kLayer) {
      for (double v : x) mean += v;
      mean /= static_cast<double>(x.size());
    }
    for (double v : x) square += (v - mean) * (v - mean);
    const double inverse = 1 / std::sqrt(square / static_cast<double>(x.size()) + spec.eps);
    Row y(x.size());
    for (size_t i = 0; i < x.size(); ++i) y[i] = (x[i] - mean) * inverse * weight[i] + (bias.empty() ? 0 : double{bias[i]});
    return y;
  }
};

void rms(double* x, size_t size, const float* weight, double eps) {
  double square = 0;
  for (size_t i = 0; i < size; ++i) square += x[i] * x[i];
  const double inverse = 1 / std::sqrt(square / static_cast<double>(size) + eps);
  for (size_t i = 0; i < size; ++i) x[i] *= inverse * weight[i];
}

void rotate(const RopeSpec& rope, double* head, size_t position) {
  const size_t pairs = rope.dims / 2;
  for (size_t i = 0; i < pairs; ++i) {
    const double angle = static_cast<double>(position) * rope.inverse_frequencies[i];
    const double c = std::cos(angle) * rope.magnitude, s = std::sin(angle) * rope.magnitude;
    const bool halves = rope.pairing == ops::RopePairing::kHalves;
    double &a = head[halves ? i : 2 * i], &b = head[halves ? i + pairs : 2 * i + 1];
    const double x = a, y = b;
    a = x * c - y * s;
    b = x * s + y * c;
  }
}

double activate(ops::Activation kind, double x) {
  switch (kind) {
    case ops::Activation::kNone: return x;
    case ops::Activation::kSilu: return x / (1 + std::exp(-x));
    case ops::Activation::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case ops::Activation::kGelu: return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case ops::Activation::kRelu: return std::max(x, 0.0);
    case ops::Activation::kReluSquared: return std::max(x, 0.0) * std::max(x, 0.0);
    case ops::Activation::kSigmoid: return 1 / (1 + std::exp(-x));
    case ops::Activation::kTanh: return std::tanh(x);
  }
  return x;
}

struct Layer {
  const LayerSpec& spec;
  const ModelSpec& model;
  Norm pre_attention, post_attention, pre_ffn, post_ffn;
  std::vector<float> qkv, qkv_bias, out, out_bias, up, up_bias, down, down_bias, q_norm, k_norm;
  std::vector<Row> keys, values;

  Layer(const ModelSpec& m, size_t index, const WeightPlan::Data& data) : spec(m.layers[index]), model(m) {
    const LayerTensors& t = data.tensors.layers[index];
    const LayerPlan& p = data.layers[index];
    pre_attention.take(m.norm, t.pre_attention);
    post_attention.take(m.norm, t.post_attention);
    pre_ffn.take(m.norm, t.pre_ffn);
    post_ffn.take(m.norm, t.post_ffn);
    qkv = matrix_of(data, p.qkv), qkv_bias = vector_of(t.qkv.bias);
    out = matrix_of(data, p.attention_output), out_bias = vector_of(t.attention_output.bias);
    up = matrix_of(data, p.up), up_bias = vector_of(t.up.bias);
    down = matrix_of(data, p.down), down_bias = vector_of(t.down.bias);
    q_norm = vector_of(t.q_norm), k_norm = vector_of(t.k_norm);
  }

  Row attention(const Row& x, size_t position) {
    const AttentionSpec& a = spec.attention;
    Row all = apply(qkv, qkv_bias, x);
    const size_t q_size = a.heads * a.head_dim, k_size = a.kv_heads * a.head_dim;
    if (a.qk_norm == ops::QkNorm::kFull) {
      rms(all.data(), q_size, q_norm.data(), model.qk_norm_eps);
      rms(all.data() + q_size, k_size, k_norm.data(), model.qk_norm_eps);
    }
    for (size_t h = 0; h < a.heads + a.kv_heads; ++h) {
      double* head = all.data() + h * a.head_dim;
      if (a.qk_norm == ops::QkNorm::kPerHead)
        rms(head, a.head_dim, h < a.heads ? q_norm.data() : k_norm.data(), model.qk_norm_eps);
      if (a.rope >= 0) rotate(model.ropes[a.rope], head, position);
    }
    keys.emplace_back(all.begin() + q_size, all.begin() + q_size + k_size);
    values.emplace_back(all.begin() + q_size + k_size, all.end());
    Row mixed(q_size, 0.0);
    const size_t first = a.window == 0 || keys.size() <= a.window ? 0 : keys.size() - a.window;
    for (size_t h = 0; h < a.heads; ++h) {
      const size_t kv = h / (a.heads / a.kv_heads) * a.head_dim;
      Row scores;
      double largest = -1e300, sum = 0;
      for (size_t j = first; j < keys.size(); ++j) {
        double dot = 0;
        for (size_t d = 0; d < a.head_dim; ++d) dot += all[h * a.head_dim + d] * keys[j][kv + d];
        dot *= a.scale;
        if (a.softcap > 0) dot = a.softcap * std::tanh(dot / a.softcap);
        scores.push_back(dot);
        largest = std::max(largest, dot);
      }
      for (double& s : scores) sum += s = std::exp(s - largest);
      for (size_t j = first; j < keys.size(); ++j)
        for (size_t d = 0; d < a.head_dim; ++d) mixed[h * a.head_dim + d] += scores[j - first] / sum * values[j][kv + d];
    }
    return apply(out, out_bias, mixed);
  }

  Row ffn(const Row& x) const {
    Row h = apply(up, up_bias, x);
    const size_t width = spec.ffn.width;
    for (size_t i = 0; i < width; ++i) h[i] = activate(spec.ffn.activation, h[i]) * (spec.ffn.gated ? h[width + i] : 1);
    h.resize(width);
    return apply(down, down_bias, h);
  }

  void operator()(Row& x, size_t position) {
    const double m = spec.residual_multiplier;
    const Row normed = pre_attention(x);
    const Row attended = post_attention(attention(normed, position));
    if (spec.parallel) {
      const Row fed = ffn(spec.shared_norm ? normed : pre_ffn(x));
      for (size_t i = 0; i < x.size(); ++i) x[i] += m * (attended[i] + fed[i]);
      return;
    }
    for (size_t i = 0; i < x.size(); ++i) x[i] += m * attended[i];
    const Row fed = post_ffn(ffn(pre_ffn(x)));
    for (size_t i = 0; i < x.size(); ++i) x[i] += m * fed[i];
  }
};

}  // namespace

Result<std::vector<double>> reference_logits(const ModelSource&, const ModelSpec& spec, const WeightPlan& plan,
                                             const std::vector<int32_t>& tokens) {
  const WeightPlan::Data& data = plan.data();
  const std::vector<float> embedding = matrix_of(data, data.embedding), positions = matrix_of(data, data.positions);
  const std::vector<float> head = spec.tied_head ? embedding : matrix_of(data, data.head);
  const std::vector<float> head_bias = vector_of(data.tensors.head.bias);
  Norm final_norm;
  final_norm.take(spec.norm, data.tensors.final_norm);
  std::vector<Layer> layers;
  for (size_t i = 0; i < spec.layers.size(); ++i) layers.emplace_back(spec, i, data);
  std::vector<double> logits;
  for (size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t] < 0 || static_cast<uint32_t>(tokens[t]) >= spec.vocabulary)
      return Error{ErrorCode::kInvalidArgument, "token out of range"};
    Row x(spec.hidden);
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = double{embedding[tokens[t] * x.size() + i]} * spec.embedding_scale;
      if (spec.learned_positions) x[i] += positions[t * x.size() + i];
    }
    for (Layer& layer : layers) layer(x, t);
    Row y = apply(head, head_bias, final_norm(x));
    for (double& v : y) {
      v *= spec.logit_scale;
      if (spec.logit_softcap > 0) v = spec.logit_softcap * std::tanh(v / spec.logit_softcap);
    }
    logits.insert(logits.end(), y.begin(), y.end());
  }
  return logits;
}

double nmse(const std::vector<double>& a, const std::vector<float>& b) {
  double difference = 0, sum = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    sum += double{b[i]} * b[i];
  }
  return difference / sum;
}

}  // namespace lahar::test
