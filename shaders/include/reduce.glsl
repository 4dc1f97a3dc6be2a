// Sums and maxima over a workgroup, for any subgroup size. Every invocation of the workgroup must call them, and gets the
// result. At most 1024 invocations.
#ifndef LAHAR_REDUCE_GLSL
#define LAHAR_REDUCE_GLSL
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

shared float reduce_parts[256];

float workgroup_sum(float v) {
  v = subgroupAdd(v);
  if (gl_NumSubgroups == 1) return v;
  if (subgroupElect()) reduce_parts[gl_SubgroupID] = v;
  barrier();  // the parts are written before they are read
  v = 0;
  for (uint i = 0; i < gl_NumSubgroups; ++i) v += reduce_parts[i];
  barrier();  // they are read before a later call writes them
  return v;
}

float workgroup_max(float v) {
  v = subgroupMax(v);
  if (gl_NumSubgroups == 1) return v;
  if (subgroupElect()) reduce_parts[gl_SubgroupID] = v;
  barrier();  // the parts are written before they are read
  v = reduce_parts[0];
  for (uint i = 1; i < gl_NumSubgroups; ++i) v = max(v, reduce_parts[i]);
  barrier();  // they are read before a later call writes them
  return v;
}

#endif
