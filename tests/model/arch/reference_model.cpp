#include "reference_model.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "reference_altup.h"
#include "reference_moe.h"

namespace lahar::test {

namespace {

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

// A norm of q or k, over each head or over all of them; weights, and biases behind them, of one head or of all.
void norm_heads(const AttentionSpec& a, Row& x, size_t first, size_t heads, const std::vector<float>& weight, double eps) {
  const size_t size = heads * a.head_dim, span = a.qk_norm == ops::QkNorm::kFull ? size : a.head_dim;
  const size_t own = a.qk_norm == ops::QkNorm::kPerHead ? a.head_dim : size;
  for (size_t from = 0; from < size; from += span) {
    double mean = 0, square = 0;
    for (size_t i = from; i < from + span; ++i) mean += x[first + i] / static_cast<double>(span);
    if (a.qk_norm_kind == ops::NormKind::kRms) mean = 0;
    for (size_t i = from; i < from + span; ++i) square += std::pow(x[first + i] - mean, 2) / static_cast<double>(span);
    for (size_t i = from; i < from + span; ++i) {
      x[first + i] = (x[first + i] - mean) / std::sqrt(square + eps);
      if (!weight.empty()) x[first + i] *= weight[i % own];
      if (a.qk_norm_bias) x[first + i] += weight[own + i % own];
    }
  }
}

double alibi_slope(const AttentionSpec& a, size_t head) {
  double power = 1;
  while (2 * power <= a.heads) power *= 2;
  const auto h = static_cast<double>(head);
  return std::exp2(-a.alibi * (h < power ? h + 1 : h - power + 0.5) / power);
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

struct Layer {
  const LayerSpec& spec;
  const ModelSpec& model;
  MoeLayer experts;
  AltUpLayer altup;
  Norm pre_attention, post_attention, pre_ffn, post_ffn;
  std::vector<float> qkv, qkv_bias, out, out_bias, up, up_bias, down, down_bias, q_norm, k_norm, sinks;
  std::vector<Row> own_keys, own_values;
  const ReferenceOptions& options;
  const size_t index;

  Layer(const ModelSpec& m, size_t i, const WeightPlan::Data& data, const ReferenceOptions& o)
      : spec(m.layers[i]), model(m), options(o), index(i) {
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
    q_norm = vector_of(t.q_norm), k_norm = vector_of(t.k_norm), sinks = vector_of(t.sinks);
    experts = MoeLayer(m, index, data);
    altup = AltUpLayer(m, index, data);
  }

  // q, k, v of one row; only q where keys and values are another layer's.
  Row project(const Row& x, size_t position) const {
    const AttentionSpec& a = spec.attention;
    Row all = apply(qkv, qkv_bias, x);
    const size_t q_size = a.heads * a.head_dim, k_size = a.kv_heads * a.head_dim;
    const size_t rotated = a.heads + (a.kv_source < 0 ? a.kv_heads : 0);
    if (a.keys_as_values) all.insert(all.end(), all.begin() + q_size, all.end());
    if (a.clamp > 0)
      for (double& v : all) v = std::clamp(v, -double{a.clamp}, double{a.clamp});
    const auto rotate_all = [&] {
      if (a.rope >= 0)
        for (size_t h = 0; h < rotated; ++h) rotate(model.ropes[a.rope], all.data() + h * a.head_dim, position);
    };
    if (a.qk_norm_after_rope) rotate_all();
    if (a.qk_norm != ops::QkNorm::kNone) {
      norm_heads(a, all, 0, a.heads, q_norm, model.qk_norm_eps);
      if (a.kv_source < 0) norm_heads(a, all, q_size, a.kv_heads, k_norm, model.qk_norm_eps);
    }
    if (!a.qk_norm_after_rope) rotate_all();
    AttentionSpec plain;
    plain.head_dim = a.head_dim, plain.qk_norm = ops::QkNorm::kPerHead;
    if (a.value_norm && a.kv_source < 0) norm_heads(plain, all, q_size + k_size, a.kv_heads, {}, model.qk_norm_eps);
    return all;
  }

  // What the row at `position` attends to.
  struct Seen {
    Row key;
    const Row* value = nullptr;
    size_t distance = 0;  // to the row
  };
  std::vector<Seen> seen(size_t position, const Layer& source) const {
    const AttentionSpec& a = spec.attention;
    const RollingReference& rolling = options.rolling;
    const size_t gone = rolling.gone ? rolling.gone(position) : 0;
    std::vector<Seen> all;
    for (size_t j = a.chunk > 0 ? position / a.chunk * a.chunk : 0; j <= position; ++j) {
      const bool sink = j < rolling.sinks;
      const size_t distance = position - j - (sink ? gone : 0);
      if ((!sink && j < rolling.sinks + gone) || (a.window > 0 && distance >= a.window)) continue;
      all.push_back({source.own_keys[j], &source.own_values[j], distance});
      if (sink && gone > 0) source.move(all.back().key, gone);
    }
    return all;
  }
  // Rotates a key from the cache by so many positions more.
  void move(Row& key, size_t positions) const {
    const AttentionSpec& a = spec.attention;
    if (a.rope < 0) return;
    RopeSpec rope = model.ropes[a.rope];
    rope.magnitude = 1;
    for (size_t h = 0; h < a.kv_heads; ++h) {
      double* head = key.data() + h * a.head_dim;
      rotate(rope, head, positions);
      if (options.cache) options.cache(head, a.head_dim);
    }
  }

  Row attention(const Row& x, size_t position, std::vector<Layer>& layers) {
    const AttentionSpec& a = spec.attention;
    const Row all = project(x, position);
    const size_t q_size = a.heads * a.head_dim, k_size = a.kv_heads * a.head_dim;
    if (a.kv_source < 0) {
      own_keys.emplace_back(all.begin() + q_size, all.begin() + q_size + k_size);
      own_values.emplace_back(all.begin() + q_size + k_size, all.end());
      for (Row* row : {&own_keys.back(), &own_values.back()})
        for (size_t h = 0; h < a.kv_heads && options.cache; ++h) options.cache(row->data() + h * a.head_dim, a.head_dim);
    }
    const Layer& source = a.kv_source < 0 ? *this : layers[static_cast<size_t>(a.kv_source)];
    const std::vector<Seen> keys = seen(position, source);
    Row mixed(q_size, 0.0);
    const double tuned = 1 + a.temperature * std::log(1 + std::floor((position + 1) / a.temperature_floor));
    for (size_t h = 0; h < a.heads; ++h) {
      const size_t kv = h / (a.heads / a.kv_heads) * a.head_dim;
      Row scores;
      double largest = -1e300, sum = 0;
      for (const Seen& s : keys) {
        double dot = 0;
        for (size_t d = 0; d < a.head_dim; ++d) dot += all[h * a.head_dim + d] * s.key[kv + d];
        dot *= a.scale * tuned;
        if (a.alibi > 0) dot -= alibi_slope(a, h) * (a.alibi_scaled ? a.scale : 1.0) * static_cast<double>(s.distance);
        if (a.softcap > 0) dot = a.softcap * std::tanh(dot / a.softcap);
        scores.push_back(dot);
        largest = std::max(largest, dot);
      }
      if (a.sinks) largest = std::max(largest, double{sinks[h]});
      if (a.sinks) sum = std::exp(sinks[h] - largest);
      for (double& s : scores) sum += s = std::exp(s - largest);
      for (size_t j = 0; j < keys.size(); ++j)
        for (size_t d = 0; d < a.head_dim; ++d) mixed[h * a.head_dim + d] += scores[j] / sum * (*keys[j].value)[kv + d];
    }
    return apply(out, out_bias, mixed);
  }

  // What lies above the mean by so many deviations.
  void cut(Row& h, size_t width) const {
    double mean = 0, square = 0;
    for (size_t i = 0; i < width; ++i) mean += h[i] / static_cast<double>(width);
    for (size_t i = 0; i < width; ++i) square += (h[i] - mean) * (h[i] - mean);
    const double divisor = static_cast<double>(width) - (spec.ffn.sample_deviation ? 1 : 0);
    for (size_t i = 0; i < width; ++i) h[i] = std::max(0.0, h[i] - mean - spec.ffn.deviations * std::sqrt(square / divisor));
  }

  Row ffn(const Row& x, size_t position) const {
    if (experts.present()) {
      const size_t at = position * model.layers.size() + index;
      std::vector<size_t> order = options.choices != nullptr ? (*options.choices)[at] : std::vector<size_t>{};
      const Row y = experts(x, order);
      if (options.chosen != nullptr) options.chosen->resize(at + 1), options.chosen->back() = std::move(order);
      return y;
    }
    Row h = apply(up, up_bias, x);
    const size_t width = spec.ffn.width;
    if (spec.ffn.sparse) cut(h, width);
    for (size_t i = 0; i < width; ++i) h[i] = activate(spec.ffn.activation, h[i]) * (spec.ffn.gated ? h[width + i] : 1);
    h.resize(width);
    return apply(down, down_bias, h);
  }

  void operator()(Row& x, size_t position, std::vector<Layer>& layers) {
    const double m = spec.residual_multiplier;
    const Row normed = pre_attention(x);
    const Row attended = post_attention(attention(normed, position, layers));
    if (spec.parallel) {
      const Row fed = ffn(spec.shared_norm ? normed : pre_ffn(x), position);
      for (size_t i = 0; i < x.size(); ++i) x[i] += m * (attended[i] + fed[i]);
      return;
    }
    for (size_t i = 0; i < x.size(); ++i) x[i] += m * attended[i];
    if (altup.present()) altup.laurel(normed, x);
    const Row fed = post_ffn(ffn(pre_ffn(x), position));
    for (size_t i = 0; i < x.size(); ++i) x[i] += m * fed[i];
  }
};

}  // namespace

Result<std::vector<double>> reference_logits(const ModelSource&, const ModelSpec& spec, const WeightPlan& plan,
                                             const std::vector<int32_t>& tokens, const ReferenceOptions& options) {
  const WeightPlan::Data& data = plan.data();
  const std::vector<float> embedding = matrix_of(data, data.embedding), positions = matrix_of(data, data.positions);
  const std::vector<float> head = spec.tied_head ? embedding : matrix_of(data, data.head);
  const std::vector<float> head_bias = vector_of(data.tensors.head.bias);
  Norm final_norm;
  final_norm.take(spec.norm, data.tensors.final_norm);
  Norm embedding_norm;
  embedding_norm.take(spec.norm, data.tensors.embedding_norm);
  const AltUpModel altup(spec, data);
  std::vector<Layer> layers;
  for (size_t i = 0; i < spec.layers.size(); ++i) layers.emplace_back(spec, i, data, options);
  std::vector<double> logits;
  for (size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t] < 0 || static_cast<uint32_t>(tokens[t]) >= spec.vocabulary)
      return Error{ErrorCode::kInvalidArgument, "token out of range"};
    Row x(spec.hidden);
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = double{embedding[tokens[t] * x.size() + i]} * spec.embedding_scale;
      if (spec.learned_positions) x[i] += positions[t * x.size() + i];
    }
    x = embedding_norm(x);
    const Row inputs = altup.inputs(tokens[t], x);
    std::vector<Row> streams = altup.expand(x);
    for (size_t i = 0; i < layers.size(); ++i) {
      if (!streams.empty()) x = layers[i].altup.predict(streams);
      layers[i](x, t, layers);
      layers[i].altup.end(i, inputs, streams, x);
      for (double& v : x) v *= spec.layers[i].end_scale;
    }
    if (!streams.empty()) x = altup.merge(streams);
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
