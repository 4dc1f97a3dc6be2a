#include "blocks/mamba.h"

#include "blocks/block_scratch.h"
#include "blocks/linear.h"
#include "ops/causal_conv.h"
#include "ops/norm.h"
#include "ops/ssm_gate.h"
#include "ops/ssm_scan.h"

namespace lahar {
namespace {

using namespace mamba;

// Where B and C begin in what is selected, behind dt.
struct Selected {
  uint32_t b, c, width;
  explicit Selected(const SsmSpec& s) {
    const auto end = [&](uint32_t width) { return selected_apart(s) ? (width + 3) / 4 * 4 : width; };
    b = end(s.dt_rank), c = b + end(s.state), width = c + s.state;
  }
};

struct Layout {
  ops::Activations in, x, select, dt, y;
  gpu::BufferRange scan;
  Layout(BlockScratch& scratch, const gpu::Caps& caps, const SsmSpec& s, uint32_t rows)
      : in(scratch.take(2 * s.inner)),
        x(scratch.take(s.inner)),
        select(scratch.take(Selected(s).width)),
        dt(scratch.take(s.inner)),
        y(scratch.take(s.inner)),
        scan(scratch.take_bytes(ops::ssm_scan_scratch_bytes(caps, rows, s.inner, 1, s.state))) {}
};

uint64_t scratch_bytes(const gpu::Caps& caps, const ModelSpec&, const LayerSpec& layer, uint32_t rows) {
  BlockScratch scratch({}, rows);
  Layout(scratch, caps, layer.ssm, rows);
  return scratch.bytes();
}

uint32_t widest_input(const LayerSpec& layer) { return layer.ssm.inner; }

// The convolution's inputs, then the scan's state.
uint64_t state_bytes(const ModelSpec&, const LayerSpec& layer) {
  const SsmSpec& s = layer.ssm;
  return ops::causal_conv_state_bytes(s.inner, s.conv) + ops::ssm_state_bytes(s.inner, 1, s.state);
}

// dt, B and C each to a root mean square of 1.
Status record_inner_norms(const Forward& f, const SsmSpec& s, const ops::Activations& select) {
  const Selected at(s);
  const std::pair<uint32_t, uint32_t> parts[] = {{0, s.dt_rank}, {at.b, s.state}, {at.c, s.state}};
  for (const auto& [first, width] : parts) {
    const ops::Activations part = columns_from(select, first);
    LAHAR_TRY(ops::norm(f.recorder, {.x = part,
                                     .y = part,
                                     .width = width,
                                     .residual = {},
                                     .eps = s.inner_norm_eps,
                                     .step = f.step,
                                     .label = "mamba inner norm"}));
  }
  return {};
}

Status record(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
              const LayerMemory& memory) {
  const SsmSpec& s = layer.ssm;
  const BlockWeights& w = weights.mixer;
  BlockScratch scratch(f.scratch.block, f.step.bucket);
  const auto [in, x, select, dt, y, scan] = Layout(scratch, f.recorder.device().caps(), s, f.step.bucket);
  const LinearEpilogue plain{.x_scratch = f.scratch.converted, .tuning = f.tuning};

  LAHAR_TRY(record_linear(f.recorder, w.linears[kIn], normed, in, f.step, f.precision, "mamba in", plain));
  LAHAR_TRY(ops::causal_conv(f.recorder, {.x = in,
                                          .x_gate = {},
                                          .y = x,
                                          .y_gate = {},
                                          .channels = s.inner,
                                          .taps = s.conv,
                                          .weight = w.vectors[kConv],
                                          .bias = w.vectors[kConvBias],
                                          .activation = ops::Activation::kSilu,
                                          .state = memory.mixer_state,
                                          .step = f.step,
                                          .label = "mamba convolution"}));
  const Selected at(s);
  const std::pair<LinearIndex, uint32_t> selections[] = {{kX, 0}, {kB, at.b}, {kC, at.c}};
  for (const auto& [index, first] : std::span(selections).first(selected_apart(s) ? 3 : 1))
    LAHAR_TRY(record_linear(f.recorder, w.linears[index], x, columns_from(select, first), f.step, f.precision,
                            "mamba dt, B, C", plain));
  if (s.inner_norms) LAHAR_TRY(record_inner_norms(f, s, select));
  LAHAR_TRY(record_linear(f.recorder, w.linears[kDt], select, dt, f.step, f.precision, "mamba dt", plain));
  LAHAR_TRY(ops::ssm_scan(f.recorder, {.x = {x, 0},
                                       .b = {select, at.b},
                                       .c = {select, at.c},
                                       .dt = {dt, 0},
                                       .y = y,
                                       .heads = s.inner,
                                       .head_dim = 1,
                                       .groups = 1,
                                       .state = s.state,
                                       .a = w.vectors[kA],
                                       .a_per_state = true,
                                       .d = w.vectors[kD],
                                       .dt_bias = w.vectors[kDtBias],
                                       .slots = memory.mixer_state,
                                       .state_offset = ops::causal_conv_state_bytes(s.inner, s.conv),
                                       .scratch = scan,
                                       .step = f.step,
                                       .label = "mamba scan"}));
  LAHAR_TRY(ops::ssm_gate(f.recorder, {.order = ops::GateOrder::kGateAlone,
                                       .x = y,
                                       .gate = columns_from(in, s.inner),
                                       .y = y,
                                       .groups = 1,
                                       .width = s.inner,
                                       .weight = {},
                                       .step = f.step,
                                       .label = "mamba gate"}));
  return record_output(f, w.linears[kOut], y, layer.post_attention_norm ? &weights.post_attention : nullptr,
                       layer.residual_multiplier, nullptr, "mamba out");
}

}  // namespace

const BlockKind kMambaBlock{scratch_bytes, widest_input, state_bytes, record};

}  // namespace lahar
