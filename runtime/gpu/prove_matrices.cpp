#include "gpu/prove_matrices.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <vector>

#include "core/platform.h"
#include "gpu/commands.h"
#include "gpu/device.h"
#include "gpu/pipeline_cache.h"
#include "params_matmul.h"
#include "params_x_rows.h"
#include "step.h"

namespace lahar::gpu {
namespace {

// No multiple of any tile, block or load; more than one tile of most.
constexpr uint32_t kRows = 77, kCols = 45, kUsed = 19, kBucket = 22, kStride = 80;
constexpr uint32_t kBlocks = (kCols + 31) / 32, kQuantBytes = kBlocks * 32, kScaleBytes = 16;
constexpr uint32_t kRowBytes = params::half_row_bytes(kCols);
constexpr uint16_t kNaN = 0x7e00;
constexpr float kResidualScale = -2;

// Small numbers, of which all sums are exact in any order.
int quant_at(uint32_t r, uint32_t k) { return static_cast<int>((7 * r + 3 * k) % 23) - 11; }
float scale_at(uint32_t r, uint32_t block) { return static_cast<float>(1u << ((r + block) % 3)) / 2; }
float x_at(uint32_t t, uint32_t k) { return static_cast<float>((5 * t + 11 * k) % 13) - 6; }
float inverse_at(uint32_t t) { return static_cast<float>(1u << (t % 4)) / 4; }
float residual_at(uint32_t t, uint32_t r) { return static_cast<float>(t * kStride + r); }

// Of numbers that have one.
uint16_t half_bits(float v) {
  if (v == 0) return 0;
  const uint32_t bits = std::bit_cast<uint32_t>(v);
  return static_cast<uint16_t>(((bits >> 16) & 0x8000) | ((((bits >> 23) & 255) - 112) << 10) | ((bits >> 13) & 0x3ff));
}

struct Inputs {
  std::vector<std::byte> bytes;
  uint64_t scales = 0, x = 0, step = 0;  // where they begin; quants at 0
};

Inputs make_inputs() {
  Inputs in;
  in.scales = uint64_t{kRows} * kQuantBytes;
  in.x = in.scales + uint64_t{kRows} * kScaleBytes;
  in.step = in.x + uint64_t{kBucket} * kRowBytes;
  in.bytes.resize(in.step + sizeof(params::StepState));
  const auto put = [&](uint64_t at, const auto& v) { std::memcpy(in.bytes.data() + at, &v, sizeof v); };
  for (uint32_t r = 0; r < kRows; ++r) {
    for (uint32_t k = 0; k < kQuantBytes; ++k)
      put(uint64_t{r} * kQuantBytes + k, static_cast<int8_t>(k < kCols ? quant_at(r, k) : 127));
    for (uint32_t b = 0; b < kScaleBytes / 2; ++b)
      put(in.scales + uint64_t{r} * kScaleBytes + 2 * b, b < kBlocks ? half_bits(scale_at(r, b)) : kNaN);
  }
  for (uint32_t t = 0; t < kBucket; ++t) {
    const uint64_t row = in.x + uint64_t{t} * kRowBytes;
    for (uint32_t k = 0; k < kBlocks * 32; ++k) put(row + 2 * k, t < kUsed && k < kCols ? half_bits(x_at(t, k)) : kNaN);
    put(row + uint64_t{kBlocks} * 64, inverse_at(t));
  }
  params::StepState step{};
  step.n_rows = kUsed, step.n_runs = 1;
  put(in.step, step);
  return in;
}

bool is_right(std::span<const float> y) {
  for (uint32_t t = 0; t < kBucket; ++t)
    for (uint32_t r = 0; r < kStride; ++r) {
      float sum = 0;
      if (t < kUsed && r < kRows)
        for (uint32_t k = 0; k < kCols; ++k)
          sum += static_cast<float>(quant_at(r, k)) * scale_at(r, k / 32) * x_at(t, k) * inverse_at(t);
      if (y[t * kStride + r] != residual_at(t, r) + kResidualScale * sum) return false;
    }
  return true;
}

}  // namespace

Result<bool> product_is_right(Device& device, const MatrixTrial& trial) {
  const Kernel* kernel =
      device.kernels().get({.shader = trial.shader,
                            .constants = {trial.invocations,
                                          1,
                                          1,
                                          {params::kMatmulHalfRows | params::kMatmulResidual, trial.format, trial.tile_m,
                                           trial.tile_n, trial.depth, trial.invocations}},
                            .subgroup_size = trial.subgroup});
  if (const Result<VkPipeline> built = kernel->pipeline(); !built.ok()) {
    if (built.error().code == ErrorCode::kDeviceLost) return built.error();
    return false;
  }
  const Inputs in = make_inputs();
  LAHAR_ASSIGN(const Buffer inputs, device.create_buffer(in.bytes.size(), Memory::kUpload, "proof inputs"));
  LAHAR_ASSIGN(const Buffer y, device.create_buffer(kBucket * kStride * sizeof(float), Memory::kReadback, "proof result"));
  std::memcpy(inputs.mapped(), in.bytes.data(), in.bytes.size());
  for (uint32_t i = 0; i < kBucket * kStride; ++i) y.mapped_as<float>()[i] = residual_at(i / kStride, i % kStride);

  params::MatmulPush push{};
  push.w0 = inputs.address(), push.w1 = push.w0 + in.scales, push.x = push.w0 + in.x, push.step = push.w0 + in.step;
  push.y = push.residual = y.address();
  push.rows = kRows, push.cols = kCols, push.bucket = push.x_rows = kBucket, push.group = kQuantBytes;
  push.row_bytes0 = kQuantBytes, push.row_bytes1 = kScaleBytes, push.x_stride = kRowBytes;
  push.y_stride = push.residual_stride = kStride;
  push.scale = 1, push.residual_scale = kResidualScale;

  Recorder recorder(device);
  const BufferRange reads[] = {inputs, y}, writes[] = {y};
  recorder.dispatch({.label = "proof",
                     .kernel = kernel,
                     .push = push_bytes(push),
                     .groups = {(kBucket + trial.tile_n - 1) / trial.tile_n, (kRows + trial.tile_m - 1) / trial.tile_m, 1},
                     .reads = reads,
                     .writes = writes});
  LAHAR_ASSIGN(const CommandList list, recorder.finish());
  const CommandList* lists[] = {&list};
  LAHAR_ASSIGN(const uint64_t value, device.submit(lists));
  LAHAR_TRY(device.wait(value));
  return is_right(y.mapped_as<const float>());
}

Result<bool> tensor_matrices_are_right(Device& device, const DeviceOptions& options) {
  const Caps& caps = device.caps();
  std::optional<platform::LockedFile> trying;
  const std::filesystem::path folder =
      options.pipeline_cache_folder.empty() ? platform::cache_folder() : options.pipeline_cache_folder;
  if (options.use_pipeline_cache && !folder.empty()) {
    const std::string prefix = "matrices-" + caps.info.uuid + "-", suffix = ".trying";
    const PipelineCacheKey key{caps.info.uuid, caps.info.driver_version, caps.pipeline_cache_uuid, hash_shader_bank()};
    const std::filesystem::path path = folder / (prefix + hex16(key.hash()) + suffix);
    // Where another process holds the file it proves the same at this moment.
    if (Result<platform::LockedFile> file = platform::LockedFile::open(path); file.ok()) {
      if (!file->read().empty()) {
        device.log().warning("tensor loads are not used: a process ended while it proved them (" + path.string() + ")");
        return false;
      }
      trying.emplace(std::move(*file));
      (void)trying->write("trying");
      delete_old_files(folder, prefix, suffix);
    }
  }
  for (const FlexibleMatrix& m : caps.flexible_matrices) {
    if (m.invocations == 0) continue;
    LAHAR_ASSIGN(const bool right, product_is_right(device, {.invocations = m.invocations,
                                                             .tile_m = std::max(64u, m.m),
                                                             .tile_n = std::max(64u, m.n),
                                                             .depth = std::max(32u, m.k)}));
    if (!right) device.log().warning("tensor loads are not used: the driver's result of a small product is wrong");
    if (!right && trying) (void)trying->write("");
    if (!right) return false;
  }
  if (trying) (void)trying->write("");
  return true;
}

}  // namespace lahar::gpu
