// Ends a step for one run a workgroup: merges the parts of scan.comp, picks the token (the largest logit, or a draw among the
// kept ones), writes the record and advances the state. What is kept is a prefix of the tokens ordered by logit (lower ids
// first among equals): a threshold key, and of those that equal it the first few. The draw is an exponential race, each
// token's variate from a counter-based generator: the result depends on (seed, sequence, counter, logits) alone.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint SUBGROUPS = 1;
#include "reduce.glsl"
#include "sample/advance.glsl"
#include "params_sample.h"
#include "sample/random.glsl"
#include "sample/threshold.glsl"

layout(push_constant, scalar) uniform Push { SamplePush p; };
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer PartsRef { LogitPart v[]; };

const uint kNone = 0xffffffffu;

// The token is kNone where there is a NaN.
LogitPart merged_parts(uint row) {
  PartsRef parts = PartsRef(p.scratch + uint64_t(row * p.parts * 16));
  LogitPart all = parts.v[0];
  bool bad = all.sum >= kNanInSum;
  for (uint i = 1; i < p.parts; ++i) {
    const LogitPart part = parts.v[i];
    if (part.sum <= 0) continue;  // no token fell to it
    bad = bad || part.sum >= kNanInSum;
    const bool better = part.highest > all.highest;
    const float d = max(-abs(logit_difference(part.highest, all.highest)), -200.0);
    const float factor = exp(d);
    // The lower of the two is brought to the other's maximum.
    const float low_sum = better ? all.sum : part.sum;
    const float low_moment = ((better ? all.moment : part.moment) + d * low_sum) * factor;
    all.moment = (better ? part.moment : all.moment) + low_moment;
    all.sum = (better ? part.sum : all.sum) + low_sum * factor;
    all.token = better ? part.token : all.token;
    all.highest = max(all.highest, part.highest);
  }
  if (bad) all.token = kNone;
  return all;
}

uint draw(LogitRow row, SeqState state, uint likeliest) {
  const Kept kept = select_tokens(row, state.top_k, state.top_p);
  const uint bound = kept.cut ? id_bound(row, kept.low, kept.ties) : row.vocabulary;

  float best = 0;
  uint token = kNone;
  const uint quads = (row.vocabulary + 3) / 4;
  for (uint q = gl_LocalInvocationIndex; q < quads; q += gl_WorkGroupSize.x) {
    uint count;
    const vec4 v = load_logits(row, q, count);
    bvec4 keep;
    [[unroll]] for (uint e = 0; e < 4; ++e) {
      const uint key = logit_key(v[e]);
      keep[e] = e < count && (key > kept.low || (key == kept.low && 4 * q + e < bound)) &&
                (state.min_p <= 0 || weight_of(row, v[e]) >= state.min_p);
    }
    if (!any(keep)) continue;
    const uvec4 random = philox(uvec4(q, state.counter, state.sequence, 0), uvec2(state.seed_low, state.seed_high));
    [[unroll]] for (uint e = 0; e < 4; ++e) {
      if (!keep[e]) continue;
      const float d = max(logit_difference(v[e], row.highest) * row.inverse_temperature, -1e30);
      const float score = d - log(exponential(random[e]));
      if (token == kNone || score > best) token = 4 * q + e, best = score;
    }
  }
  const float winner = workgroup_max(token != kNone ? best : -3e38);
  const float negated = workgroup_max(token != kNone && best == winner ? -float(token) : -float(row.vocabulary));
  const uint drawn = uint(-negated);
  return drawn < row.vocabulary ? drawn : likeliest;
}

void main() {
  const uint r = gl_WorkGroupID.x;
  if (r >= min(step_runs(p.step), p.max_runs)) return;
  const Run run = step_run(p.step, r);
  if (run.slot >= p.slots) return;
  const SeqState state = StatesRef(p.states).v[run.slot];
  const uint position = advanced(state, run.rows);
  const uint last_row = min(run.first_row + max(run.rows, 1), max(step_rows(p.step), 1)) - 1;
  const bool sampled = run.sampled != 0 && run.rows > 0 && step_row(p.step, last_row).valid != 0;
  if (!sampled) {
    if (gl_LocalInvocationIndex > 0) return;
    StatesRef(p.states).v[run.slot].position = position;
    RecordsRef(p.records).v[r] = SampleRecord(-1, 0, 0, position);
    return;
  }
  uint index = 0;  // of the run among the sampled ones
  for (uint i = 0; i < r; ++i) {
    const Run other = step_run(p.step, i);
    if (other.sampled != 0 && other.rows > 0) ++index;
  }
  index = min(index, p.max_runs - 1);

  const LogitPart all = merged_parts(index);
  if (all.token == kNone || all.highest <= kLowestLogit) {
    // The host ends the sequence; until then it goes on with a token that is there.
    if (gl_LocalInvocationIndex > 0) return;
    StatesRef(p.states).v[run.slot].position = position;
    StatesRef(p.states).v[run.slot].last_token = 0;
    StatesRef(p.states).v[run.slot].counter = state.counter + 1;
    RecordsRef(p.records).v[r] = SampleRecord(kNoNumbers, 0, 0, position);
    return;
  }
  uint token = min(all.token, p.vocabulary - 1);
  const LogitRow row = LogitRow(p.logits + uint64_t(index) * (4 * p.logits_stride), p.vocabulary, all.highest,
                                min(1.0 / state.temperature, 1e30));
  if (state.temperature > 0) token = min(draw(row, state, token), p.vocabulary - 1);
  if (gl_LocalInvocationIndex > 0) return;
  const float log_sum = log(all.sum);
  const float logit = finite_logit(load_f32(row.address, 4 * token));
  StatesRef(p.states).v[run.slot].position = position;
  StatesRef(p.states).v[run.slot].last_token = int(token);
  StatesRef(p.states).v[run.slot].counter = state.counter + 1;
  RecordsRef(p.records).v[r] = SampleRecord(int(token), logit_difference(logit, all.highest) - log_sum,
                                            max(log_sum - all.moment / all.sum, 0), position);
}
