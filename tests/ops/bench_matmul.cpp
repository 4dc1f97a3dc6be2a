// Times matmul on one device: bench_matmul [FORMAT] [ROWSxCOLS[gnm]] [BUCKET] [FORM] [LINE ROWS,X_ROWS,CHUNKS]
// After ROWSxCOLS, g: with a gated activation, n: with the norm before it folded in, m: with the norm after it. FORM: as
// text ("gemv rows 2 ..."), "auto", or "all" for each that can run. Without arguments, the shapes of a 135 M parameter
// model. A ring of matrices larger than the caches keeps the weights cold. Prints the best and the median of the
// repetitions, and the rate for each second of processor time (on a CPU device that others use too, the steadier number).
// With a BUCKET of FIRST-LAST: a table of all row counts between them, measured in turns, and of what one row more costs.
// FORM may be several then, between semicolons.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/platform.h"
#include "gpu/commands.h"
#include "gpu/device.h"
#include "gpu/transfer.h"
#include "ops/bench.h"
#include "ops/matmul_variants.h"
#include "params_matmul.h"
#include "quant/layout.h"

namespace {

using namespace lahar;
using bench::need;
using Clock = std::chrono::steady_clock;

double seconds(Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); }

struct Shape {
  quant::WeightFormat format;
  uint32_t rows, cols, bucket;
  bool gated, norm_before = false, norm_after = false;
};

constexpr uint64_t kRingBytes = 96u << 20;

// One shape on a ring of matrices, recorded.
class Measured {
 public:
  Measured(gpu::Device& device, const Shape& s, const std::optional<ops::MatmulForm>& form, const ops::LineShape& line,
           uint64_t ring_bytes = kRingBytes);

  // Seconds of one product, the whole ring once.
  double run() const { return submit(*list_) / ring_; }
  uint32_t ring() const { return ring_; }
  uint64_t bytes() const { return layout_.total_bytes; }
  double built() const { return built_; }  // seconds
  const std::string& form() const { return form_; }

 private:
  double submit(const gpu::CommandList& list) const { return bench::run(device_, list); }

  gpu::Device& device_;
  quant::Layout layout_;
  uint32_t ring_ = 0;
  std::deque<gpu::Buffer> buffers_;  // ranges point to them
  std::vector<quant::Matrix> matrices_;
  std::optional<gpu::CommandList> list_;
  double built_ = 0;
  std::string form_;
};

Measured::Measured(gpu::Device& device, const Shape& s, const std::optional<ops::MatmulForm>& form,
                   const ops::LineShape& line, uint64_t ring_bytes)
    : device_(device), layout_(need(quant::layout(s.format, s.rows, s.cols, 0))) {
  ring_ = static_cast<uint32_t>(std::clamp<uint64_t>(ring_bytes / layout_.total_bytes, 1, 64));
  const auto make = [&](uint64_t bytes, const char* name) -> gpu::BufferRange {
    return buffers_.emplace_back(need(device.create_buffer(bytes, gpu::Memory::kDevice, name)));
  };
  matrices_.resize(ring_);
  gpu::Recorder fill(device), recorder(device);
  for (quant::Matrix& m : matrices_) {
    const gpu::BufferRange planes = make(layout_.total_bytes, "weights");
    m.format = s.format, m.rows = s.rows, m.cols = s.cols;
    for (uint32_t p = 0; p < layout_.planes; ++p) m.planes[p] = planes.part(layout_.plane_offset(p), layout_.plane_bytes[p]);
    fill.fill("fill", planes, 0x1c1b1a19u);  // small halves
  }
  const uint32_t y_rows = s.gated ? s.rows / 2 : s.rows;
  ops::MatmulParams p;
  p.x = {make(uint64_t{s.bucket} * s.cols * 4, "x"), s.cols}, p.y = {make(uint64_t{s.bucket} * y_rows * 4, "y"), y_rows};
  p.glu_scratch = {make(uint64_t{s.bucket} * s.rows * 4, "scratch"), s.rows};
  p.x_scratch = make(ops::matmul_scratch_bytes(s.cols, s.bucket), "x scratch");
  p.glu = s.gated ? ops::Activation::kSilu : ops::Activation::kNone;
  p.step = {make(sizeof(params::StepState) + s.bucket * sizeof(params::Row), "step"), s.bucket};
  p.label = "matmul";
  fill.fill("x", p.x.range, 0x3f000000u);
  ops::NormFold fold;
  if (s.norm_before || s.norm_after) {
    const uint32_t width = s.norm_before ? s.cols : y_rows;
    fold = {make(sizeof(params::NormFold), "norm"), make(width * 4, "norm's weight"),
            s.norm_before ? p.x : ops::Activations{make(uint64_t{s.bucket} * width * 4, "scaled"), width},
            make(ops::norm_fold_squares_bytes(s.bucket), "squares")};
    const params::NormFold block{.weight = fold.weight.address(),
                                 .scaled = fold.scaled.range.address(),
                                 .squares = fold.squares.address(),
                                 .scaled_stride = fold.scaled.stride,
                                 .width = width,
                                 .eps = 1e-5f,
                                 .reserved = 0};
    need(gpu::upload(device, std::as_bytes(std::span(&block, 1)), fold.block));
    fill.fill("squares", fold.squares, 0);
    fill.fill("parts", fold.squares.part(0, 4), 2);
    fill.fill("norm's weight", fold.weight, 0x3f800000u);
    (s.norm_before ? p.x_norm : p.y_norm) = &fold;
  }
  fill.fill("step", p.step.state, 0);
  fill.fill("n_rows", p.step.state.part(0, 4), s.bucket);
  for (const quant::Matrix& m : matrices_) {
    p.w = &m;
    need(line.rows > 0 ? ops::matmul_line(recorder, p, line)
         : form        ? ops::matmul_with(recorder, p, *form)
                       : ops::matmul(recorder, p));
  }
  form_ = to_string(form.value_or(ops::default_form(device.caps(), p)));
  const auto start = Clock::now();
  const gpu::CommandList filled = need(fill.finish());
  list_.emplace(need(recorder.finish()));
  built_ = seconds(start);
  submit(filled);
  submit(*list_);
}

void measure(gpu::Device& device, const Shape& s, std::optional<ops::MatmulForm> form, const ops::LineShape& line) {
  const Measured measured(device, s, form, line);
  std::vector<double> times;
  const auto began = Clock::now();
  const double cpu = platform::process_cpu_seconds();
  while (times.size() < 5 || (times.size() < 200 && seconds(began) < 1.0)) times.push_back(measured.run());
  const double cpu_time = (platform::process_cpu_seconds() - cpu) / static_cast<double>(times.size()) / measured.ring();
  std::sort(times.begin(), times.end());
  const double bytes = static_cast<double>(measured.bytes()), flop = 2.0 * s.rows * s.cols * s.bucket;
  const auto rate = [&](double t) { return std::pair{bytes / t / 1e9, flop / t / 1e9}; };
  const auto [best_gb, best_gf] = rate(times.front());
  const auto [mid_gb, mid_gf] = rate(times[times.size() / 2]);
  const auto [cpu_gb, cpu_gf] = rate(cpu_time);
  std::printf(
      "%-5s %6ux%-5u%s bucket %3u: best %8.1f us, %6.2f GB/s, %6.1f GFLOP/s; median %6.2f GB/s, %6.1f GFLOP/s; a CPU second "
      "%6.2f GB, %6.1f GFLOP; built in %.2f s\n",
      std::string(to_string(s.format)).c_str(), s.rows, s.cols, s.gated ? "g" : " ", s.bucket, times.front() * 1e6, best_gb,
      best_gf, mid_gb, mid_gf, cpu_gb, cpu_gf, measured.built());
  std::fflush(stdout);
}

// Row counts from s.bucket to `last`, each in all forms, measured in turns; what one row more costs.
void compare_buckets(gpu::Device& device, Shape s, uint32_t last, std::string_view forms) {
  constexpr int kRounds = 60;
  struct Entry {
    uint32_t rows;
    std::unique_ptr<Measured> measured;
    double best = 1e9;
  };
  std::vector<Entry> all;
  // Their turns keep each other's weights cold.
  const uint64_t ring_bytes = kRingBytes / (last + 1 - std::min(s.bucket, last));
  for (; s.bucket <= last; ++s.bucket)
    for (std::string_view rest = forms; !rest.empty();) {
      const std::string one(rest.substr(0, rest.find(';')));
      rest.remove_prefix(std::min(one.size() + 1, rest.size()));
      all.push_back(
          {s.bucket, std::make_unique<Measured>(device, s, ops::parse_matmul_form(one), ops::LineShape{}, ring_bytes)});
    }
  for (int round = 0; round < kRounds; ++round)
    for (Entry& e : all) e.best = std::min(e.best, e.measured->run());
  std::printf(
      "\n%s %ux%u%s\n\n| rows | us | to the one before | us a row | GFLOP/s | form |\n|---:|---:|---:|---:|---:|---|\n",
      std::string(to_string(s.format)).c_str(), s.rows, s.cols, s.gated ? ", gated" : "");
  const Entry* before = &all.front();
  for (const Entry& e : all) {
    std::printf("| %u | %.1f | %.2f | %.1f | %.1f | %s |\n", e.rows, e.best * 1e6, e.best / before->best,
                e.best * 1e6 / e.rows, 2.0 * s.rows * s.cols * e.rows / e.best / 1e9, e.measured->form().c_str());
    before = &e;
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  using quant::WeightFormat;
  const auto device = bench::open_device();
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
      const std::string shape = argv[2];
      const auto has = [&](char flag) { return shape.find(flag) != std::string::npos; };
      s.gated = has('g'), s.norm_before = has('n'), s.norm_after = has('m');
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
  uint32_t first = 0, last = 0;
  const bool all_buckets = argc > 3 && std::sscanf(argv[3], "%u-%u", &first, &last) == 2;
  for (const Shape& s : shapes) {
    if (all_buckets) {
      compare_buckets(*device, {s.format, s.rows, s.cols, first, s.gated}, last, form);
    } else if (form == "all") {
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
