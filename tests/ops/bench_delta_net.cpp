// Times the gated delta rule over one run: bench_delta_net [ROWS] [KEY_HEADS VALUE_HEADS] [KEY_DIM VALUE_DIM]
// Token by token and in chunks, in turns. Prints the best of the repetitions.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "gpu/commands.h"
#include "gpu/device.h"
#include "gpu/transfer.h"
#include "ops/bench.h"
#include "ops/delta_net.h"

namespace {

using namespace lahar;
using bench::need, bench::run;
using Clock = std::chrono::steady_clock;

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, uint32_t otherwise) {
    return argc > i ? static_cast<uint32_t>(std::atoi(argv[i])) : otherwise;
  };
  const uint32_t rows = argument(1, 512), key_heads = argument(2, 4), value_heads = argument(3, 2 * key_heads);
  const uint32_t key_dim = argument(4, 128), value_dim = argument(5, key_dim);
  const auto device = bench::open_device();

  const auto make = [&](uint64_t bytes, uint32_t fill) {
    gpu::Buffer buffer = need(device->create_buffer((bytes + 15) / 16 * 16, gpu::Memory::kDevice, "bench"));
    gpu::Recorder recorder(*device);
    recorder.fill("fill", buffer, fill);
    run(*device, need(recorder.finish()));
    return buffer;
  };
  const uint32_t width = 2 * key_heads * key_dim + value_heads * value_dim, y_width = value_heads * value_dim;
  const uint64_t state_bytes = ops::delta_net_state_bytes(value_heads, key_dim, value_dim);
  const gpu::Buffer qkv = make(uint64_t{rows} * width * 4, 0x3d000000u), gates = make(uint64_t{rows} * value_heads * 4, 0);
  const gpu::Buffer y = make(uint64_t{rows} * y_width * 4, 0), vectors = make(value_heads * 4, 0xbf000000u);
  const gpu::Buffer states = make(2 * state_bytes, 0);
  const gpu::Buffer scratch =
      make(std::max<uint64_t>(ops::delta_net_scratch_bytes(device->caps(), rows, value_heads), 16), 0);
  params::StepState step{};
  step.n_rows = rows, step.n_runs = 1;
  step.runs[0] = {0, 0, rows, 0, 0, 1};
  const gpu::Buffer state = make(sizeof step + rows * sizeof(params::Row), 0);
  need(gpu::upload(*device, std::as_bytes(std::span(&step, 1)), {state, 0, sizeof step}));

  const uint32_t gate_stride = (value_heads + 3) / 4 * 4 == value_heads ? value_heads : 4;
  std::vector<gpu::CommandList> lists;
  for (const bool chunked : {false, true}) {
    gpu::Recorder recorder(*device);
    need(ops::delta_net(recorder, {.qkv = {qkv, width},
                                   .beta = {gates, gate_stride},
                                   .alpha = {gates, gate_stride},
                                   .y = {y, y_width},
                                   .key_heads = key_heads,
                                   .value_heads = value_heads,
                                   .key_dim = key_dim,
                                   .value_dim = value_dim,
                                   .decay = vectors,
                                   .bias = vectors,
                                   .state = {states, state_bytes, 0, 2},
                                   .scratch = chunked ? gpu::BufferRange(scratch) : gpu::BufferRange{},
                                   .step = {.state = state, .bucket = rows, .max_runs = 1},
                                   .label = "delta net"}));
    const auto start = Clock::now();
    lists.push_back(need(recorder.finish()));
    run(*device, lists.back());
    std::printf("%s: built in %.2f s\n", chunked ? "in chunks" : "token by token",
                std::chrono::duration<double>(Clock::now() - start).count());
  }
  double best[2] = {1e9, 1e9};
  for (int round = 0; round < 12; ++round)
    for (size_t i = 0; i < 2; ++i) best[i] = std::min(best[i], run(*device, lists[i]));
  std::printf("%s: %u rows, heads %u/%u of %ux%u: token by token %.2f ms, in chunks %.2f ms, %.2f times as fast\n",
              device->caps().info.name.c_str(), rows, key_heads, value_heads, key_dim, value_dim, best[0] * 1e3,
              best[1] * 1e3, best[0] / best[1]);
}
