// Compiled when the build is configured, to learn whether the shader compiler knows tensor loads of cooperative matrices that decode
// what they load.
#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_NV_cooperative_matrix2 : require
layout(local_size_x = 128) in;
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Halves { float16_t v[]; };
layout(push_constant) uniform Push { Halves operand; };
float16_t decode(const in Halves block, const in uint at[2], const in uint within[2]) { return block.v[within[1]]; }
void main() {
  tensorLayoutNV<2, gl_CooperativeMatrixClampModeConstantNV> l =
      createTensorLayoutNV(2, gl_CooperativeMatrixClampModeConstantNV);
  l = setTensorLayoutBlockSizeNV(l, 1, 16);
  l = setTensorLayoutDimensionNV(l, 32, 32);
  coopmat<float16_t, gl_ScopeWorkgroup, 32, 32, gl_MatrixUseA> a;
  coopMatLoadTensorNV(a, operand.v, 0, sliceTensorLayoutNV(l, 0, 32, 0, 32), decode);
  coopMatStoreTensorNV(a, operand.v, 0, sliceTensorLayoutNV(l, 0, 32, 0, 32), createTensorViewNV(2, false, 1, 0));
}
