// Push constants of sample/*.comp, and what they hand over through scratch memory.
#ifndef LAHAR_PARAMS_SAMPLE_H
#define LAHAR_PARAMS_SAMPLE_H
#include "step.h"
LAHAR_SHARED_BEGIN

// Workgroups that share the scan of one row of logits, at most.
const uint kSampleMaxParts = 64;

// SampleRecord::token of a row that has a NaN among its logits, or nothing above -infinity.
const int kNoNumbers = -2;
// Added to the sum of a part with a NaN; far above any vocabulary.
const float kNanInSum = 1e30f;

// What a part of a row of logits comes to.
struct LogitPart {
  float highest;
  uint token;    // the lowest id that has it
  float sum;     // of exp(logit - highest); kNanInSum and more: there is a NaN
  float moment;  // of exp(logit - highest) * (logit - highest)
};
LAHAR_SHARED_SIZE(LogitPart, 16)

struct SamplePush {
  address_t logits;   // fp32 [n_logits] rows
  address_t states;   // SeqState[slots]
  address_t records;  // SampleRecord[kMaxRuns]
  address_t scratch;  // LogitPart[max_runs][parts]
  address_t step;
  uint vocabulary;
  uint logits_stride;  // floats
  uint slots;
  uint parts;
  uint max_runs;
  uint reserved;
};
LAHAR_SHARED_SIZE(SamplePush, 64)

LAHAR_SHARED_END
#endif
