// Push constants of moe/*.comp, and what these kernels hand over to each other through memory.
#ifndef LAHAR_PARAMS_MOE_H
#define LAHAR_PARAMS_MOE_H
#include "shared.h"
LAHAR_SHARED_BEGIN

const uint kMoeMaxExperts = 512;
const uint kMoeMaxChosen = 16;
const uint kRouterSoftmax = 0, kRouterSoftmaxOfChosen = 1, kRouterSigmoid = 2;  // ops::RouterScore

// Bits of MoeRoutePush::flags.
const uint kRouteBias = 1;
const uint kRouteNormalize = 2;
const uint kRouteUses = 4;
const uint kRouteSumOfTwo = 8;  // how groups are ranked
const uint kRouteExpertScale = 16;

struct MoeRoutePush {
  address_t logits;        // fp32 rows
  address_t bias;          // fp32 [experts]
  address_t expert_scale;  // fp32 [experts]
  address_t ids, weights;  // [bucket][chosen]
  address_t uses;          // uint [experts]
  address_t step;
  uint experts, chosen;
  uint groups, groups_chosen;
  uint logits_stride;  // floats
  uint bucket;
  uint score, flags;
  float scale;
  uint reserved;
};
LAHAR_SHARED_SIZE(MoeRoutePush, 96)

// Bits of the kernels' FLAGS constant, beside kMatmulTail.
const uint kMoeDown = 1;   // the down projection and the sum over the chosen experts
const uint kMoeGated = 2;  // never with kMoeDown
const uint kMoeBias = 4;
const uint kMoeClamp = 8;      // gpt-oss' activation: factor is its clamp
const uint kMoeWeighted = 32;  // the expert's weight scales its input
const uint kMoeResidual = 64;

// Of decode.comp. The planes and the bias are bytes from the start of an expert's slab.
struct MoePush {
  address_t table;  // uint64_t slabs[experts]
  address_t x;      // fp32 rows: of the step (up), or of pairs [bucket][chosen] (down)
  address_t y;      // fp32 rows: of pairs (up), or of the step (down)
  address_t residual;
  address_t ids, weights;  // [bucket][chosen]
  address_t step;
  uint plane0, plane1, plane2;
  uint bias;
  uint row_bytes0, row_bytes1, row_bytes2;
  uint group;
  uint rows;  // of y: half of the matrix's with a gate
  uint cols;
  uint x_stride, y_stride, residual_stride;  // floats
  uint bucket, chosen, experts;
  float factor;  // clamp of the activation (up), factor of the sum (down)
  float alpha;
};
LAHAR_SHARED_SIZE(MoePush, 128)

// Of moe/loop.comp; columns and group are constants of the pipeline there.
struct MoeLoopPush {
  address_t table, x, y, residual, ids, weights, step;
  uint plane0, plane1, plane2;
  uint bias;
  uint rows;
  uint turns;   // times that a workgroup computes NR rows
  uint blocks;  // whole blocks of columns
  uint reserved;
  uint x_stride, y_stride, residual_stride;
  uint bucket, chosen, experts;
  float factor, alpha;
};
LAHAR_SHARED_SIZE(MoeLoopPush, 120)

// Pairs (row, choice) sorted by expert, of the same expert by number; and tiles of neighbours among them that share an
// expert, for two products that may cut them differently.
struct MoeTile {
  uint expert;
  uint first, end;  // in the sorted list
  uint reserved;
};
LAHAR_SHARED_SIZE(MoeTile, 16)

// A list of tiles begins with the counts of an indirect dispatch over them, the first of which is the number of tiles, and
// an unused word.
const uint kMoeTilesHeader = 16;

struct MoeSortPush {
  address_t ids;  // [bucket][chosen]
  address_t step;
  address_t counts;  // uint [experts]: pairs of each
  address_t sorted;  // uint [bucket * chosen]
  address_t tiles0, tiles1;
  address_t pairs;        // StepState, of which n_rows becomes the number of pairs
  uint tile0, tile1;      // pairs in a tile
  uint groups0, groups1;  // y counts of the indirect dispatches
  uint bucket, chosen, experts;
  uint reserved;
};
LAHAR_SHARED_SIZE(MoeSortPush, 88)

struct MoeActivatePush {
  address_t x;  // fp32 rows of pairs: gate [width] and up [width], or up alone
  address_t y;  // fp32 rows of pairs [width]
  address_t table, ids, weights, step;
  uint bias, up_bias;  // bytes from the start of a slab: of the gate (or up alone), of up
  uint width;
  uint x_stride, y_stride;
  uint bucket, chosen, experts;
  float factor, alpha;
};
LAHAR_SHARED_SIZE(MoeActivatePush, 88)

struct MoeCombinePush {
  address_t x;  // fp32 rows of pairs [width]
  address_t y;
  address_t residual;
  address_t table, ids, weights, step;
  uint bias;
  uint width;
  uint x_stride, y_stride, residual_stride;
  uint bucket, chosen, experts;
  float factor;
  uint reserved;
};
LAHAR_SHARED_SIZE(MoeCombinePush, 96)

struct MoeSharedGatePush {
  address_t x, gate, h, step;
  uint cols, width;
  uint x_stride, h_stride;
};
LAHAR_SHARED_SIZE(MoeSharedGatePush, 48)

LAHAR_SHARED_END
#endif
