// Products on matrices of VK_NV_cooperative_matrix2, computed for proof: drivers that report tensor loads are believed only
// when a small product has come out right.
#pragma once

#include <cstdint>

#include "core/result.h"
#include "gpu/shader_bank.h"

namespace lahar::gpu {

class Device;
struct DeviceOptions;

// One form of matmul/gemm_coop2.comp.
struct MatrixTrial {
  ShaderId shader = ShaderId::gemm_coop2_tensor;
  uint32_t format = 3;  // quant::WeightFormat::kQ8_0: the product's weights; another one must fail
  uint32_t invocations = 0, subgroup = 0;
  uint32_t tile_m = 0, tile_n = 0, depth = 0;
};

// Whether y += W x comes out right to the last bit, on shapes with a tail on every side, surrounded by what must not be read
// and must not be written. False too where the driver does not compile it. Errors: kDeviceLost, kOutOfMemory.
Result<bool> product_is_right(Device& device, const MatrixTrial& trial);

// The same for each of the device's workgroup matrices. False where one is wrong, or where a process has died of it before,
// of which a file in the folder of the pipeline cache tells. Errors: kDeviceLost, kOutOfMemory.
Result<bool> tensor_matrices_are_right(Device& device, const DeviceOptions& options);

}  // namespace lahar::gpu
