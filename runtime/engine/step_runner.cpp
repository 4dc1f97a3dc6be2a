#include "engine/step_runner.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>

#include "gpu/transfer.h"
#include "ops/attention.h"
#include "ops/sample.h"

namespace lahar {
namespace {

constexpr uint32_t kPrepareThreads = 64;
// A submission is one unit that the driver's watchdog times: long steps are cut after so many layers.
constexpr uint32_t kLayersPerList = 4;
constexpr uint32_t kShortStepRows = 16;  // steps of at most so many rows are one list

uint64_t step_state_bytes(uint32_t bucket) { return sizeof(params::StepState) + uint64_t{bucket} * sizeof(params::Row); }

uint64_t sampling_bytes(uint32_t slots, uint32_t vocabulary) {
  return std::max<uint64_t>(16, ops::sample_scratch_bytes(slots, vocabulary));
}

// Adds the time until it dies to a sum; does nothing without one.
class Stopwatch {
 public:
  Stopwatch(HostSeconds* sums, double HostSeconds::*field) : sum_(sums == nullptr ? nullptr : &(sums->*field)) {
    if (sum_ != nullptr) start_ = std::chrono::steady_clock::now();
  }
  ~Stopwatch() {
    if (sum_ != nullptr) *sum_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  Stopwatch(const Stopwatch&) = delete;

 private:
  double* sum_;
  std::chrono::steady_clock::time_point start_;
};

std::string kernel_name(const gpu::Node& node) {
  if (node.kind == gpu::Node::Kind::kCopy) return "copy";
  if (node.kind == gpu::Node::Kind::kFill) return "fill";
  const gpu::ShaderInfo shader = node.kernel->shader();
  std::string name(shader.name);
  if (!shader.variant.empty()) name += " " + std::string(shader.variant);
  return name;
}

double now_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Result<std::unique_ptr<StepRunner>> StepRunner::create(std::shared_ptr<gpu::Device> device, const Transformer& transformer,
                                                       const KvStorage& kv, const StateStorage& recurrent,
                                                       StepRunnerOptions options) {
  auto runner = std::unique_ptr<StepRunner>(new StepRunner(std::move(device), transformer, kv, recurrent, options));
  LAHAR_TRY(runner->allocate());
  return runner;
}

uint64_t StepRunner::device_bytes(const StepRunnerOptions& options, uint32_t vocabulary) {
  return options.slots * sizeof(params::SeqState) + step_state_bytes(options.max_bucket) +
         sampling_bytes(options.slots, vocabulary);
}

StepRunner::~StepRunner() {
  for (const Place& place : places_)
    if (place.pending != 0) (void)device_->wait(place.pending);
}

Status StepRunner::allocate() {
  const std::vector<params::SeqState> idle(options_.slots);
  positions_.assign(options_.slots, 0);
  LAHAR_ASSIGN(states_,
               device_->create_buffer(idle.size() * sizeof(params::SeqState), gpu::Memory::kDevice, "sequence states"));
  LAHAR_TRY(gpu::upload(*device_, std::as_bytes(std::span(idle)), states_));
  LAHAR_ASSIGN(step_state_,
               device_->create_buffer(step_state_bytes(options_.max_bucket), gpu::Memory::kDevice, "step state"));
  LAHAR_ASSIGN(sample_scratch_, device_->create_buffer(sampling_bytes(options_.slots, transformer_.vocabulary()),
                                                       gpu::Memory::kDevice, "sampling scratch"));
  places_.resize(options_.ring);
  for (uint32_t i = 0; i < options_.ring; ++i) {
    const std::string suffix = " " + std::to_string(i);
    LAHAR_ASSIGN(places_[i].input, device_->create_buffer(sizeof(params::StepInput) + options_.max_bucket * sizeof(int32_t),
                                                          gpu::Memory::kUpload, "step input" + suffix));
    LAHAR_ASSIGN(places_[i].records, device_->create_buffer(params::kMaxRuns * sizeof(params::SampleRecord),
                                                            gpu::Memory::kReadback, "sample records" + suffix));
    if (options_.all_logits || options_.sampled_logits) {
      const uint64_t bytes = transformer_.logits(options_.all_logits ? options_.max_bucket : options_.slots).range.size;
      LAHAR_ASSIGN(places_[i].logits, device_->create_buffer(bytes, gpu::Memory::kReadback, "logits" + suffix));
    }
  }
  return {};
}

Status StepRunner::check(const StepPlan& plan) const {
  const auto bad = [](const std::string& what) { return Error{ErrorCode::kInvalidArgument, "step: " + what}; };
  if (plan.tokens.empty() || plan.tokens.size() > options_.max_bucket)
    return bad(std::to_string(plan.tokens.size()) + " rows, at most " + std::to_string(options_.max_bucket) + " fit");
  if (plan.runs.empty() || plan.runs.size() > std::min(options_.slots, params::kMaxRuns))
    return bad(std::to_string(plan.runs.size()) + " runs for " + std::to_string(options_.slots) + " slots");
  if (plan.states.size() > params::kMaxRuns || plan.pages.size() > params::kMaxPageUpdates) return bad("too many updates");
  if (plan.logits == LogitMode::kAll && !options_.all_logits) return bad("opened without all_logits");
  return {};
}

StepShape StepRunner::shape_of(const StepPlan& plan) {
  for (const params::StateUpdate& update : plan.states)
    if (update.slot < positions_.size()) positions_[update.slot] = update.state.position;
  uint32_t longest = 0;
  for (const params::Run& run : plan.runs) {
    if (run.slot >= positions_.size()) continue;
    positions_[run.slot] += run.rows;
    longest = std::max(longest, positions_[run.slot]);
  }
  const uint32_t context = kv_.bytes() == 0 ? 0 : ops::recorded_context(device_->caps(), longest);
  return {std::bit_ceil(static_cast<uint32_t>(plan.tokens.size())), plan.logits, context, time_slice_ > 0};
}

void StepRunner::write_input(const StepPlan& plan, Place& place) {
  const Stopwatch watch(host_, &HostSeconds::write);
  auto* input = reinterpret_cast<params::StepInput*>(place.input.mapped());
  input->n_rows = static_cast<uint32_t>(plan.tokens.size());
  input->n_runs = static_cast<uint32_t>(plan.runs.size());
  input->n_state_updates = static_cast<uint32_t>(plan.states.size());
  input->n_page_updates = static_cast<uint32_t>(plan.pages.size());
  std::copy(plan.runs.begin(), plan.runs.end(), input->runs);
  std::copy(plan.states.begin(), plan.states.end(), input->state_updates);
  std::copy(plan.pages.begin(), plan.pages.end(), input->page_updates);
  std::memcpy(place.input.mapped() + sizeof(params::StepInput), plan.tokens.data(), plan.tokens.size() * sizeof(int32_t));
}

Status StepRunner::begin_step(const StepPlan& plan, uint32_t ring) {
  Place& place = places_[ring];
  if (place.pending != 0) {
    const Stopwatch watch(host_, &HostSeconds::wait);
    LAHAR_TRY(device_->wait(place.pending));
    LAHAR_TRY(finish_step(ring));
  }
  write_input(plan, place);
  waits_.clear();
  if (gate_) waits_.push_back(*gate_);
  if (options_.experts == nullptr) return {};
  LAHAR_ASSIGN(const auto copies, options_.experts->begin_step(ring));
  if (copies) waits_.push_back(*copies);
  return {};
}

Status StepRunner::finish_step(uint32_t ring) {
  return options_.experts == nullptr ? Status{} : options_.experts->finished(ring);
}

Result<StepTicket> StepRunner::submit(const StepPlan& plan) {
  LAHAR_TRY(check(plan));
  const auto ring = static_cast<uint32_t>(submitted_steps_ % options_.ring);
  LAHAR_TRY(begin_step(plan, ring));
  const StepShape shape = shape_of(plan);
  LAHAR_ASSIGN(Program * program, this->program(shape, ring));
  uint64_t timeline = 0;
  const Stopwatch watch(host_, &HostSeconds::submit);
  if (shape.sliced) {
    LAHAR_ASSIGN(timeline, submit_slices(*program, shape));
  } else {
    for (const gpu::CommandList& list : program->lists) {
      const gpu::CommandList* one = &list;
      LAHAR_ASSIGN(timeline, device_->submit(std::span(&one, 1), waits_));
    }
  }
  places_[ring].pending = timeline;
  ++submitted_steps_;
  return StepTicket{ring, timeline, static_cast<uint32_t>(plan.tokens.size()), static_cast<uint32_t>(plan.runs.size())};
}

Result<uint64_t> StepRunner::submit_slices(const Program& program, const StepShape& shape) {
  constexpr size_t kSlicesUnderWay = 2;  // one that runs, one that waits
  uint64_t timeline = 0;
  for (size_t next = 0; next < program.lists.size();) {
    while (slices_.size() >= kSlicesUnderWay) LAHAR_TRY(finish_slice());
    const double each = list_seconds_[shape.bucket];
    size_t lists = each > 0 ? static_cast<size_t>(std::min(time_slice_ / each, 1e6)) : 1;
    lists = std::clamp<size_t>(lists, 1, program.lists.size() - next);
    std::vector<const gpu::CommandList*> slice;
    for (size_t i = 0; i < lists; ++i) slice.push_back(&program.lists[next + i]);
    LAHAR_ASSIGN(timeline, device_->submit(slice, waits_));
    slices_.push_back({timeline, lists, shape.bucket, now_seconds()});
    next += lists;
  }
  return timeline;
}

Status StepRunner::finish_slice() {
  const Slice slice = slices_.front();
  slices_.pop_front();
  LAHAR_TRY(device_->wait(slice.timeline));
  const double now = now_seconds();
  const double each = (now - std::max(slice.submitted, slice_finished_)) / static_cast<double>(slice.lists);
  slice_finished_ = now;
  double& known = list_seconds_[slice.bucket];
  // On a queue that is shared, the frames of others between two slices count as the slice's time: what is short tells more.
  const double weight = each < known ? 0.5 : 0.05;
  known += known == 0 ? each : weight * (each - known);
  return {};
}

Result<StepRunner::Outcome> StepRunner::wait(const StepTicket& ticket) {
  while (!slices_.empty() && slices_.front().timeline <= ticket.timeline) LAHAR_TRY(finish_slice());
  {
    const Stopwatch watch(host_, &HostSeconds::wait);
    LAHAR_TRY(device_->wait(ticket.timeline));
  }
  LAHAR_TRY(finish_step(ticket.ring));
  const Place& place = places_[ticket.ring];
  Outcome outcome;
  outcome.records = place.records.mapped_as<const params::SampleRecord>().first(ticket.runs);
  if (options_.all_logits || options_.sampled_logits) {
    const uint32_t rows = options_.all_logits ? ticket.rows : ticket.runs;
    outcome.logits_stride = transformer_.logits(1).stride;
    outcome.logits = place.logits.mapped_as<const float>().first(size_t{rows} * outcome.logits_stride);
  }
  return outcome;
}

Result<StepRunner::Program*> StepRunner::program(const StepShape& shape, uint32_t ring) {
  if (const auto it = programs_.find({shape, ring}); it != programs_.end()) return &it->second;
  const Stopwatch watch(host_, &HostSeconds::record);
  for (uint32_t place = 0; place < options_.ring; ++place) {
    LAHAR_ASSIGN(Program recorded, record(shape, place));
    programs_.emplace(std::pair(shape, place), std::move(recorded));
    ++recorded_;
  }
  return &programs_.at({shape, ring});
}

Result<StepRunner::ProgramSize> StepRunner::program_size(const StepShape& shape) {
  LAHAR_ASSIGN(const Program* program, this->program(shape, 0));
  ProgramSize size;
  for (const gpu::CommandList& list : program->lists) {
    size.dispatches += list.dispatches();
    size.barriers += list.barriers();
    ++size.lists;
  }
  return size;
}

void StepRunner::record_prepare(gpu::Recorder& recorder, const StepShape& shape, const Place& place) {
  const params::PrepareParams push{.step_input = place.input.address(),
                                   .states = states_.address(),
                                   .pages = kv_.page_table().address(),
                                   .step = step_state_.address(),
                                   .slots = options_.slots,
                                   .pages_per_slot = kv_.pages_per_slot(),
                                   .bucket = shape.bucket,
                                   .vocabulary = transformer_.vocabulary()};
  const gpu::BufferRange reads[] = {place.input, states_};
  const gpu::BufferRange writes[] = {states_, kv_.page_table(), {step_state_, 0, step_state_bytes(shape.bucket)}};
  recorder.dispatch({.label = "prepare",
                     .kernel = device_->kernels().get({gpu::ShaderId::prepare, {kPrepareThreads, 1, 1}}),
                     .push = gpu::push_bytes(push),
                     .reads = reads,
                     .writes = writes});
}

Result<StepRunner::Program> StepRunner::record(const StepShape& shape, uint32_t ring) {
  gpu::Recorder recorder(*device_);
  Program program;
  const auto finish_list = [&]() -> Status {
    LAHAR_ASSIGN(gpu::CommandList list, recorder.finish());
    program.lists.push_back(std::move(list));
    recorder.clear();
    return {};
  };
  LAHAR_TRY(record_nodes(recorder, shape, ring, finish_list));
  LAHAR_TRY(finish_list());
  return program;
}

TracedNode StepRunner::traced(const gpu::Node& node) const {
  TracedNode traced{.label = node.label, .kernel = kernel_name(node), .groups = node.groups};
  traced.barrier_before = node.barrier_before;
  for (const std::vector<gpu::BufferRange>* ranges : {&node.reads, &node.writes})
    for (const gpu::BufferRange& range : *ranges) {
      const bool kv = range && kv_.owns(*range.buffer);
      traced.reads_kv = traced.reads_kv || (kv && ranges == &node.reads);
      if (range && !kv) traced.bytes += range.size;
    }
  if (node.kind == gpu::Node::Kind::kCopy) traced.bytes += 2 * node.destination.size;
  if (node.kind == gpu::Node::Kind::kFill) traced.bytes += node.destination.size;
  return traced;
}

Result<StepTrace> StepRunner::trace(const StepPlan& plan) {
  LAHAR_TRY(check(plan));
  LAHAR_TRY(device_->wait_idle());
  const auto ring = static_cast<uint32_t>(submitted_steps_ % options_.ring);
  Place& place = places_[ring];
  LAHAR_TRY(begin_step(plan, ring));
  gpu::Recorder recorder(*device_);
  const StepShape shape = shape_of(plan);
  LAHAR_TRY(record_nodes(recorder, shape, ring, [] { return Status{}; }));
  LAHAR_ASSIGN(const gpu::CommandList list, recorder.finish({.timestamps = true}));
  const gpu::CommandList* lists[] = {&list};
  LAHAR_ASSIGN(place.pending, device_->submit(lists, waits_));
  ++submitted_steps_;
  LAHAR_TRY(device_->wait(place.pending));

  StepTrace trace;
  trace.ticket = {ring, place.pending, static_cast<uint32_t>(plan.tokens.size()), static_cast<uint32_t>(plan.runs.size())};
  for (const gpu::Node& node : recorder.nodes()) trace.nodes.push_back(traced(node));
  const auto timings = list.timings();
  if (!timings.ok() || timings->size() != trace.nodes.size()) return trace;
  for (size_t i = 0; i < trace.nodes.size(); ++i) {
    trace.nodes[i].begin_ns = (*timings)[i].begin_ns;
    trace.nodes[i].duration_ns = (*timings)[i].duration_ns;
    trace.timed = trace.timed || trace.nodes[i].duration_ns > 0;
  }
  return trace;
}

Status StepRunner::record_nodes(gpu::Recorder& recorder, const StepShape& shape, uint32_t ring,
                                const std::function<Status()>& cut) {
  const ops::StepRef step{{step_state_, 0, step_state_bytes(shape.bucket)}, shape.bucket, shape.context, options_.slots};
  record_prepare(recorder, shape, places_[ring]);
  ExpertCache* const experts = options_.experts;
  if (experts != nullptr) experts->record_begin(recorder, ring);
  LAHAR_TRY(transformer_.record_embedding(recorder, step));
  for (uint32_t layer = 0; layer < transformer_.layers(); ++layer) {
    LAHAR_TRY(transformer_.record_layer(recorder, step, layer,
                                        {.kv = kv_.layer(layer),
                                         .mixer_state = recurrent_.mixer(layer),
                                         .ffn_state = recurrent_.ffn(layer),
                                         .experts = experts == nullptr ? ExpertView{} : experts->layer(layer)}));
    const bool long_step = shape.bucket > kShortStepRows && layer % kLayersPerList == kLayersPerList - 1;
    if (shape.sliced || long_step) LAHAR_TRY(cut());
  }
  if (experts != nullptr) experts->record_end(recorder, ring);
  return record_logits(recorder, shape, step, places_[ring]);
}

// The head, where there is one, the sampler, and the end of the step.
Status StepRunner::record_logits(gpu::Recorder& recorder, const StepShape& shape, const ops::StepRef& step,
                                 const Place& place) {
  const ops::Activations logits = transformer_.logits(shape.bucket);
  const ops::SampleParams sample{.logits = logits,
                                 .vocabulary = transformer_.vocabulary(),
                                 .states = states_,
                                 .slots = options_.slots,
                                 .records = place.records,
                                 .scratch = sample_scratch_,
                                 .step = step,
                                 .max_runs = std::min(options_.slots, shape.bucket)};
  if (shape.logits == LogitMode::kSampled) {
    LAHAR_TRY(transformer_.record_head(recorder, step, false));
    if (options_.sampled_logits) {
      const uint64_t bytes = uint64_t{sample.max_runs} * logits.stride * sizeof(float);
      recorder.copy("read logits", logits.range.part(0, bytes), {place.logits, 0, bytes});
    }
    return ops::sample(recorder, sample);
  }
  if (shape.logits == LogitMode::kAll) {
    LAHAR_TRY(transformer_.record_head(recorder, step, true));
    recorder.copy("read logits", logits.range, {place.logits, 0, logits.range.size});
  }
  return ops::advance(recorder, sample);
}

}  // namespace lahar
