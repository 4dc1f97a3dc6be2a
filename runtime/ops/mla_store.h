// One dispatch between the projections of multi-head latent attention and attention itself.
#pragma once

#include "ops/common.h"
#include "ops/rope.h"

namespace lahar::ops {

// Row t: the latent's RMSNorm and the rotated shared key [latent, rope] become the row's key in the page, its first `latent`
// dims its value (kv.shared_dim); the rotated part of each query goes behind the latent part in q, which is left alone.
// Rotation as in RopeKvParams.
struct MlaStoreParams {
  Activations queries;  // [bucket, heads * (nope + rope)]
  Activations latents;  // [bucket, latent + rope]
  Activations q;        // [bucket, heads * (latent + rope)]; apart from the others
  uint32_t heads = 0, nope = 0;
  KvRef kv;               // one KV head; head_dim = latent + rope, shared_dim = latent
  gpu::BufferRange norm;  // fp32 [latent]
  float eps = 1e-6f;
  RopePairing pairing = RopePairing::kInterleaved;
  gpu::BufferRange inverse_frequencies;  // fp32 [rope / 2]; rope is a multiple of 4
  float magnitude = 1;
  StepRef step;
  std::string_view label;
};
Status mla_store(gpu::Recorder& recorder, const MlaStoreParams& params);

}  // namespace lahar::ops
