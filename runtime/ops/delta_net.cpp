#include "ops/delta_net.h"

#include <optional>

#include "ops/catalogue.h"
#include "ops/recurrence_form.h"
#include "ops/state_helpers.h"
#include "params_linear_attention.h"

namespace lahar::ops {
namespace {

using namespace detail;

constexpr uint32_t kStaged = 2;  // q and k

uint32_t qkv_width(const DeltaNetParams& p) { return 2 * p.key_heads * p.key_dim + p.value_heads * p.value_dim; }

Status check(const DeltaNetParams& p, const gpu::Caps& caps) {
  const uint32_t rows = p.step.bucket;
  LAHAR_TRY(check_recurrence(p.label, p.value_heads, p.key_dim, p.value_dim));
  if (p.key_heads == 0 || p.value_heads % p.key_heads != 0)
    return invalid(p.label, std::to_string(p.value_heads) + " value heads of " + std::to_string(p.key_heads) + " key heads");
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[0]));
  LAHAR_TRY(check_rows(p.label, "qkv", p.qkv, rows, qkv_width(p)));
  LAHAR_TRY(check_rows(p.label, "y", p.y, rows, p.value_heads * p.value_dim));
  for (const Activations* gate : {&p.beta, &p.alpha})
    if (!gate->range || gate->range.size < row_bytes(*gate, rows, p.value_heads))
      return invalid(p.label, "beta or alpha is missing or too small");
  LAHAR_TRY(check_vector(p.label, "decay", p.decay, p.value_heads));
  LAHAR_TRY(check_vector(p.label, "bias", p.bias, p.value_heads));
  return check_state(p.label, p.state, p.state_offset, delta_net_state_bytes(p.value_heads, p.key_dim, p.value_dim));
}

// How chunks are taken: by delta_chunks.comp on CPUs, where rows of the state are vector elements, else by delta_tiles.comp.
struct ChunkForm {
  uint32_t chunk = 0, rows4 = 0, share = 0, step = 0, lanes = 0;  // constants of the kernels; rows4: none on CPUs
  uint64_t head_bytes() const { return 8ull * chunk * chunk + 16ull * chunk; }
  uint32_t chunks(uint32_t tokens, uint32_t runs) const { return ceil_div(tokens, chunk) + runs - 1; }
  uint32_t rows() const { return rows4 > 0 ? 4 * rows4 : lanes; }  // of the state, a workgroup
};

uint32_t chunk_of(const gpu::Caps& caps) { return caps.is_cpu() ? 8 : 16; }

// Narrow ones share out more registers, and hide each other's latency.
uint32_t chunk_subgroup(const gpu::Caps& caps) {
  return few_registers(caps) ? caps.min_subgroup_size : std::clamp(32u, caps.min_subgroup_size, caps.max_subgroup_size);
}

uint64_t shared_bytes(const ChunkForm& f, uint32_t key4) {
  const uint32_t state = f.rows4 * (4 * key4 + 1), keys = 2 * f.chunk * (key4 | 1);
  return 16ull * (state + keys + f.chunk * f.chunk / 2 + 2 * f.chunk * f.rows4);
}

// Rows of the state in a workgroup on a GPU. With 32, the compilers' estimates and the real counts of the loops give a
// workgroup for 256 tokens with heads of 128, pairs included, against token by token, in thousands of cycles: 47 : 66
// (Navi31), 49 : 84 (Navi21), 42 : 66 (gfx1201), 134 : 151 (Vega20), 105 : 138 (GeForce), 624 : 535 for twice the rows
// (B580).
constexpr uint32_t kTileRows = 32;

// None where the chunks of a head this wide do not fit into shared memory, and on CPUs whose driver would load a key for
// every row: there chunks are no faster than tokens one after the other, and take the driver up to minutes to compile.
std::optional<ChunkForm> chunk_form(const gpu::Caps& caps, uint32_t key_dim, uint32_t value_dim) {
  const uint32_t key4 = key_dim / 4;
  ChunkForm f{.chunk = chunk_of(caps)};
  f.step = few_registers(caps) || key4 % 2 != 0 ? 1 : 2;
  if (caps.is_cpu()) {
    if (!caps.uniform_loops) return std::nullopt;
    f.lanes = subgroups_of(caps, caps.subgroup_size, value_dim, 64) * caps.subgroup_size;
    return f;
  }
  // More rows read keys less often, but two workgroups should fit where there are 96 KiB.
  const uint64_t room = std::min<uint64_t>(caps.max_shared_memory, 40 << 10);
  f.rows4 = std::min(kTileRows, power_of_two_at_least(value_dim)) / 4;
  while (f.rows4 > 1 && shared_bytes(f, key4) > room) f.rows4 /= 2;
  if (f.rows4 * 4 < std::min(16u, value_dim) || shared_bytes(f, key4) > room) return std::nullopt;
  f.lanes = std::max(f.chunk * f.rows4, 64u);
  f.share = f.rows4 < 2 ? 1 : 2;
  return f;
}

gpu::KernelDesc describe_chunks(const gpu::Caps& caps, const ChunkForm& f, uint32_t key_dim) {
  if (caps.is_cpu())
    return {.shader = gpu::ShaderId::delta_chunks,
            .constants = {f.lanes, 1, 1, {key_dim / 4, f.chunk}},
            .subgroup_size = caps.subgroup_size};
  return {.shader = gpu::ShaderId::delta_tiles,
          .constants = {f.lanes, 1, 1, {key_dim / 4, f.chunk, f.rows4, f.share, f.step}},
          .subgroup_size = chunk_subgroup(caps)};
}

gpu::KernelDesc describe_pairs(const gpu::Caps& caps, const ChunkForm& f, uint32_t key_dim) {
  const uint32_t size = narrow_subgroup(caps), lanes = subgroups_of(caps, size, f.chunk * f.chunk / 4, 256) * size;
  return {.shader = gpu::ShaderId::delta_pairs,
          .constants = {lanes, 1, 1, {key_dim / 4, f.chunk, std::max(lanes / f.chunk, 1u), f.step}},
          .subgroup_size = size};
}

// Steps of fewer rows have too few tokens a run.
constexpr uint32_t kChunkedRows = 32;
// Scratch is for so many runs in a step of so many rows.
constexpr uint32_t kChunkedRuns = 4;

class Scan {
 public:
  Scan(gpu::Recorder& recorder, const DeltaNetParams& p) : recorder_(recorder), p_(p) {
    const uint32_t rows = p.step.bucket;
    qkv_ = rows_of(p.qkv, rows, qkv_width(p)), y_ = rows_of(p.y, rows, p.value_heads * p.value_dim);
    beta_ = rows_of(p.beta, rows, p.value_heads), alpha_ = rows_of(p.alpha, rows, p.value_heads);
  }

  void token_by_token() const {
    const RecurrenceForm form = recurrence_form(caps(), p_.key_dim, p_.value_dim, kStaged);
    const params::DeltaNetPush push{.qkv = qkv_.address(),
                                    .beta = beta_.address(),
                                    .alpha = alpha_.address(),
                                    .y = y_.address(),
                                    .decay = p_.decay.address(),
                                    .bias = p_.bias.address(),
                                    .step = p_.step.state.address(),
                                    .state = state_address(p_.state, p_.state_offset),
                                    .key_heads = p_.key_heads,
                                    .value_dim = p_.value_dim,
                                    .tiled = p_.tiled ? 1u : 0u,
                                    .qkv_stride = p_.qkv.stride,
                                    .beta_stride = p_.beta.stride,
                                    .alpha_stride = p_.alpha.stride,
                                    .y_stride = p_.y.stride};
    dispatch(describe_recurrence(caps(), gpu::ShaderId::delta_net, form, p_.key_dim), gpu::push_bytes(push),
             {form.workgroups(p_.value_dim), p_.value_heads, std::min(p_.step.bucket, p_.step.max_runs)},
             Ranges{qkv_, beta_, alpha_, p_.decay, p_.bias, p_.state.range, p_.step.state}, Ranges{y_, p_.state.range});
  }

  // False where there is not enough scratch or shared memory.
  bool in_chunks() const {
    const std::optional<ChunkForm> fits = chunk_form(caps(), p_.key_dim, p_.value_dim);
    if (!fits) return false;
    const ChunkForm& form = *fits;
    const uint32_t runs = std::min(p_.step.bucket, p_.step.max_runs), chunks = form.chunks(p_.step.bucket, runs);
    const uint64_t bytes = chunks * form.head_bytes() * p_.value_heads;
    if (!p_.scratch || p_.scratch.address() % 16 != 0 || p_.scratch.size < bytes) return false;
    const gpu::BufferRange pairs = p_.scratch.part(0, bytes);
    const params::DeltaPairsPush first{.qkv = qkv_.address(),
                                       .beta = beta_.address(),
                                       .alpha = alpha_.address(),
                                       .decay = p_.decay.address(),
                                       .bias = p_.bias.address(),
                                       .pairs = pairs.address(),
                                       .step = p_.step.state.address(),
                                       .key_heads = p_.key_heads,
                                       .value_heads = p_.value_heads,
                                       .tiled = p_.tiled ? 1u : 0u,
                                       .qkv_stride = p_.qkv.stride,
                                       .beta_stride = p_.beta.stride,
                                       .alpha_stride = p_.alpha.stride};
    dispatch(describe_pairs(caps(), form, p_.key_dim), gpu::push_bytes(first), {p_.key_heads, chunks, 1},
             Ranges{qkv_, beta_, alpha_, p_.decay, p_.bias, p_.step.state}, Ranges{pairs});
    const params::DeltaChunksPush second{.qkv = qkv_.address(),
                                         .y = y_.address(),
                                         .pairs = pairs.address(),
                                         .step = p_.step.state.address(),
                                         .state = state_address(p_.state, p_.state_offset),
                                         .key_heads = p_.key_heads,
                                         .value_dim = p_.value_dim,
                                         .tiled = p_.tiled ? 1u : 0u,
                                         .qkv_stride = p_.qkv.stride,
                                         .y_stride = p_.y.stride,
                                         .chunks = chunks};
    dispatch(describe_chunks(caps(), form, p_.key_dim), gpu::push_bytes(second),
             {ceil_div(p_.value_dim, form.rows()), p_.value_heads, runs}, Ranges{qkv_, pairs, p_.state.range, p_.step.state},
             Ranges{y_, p_.state.range});
    return true;
  }

 private:
  const gpu::Caps& caps() const { return recorder_.device().caps(); }
  void dispatch(const gpu::KernelDesc& desc, std::span<const std::byte> push, const std::array<uint32_t, 3>& groups,
                const Ranges& reads, const Ranges& writes) const {
    recorder_.dispatch({.label = p_.label,
                        .kernel = recorder_.device().kernels().get(desc),
                        .push = push,
                        .groups = {groups[0], groups[1], groups[2]},
                        .reads = reads,
                        .writes = writes});
  }

  gpu::Recorder& recorder_;
  const DeltaNetParams& p_;
  gpu::BufferRange qkv_, beta_, alpha_, y_;
};

}  // namespace

uint64_t delta_net_state_bytes(uint32_t value_heads, uint32_t key_dim, uint32_t value_dim) {
  return uint64_t{value_heads} * key_dim * value_dim * sizeof(float);
}

bool delta_net_prefers_chunks(const gpu::Caps& caps, uint32_t key_dim, uint32_t value_dim) {
  const std::optional<ChunkForm> form = chunk_form(caps, key_dim, value_dim);
  return form && (caps.is_cpu() || form->rows() >= std::min(kTileRows, value_dim));
}

uint64_t delta_net_scratch_bytes(const gpu::Caps& caps, uint32_t rows, uint32_t value_heads) {
  if (rows < kChunkedRows) return 0;
  const ChunkForm form{.chunk = chunk_of(caps)};
  return form.chunks(rows, kChunkedRuns) * form.head_bytes() * value_heads;
}

Status delta_net(gpu::Recorder& recorder, const DeltaNetParams& p) {
  LAHAR_TRY(check(p, recorder.device().caps()));
  const Scan scan(recorder, p);
  if (p.step.bucket < kChunkedRows || !scan.in_chunks()) scan.token_by_token();
  return {};
}

void list_delta_net_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (const uint32_t dim : {64u, 128u, 256u}) {
    out.push_back(describe_recurrence(caps, gpu::ShaderId::delta_net, recurrence_form(caps, dim, dim, kStaged), dim));
    const std::optional<ChunkForm> form = chunk_form(caps, dim, dim);
    if (!form || !delta_net_prefers_chunks(caps, dim, dim)) continue;
    out.push_back(describe_pairs(caps, *form, dim));
    out.push_back(describe_chunks(caps, *form, dim));
  }
}

}  // namespace lahar::ops
