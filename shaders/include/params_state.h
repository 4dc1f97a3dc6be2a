// Where a layer's recurrent state lies (ops/state.h).
#ifndef LAHAR_PARAMS_STATE_H
#define LAHAR_PARAMS_STATE_H
#include "shared.h"
LAHAR_SHARED_BEGIN

// State slot i of the layer lies at base + i * slot_bytes.
struct StateAddress {
  address_t base;
  address_t slot_bytes;
  uint slots;  // indices are clamped to it
  uint reserved;
};
LAHAR_SHARED_SIZE(StateAddress, 24)

LAHAR_SHARED_END
#endif
