// The tensors of a layer's experts, one matrix view each, whether a file stacks them or not.
#pragma once

#include <functional>
#include <string>

#include "weight_tensors.h"

namespace lahar {

// Finds a tensor's matrix by its name without ".weight".
using FindMatrix =
    std::function<Result<MatrixPiece>(const std::string& name, uint32_t rows, uint32_t cols, bool transposed)>;

// Names follow `prefix`. Errors: kFormat (a tensor that is missing, or has another shape or number of experts).
Result<LayerExperts> resolve_experts(const ModelSource& source, const std::string& prefix, const ExpertRoles& roles,
                                     const FindMatrix& find_matrix);

}  // namespace lahar
