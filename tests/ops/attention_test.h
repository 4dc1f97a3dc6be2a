// attention against float64: the case, what it gives, and the forms that must give it.
#pragma once

#include "ops/attention_variants.h"
#include "ops/kv_test.h"

namespace lahar::test {

struct TestRun {
  uint32_t slot = 0, first_index = 0, rows = 1;
};

struct AttentionCase {
  KvShape kv;
  uint32_t heads = 4;
  std::vector<TestRun> runs = {{}};
  uint32_t bucket = 1, window = 0, chunk = 0;
  float alibi = 0;
  bool alibi_scaled = false;
  bool sinks = false;
  float softcap = 0, score_scale = 1;
  uint32_t max_context = 0;  // 0: what the page tables can hold
  ops::Precision precision = ops::Precision::kDefault;
  int32_t invalid_row = -1;
};

class AttentionRig {
 public:
  AttentionRig(gpu::Device& device, const AttentionCase& c)
      : case_(c), device_(device), step_(c.bucket, 0), kv_(device, c.kv, 9) {
    width_ = c.heads * c.kv.head_dim, stride_ = width_ + 4;
    out_width_ = c.heads * kv_.ref().value_dim();
    // From far below the scores to far above.
    for (uint32_t h = 0; h < c.heads; ++h) sinks_.push_back(static_cast<float>(h % 5) * 8 - 12);
    sinks_buffer_ = to_device(device, sinks_, "sinks");
    scale_ = c.score_scale / std::sqrt(static_cast<float>(c.kv.head_dim));
    for (const TestRun& run : c.runs) {
      kv_.fill(run.slot, run.first_index + run.rows);
      step_.state.runs[step_.state.n_runs++] = {run.slot, step_.state.n_rows, run.rows, 0};
      for (uint32_t i = 0; i < run.rows; ++i) {
        params::Row& row = step_.rows[step_.state.n_rows++];
        row.slot = run.slot, row.valid = 1;
        row.kv_index = run.first_index + i;
        row.position = row.kv_index + 1000;  // not what counts
      }
    }
    if (c.invalid_row >= 0) step_.rows[static_cast<size_t>(c.invalid_row)].valid = 0;
    kv_.upload();
    step_ref_ = step_.upload(device);
    q_ = random_floats(size_t{c.bucket} * width_, 1, -2, 2);
    q_buffer_ = to_device(device, padded_rows(q_, c.bucket, width_, stride_), "q");
    reset();
  }

  uint32_t max_context() const { return case_.max_context > 0 ? case_.max_context : kv_.capacity(); }

  ops::AttentionParams params() const {
    return {.q = {q_buffer_, stride_},
            .out = {out_.range(), stride_ + 4},
            .heads = case_.heads,
            .kv = kv_.ref(),
            .scale = scale_,
            .softcap = case_.softcap,
            .window = case_.window,
            .chunk = case_.chunk,
            .sinks = case_.sinks ? gpu::BufferRange(sinks_buffer_) : gpu::BufferRange(),
            .alibi = case_.alibi,
            .alibi_scaled = case_.alibi_scaled,
            .scratch = scratch_.range(),
            .max_context = max_context(),
            .step = step_ref_,
            .precision = case_.precision,
            .label = "attention"};
  }
  std::vector<ops::AttentionForm> forms() const { return ops::attention_forms(device_.caps(), params()); }
  // Fills the outputs with NaN again.
  void reset() {
    out_ = make_output(device_, uint64_t{case_.bucket} * (stride_ + 4) * 4);
    scratch_ = make_output(
        device_, ops::attention_scratch_bytes(device_.caps(), case_.bucket, case_.heads, case_.kv.head_dim, max_context()));
  }

  // One head of one row; `largest` becomes the sum of |p v|, at most.
  std::vector<Bounded> expected(uint32_t t, uint32_t head) const {
    const params::Row& row = step_.rows[t];
    const uint32_t dim = case_.kv.head_dim, kv_head = head / (case_.heads / case_.kv.kv_heads);
    uint32_t first = case_.window == 0 || case_.window > row.kv_index ? 0 : row.kv_index + 1 - case_.window;
    if (case_.chunk != 0) first = std::max(first, row.kv_index / case_.chunk * case_.chunk);
    const float* q = &q_[size_t{t} * width_ + head * dim];
    std::vector<double> weights;
    double highest = -1e300, total = 0;
    for (uint32_t j = first; j <= row.kv_index; ++j) {
      double score = 0;
      for (uint32_t d = 0; d < dim; ++d) score += double{q[d]} * kv_.key(row.slot, kv_head, j, d);
      score *= scale_;
      if (case_.softcap > 0) score = case_.softcap * std::tanh(score / case_.softcap);
      score -= slope(head) * (row.kv_index - j);
      weights.push_back(score);
      highest = std::max(highest, score);
    }
    for (double& w : weights) total += w = std::exp(w - highest);
    if (case_.sinks) total += std::exp(sinks_[head] - highest);
    std::vector<Bounded> out(kv_.ref().value_dim());
    for (uint32_t d = 0; d < out.size(); ++d)
      for (uint32_t j = first; j <= row.kv_index; ++j) {
        const double term = weights[j - first] / total * kv_.value(row.slot, kv_head, j, d);
        out[d].value += term;
        out[d].magnitude += std::abs(term);
      }
    return out;
  }

  // The slopes as the paper's recipe gives them: 2^(-m (h + 1) / n) for n heads, a power of two; beyond it those of 2n
  // heads, every other one. Scaled ones are multiplied by the scale.
  double slope(uint32_t head) const {
    if (case_.alibi == 0) return 0;
    uint32_t n = 1;
    while (2 * n <= case_.heads) n *= 2;
    std::vector<double> slopes;
    for (uint32_t h = 0; h < n; ++h) slopes.push_back(std::pow(2.0, -double{case_.alibi} * (h + 1) / n));
    for (uint32_t h = 0; h < n; ++h) slopes.push_back(std::pow(2.0, -double{case_.alibi} * (2 * h + 1) / (2 * n)));
    return slopes[head] * (case_.alibi_scaled ? scale_ : 1.0f);
  }

  // On matrices, operands (weights too) are rounded to fp16.
  void check(const ops::AttentionForm& form) {
    const bool halves = form.path == ops::AttentionPath::kCoop;
    const std::vector<float> out = from_device<float>(device_, out_.range());
    expect_guards(device_, out_);
    expect_guards(device_, scratch_);
    const uint32_t used = step_.state.n_rows;
    std::vector<Bounded> all;
    for (uint32_t t = 0; t < used; ++t)
      for (uint32_t head = 0; head < case_.heads; ++head) {
        const std::vector<Bounded> one = expected(t, head);
        if (step_.rows[t].valid != 0) all.insert(all.end(), one.begin(), one.end());
        else all.insert(all.end(), one.size(), Bounded{});  // zeros
      }
    // A score's rounding error grows with the head's size and enters the weights as a factor.
    const double dim = case_.kv.head_dim;
    const double bound = halves ? 8192 * (4 + std::sqrt(dim) * case_.score_scale) : 64.0 + dim;
    expect_close(out, stride_ + 4, all, used, case_.bucket, out_width_, bound, 1e-7);
  }

  std::vector<const gpu::Buffer*> buffers() const {
    std::vector<const gpu::Buffer*> all = kv_.buffers();
    for (const gpu::Buffer* b : {&q_buffer_, &sinks_buffer_, &out_.buffer, &scratch_.buffer, &step_.buffer})
      all.push_back(b);
    return all;
  }

 private:
  AttentionCase case_;
  gpu::Device& device_;
  HostStep step_;
  ops::StepRef step_ref_;
  TestKv kv_;
  uint32_t width_ = 0, stride_ = 0, out_width_ = 0;
  float scale_ = 1;
  std::vector<float> q_, sinks_;
  gpu::Buffer q_buffer_, sinks_buffer_;
  Output out_, scratch_;
};

enum class AttentionForms { kOneOfEachPath, kAll, kCoop };

inline bool takes(AttentionForms which, const std::vector<ops::AttentionForm>& forms, size_t i) {
  if (which == AttentionForms::kCoop) return forms[i].path == ops::AttentionPath::kCoop;
  const auto earlier = [&](const ops::AttentionForm& f) { return f.path == forms[i].path; };
  if (which == AttentionForms::kOneOfEachPath && forms[i].path == ops::AttentionPath::kCoop)
    return false;  // AttentionMatrixTest
  return which == AttentionForms::kAll || std::none_of(forms.begin(), forms.begin() + static_cast<ptrdiff_t>(i), earlier);
}

inline void run_form(gpu::Device& device, AttentionRig& rig, const ops::AttentionForm& form) {
  SCOPED_TRACE(to_string(form));
  rig.reset();
  run(device, [&](gpu::Recorder& recorder) { return ops::attention_with(recorder, rig.params(), form); });
  rig.check(form);
}

inline void run_case(gpu::Device& device, const AttentionCase& c, AttentionForms which = AttentionForms::kOneOfEachPath) {
  SCOPED_TRACE(testing::Message() << "heads " << c.heads << "/" << c.kv.kv_heads << " dim " << c.kv.head_dim << " type "
                                  << static_cast<int>(c.kv.type) << " window " << c.window << " cap " << c.softcap
                                  << " chunk " << c.chunk << " alibi " << c.alibi << (c.alibi_scaled ? " scaled" : "")
                                  << " sinks " << c.sinks << " values of " << c.kv.shared_dim << " bucket " << c.bucket
                                  << " runs " << c.runs.size() << " of " << c.runs[0].rows << " at " << c.runs[0].first_index
                                  << " context " << c.max_context);
  AttentionRig rig(device, c);
  const std::vector<ops::AttentionForm> forms = rig.forms();
  ASSERT_FALSE(forms.empty());
  for (size_t i = 0; i < forms.size(); ++i)
    if (takes(which, forms, i)) run_form(device, rig, forms[i]);
}

}  // namespace lahar::test
