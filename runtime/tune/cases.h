// What the tuner times and the doctor checks: one op on one shape, every form of it that the device can run, and the result
// that each has to give, computed in double precision.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ops/attention.h"
#include "ops/matmul.h"
#include "ops/moe.h"
#include "tune/sample_cache.h"
#include "tune/sample_matrix.h"
#include "tune/timed.h"

namespace lahar::tune {

// The right result: row t is row t % period of `values`.
struct Expected {
  uint32_t width = 0, period = 0;
  std::vector<double> values;  // [period][width]
};
// Empty where y (`rows` rows, `stride` floats apart) is right; else what is wrong with it. tolerance: the normalised mean
// squared error that is allowed; a single value may be off by 40 times its root.
std::string disagreement(std::span<const float> y, uint32_t stride, uint32_t rows, const Expected& expected,
                         double tolerance);

struct Candidate {
  std::string form, path;  // as the op writes it; its first word
  double tolerance = 0;    // of the normalised mean squared error
  RecordCopy record;
};

struct Case {
  std::string name;   // as ops::Tuning knows it
  std::string label;  // for people: "Q4_K 4096x14336, 1 row"
  uint32_t copies = 1;
  double bytes = 0, flops = 0;        // of one call: weights or cache read, multiply-adds times two
  std::vector<Candidate> candidates;  // the default first
  gpu::BufferRange y;
  uint32_t rows = 0, stride = 0;  // of y; stride in floats
  Expected expected;
  std::vector<std::shared_ptr<void>> held;  // what y and the candidates refer to
};
// The one that the op takes by itself: what was measured to be fastest, else the first that is not in quarantine.
const Candidate& taken_candidate(const Case& c, const ops::Tuning* tuning);

struct MatmulShape {
  MatrixShape matrix;
  ops::Activation glu = ops::Activation::kNone;
  bool gathered = false;
  ops::Precision precision = ops::Precision::kDefault;
  bool operator==(const MatmulShape&) const = default;
};
struct AttentionShape {
  CacheShape cache;
  uint32_t heads = 0;
  float softcap = 0;
  uint32_t window = 0, chunk = 0;
  ops::Precision precision = ops::Precision::kDefault;
  bool operator==(const AttentionShape&) const = default;
};
// A step of attention: `bucket` rows, the last ones of a sequence that has `tokens` tokens by then, in a program that is
// recorded for `context` tokens.
struct AttentionStep {
  uint32_t bucket = 1, context = 0, tokens = 0;
  bool operator==(const AttentionStep&) const = default;
};
// The experts of a layer, without biases.
struct ExpertsShape {
  MatrixShape gate_up, down;  // of one expert: [2 width or width, hidden], [hidden, width]
  uint32_t experts = 0, chosen = 0;
  bool gated = true;
  ops::Precision precision = ops::Precision::kDefault;
  bool operator==(const ExpertsShape&) const = default;
};

// `matrix` is of shape.matrix; shared by the cases of one shape. Errors: those of creating buffers.
Result<Case> make_matmul_case(gpu::Device& device, std::shared_ptr<const SampleMatrix> matrix, const MatmulShape& shape,
                              uint32_t bucket);
// At most about ring_bytes of caches. A step with fewer tokens than rows, or a smaller context than tokens, has as many.
Result<Case> make_attention_case(gpu::Device& device, const AttentionShape& shape, AttentionStep step, uint64_t ring_bytes);
// `bucket` rows, each to experts of its own as far as there are so many; at most about ring_bytes of weights.
Result<Case> make_experts_case(gpu::Device& device, const ExpertsShape& shape, uint32_t bucket, uint64_t ring_bytes);

}  // namespace lahar::tune
