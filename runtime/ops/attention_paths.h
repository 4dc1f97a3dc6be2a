// Inside of attention: what each path offers to attention(), and what the paths share.
#pragma once

#include <bit>

#include "ops/attention_variants.h"
#include "ops/kv_helpers.h"
#include "params_attention.h"

namespace lahar::ops::detail {

// Of one path. Defaults first in list(); record() is given params and a form for which can() holds.
struct AttentionPathOps {
  bool (*can)(const gpu::Caps& caps, const AttentionParams& p, const AttentionForm& form);
  void (*list)(const gpu::Caps& caps, const AttentionParams& p, std::vector<AttentionForm>& out);
  Status (*record)(gpu::Recorder& recorder, const AttentionParams& p, const AttentionForm& form);
};
extern const AttentionPathOps kDecodeOps, kDecodeLineOps, kDecodeLoopOps, kLanesOps, kMatrixTileOps, kTileOps;
// Of one shape, for the catalogue.
void list_decode_kernels(const gpu::Caps& caps, const AttentionParams& p, std::vector<gpu::KernelDesc>& out);
void list_line_kernels(const gpu::Caps& caps, const AttentionParams& p, std::vector<gpu::KernelDesc>& out);
void list_loop_kernels(const gpu::Caps& caps, const AttentionParams& p, std::vector<gpu::KernelDesc>& out);
void list_prefill_kernels(const gpu::Caps& caps, const AttentionParams& p, std::vector<gpu::KernelDesc>& out);

// At most 128 registers of 32 bits a lane, in the narrowest subgroups: GPUs of Intel with subgroups of 8, Apple's, Adreno
// 6xx.
bool small_registers(const gpu::Caps& caps);
// Keys that a row may see at most, and the most parts that any form splits them into.
uint32_t visible_keys(const AttentionParams& p);
uint32_t most_splits(const gpu::Caps& caps, uint32_t bucket, uint32_t max_context);
// The same of kLine, for all rows together.
uint64_t line_parts(const gpu::Caps& caps, uint32_t bucket, uint32_t max_context);
// True where the form computes p.rope along with attention; record() takes params with a rope only then.
bool folds_rope(const gpu::Caps& caps, const AttentionParams& p, const AttentionForm& form);
// rope_kv()'s own.
Status check_rope(const RopeKvParams& p, const gpu::Caps& caps);
// Floats of a row of qkv that rope_kv() reads.
uint32_t qkv_width(const RopeKvParams& p);

// Records a kernel that leaves form.splits partial results for each row and head (or the result itself, of one), and the
// dispatch that merges them. The kernel writes `also_writes` besides.
Status record_parts(gpu::Recorder& recorder, const AttentionParams& p, const AttentionForm& form,
                    const gpu::KernelDesc& kernel, std::span<const std::byte> push, gpu::GroupCount groups,
                    const Ranges& reads, const Ranges& also_writes = {});

params::AttentionPush attention_push(const AttentionParams& p, uint32_t splits);
// What ALiBi's exponent loses from head to head.
float alibi_decline(const AttentionParams& p);
// What a kernel that computes scores reads: q, or with a rope its q, k and v.
Ranges attention_reads(const AttentionParams& p);
gpu::BufferRange attention_out(const AttentionParams& p);
gpu::BufferRange sinks_of(const AttentionParams& p);  // empty without

inline uint32_t group_of(const AttentionParams& p) { return p.heads / p.kv.kv_heads; }
inline uint32_t type_of(const AttentionParams& p) { return static_cast<uint32_t>(p.kv.type); }
// The constant SCORES of the kernels (shaders/attention/scores.glsl).
inline uint32_t scores_of(const AttentionParams& p) {
  const uint32_t slopes = p.alibi > 0 ? (p.alibi_scaled ? 4 : 0) + (std::bit_floor(p.heads) << 8) : 0;
  return (p.softcap > 0 ? 1 : 0) + (p.sinks ? 2 : 0) + slopes;
}

}  // namespace lahar::ops::detail
