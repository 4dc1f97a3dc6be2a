// Push constants of rope/mla_store.comp.
#ifndef LAHAR_PARAMS_MLA_H
#define LAHAR_PARAMS_MLA_H
#include "step.h"
LAHAR_SHARED_BEGIN

struct MlaStorePush {
  address_t queries;      // fp32 rows [heads][nope + rope]
  address_t latents;      // fp32 rows [latent + rope]
  address_t q;            // fp32 rows [heads][latent + rope]: the rope part of each head is written
  address_t norm;         // fp32 [latent]
  address_t frequencies;  // fp32 [rope / 2]
  address_t step;
  KvAddress kv;
  uint queries_stride, latents_stride, q_stride;  // floats
  uint nope;
  float eps, magnitude;
};
LAHAR_SHARED_SIZE(MlaStorePush, 112)

LAHAR_SHARED_END
#endif
