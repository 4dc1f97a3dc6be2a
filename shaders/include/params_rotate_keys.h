// Push constants of rope/rotate_keys.comp.
#ifndef LAHAR_PARAMS_ROTATE_KEYS_H
#define LAHAR_PARAMS_ROTATE_KEYS_H
#include "step.h"
LAHAR_SHARED_BEGIN

struct RotateKeysPush {
  address_t source, target;         // pages
  address_t frequencies;            // fp32 [rope_dims / 2]
  uint layer_offset, value_offset;  // as in KvAddress
  uint delta;                       // positions
  uint reserved;
};
LAHAR_SHARED_SIZE(RotateKeysPush, 40)

LAHAR_SHARED_END
#endif
