#include <algorithm>
#include <cmath>
#include <set>

#include "gpu/transfer.h"
#include "ops/moe_variants.h"
#include "quant/layout.h"
#include "tune/cases.h"

namespace lahar::tune {
namespace {

constexpr uint32_t kMostCopies = 16;

// Experts that all hold the same weights, in slabs; there may be fewer slabs than experts of all copies.
struct SampleExperts {
  std::vector<float> gate_up, down;            // [min(rows, period)][cols]
  std::unique_ptr<gpu::Buffer> slabs, tables;  // ranges point to them
  std::vector<gpu::BufferRange> memory;
  std::vector<ops::ExpertsRef> copies;
};

struct ExpertsCase {
  SampleExperts experts;
  SampleRows x;
  gpu::Buffer y, ids, weights, scratch;
  TimedStep step;
  ops::MoeParams params;
};

uint64_t aligned(uint64_t bytes) { return (bytes + 255) / 256 * 256; }

// Copies a matrix's planes to [at, ...) of a slab and says where they lie in it.
void place(gpu::Recorder& recorder, const quant::Matrix& from, const gpu::Buffer& slab, uint64_t& at,
           ops::ExpertMatrix& to) {
  to.format = from.format, to.rows = from.rows, to.cols = from.cols, to.group = from.group;
  for (uint32_t p = 0; p < to.planes.size(); ++p) {
    if (!from.planes[p]) continue;
    to.planes[p] = at;
    recorder.copy("slab", from.planes[p], {slab, at, from.planes[p].size});
    at = aligned(at + from.planes[p].size);
  }
}

uint64_t plane_bytes(const quant::Matrix& m) {
  uint64_t bytes = 0;
  for (const gpu::BufferRange& plane : m.planes)
    if (plane) bytes += aligned(plane.size);
  return bytes;
}

std::vector<float> known_rows(const SampleMatrix& m) {
  std::vector<float> rows;
  for (uint32_t r = 0; r < std::min(m.shape().rows, SampleMatrix::kPeriod); ++r)
    rows.insert(rows.end(), m.row(r).begin(), m.row(r).end());
  return rows;
}

Result<SampleExperts> make_experts(gpu::Device& device, const ExpertsShape& shape, uint64_t ring_bytes) {
  LAHAR_ASSIGN(const SampleMatrix gate_up, SampleMatrix::create(device, shape.gate_up, 1));
  LAHAR_ASSIGN(const SampleMatrix down, SampleMatrix::create(device, shape.down, 1));
  const uint64_t slab_bytes = plane_bytes(gate_up.copy(0)) + plane_bytes(down.copy(0));
  const uint64_t most = std::min({ring_bytes, device.caps().max_buffer, device.caps().max_allocation}) / slab_bytes;
  const auto copies = static_cast<uint32_t>(std::clamp<uint64_t>(most / shape.experts, 1, kMostCopies));
  const uint64_t slabs = std::clamp<uint64_t>(most, 1, uint64_t{copies} * shape.experts);

  SampleExperts e{
      .gate_up = known_rows(gate_up), .down = known_rows(down), .slabs = {}, .tables = {}, .memory = {}, .copies = {}};
  const auto make = [&](uint64_t bytes, const char* name) -> Result<std::unique_ptr<gpu::Buffer>> {
    LAHAR_ASSIGN(gpu::Buffer buffer, device.create_buffer(bytes, gpu::Memory::kDevice, name));
    return std::make_unique<gpu::Buffer>(std::move(buffer));
  };
  LAHAR_ASSIGN(e.slabs, make(slabs * slab_bytes, "sample experts"));
  ops::ExpertsRef ref;
  gpu::Recorder recorder(device);
  uint64_t at = 0;
  place(recorder, gate_up.copy(0), *e.slabs, at, ref.gate_up);
  place(recorder, down.copy(0), *e.slabs, at, ref.down);
  for (uint64_t i = 1; i < slabs; ++i)
    recorder.copy("slab", {*e.slabs, 0, slab_bytes}, {*e.slabs, i * slab_bytes, slab_bytes});
  LAHAR_TRY(run_once(recorder));

  std::vector<uint64_t> addresses(size_t{copies} * shape.experts);
  for (size_t i = 0; i < addresses.size(); ++i) addresses[i] = e.slabs->address() + i % slabs * slab_bytes;
  LAHAR_ASSIGN(e.tables, make(addresses.size() * 8, "sample expert tables"));
  LAHAR_TRY(gpu::upload(device, std::as_bytes(std::span(addresses)), *e.tables));
  e.memory = {*e.slabs};
  ref.experts = shape.experts, ref.gated = shape.gated;
  for (uint32_t i = 0; i < copies; ++i) {
    ref.table = {*e.tables, uint64_t{i} * shape.experts * 8, uint64_t{shape.experts} * 8};
    e.copies.push_back(ref);
  }
  return e;
}

double dot(std::span<const float> row, std::span<const double> x) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += row[i] * x[i];
  return sum;
}

// Every expert does the same, and the weights of a row have the sum 1.
Expected expect(const ExpertsShape& shape, const SampleExperts& experts, const SampleRows& x, uint32_t bucket) {
  const uint32_t hidden = shape.down.rows, width = shape.down.cols;
  const auto products = [](std::span<const float> known, uint32_t cols, std::span<const double> in) {
    std::vector<double> out;
    for (size_t first = 0; first < known.size(); first += cols) out.push_back(dot(known.subspan(first, cols), in));
    return out;
  };
  Expected e{.width = hidden, .period = std::min(bucket, SampleRows::kPeriod), .values = {}};
  for (uint32_t t = 0; t < e.period; ++t) {
    const std::vector<double> row(x.row(t).begin(), x.row(t).end());
    const std::vector<double> up = products(experts.gate_up, hidden, row);
    std::vector<double> h(width);
    for (uint32_t i = 0; i < width; ++i) {
      const double gate = up[i % up.size()];
      h[i] = gate / (1 + std::exp(-gate)) * (shape.gated ? up[(width + i) % up.size()] : 1);
    }
    const std::vector<double> out = products(experts.down, width, h);
    for (uint32_t i = 0; i < hidden; ++i) e.values.push_back(out[i % out.size()]);
  }
  return e;
}

// Rows go to other experts as long as there are some; a row's weights are not alike.
struct Routes {
  std::vector<uint32_t> ids;
  std::vector<float> weights;
  Routes(const ExpertsShape& shape, uint32_t bucket) {
    const auto sum = static_cast<float>(shape.chosen * (shape.chosen + 1) / 2);
    for (uint32_t i = 0; i < bucket * shape.chosen; ++i) {
      ids.push_back(i * 7 % shape.experts);
      weights.push_back(static_cast<float>(i % shape.chosen + 1) / sum);
    }
    // Steps of 7 come back early where 7 divides the number of experts.
    if (shape.experts % 7 == 0)
      for (uint32_t i = 0; i < ids.size(); ++i) ids[i] = i % shape.experts;
  }
};

// As for matmul, twice; the second product takes what the first rounded.
double tolerance_of(const ops::MoeForm& form) {
  double worst = 1e-9;
  for (const ops::MatmulForm* f : {&form.up, &form.down}) {
    const std::string text = to_string(*f);
    if (form.path != ops::MoePath::kGrouped) continue;
    if (text.find("int8") != text.npos) worst = std::max(worst, 2e-3);
    else if (text.find("coop") != text.npos) worst = std::max(worst, f->half_sums != 0 ? 4e-3 : 4e-5);
  }
  return worst;
}

}  // namespace

Result<Case> make_experts_case(gpu::Device& device, const ExpertsShape& shape, uint32_t bucket, uint64_t ring_bytes) {
  const uint32_t hidden = shape.down.rows;
  LAHAR_ASSIGN(SampleExperts experts, make_experts(device, shape, ring_bytes));
  LAHAR_ASSIGN(SampleRows x, SampleRows::create(device, bucket, hidden));
  const auto shared = std::make_shared<ExpertsCase>(ExpertsCase{std::move(experts), std::move(x), {}, {}, {}, {}, {}, {}});
  const auto make = [&](uint64_t bytes, const char* name) {
    return device.create_buffer((bytes + 15) / 16 * 16, gpu::Memory::kDevice, name);
  };
  const Routes routes(shape, bucket);
  const uint32_t stride = shared->x.stride();
  LAHAR_ASSIGN(shared->y, make(uint64_t{bucket} * stride * 4, "sample y"));
  LAHAR_ASSIGN(shared->ids, make(ops::moe_route_bytes(bucket, shape.chosen), "sample routes"));
  LAHAR_ASSIGN(shared->weights, make(ops::moe_route_bytes(bucket, shape.chosen), "sample routes"));
  LAHAR_TRY(gpu::upload(device, std::as_bytes(std::span(routes.ids)), {shared->ids, 0, routes.ids.size() * 4}));
  LAHAR_TRY(gpu::upload(device, std::as_bytes(std::span(routes.weights)), {shared->weights, 0, routes.weights.size() * 4}));
  LAHAR_ASSIGN(shared->scratch,
               make(ops::moe_scratch_bytes(shared->experts.copies[0], shape.chosen, bucket), "sample scratch"));
  LAHAR_ASSIGN(shared->step, TimedStep::create(device, bucket));
  for (ops::ExpertsRef& copy : shared->experts.copies) copy.slabs = shared->experts.memory;
  ops::MoeParams& p = shared->params;
  p.experts = &shared->experts.copies[0];
  p.routes = {shared->ids, shared->weights};
  p.chosen = shape.chosen;
  p.x = {shared->x.buffer(), stride}, p.y = {shared->y, stride};
  p.scratch = shared->scratch;
  p.step = shared->step.ref();
  p.precision = shape.precision;
  p.label = "experts";

  const std::set<uint32_t> used(routes.ids.begin(), routes.ids.end());
  const auto bytes = [](const ops::ExpertMatrix& m) {
    return static_cast<double>(quant::layout(m.format, m.rows, m.cols, m.group)->total_bytes);
  };
  Case c;
  c.name = ops::moe_case(p);
  c.label = c.name;
  c.copies = static_cast<uint32_t>(shared->experts.copies.size());
  c.bytes = static_cast<double>(used.size()) * (bytes(p.experts->gate_up) + bytes(p.experts->down));
  c.flops = 2.0 * bucket * shape.chosen *
            (double{1} * shape.gate_up.rows * shape.gate_up.cols + double{1} * shape.down.rows * shape.down.cols);
  c.y = shared->y, c.rows = bucket, c.stride = stride;
  c.expected = expect(shape, shared->experts, shared->x, bucket);
  c.held = {shared};
  for (const ops::MoeForm& form : ops::moe_forms(device.caps(), p)) {
    const std::string text = to_string(form);
    c.candidates.push_back({.form = text,
                            .path = text.substr(0, text.find(':')),
                            .tolerance = tolerance_of(form),
                            .record = [shared = shared.get(), form](gpu::Recorder& recorder, uint32_t copy) {
                              ops::MoeParams params = shared->params;
                              params.experts = &shared->experts.copies[copy];
                              return ops::moe_with(recorder, params, form);
                            }});
  }
  return c;
}

}  // namespace lahar::tune
