// AltUp's streams, LAuReL and layers' own inputs in plain loops over float64.
#pragma once

#include "reference_math.h"
#include "spec.h"

namespace lahar::test {

inline Row rms(const Row& x, const std::vector<float>& weight, double eps) {
  double square = 0;
  for (double v : x) square += v * v / static_cast<double>(x.size());
  Row y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] / std::sqrt(square + eps) * weight[i];
  return y;
}

inline double magnitude(const Row& x) {
  double square = 0;
  for (double v : x) square += v * v / static_cast<double>(x.size());
  return std::sqrt(square);
}

class AltUpLayer {
 public:
  AltUpLayer() = default;
  AltUpLayer(const ModelSpec& spec, size_t index, const WeightPlan::Data& data) : spec_(&spec) {
    for (const LinearPlan& linear : data.layers[index].mixer.linears) linears_.push_back(matrix_of(data, linear));
    for (const VectorTensors& vector : data.tensors.layers[index].mixer.vectors) vectors_.push_back(vector_of(vector));
  }

  bool present() const { return spec_->altup.streams != 0; }

  Row predict(std::vector<Row>& streams) const {
    const size_t n = streams.size();
    const Row found = modalities(streams[spec_->altup.active]);
    const Row all = apply(vectors_[altup::kPredict], {}, found);
    const std::vector<Row> old = streams;
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j)
        for (size_t d = 0; d < old[0].size(); ++d) streams[i][d] += all[i * n + j] * old[j][d];
    return streams[spec_->altup.active];
  }

  void laurel(const Row& normed, Row& x) const {
    const Row inner = apply(linears_[altup::kLaurelRight], {}, apply(linears_[altup::kLaurelLeft], {}, normed));
    const Row added = rms(inner, vectors_[altup::kLaurelNorm], spec_->norm.eps);
    for (size_t i = 0; i < x.size(); ++i) x[i] = (x[i] + normed[i] + added[i]) / std::sqrt(2.0);
  }

  void end(size_t index, const Row& inputs, std::vector<Row>& streams, Row& x) const {
    Row gated = x;
    if (present()) gated = correct(streams, x);
    if (spec_->layer_inputs.width == 0) return;
    Row gate = apply(linears_[altup::kInputsGate], {}, gated);
    for (size_t i = 0; i < gate.size(); ++i)
      gate[i] = activate(ops::Activation::kGeluTanh, gate[i]) * inputs[index * gate.size() + i];
    const Row added =
        rms(apply(linears_[altup::kInputsOutput], {}, gate), vectors_[altup::kInputsPostNorm], spec_->norm.eps);
    for (size_t i = 0; i < x.size(); ++i) {
      if (!present()) x[i] += added[i];
      for (size_t s = 1; s < streams.size(); ++s) streams[s][i] += added[i];
    }
  }

 private:
  Row modalities(const Row& x) const {
    Row normed = rms(x, vectors_[altup::kRouterNorm], spec_->norm.eps);
    for (double& v : normed) v /= static_cast<double>(x.size());
    Row found = apply(vectors_[altup::kRouter], {}, normed);
    for (double& v : found) v = std::tanh(v);
    return found;
  }

  // The active stream, scaled.
  Row correct(std::vector<Row>& streams, const Row& x) const {
    const Row coefficients = apply(vectors_[altup::kCorrect], {}, modalities(x));
    const Row before = streams[spec_->altup.active];
    for (size_t s = 0; s < streams.size(); ++s)
      for (size_t i = 0; i < x.size(); ++i) streams[s][i] += (1 + coefficients[s]) * (x[i] - before[i]);
    Row scaled = streams[spec_->altup.active];
    if (spec_->altup.scaled)
      for (size_t i = 0; i < x.size(); ++i) scaled[i] *= vectors_[altup::kCorrectScale][i];
    return scaled;
  }

  const ModelSpec* spec_ = nullptr;
  std::vector<std::vector<float>> linears_, vectors_;
};

class AltUpModel {
 public:
  AltUpModel(const ModelSpec& spec, const WeightPlan::Data& data) : spec_(spec) {
    if (spec.altup.streams == 0 && spec.layer_inputs.width == 0) return;
    for (const LinearPlan& linear : data.extra.linears) linears_.push_back(matrix_of(data, linear));
    for (const VectorTensors& vector : data.tensors.extra.vectors) vectors_.push_back(vector_of(vector));
  }

  // [layers * width]
  Row inputs(int32_t token, const Row& x) const {
    const size_t width = spec_.layer_inputs.width, all = width * spec_.layers.size();
    if (width == 0) return {};
    Row projected = apply(linears_[altup::kInputsProjection], {}, x), result(all);
    for (double& v : projected) v /= std::sqrt(static_cast<double>(x.size()));
    for (size_t l = 0; l < spec_.layers.size(); ++l) {
      const Row part(projected.begin() + static_cast<ptrdiff_t>(l * width),
                     projected.begin() + static_cast<ptrdiff_t>((l + 1) * width));
      const Row normed = rms(part, vectors_[altup::kInputsNorm], spec_.norm.eps);
      for (size_t i = 0; i < width; ++i) {
        const double own = linears_[altup::kInputsTable][static_cast<size_t>(token) * all + l * width + i];
        result[l * width + i] = (normed[i] + own * std::sqrt(static_cast<double>(width))) / std::sqrt(2.0);
      }
    }
    return result;
  }

  std::vector<Row> expand(const Row& x) const {
    std::vector<Row> streams;
    if (spec_.altup.streams == 0) return streams;
    const Row others = apply(linears_[altup::kExpand], {}, x);
    streams.push_back(x);
    for (size_t s = 1; s < spec_.altup.streams; ++s) {
      Row stream(others.begin() + static_cast<ptrdiff_t>((s - 1) * x.size()),
                 others.begin() + static_cast<ptrdiff_t>(s * x.size()));
      scale_to(stream, magnitude(x));
      streams.push_back(std::move(stream));
    }
    return streams;
  }

  Row merge(const std::vector<Row>& streams) const {
    Row x = streams[0];
    for (size_t s = 1; s < streams.size(); ++s) {
      Row stream = apply(linears_[altup::kMerge + s - 1], {}, streams[s]);
      scale_to(stream, magnitude(streams[0]));
      for (size_t i = 0; i < x.size(); ++i) x[i] += stream[i];
    }
    for (double& v : x) v /= static_cast<double>(streams.size());
    return x;
  }

 private:
  static void scale_to(Row& x, double target) {
    const double factor = target / std::max(magnitude(x), std::sqrt(1e-5));
    for (double& v : x) v *= factor;
  }

  const ModelSpec& spec_;
  std::vector<std::vector<float>> linears_, vectors_;
};

}  // namespace lahar::test
