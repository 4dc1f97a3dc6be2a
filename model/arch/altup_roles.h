// The tensors of AltUp and of inputs that layers have of their own, by the indices of spec_altup.h.
#pragma once

#include "arch/architecture.h"

namespace lahar::arch {

LayerRoles altup_layer_roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source);
BlockRoles altup_extra_roles(const ModelSpec& spec, const ModelSource& source);
// Inputs of a layer's own are gated by GELU (tanh); an error of `config` where its activation is another.
void check_inputs_activation(Config& config, const ModelSpec& spec);
// A tensor by its name behind whatever a source's names begin with; null where there is none.
const TensorView* find_below_roots(const ModelSource& source, std::string_view name);
// The most rows that a table of that name has; 0: there is none.
uint32_t table_rows(const ModelSource& source, std::string_view name);

}  // namespace lahar::arch
