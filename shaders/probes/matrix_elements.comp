// Compiled when the build is configured, to learn whether the shader compiler knows operations on the elements of cooperative
// matrices.
#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_KHR_memory_scope_semantics : require
layout(local_size_x = 32) in;
shared float result[256];
float keep(const in uint row, const in uint column, const in float v) {
  result[column * 16 + row] = v;
  return v;
}
void main() {
  coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator> c =
      coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>(0.0);
  coopMatPerElementNV(c, c, keep);
}
