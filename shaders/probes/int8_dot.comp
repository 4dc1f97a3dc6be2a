// Compiled when the build is configured, to learn whether the shader compiler knows the integer dot product.
#version 460
#extension GL_EXT_integer_dot_product : require
layout(local_size_x = 32) in;
layout(push_constant) uniform Push { int a, b; };
shared int result;
void main() { result = dotPacked4x8AccSatEXT(a, b, 0); }
