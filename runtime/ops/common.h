// What all ops share. An op is: typed parameters, a check of shapes, a choice of variant, recorded dispatches with declared
// reads and writes. Activations are fp32, row-major, one row a token; a row's stride is in floats and a multiple of 4, its
// base 16-byte aligned, and what lies beyond its width is undefined (never used, never written).
#pragma once

#include <cstdint>

#include "core/result.h"
#include "gpu/buffer.h"
#include "gpu/commands.h"
#include "gpu/device.h"
#include "step.h"

namespace lahar::ops {

enum class Precision {
  kDefault,  // operands in fp16 where the device is fast at it
  kF32,      // everything in fp32, for comparison with references
};

// fp32 [rows, width].
struct Activations {
  gpu::BufferRange range;
  uint32_t stride = 0;  // floats between rows
};

// The rows of the step: `bucket` is what a program is recorded for; how many of them are in use is StepState::n_rows, read
// on the device. Rows beyond it, or not active, write nothing into activations' rows >= n_rows.
struct StepRef {
  gpu::BufferRange state;  // params::StepState and its rows
  uint32_t bucket = 1;
  uint32_t context = 0;                  // no row has a kv_index at or above it; 0: nothing is known of them
  uint32_t max_runs = params::kMaxRuns;  // StepState::n_runs is at most that
};

// The KV pool as ops see it: what K and V are stored as (shaders/attention/kv.glsl has the same numbers). kI8 and kF8 (e4m3)
// have a scale for each token and head, kI4 a word for each 32 dims of them: a scale and a zero point for either half.
enum class KvType : uint32_t { kF16 = 0, kF32 = 1, kBF16 = 2, kI8 = 3, kF8 = 4, kI4 = 5, kCount = 6 };
struct KvRef {
  std::span<const gpu::BufferRange> segments;  // all of the pool, for the declared reads and writes
  gpu::BufferRange segment_table, page_table;
  params::KvAddress address{};  // of one layer
  KvType type = KvType::kF16;
  uint32_t kv_heads = 0, head_dim = 0;
  uint32_t shared_dim = 0;  // above 0: values are the first shared_dim dims of the keys and are not stored again

  bool shares_values() const { return shared_dim > 0; }
  uint32_t value_dim() const { return shares_values() ? shared_dim : head_dim; }
};

enum class Activation : uint32_t {
  kNone = 0,
  kSilu = 1,
  kGeluTanh = 2,
  kGelu = 3,
  kRelu = 4,
  kReluSquared = 5,
  kSigmoid = 6,
  kTanh = 7
};

inline uint32_t ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

}  // namespace lahar::ops
