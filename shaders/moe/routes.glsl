// Where the rows of the step go (ops::MoeRoutes), and the slabs of experts. Expects `p` with ids, weights, table, bucket, chosen,
// experts and step. A pair is row * chosen + choice.
#include "rows.glsl"

uint used_tokens() { return min(step_rows(p.step), p.bucket); }
uint pair_expert(uint pair) { return min(load_u32(p.ids, 4 * pair), p.experts - 1); }
float pair_weight(uint pair) { return load_f32(p.weights, 4 * pair); }
uint64_t slab_of(uint expert) { return load_address(p.table, 8 * expert); }
