// Push constants of altup/.
#ifndef LAHAR_PARAMS_ALTUP_H
#define LAHAR_PARAMS_ALTUP_H
#include "shared.h"
LAHAR_SHARED_BEGIN

const uint kMaxStreams = 8;

// MODE of altup/streams.comp.
const uint kStreamsPredict = 0;
const uint kStreamsCorrect = 1;
const uint kStreamsExpand = 2;
const uint kStreamsMerge = 3;
const uint kStreamsAdd = 4;
const uint kStreamsAverage = 5;

struct StreamsPush {
  address_t x, y, streams;  // fp32 rows
  address_t norm, router, coefficients, scale;
  address_t step;
  uint width;
  uint x_stride, y_stride, streams_stride;  // floats; a row holds all streams
  uint stream_width;                        // floats from one stream to the next, in a row of streams and of y
  float eps;
};
LAHAR_SHARED_SIZE(StreamsPush, 88)

// MODE of altup/per_layer.comp.
const uint kPerLayerInputs = 0;
const uint kPerLayerGate = 1;
const uint kPerLayerCut = 2;

struct PerLayerPush {
  address_t x, inputs;  // fp32 rows
  address_t weight;
  address_t step;
  uint width;
  uint x_stride, inputs_stride;  // floats
  uint first;                    // of a row of inputs
  float eps, scale, deviations;
  uint reserved;
};
LAHAR_SHARED_SIZE(PerLayerPush, 64)

LAHAR_SHARED_END
#endif
