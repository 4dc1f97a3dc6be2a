// Reductions over a workgroup: subgroup arithmetic, then shared memory across subgroups. SUBGROUPS, defined by the includer,
// is the number of full subgroups of the workgroup; with one there is neither shared memory nor a barrier.
#ifndef LAHAR_REDUCE_GLSL
#define LAHAR_REDUCE_GLSL
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

shared float reduce_f32[SUBGROUPS];

// Every invocation gets the result. Deterministic: the same order of additions whenever the workgroup is the same.
float workgroup_sum(float v) {
  v = subgroupAdd(v);
  if (SUBGROUPS == 1) return v;
  barrier();  // the last reduction's reads of reduce_f32 before this one's writes
  if (subgroupElect()) reduce_f32[gl_SubgroupID] = v;
  barrier();  // these writes before the reads below
  v = 0;
  for (uint i = 0; i < SUBGROUPS; ++i) v += reduce_f32[i];
  return v;
}

float workgroup_max(float v) {
  v = subgroupMax(v);
  if (SUBGROUPS == 1) return v;
  barrier();  // the last reduction's reads of reduce_f32 before this one's writes
  if (subgroupElect()) reduce_f32[gl_SubgroupID] = v;
  barrier();  // these writes before the reads below
  v = reduce_f32[0];
  for (uint i = 1; i < SUBGROUPS; ++i) v = max(v, reduce_f32[i]);
  return v;
}
#endif
