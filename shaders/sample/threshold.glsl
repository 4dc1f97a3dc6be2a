// The threshold that keeps the likeliest tokens: a search over order-preserving keys, kThresholds of them tried in one pass
// over the row. Includers define SUBGROUPS and the push constants. Everything returned is the same in all invocations.
#ifndef LAHAR_THRESHOLD_GLSL
#define LAHAR_THRESHOLD_GLSL
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "load.glsl"
#include "sample/logits.glsl"

const uint kThresholds = 15;
const uint kSums = 2 * kThresholds;

shared float threshold_parts[SUBGROUPS * kSums];
shared float threshold_sums[kSums];

struct LogitRow {
  uint64_t address;
  uint vocabulary;
  float highest;
  float inverse_temperature;
};

// The probability in proportion to that of the likeliest token.
float weight_of(LogitRow row, float logit) {
  return exp(logit_difference(logit, row.highest) * row.inverse_temperature);
}

vec4 load_logits(LogitRow row, uint quad, out uint count) {
  count = min(row.vocabulary - 4 * quad, 4);
  vec4 v = vec4(kLowestLogit);
  if (count == 4)
    v = load_f32x4(row.address, 16 * quad);
  else
    for (uint e = 0; e < count; ++e) v[e] = load_f32(row.address, 16 * quad + 4 * e);
  [[unroll]] for (uint e = 0; e < 4; ++e) v[e] = finite_logit(v[e]);
  return v;
}

// Sums over the workgroup, by subgroup and then in their order.
void sum_over_workgroup(inout float sums[kSums]) {
  [[unroll]] for (uint i = 0; i < kSums; ++i) sums[i] = subgroupAdd(sums[i]);
  if (SUBGROUPS == 1) return;
  if (subgroupElect()) {
    [[unroll]] for (uint i = 0; i < kSums; ++i) threshold_parts[gl_SubgroupID * kSums + i] = sums[i];
  }
  barrier();  // the parts are written before they are read
  for (uint i = gl_LocalInvocationIndex; i < kSums; i += gl_WorkGroupSize.x) {
    float sum = 0;
    for (uint s = 0; s < SUBGROUPS; ++s) sum += threshold_parts[s * kSums + i];
    threshold_sums[i] = sum;
  }
  barrier();  // the sums are written before they are read
  [[unroll]] for (uint i = 0; i < kSums; ++i) sums[i] = threshold_sums[i];
  barrier();  // they are read before a later call writes them
}

// The tokens with a key of at least `low` are `count` with a mass of `mass`; of those with a key above `high` there are
// count_above with mass_above. The wanted threshold is in [low, high].
struct Bracket {
  uint low, high;
  float count, mass;
  float count_above, mass_above;
};

// Narrows the bracket to two neighbours among `thresholds` (ascending): the highest whose count (by_count) or mass reaches
// `target`, and the next.
void narrow(LogitRow row, inout Bracket bracket, uint thresholds[kThresholds], bool by_count, float target) {
  float sums[kSums];
  [[unroll]] for (uint i = 0; i < kSums; ++i) sums[i] = 0;
  const uint quads = (row.vocabulary + 3) / 4;
  for (uint q = gl_LocalInvocationIndex; q < quads; q += gl_WorkGroupSize.x) {
    uint count;
    const vec4 v = load_logits(row, q, count);
    [[unroll]] for (uint e = 0; e < 4; ++e) {
      const uint key = logit_key(v[e]);
      if (e >= count || key < thresholds[0] || key > bracket.high) continue;
      const float weight = weight_of(row, v[e]);
      [[unroll]] for (uint i = 0; i < kThresholds; ++i) {
        sums[i] += key >= thresholds[i] ? 1.0 : 0.0;
        sums[kThresholds + i] += key >= thresholds[i] ? weight : 0.0;
      }
    }
  }
  sum_over_workgroup(sums);
  uint low = bracket.low, high = bracket.high;
  float count = bracket.count, mass = bracket.mass;
  float count_above = bracket.count_above, mass_above = bracket.mass_above;
  [[unroll]] for (uint i = 0; i < kThresholds; ++i) {
    if (thresholds[i] <= bracket.low || thresholds[i] > bracket.high) continue;
    const float here_count = bracket.count_above + sums[i];
    const float here_mass = bracket.mass_above + sums[kThresholds + i];
    if ((by_count ? here_count : here_mass) >= target) {
      low = thresholds[i], count = here_count, mass = here_mass;
    } else if (thresholds[i] - 1 < high) {
      high = thresholds[i] - 1, count_above = here_count, mass_above = here_mass;
    }
  }
  bracket = Bracket(low, high, count, mass, count_above, mass_above);
}

// Where likely tokens are: steps below the largest logit, in units of the temperature.
const float kSteps[kThresholds] = float[](48, 32, 24, 18, 14, 11, 9, 7, 5.5, 4, 3, 2, 1, 0.5, 0.125);

// The thresholds of a search's first pass, then of the later ones: evenly over what is left.
void place_thresholds(LogitRow row, Bracket bracket, bool first, out uint thresholds[kThresholds]) {
  const float temperature = 1.0 / max(row.inverse_temperature, 1e-30);
  const uint span = bracket.high - bracket.low;
  const uint step = span / (kThresholds + 1) + 1;
  [[unroll]] for (uint i = 0; i < kThresholds; ++i) {
    const uint even = bracket.low + min((i + 1) * step, span);
    thresholds[i] = first ? logit_key(max(row.highest - kSteps[i] * temperature, kLowestLogit)) : even;
  }
}

// What is kept: all tokens with a key above `low`, and of those with that key the first `ties` where `cut`.
struct Kept {
  uint low;
  float ties;
  bool cut;
};

// top_k: 0 or too large keeps all; top_p: 1 keeps all.
Kept select_tokens(LogitRow row, uint top_k, float top_p) {
  const uint top = logit_key(row.highest);
  const bool by_count = top_k > 0 && top_k < row.vocabulary;
  const bool by_mass = top_p < 1;
  Kept kept = Kept(0, 0, false);
  Bracket whole = Bracket(0, top, float(row.vocabulary), 0, 0, 0);
  // The phases share one loop, so that compilers see one pass over the row: the top_k, or else the mass of all; the top_p.
  for (uint phase = 0; phase < 2; ++phase) {
    const bool counting = phase == 0;
    if (counting ? !by_count && !by_mass : !by_mass) continue;
    float target = float(top_k);
    if (counting && !by_count) target = float(row.vocabulary);
    if (!counting) target = max(max(top_p, 0.0) * whole.mass, 1e-30);
    Bracket b = whole;
    bool first = true;
    do {
      uint thresholds[kThresholds];
      place_thresholds(row, b, first, thresholds);
      // Below every key: the mass of all.
      if (counting && first) thresholds[0] = 1;
      narrow(row, b, thresholds, counting, target);
      first = false;
    } while (b.low < b.high && b.count - b.count_above > 1.5 && !(counting && b.count == target));

    const float each = weight_of(row, key_logit(b.low));
    if (counting) {
      kept = Kept(b.low, target - b.count_above, b.count > target);
      const float mass = kept.cut ? b.mass_above + kept.ties * each : b.mass;
      whole = Bracket(b.low, top, target, mass, 0, 0);
    } else {
      const bool same_key = kept.cut && b.low == kept.low;
      const float there = same_key ? kept.ties : b.count - b.count_above;
      float ties = there;
      if (b.low == b.high) ties = clamp(ceil((target - b.mass_above) / max(each, 1e-30)), 1.0, there);
      kept = Kept(b.low, ties, same_key || ties < there);
    }
  }
  return kept;
}

// The id below which there are `wanted` tokens with this key.
uint id_bound(LogitRow row, uint key, float wanted) {
  uint low = 0, high = row.vocabulary;  // fewer than wanted below low; at least as many below high
  while (high - low > 1) {
    const uint step = (high - low) / (kThresholds + 1) + 1;
    float sums[kSums];
    [[unroll]] for (uint i = 0; i < kSums; ++i) sums[i] = 0;
    const uint quads = (row.vocabulary + 3) / 4;
    for (uint q = gl_LocalInvocationIndex; q < quads; q += gl_WorkGroupSize.x) {
      uint count;
      const vec4 v = load_logits(row, q, count);
      [[unroll]] for (uint e = 0; e < 4; ++e) {
        if (e >= count || logit_key(v[e]) != key) continue;
        [[unroll]] for (uint i = 0; i < kThresholds; ++i) sums[i] += 4 * q + e < low + (i + 1) * step ? 1.0 : 0.0;
      }
    }
    sum_over_workgroup(sums);
    uint next_low = low, next_high = high;
    [[unroll]] for (uint i = 0; i < kThresholds; ++i) {
      const uint bound = low + (i + 1) * step;
      if (bound >= high) continue;
      if (sums[i] < wanted)
        next_low = bound;
      else
        next_high = min(next_high, bound);
    }
    low = next_low, high = next_high;
  }
  return high;
}
#endif
