// How the next token is chosen; ops/sample.h says what the numbers mean.
#pragma once

#include <cstdint>

#include "core/result.h"

namespace lahar {

struct SamplingParams {
  float temperature = 0.8f;  // 0: greedy
  uint32_t top_k = 0;        // 0: off
  float top_p = 0.95f;       // 1: off
  float min_p = 0.05f;       // 0: off
  uint64_t seed = 0;

  // kInvalidArgument names the parameter that is not a number or out of its range.
  Status check() const {
    const auto bad = [](const char* what) { return Error{ErrorCode::kInvalidArgument, what}; };
    if (!(temperature >= 0 && temperature <= 100)) return bad("temperature must be between 0 and 100");
    if (!(top_p > 0 && top_p <= 1)) return bad("top-p must be above 0 and at most 1");
    if (!(min_p >= 0 && min_p <= 1)) return bad("min-p must be between 0 and 1");
    return {};
  }
};

}  // namespace lahar
