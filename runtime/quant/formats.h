// All weight formats, and a call with the one that is meant.
#pragma once

#include "quant/f8.h"
#include "quant/i4.h"
#include "quant/i8.h"
#include "quant/iq3_s.h"
#include "quant/iq4_nl.h"
#include "quant/iq4_xs.h"
#include "quant/mxfp4.h"
#include "quant/plain.h"
#include "quant/q2_k.h"
#include "quant/q3_k.h"
#include "quant/q4_0.h"
#include "quant/q4_1.h"
#include "quant/q4_k.h"
#include "quant/q5_0.h"
#include "quant/q5_1.h"
#include "quant/q5_k.h"
#include "quant/q6_k.h"
#include "quant/q8_0.h"
#include "quant/tq1_0.h"
#include "quant/tq2_0.h"

namespace lahar::quant {

// Calls f(Format{}) for the struct of `format`.
template <typename F>
auto with_format(WeightFormat format, F&& f) {
  switch (format) {
    case WeightFormat::kF16: return f(F16{});
    case WeightFormat::kBF16: return f(BF16{});
    case WeightFormat::kQ8_0: return f(Q8_0{});
    case WeightFormat::kQ4_0: return f(Q4_0{});
    case WeightFormat::kQ4_1: return f(Q4_1{});
    case WeightFormat::kQ4_K: return f(Q4_K{});
    case WeightFormat::kQ6_K: return f(Q6_K{});
    case WeightFormat::kF8: return f(F8{});
    case WeightFormat::kI8: return f(I8{});
    case WeightFormat::kQ5_0: return f(Q5_0{});
    case WeightFormat::kQ5_1: return f(Q5_1{});
    case WeightFormat::kQ2_K: return f(Q2_K{});
    case WeightFormat::kQ3_K: return f(Q3_K{});
    case WeightFormat::kQ5_K: return f(Q5_K{});
    case WeightFormat::kIQ4_NL: return f(IQ4_NL{});
    case WeightFormat::kIQ4_XS: return f(IQ4_XS{});
    case WeightFormat::kIQ3_S: return f(IQ3_S{});
    case WeightFormat::kMXFP4: return f(MXFP4{});
    case WeightFormat::kTQ1_0: return f(TQ1_0{});
    case WeightFormat::kTQ2_0: return f(TQ2_0{});
    case WeightFormat::kI4: return f(I4{});
    case WeightFormat::kF32:
    case WeightFormat::kCount: break;
  }
  return f(F32{});
}

}  // namespace lahar::quant
