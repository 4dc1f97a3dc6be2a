// Inside of ops, and for tests and measurements: the forms in which the experts of a layer can be computed.
// Thread rule: everything here but recording is pure.
#pragma once

#include <vector>

#include "ops/matmul_variants.h"
#include "ops/moe.h"

namespace lahar::ops {

enum class MoePath : uint8_t {
  kDecode,   // a subgroup along the columns; up to 16 rows of the step
  kLoop,     // the same two dispatches for drivers that keep uniform values in loops
  kGrouped,  // rows sorted by expert, then matmul's forms over ragged groups; any number of rows
};

// up and down: kDecode has rows, x_rows, subgroup and teams; kLoop rows; kGrouped is a form of matmul.
struct MoeForm {
  MoePath path = MoePath::kDecode;
  MatmulForm up, down;
  bool operator==(const MoeForm&) const = default;
};
std::string to_string(const MoeForm& form);
// What moe() tells apart when it looks for a measured form: biases and activations cost alike.
std::string moe_case(const MoeParams& params);

// Every form that can run for these params, which have passed moe()'s checks; the default first.
std::vector<MoeForm> moe_forms(const gpu::Caps& caps, const MoeParams& params);
// Errors: those of moe(); kInvalidArgument where the form cannot run.
Status moe_with(gpu::Recorder& recorder, const MoeParams& params, const MoeForm& form);

}  // namespace lahar::ops
