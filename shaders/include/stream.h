#ifndef LAHAR_STREAM_H
#define LAHAR_STREAM_H
#include "shared.h"
LAHAR_SHARED_BEGIN

struct StreamParams {
  address_t source;       // uint4[vectors]
  address_t destination;  // uint4[vectors]
  uint vectors;
  uint add;
};
LAHAR_SHARED_SIZE(StreamParams, 24)

LAHAR_SHARED_END
#endif
