// What a shader variant may ask for.
#pragma once

#include <cstdint>
#include <string>

namespace lahar::gpu {

// What a variant in kernels.json may ask for ("requires"); one bit each in ShaderInfo::required_features.
enum Feature : uint32_t {
  kFloat16 = 1u << 0,            // shaderFloat16
  kInt8Dot = 1u << 1,            // shaderIntegerDotProduct; Caps::int8_dot_accelerated says whether it is fast
  kCooperativeMatrix = 1u << 2,  // VK_KHR_cooperative_matrix with fp16 x fp16 -> fp32 at subgroup scope, and kFloat16
  kStorage16 = 1u << 3,          // storageBuffer16BitAccess
  kStorage8 = 1u << 4,           // storageBuffer8BitAccess
  kSmallInt = 1u << 5,           // shaderInt8 and shaderInt16
  kHalfSums = 1u << 6,           // cooperative matrices with fp16 x fp16 -> fp16 too
  kInt8Matrix = 1u << 7,         // and with int8 x int8 -> int32 at subgroup scope, and kSmallInt
  kMatrixElements = 1u << 8,     // VK_NV_cooperative_matrix2's operations on single elements, and kCooperativeMatrix
  kFlexibleMatrix = 1u << 9,     // its matrices of flexible dimensions, of a subgroup, and kMatrixElements
  kTensorMatrix = 1u << 10,      // the same of a workgroup, with tensor loads that decode. Only where a proof went well
                                 // when the device was opened (gpu/prove_matrices.h)
};

// "float16, storage16", as kernels.json spells them; empty for none.
std::string feature_names(uint32_t features);

}  // namespace lahar::gpu
