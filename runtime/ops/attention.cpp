#include "ops/attention.h"

#include <cstdlib>

#include "ops/attention_paths.h"
#include "ops/catalogue.h"
#include "ops/rope.h"

namespace lahar::ops {
namespace {

using namespace detail;

const AttentionPathOps& ops_of(AttentionPath path) {
  switch (path) {
    case AttentionPath::kDecode: return kDecodeOps;
    case AttentionPath::kLine: return kDecodeLineOps;
    case AttentionPath::kLoop: return kDecodeLoopOps;
    case AttentionPath::kLanes: return kLanesOps;
    case AttentionPath::kCoop: return kMatrixTileOps;
    case AttentionPath::kTile:
    case AttentionPath::kCount: break;
  }
  return kTileOps;
}

// Paths in the order in which a device takes them where nothing was measured.
std::vector<AttentionPath> preferred_paths(const gpu::Caps& caps, const AttentionParams& p) {
  using enum AttentionPath;
  // A CPU driver fills its vectors with query items as soon as there are some.
  if (caps.is_cpu())
    return p.step.bucket > 4 ? std::vector{kLanes, kLoop, kLine, kDecode, kTile, kCoop}
                             : std::vector{kLoop, kLine, kDecode, kLanes, kTile, kCoop};
  return {kDecode, kCoop, kTile};
}

Status check(const AttentionParams& p, const gpu::Caps& caps) {
  const uint32_t rows = p.step.bucket, width = p.heads * p.kv.head_dim, out_width = p.heads * p.kv.value_dim();
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[2]));
  LAHAR_TRY(check_kv(p.label, p.kv, p.heads));
  LAHAR_TRY(check_rows(p.label, "q", p.q, rows, width));
  LAHAR_TRY(check_rows(p.label, "out", p.out, rows, out_width));
  if (overlaps(rows_of(p.q, rows, width), rows_of(p.out, rows, out_width))) return invalid(p.label, "out overlaps q");
  if (!(p.softcap >= 0)) return invalid(p.label, "a negative soft cap");
  if (!(p.alibi >= 0 && p.alibi <= 1000)) return invalid(p.label, "ALiBi with an exponent that makes no slopes");
  if (p.sinks) LAHAR_TRY(check_vector(p.label, "sinks", p.sinks, p.heads));
  if (p.rope == nullptr) return {};
  const RopeKvParams& rope = *p.rope;
  LAHAR_TRY(check_rope(rope, caps));
  if (!same_rows(rope.q, p.q) || rope.heads != p.heads || rope.step.bucket != rows ||
      rope.kv.address.layer_offset != p.kv.address.layer_offset || rope.kv.head_dim != p.kv.head_dim)
    return invalid(p.label, "a rope that makes another q, or writes another layer's cache");
  if (overlaps(rows_of(rope.qkv, rows, qkv_width(rope)), rows_of(p.out, rows, out_width)))
    return invalid(p.label, "out overlaps q, k, v");
  return {};
}

// What was measured to be fastest. A choice holds for contexts of about one length: where its split is none of this context,
// the most similar one is taken, with everything else as it was chosen.
std::optional<AttentionForm> measured_form(const gpu::Caps& caps, const AttentionParams& p) {
  const std::string* chosen = p.tuning == nullptr ? nullptr : p.tuning->chosen(attention_case(p));
  const std::optional<AttentionForm> form = chosen == nullptr ? std::nullopt : parse_attention_form(*chosen);
  if (!form || can_attention(caps, p, *form)) return form;
  const auto off = [&](const AttentionForm& f) { return std::abs(int64_t{f.splits} - int64_t{form->splits}); };
  std::optional<AttentionForm> nearest;
  for (const AttentionForm& f : attention_forms(caps, p)) {
    AttentionForm same = f;
    same.splits = form->splits;
    if (same == *form && p.tuning->quarantined(to_string(f)) == nullptr && (!nearest || off(f) < off(*nearest))) nearest = f;
  }
  return nearest;
}

Status record_form(gpu::Recorder& recorder, const AttentionParams& p, const AttentionForm& form) {
  if (p.rope == nullptr || folds_rope(recorder.device().caps(), p, form)) return ops_of(form.path).record(recorder, p, form);
  LAHAR_TRY(rope_kv(recorder, *p.rope));
  AttentionParams rest = p;
  rest.rope = nullptr;
  return ops_of(form.path).record(recorder, rest, form);
}

}  // namespace

uint32_t detail::visible_keys(const AttentionParams& p) {
  const uint32_t held = p.kv.address.pages_per_slot * params::kPageTokens;
  uint32_t context = held;
  for (const uint32_t limit : {p.max_context, p.step.context, p.window, p.chunk})
    if (limit != 0) context = std::min(context, limit);
  return context;
}

params::AttentionPush detail::attention_push(const AttentionParams& p, uint32_t splits) {
  return {.q = p.q.range.address(),
          .y = p.out.range.address(),
          .scratch = p.scratch.address(),
          .sinks = p.sinks.address(),
          .step = p.step.state.address(),
          .kv = p.kv.address,
          .q_stride = p.q.stride,
          .y_stride = p.out.stride,
          .window = p.window,
          .chunk = p.chunk,
          .scale = p.scale,
          .softcap = p.softcap,
          .alibi = alibi_decline(p),
          .splits = splits};
}

float detail::alibi_decline(const AttentionParams& p) { return p.alibi / static_cast<float>(std::bit_floor(p.heads)); }

Ranges detail::attention_reads(const AttentionParams& p) {
  const uint32_t rows = p.step.bucket;
  Ranges reads{
      p.rope != nullptr ? rows_of(p.rope->qkv, rows, qkv_width(*p.rope)) : rows_of(p.q, rows, p.heads * p.kv.head_dim),
      p.step.state, p.kv.segment_table, p.kv.page_table};
  for (const gpu::BufferRange& segment : p.kv.segments) reads.add(segment);
  if (p.sinks) reads.add(sinks_of(p));
  return reads;
}

gpu::BufferRange detail::attention_out(const AttentionParams& p) {
  return rows_of(p.out, p.step.bucket, p.heads * p.kv.value_dim());
}

gpu::BufferRange detail::sinks_of(const AttentionParams& p) {
  return p.sinks ? p.sinks.part(0, uint64_t{p.heads} * sizeof(float)) : gpu::BufferRange{};
}

uint32_t recorded_context(const gpu::Caps& caps, uint32_t positions) {
  if (!caps.is_cpu()) return 0;
  const uint32_t step = std::max(64u, std::bit_ceil(positions) / 16);
  return ceil_div(std::max(positions, 1u), step) * step;
}

uint64_t attention_scratch_bytes(const gpu::Caps& caps, uint32_t bucket, uint32_t heads, uint32_t head_dim,
                                 uint32_t max_context) {
  uint64_t most = 0;  // parts of rows
  for (uint32_t rows = 1; rows <= std::min(bucket, kDecodeRows); ++rows)
    most = std::max({most, uint64_t{rows} * most_splits(caps, rows, max_context), line_parts(caps, rows, max_context)});
  return std::max<uint64_t>(16, most * heads * (params::kPartialHeader + head_dim) * sizeof(float));
}

bool can_attention(const gpu::Caps& caps, const AttentionParams& p, const AttentionForm& form) {
  return form.path < AttentionPath::kCount && ops_of(form.path).can(caps, p, form);
}

std::vector<AttentionForm> attention_forms(const gpu::Caps& caps, const AttentionParams& p) {
  std::vector<AttentionForm> listed, forms;
  for (const AttentionPath path : preferred_paths(caps, p)) ops_of(path).list(caps, p, listed);
  for (const AttentionForm& f : listed)
    if (can_attention(caps, p, f) && std::find(forms.begin(), forms.end(), f) == forms.end()) forms.push_back(f);
  return forms;
}

AttentionForm default_form(const gpu::Caps& caps, const AttentionParams& p) {
  const std::vector<AttentionForm> forms = attention_forms(caps, p);
  for (const AttentionForm& form : forms)
    if (p.tuning == nullptr || p.tuning->quarantined(to_string(form)) == nullptr) return form;
  // With everything in quarantine, a result that may be wrong is better than none.
  return forms.empty() ? AttentionForm{.path = AttentionPath::kCount} : forms.front();
}

Status attention_with(gpu::Recorder& recorder, const AttentionParams& p, const AttentionForm& form) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(p, caps));
  if (!can_attention(caps, p, form))
    return invalid(p.label, "no kernel \"" + to_string(form) + "\" for " + attention_case(p));
  return record_form(recorder, p, form);
}

Status attention(gpu::Recorder& recorder, const AttentionParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(p, caps));
  if (const std::optional<AttentionForm> form = measured_form(caps, p)) return record_form(recorder, p, *form);
  return attention_with(recorder, p, default_form(caps, p));
}

void list_attention_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  const auto add = [&](uint32_t dim, KvType type, uint32_t group, float softcap, uint32_t bucket) {
    AttentionParams p{.heads = 8 * group, .softcap = softcap, .max_context = 4096, .step = {.bucket = bucket}};
    p.kv.type = type, p.kv.kv_heads = 8, p.kv.head_dim = dim;
    p.kv.address.pages_per_slot = p.max_context / params::kPageTokens;
    if (bucket > kDecodeRows) return list_prefill_kernels(caps, p, out);
    list_decode_kernels(caps, p, out);
    list_line_kernels(caps, p, out);
    list_loop_kernels(caps, p, out);
  };
  for (const uint32_t dim : {32u, 64u, 80u, 96u, 128u, 256u}) {
    for (const uint32_t bucket : {1u, 512u}) {
      for (const uint32_t group : {1u, 3u, 4u, 8u}) add(dim, KvType::kF16, group, 0, bucket);
      add(dim, KvType::kF32, 4, 0, bucket);
    }
  }
  for (const uint32_t bucket : {1u, 512u}) {
    for (const KvType type : {KvType::kBF16, KvType::kI8, KvType::kF8, KvType::kI4})
      for (const uint32_t dim : {64u, 128u}) add(dim, type, 4, 0, bucket);
    add(256, KvType::kF16, 2, 30, bucket);
  }
  for (const uint32_t group : {1u, 4u}) add(128, KvType::kF16, group, 0, 8);
  // ALiBi, latents.
  for (const uint32_t bucket : {1u, 512u}) {
    AttentionParams p{.heads = 64, .max_context = 4096, .step = {.bucket = bucket}};
    p.kv.kv_heads = 8, p.kv.head_dim = 64;
    p.kv.address.pages_per_slot = p.max_context / params::kPageTokens;
    const auto list = [&] {
      if (bucket > kDecodeRows) return list_prefill_kernels(caps, p, out);
      list_decode_kernels(caps, p, out);
      list_line_kernels(caps, p, out);
      list_loop_kernels(caps, p, out);
    };
    p.alibi = 8;
    list();
    p.alibi = 0, p.heads = 128, p.kv.kv_heads = 1, p.kv.head_dim = 576, p.kv.shared_dim = 512;
    list();
  }
}

}  // namespace lahar::ops
