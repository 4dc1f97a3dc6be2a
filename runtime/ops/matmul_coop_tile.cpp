#include "ops/matmul_coop.h"

namespace lahar::ops::detail {
namespace {

using Shape = gpu::CooperativeMatrixShape;

// Parts begin at multiples of 8 or 16, and the kernels sum up 32 columns, or a multiple, at a time.
bool fits(const Shape& s) { return s.m >= 4 && s.n > 0 && s.k >= 4 && 16 % s.m == 0 && 16 % s.n == 0 && 32 % s.k == 0; }

// Where a driver offers subgroups of 8 or 16 to 32, its matrices are those of the narrowest.
bool narrow(const gpu::Caps& caps) { return few_registers(caps) && caps.max_subgroup_size >= 32; }

MatmulForm with_tile(MatmulForm f, uint32_t tile_m, uint32_t tile_n, uint32_t part_m, uint32_t part_n) {
  f.tile_m = tile_m, f.tile_n = tile_n, f.part_m = part_m, f.part_n = part_n;
  return f;
}

bool power_of_two(uint32_t v) { return v != 0 && (v & (v - 1)) == 0; }

uint64_t shared_bytes(const MatmulForm& f, uint32_t operand_bytes) {
  const uint64_t tiles = uint64_t{f.tile_m + f.tile_n} * (f.depth * operand_bytes + 16);
  const uint64_t result = f.elements != 0 ? 0 : uint64_t{f.tile_m / f.part_m} * (f.tile_n / f.part_n) * f.m * f.n * 4;
  const uint64_t scales = uint64_t{f.tile_m + f.tile_n} * (f.depth / 32) * 4;
  return tiles + result + scales;
}

}  // namespace

Shape best_shape(const MatrixShapes& shapes) {
  Shape best;
  for (const Shape& s : shapes)
    if (fits(s) && s.m * s.n * s.k > best.m * best.n * best.k) best = s;
  return best;
}

uint32_t tile_invocations(const MatmulForm& f) { return f.tile_m / f.part_m * (f.tile_n / f.part_n) * f.subgroup; }

MatmulForm default_tile(const gpu::Caps& caps, MatmulPath path, const Shape& s, uint32_t rows, uint32_t bucket) {
  const MatmulForm f{.path = path,
                     .subgroup = narrow(caps) ? caps.min_subgroup_size : caps.subgroup_size,
                     .depth = 32,
                     .m = s.m,
                     .n = s.n,
                     .k = s.k};
  // The registers of a subgroup of 8 hold the sums of 8 x 16 (Intel), those of 16 on newer GPUs twice as many.
  const uint32_t narrow_m = narrow(caps) && f.subgroup < 16 ? 8 : 16;
  if (bucket <= 16) return with_tile(f, 64, 16, narrow_m, 16);
  if (f.subgroup < 32) return with_tile(f, 64, bucket <= 32 ? 32 : 64, narrow_m, 16);
  if (bucket <= 32) return with_tile(f, 64, 32, 32, 16);
  if (bucket > 64 && uint64_t{rows} * bucket >= uint64_t{128} * 128 * 96 && caps.max_shared_memory >= 49152)
    return with_tile(f, 128, 128, 64, 32);
  return with_tile(f, 64, 64, 32, 32);
}

std::vector<MatmulForm> other_tiles(const gpu::Caps& caps, const MatmulForm& f, uint32_t bucket) {
  std::vector<MatmulForm> tiles;
  const auto add = [&](uint32_t tile_m, uint32_t tile_n, uint32_t part_m, uint32_t part_n) {
    tiles.push_back(with_tile(f, tile_m, tile_n, part_m, part_n));
  };
  if (narrow(caps)) {
    add(32, f.tile_n, f.part_m, f.part_n);
    add(64, f.tile_n, 16, 16);
    if (bucket > 32) add(64, 32, f.part_m, f.part_n);
    if (bucket > 64) add(128, 64, 16, 16);
    return tiles;
  }
  if (bucket > 16) add(64, 32, 32, 16);
  if (bucket > 32) add(64, 64, 32, 32);
  if (bucket > 64) add(128, 64, 32, 32), add(128, 128, 64, 32);
  return tiles;
}

bool can_tile(const gpu::Caps& caps, const MatrixShapes& shapes, const MatmulForm& f, uint32_t operand_bytes) {
  if (std::none_of(shapes.begin(), shapes.end(),
                   [&](const Shape& s) { return s.m == f.m && s.n == f.n && s.k == f.k && fits(s); }))
    return false;
  for (const uint32_t v : {f.tile_m, f.tile_n, f.part_m, f.part_n})
    if (!power_of_two(v) || v < 8 || v > 256) return false;
  if (f.part_m % f.m != 0 || f.part_n % f.n != 0 || f.part_m > f.tile_m || f.part_n > f.tile_n) return false;
  if (f.part_m * f.part_n > 64 * 64 || (f.depth != 32 && f.depth != 64) || !can_subgroup(caps, f.subgroup)) return false;
  // 16 subgroups are within maxComputeWorkgroupSubgroups everywhere, 32 where they are narrow.
  const uint32_t lanes = tile_invocations(f), most = f.subgroup < 32 ? 32 : 16;
  return lanes / f.subgroup <= most && lanes <= caps.max_workgroup_invocations &&
         shared_bytes(f, operand_bytes) <= caps.max_shared_memory;
}

gpu::GroupCount tile_groups(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  const gpu::GroupCount rows = spread_groups(ceil_div(p.w->rows, f.tile_m), caps);
  return {matmul_row_groups(p, f.tile_n), rows.x, rows.y};
}

}  // namespace lahar::ops::detail
