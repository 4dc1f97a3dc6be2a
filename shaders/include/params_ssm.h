// Push constants of ssm/scan.comp, ssm/chunks.comp and ssm/gate.comp.
#ifndef LAHAR_PARAMS_SSM_H
#define LAHAR_PARAMS_SSM_H
#include "params_state.h"
LAHAR_SHARED_BEGIN

const uint kSsmPerState = 1;  // A is [heads][state], else [heads]
const uint kSsmSkip = 2;      // D * x is added
const uint kSsmAligned = 4;   // B and C are read 16 bytes at a time
const uint kSsmBias = 8;      // of dt

// Rows of a run that are scanned at once.
const uint kSsmChunk = 64;
// What a dispatch scans: whole runs; chunks of them without what was before, for the state that they leave and the time that
// passes; chunks from the state in front of them, for y.
const uint kSsmWhole = 0;
const uint kSsmEnds = 1;
const uint kSsmRows = 2;

struct SsmScanPush {
  address_t x, y, b, c, dt;  // fp32 rows, each at its first column; y of kSsmEnds: times [chunks][heads]
  address_t a, d, dt_bias;   // fp32 [heads] or [heads, state], [heads], [heads]
  address_t step;
  StateAddress state;                             // of chunks: a slot each
  uint x_stride, y_stride, bc_stride, dt_stride;  // floats
  float dt_min, dt_max, dt_scale;
  uint reserved;
};
LAHAR_SHARED_SIZE(SsmScanPush, 128)

struct SsmChunksPush {
  address_t a;      // as the scan's
  address_t times;  // fp32 [chunks][heads]
  address_t ends;   // [chunks] states, end_bytes apart
  address_t end_bytes;
  address_t step;
  StateAddress state;
  uint chunks;  // at most
  uint reserved;
};
LAHAR_SHARED_SIZE(SsmChunksPush, 72)

const uint kSsmGateBefore = 1;  // x is gated, then normed
const uint kSsmGateAfter = 2;   // x is normed, then gated
const uint kSsmGateNorm = 4;    // there is a norm
const uint kSsmGateWeight = 8;
const uint kSsmGateShared = 16;   // one weight for all groups
const uint kSsmGateAligned = 32;  // groups are multiples of 4 floats

struct SsmGatePush {
  address_t x, gate, y;  // fp32 rows
  address_t weight;      // fp32
  address_t step;
  uint width;                            // of a group
  uint x_stride, gate_stride, y_stride;  // floats
  float eps;
  float gate_scale;
  uint groups;
  uint reserved;
};
LAHAR_SHARED_SIZE(SsmGatePush, 72)

LAHAR_SHARED_END
#endif
