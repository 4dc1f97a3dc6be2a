// Times matmul on one device: bench_matmul [FORMAT] [ROWSxCOLS[g]] [BUCKET] [FORM] [LINE ROWS,X_ROWS,CHUNKS]
// g: with a gated activation. FORM: as text ("gemv rows 2 ..."), "auto", or "all" for each that can run. Without arguments,
// the shapes of a 135 M parameter model. A ring of matrices larger than the caches keeps the weights cold. Prints the best
// and the median of the repetitions, and the rate for each second of processor time (on a CPU device that others use too,
// the steadier number).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/platform.h"
#include "gpu/commands.h"
#include "gpu/device.h"
#include "gpu/transfer.h"
#include "ops/matmul_variants.h"
#include "quant/layout.h"

namespace {

using namespace lahar;
using Clock = std::chrono::steady_clock;

double seconds(Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); }

template <typename T>
T need(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "bench_matmul: %s\n", result.error().message.c_str());
  std::exit(1);
}
void need(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "bench_matmul: %s\n", status.error().message.c_str());
  std::exit(1);
}

struct Shape {
  quant::WeightFormat format;
  uint32_t rows, cols, bucket;
  bool gated;
};

void measure(gpu::Device& device, const Shape& s, std::optional<ops::MatmulForm> form, const ops::LineShape& line) {
  const quant::Layout layout = need(quant::layout(s.format, s.rows, s.cols, 0));
  const uint32_t ring = static_cast<uint32_t>(std::clamp<uint64_t>((96u << 20) / layout.total_bytes, 1, 64));
  std::vector<gpu::Buffer> planes;
  std::vector<quant::Matrix> matrices(ring);
  gpu::Recorder fill(device);
  for (quant::Matrix& m : matrices) {
    planes.push_back(need(device.create_buffer(layout.total_bytes, gpu::Memory::kDevice, "weights")));
    m.format = s.format, m.rows = s.rows, m.cols = s.cols;
  }
  for (uint32_t i = 0; i < ring; ++i) {
    for (uint32_t p = 0; p < layout.planes; ++p)
      matrices[i].planes[p] = {planes[i], layout.plane_offset(p), layout.plane_bytes[p]};
    fill.fill("fill", planes[i], 0x1c1b1a19u);  // small halves
  }
  const uint32_t y_rows = s.gated ? s.rows / 2 : s.rows;
  const gpu::Buffer x = need(device.create_buffer(uint64_t{s.bucket} * s.cols * 4, gpu::Memory::kDevice, "x"));
  const gpu::Buffer y = need(device.create_buffer(uint64_t{s.bucket} * y_rows * 4, gpu::Memory::kDevice, "y"));
  const gpu::Buffer scratch = need(device.create_buffer(uint64_t{s.bucket} * s.rows * 4, gpu::Memory::kDevice, "scratch"));
  const gpu::Buffer x_scratch =
      need(device.create_buffer(ops::matmul_scratch_bytes(s.cols, s.bucket), gpu::Memory::kDevice, "x scratch"));
  const gpu::Buffer state =
      need(device.create_buffer(sizeof(params::StepState) + s.bucket * sizeof(params::Row), gpu::Memory::kDevice, "step"));
  fill.fill("x", x, 0x3f000000u);
  fill.fill("step", state, 0);
  fill.fill("n_rows", gpu::BufferRange(state, 0, 4), s.bucket);

  gpu::Recorder recorder(device);
  for (const quant::Matrix& m : matrices) {
    ops::MatmulParams p;
    p.w = &m;
    p.x_scratch = x_scratch;
    p.x = {x, s.cols}, p.y = {y, y_rows}, p.glu_scratch = {scratch, s.rows};
    p.glu = s.gated ? ops::Activation::kSilu : ops::Activation::kNone;
    p.step = {state, s.bucket};
    p.label = "matmul";
    need(line.rows > 0 ? ops::matmul_line(recorder, p, line)
         : form        ? ops::matmul_with(recorder, p, *form)
                       : ops::matmul(recorder, p));
  }
  const auto start = Clock::now();
  const gpu::CommandList filled = need(fill.finish());
  const gpu::CommandList list = need(recorder.finish());
  const double built = seconds(start);
  const auto submit = [&](const gpu::CommandList& l) {
    const gpu::CommandList* lists[] = {&l};
    const auto from = Clock::now();
    need(device.wait(need(device.submit(lists))));
    return seconds(from);
  };
  submit(filled);
  submit(list);
  std::vector<double> times;
  const auto began = Clock::now();
  const double cpu = platform::process_cpu_seconds();
  while (times.size() < 5 || (times.size() < 200 && seconds(began) < 1.0)) times.push_back(submit(list) / ring);
  const double cpu_time = (platform::process_cpu_seconds() - cpu) / static_cast<double>(times.size()) / ring;
  std::sort(times.begin(), times.end());
  const double bytes = static_cast<double>(layout.total_bytes), flop = 2.0 * s.rows * s.cols * s.bucket;
  const auto rate = [&](double t) { return std::pair{bytes / t / 1e9, flop / t / 1e9}; };
  const auto [best_gb, best_gf] = rate(times.front());
  const auto [mid_gb, mid_gf] = rate(times[times.size() / 2]);
  const auto [cpu_gb, cpu_gf] = rate(cpu_time);
  std::printf(
      "%-5s %6ux%-5u%s bucket %3u: best %8.1f us, %6.2f GB/s, %6.1f GFLOP/s; median %6.2f GB/s, %6.1f GFLOP/s; a CPU second "
      "%6.2f GB, %6.1f GFLOP; built in %.2f s\n",
      std::string(to_string(s.format)).c_str(), s.rows, s.cols, s.gated ? "g" : " ", s.bucket, times.front() * 1e6, best_gb,
      best_gf, mid_gb, mid_gf, cpu_gb, cpu_gf, built);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  using quant::WeightFormat;
  const auto instance = need(gpu::Instance::create({}));
  gpu::DeviceOptions options;
  options.use_pipeline_cache = false;
  if (const char* selector = std::getenv("LAHAR_DEVICE")) options.selector = selector;
  if (const char* kernels = std::getenv("LAHAR_KERNELS")) options.gpu_kernels = std::string(kernels) == "gpu";
  const auto device = need(gpu::Device::open(instance, options));
  std::printf("%s, subgroups of %u\n", device->caps().info.name.c_str(), device->caps().subgroup_size);

  std::vector<WeightFormat> formats = {WeightFormat::kF16, WeightFormat::kQ8_0, WeightFormat::kQ4_0};
  std::vector<Shape> shapes;
  if (argc > 1) {
    formats.clear();
    for (uint32_t f = 0; f < static_cast<uint32_t>(WeightFormat::kCount); ++f)
      if (to_string(static_cast<WeightFormat>(f)) == argv[1]) formats.push_back(static_cast<WeightFormat>(f));
  }
  for (const WeightFormat format : formats) {
    if (argc > 2) {
      Shape s{format, 0, 0, argc > 3 ? static_cast<uint32_t>(std::atoi(argv[3])) : 1, false};
      s.gated = std::string(argv[2]).back() == 'g';
      if (std::sscanf(argv[2], "%ux%u", &s.rows, &s.cols) != 2) return 2;
      shapes.push_back(s);
      continue;
    }
    for (const uint32_t bucket : {1u, 64u}) {
      shapes.push_back({format, 960, 576, bucket, false});
      shapes.push_back({format, 576, 576, bucket, false});
      shapes.push_back({format, 3072, 576, bucket, true});
      shapes.push_back({format, 576, 1536, bucket, false});
      if (bucket == 1) shapes.push_back({format, 49152, 576, bucket, false});
    }
  }
  const std::string form = argc > 4 ? argv[4] : "auto";
  ops::LineShape line;
  if (argc > 5 && std::sscanf(argv[5], "%u,%u,%u", &line.rows, &line.x_rows, &line.chunks) != 3) return 2;
  for (const Shape& s : shapes) {
    if (form == "all") {
      quant::Matrix w;
      w.format = s.format, w.rows = s.rows, w.cols = s.cols;
      ops::MatmulParams p;
      p.w = &w, p.step.bucket = s.bucket, p.glu = s.gated ? ops::Activation::kSilu : ops::Activation::kNone;
      // Without buffers the forms that need scratch memory count as not runnable: it is only looked at.
      const gpu::Buffer scratch =
          need(device->create_buffer(ops::matmul_scratch_bytes(s.cols, s.bucket), gpu::Memory::kDevice, "x scratch"));
      p.x_scratch = scratch;
      for (const ops::MatmulForm& f : ops::matmul_forms(device->caps(), p)) {
        std::printf("%s\n  ", to_string(f).c_str());
        measure(*device, s, f, line);
      }
    } else {
      measure(*device, s, ops::parse_matmul_form(form), line);
    }
  }
}
