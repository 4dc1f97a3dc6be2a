// Sums over the lanes of a subgroup that a CPU driver runs as the elements of vectors. Includers define LANES, the subgroup's size,
// and `lane`.
#ifndef LAHAR_LANE_REDUCE_GLSL
#define LAHAR_LANE_REDUCE_GLSL
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_shuffle : require

// Lane i gets the sum over all lanes of v[i]: halves are exchanged between pairs of vectors, LANES / 2, ... 2, 1 apart.
float reduce(float v[LANES]) {
  [[unroll]] for (uint width = LANES / 2; width > 0; width /= 2) {
    const bool low = (lane & width) == 0;
    [[unroll]] for (uint i = 0; i < width; ++i)
      v[i] = (low ? v[i] : v[i + width]) + subgroupShuffleXor(low ? v[i + width] : v[i], width);
  }
  return v[0];
}

// Of one value a lane, for all lanes. Faster there than subgroupAdd and subgroupMax, which are loops over the lanes.
float lane_sum(float v) {
  [[unroll]] for (uint width = LANES / 2; width > 0; width /= 2) v += subgroupShuffleXor(v, width);
  return v;
}
float lane_max(float v) {
  [[unroll]] for (uint width = LANES / 2; width > 0; width /= 2) v = max(v, subgroupShuffleXor(v, width));
  return v;
}
#endif
