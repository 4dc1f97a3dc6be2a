#include "engine/step_bench.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <random>

namespace lahar {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<int32_t> random_tokens(uint32_t n, uint32_t vocabulary) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int32_t> any(0, static_cast<int32_t>(vocabulary) - 1);
  std::vector<int32_t> tokens(n);
  for (int32_t& token : tokens) token = any(random);
  return tokens;
}

}  // namespace

StepBench::StepBench(Engine& engine) : engine_(engine), slots_(engine.kv().slots()) { engine.forget(); }

Status StepBench::check(uint64_t tokens, uint32_t batch) const {
  if (tokens > engine_.context())
    return Error{ErrorCode::kLimit,
                 std::to_string(tokens) + " tokens do not fit into the context of " + std::to_string(engine_.context())};
  if (batch == 0 || batch > slots())
    return Error{ErrorCode::kLimit,
                 "a batch of " + std::to_string(batch) + " sequences; the engine has " + std::to_string(slots())};
  return {};
}

void StepBench::place(uint32_t slot, uint32_t depth, uint32_t tokens) {
  Slot& s = slots_[slot];
  s.filled = std::max(s.filled, depth + tokens);
  states_.push_back({.slot = slot,
                     .state = {.position = depth,
                               .last_token = 0,
                               .counter = 0,
                               .limit = engine_.context(),
                               .temperature = 0,
                               .top_k = 0,
                               .top_p = 1,
                               .min_p = 0,
                               .seed_low = 0,
                               .seed_high = 0,
                               .sequence = slot,
                               .rope_offset = 0}});
  for (; s.pages < pages_of(depth + tokens); ++s.pages)
    pages_.push_back({.slot = slot, .index = s.pages, .page = slot * engine_.kv().pages_per_slot() + s.pages});
}

Status StepBench::announce(StepPlan& plan) {
  while (pages_.size() > params::kMaxPageUpdates) {
    const auto last = pages_.begin() + params::kMaxPageUpdates;
    // One row of a sequence at its limit: it computes what nobody reads and writes nothing.
    params::StateUpdate inactive{.slot = 0, .state = {}};
    const int32_t token = 0;
    StepPlan ahead = prompt_step({&token, 1}, LogitMode::kNone);
    ahead.states = {inactive};
    ahead.pages.assign(pages_.begin(), last);
    pages_.erase(pages_.begin(), last);
    LAHAR_TRY(engine_.steps().submit(ahead));
  }
  plan.states = std::exchange(states_, {});
  plan.pages = std::exchange(pages_, {});
  return {};
}

StepPlan StepBench::prompt_step(std::span<const int32_t> tokens, LogitMode logits) const {
  StepPlan plan;
  plan.logits = logits;
  plan.runs = {{.slot = 0,
                .first_row = 0,
                .rows = static_cast<uint32_t>(tokens.size()),
                .sampled = logits == LogitMode::kSampled ? 1u : 0u,
                .state_read = params::kNoState,
                .state_write = params::kNoState}};
  plan.tokens.assign(tokens.begin(), tokens.end());
  return plan;
}

StepPlan StepBench::decode_step(uint32_t batch) const {
  StepPlan plan;
  for (uint32_t slot = 0; slot < batch; ++slot)
    plan.runs.push_back({.slot = slot,
                         .first_row = slot,
                         .rows = 1,
                         .sampled = 1,
                         .state_read = params::kNoState,
                         .state_write = params::kNoState});
  plan.tokens.assign(batch, -1);
  return plan;
}

void StepBench::give_states(StepPlan& plan) {
  if (engine_.recurrent().slots() == 0) return;
  for (params::Run& run : plan.runs) {
    uint32_t& state = slots_[run.slot].state;
    run.state_read = 2 * run.slot + state;
    state = 1 - state;
    run.state_write = 2 * run.slot + state;
  }
}

gpu::BufferRange StepBench::state_of(uint32_t slot) const { return engine_.recurrent().slot(2 * slot + slots_[slot].state); }

Status StepBench::run_prompt(const std::vector<int32_t>& tokens, LogitMode last) {
  std::deque<StepTicket> tickets;
  for (size_t done = 0; done < tokens.size();) {
    const size_t rows = std::min<size_t>(engine_.chunk(), tokens.size() - done);
    const bool ends = done + rows == tokens.size();
    StepPlan plan = prompt_step(std::span(tokens).subspan(done, rows), ends ? last : LogitMode::kNone);
    LAHAR_TRY(announce(plan));
    give_states(plan);
    if (tickets.size() == engine_.steps().ring() - 1) {
      LAHAR_TRY(engine_.steps().wait(tickets.front()));
      tickets.pop_front();
    }
    LAHAR_ASSIGN(const StepTicket ticket, engine_.steps().submit(plan));
    tickets.push_back(ticket);
    done += rows;
  }
  return tickets.empty() ? Status{} : Status(engine_.device().wait_idle());
}

Status StepBench::fill(uint32_t depth, uint32_t batch) {
  if (const uint32_t filled = slots_[0].filled; filled < depth) {
    place(0, filled, depth - filled);
    LAHAR_TRY(run_prompt(random_tokens(depth - filled, engine_.spec().vocabulary), LogitMode::kNone));
  }
  gpu::Recorder recorder(engine_.device());
  const KvStorage& kv = engine_.kv();
  for (uint32_t slot = 1; slot < batch; ++slot) {
    if (engine_.recurrent().slots() > 0) recorder.copy("copy a state", state_of(0), state_of(slot));
    if (slots_[slot].filled >= depth || kv.bytes() == 0) continue;
    for (uint32_t page = 0; page < pages_of(depth); ++page)
      recorder.copy("copy a page", kv.page(page), kv.page(slot * kv.pages_per_slot() + page));
    slots_[slot].filled = depth;
  }
  if (recorder.nodes().empty()) return {};
  LAHAR_ASSIGN(const gpu::CommandList list, recorder.finish());
  const gpu::CommandList* lists[] = {&list};
  LAHAR_TRY(engine_.device().submit(lists));
  return engine_.device().wait_idle();
}

Result<double> StepBench::prefill(uint32_t tokens, uint32_t depth) {
  LAHAR_TRY(check(uint64_t{depth} + tokens, 1));
  LAHAR_TRY(fill(depth, 1));
  place(0, depth, tokens);
  const std::vector<int32_t> prompt = random_tokens(tokens, engine_.spec().vocabulary);
  const auto start = std::chrono::steady_clock::now();
  LAHAR_TRY(run_prompt(prompt, LogitMode::kSampled));
  return seconds_since(start);
}

Result<double> StepBench::decode(uint32_t steps, uint32_t depth, uint32_t batch) {
  LAHAR_TRY(check(uint64_t{depth} + steps, batch));
  LAHAR_TRY(fill(depth, batch));
  for (uint32_t slot = 0; slot < batch; ++slot) place(slot, depth, steps);
  StepPlan plan = decode_step(batch);
  LAHAR_TRY(announce(plan));
  LAHAR_TRY(engine_.device().wait_idle());

  const auto start = std::chrono::steady_clock::now();
  std::deque<StepTicket> tickets;
  for (uint32_t i = 0; i < steps || !tickets.empty();) {
    if (i < steps && tickets.size() < engine_.steps_in_flight()) {
      give_states(plan);
      LAHAR_ASSIGN(const StepTicket ticket, engine_.steps().submit(plan));
      plan.states.clear(), plan.pages.clear();
      tickets.push_back(ticket);
      ++i;
      continue;
    }
    LAHAR_ASSIGN(const StepRunner::Outcome outcome, engine_.steps().wait(tickets.front()));
    for (const params::SampleRecord& record : outcome.records) tokens_read_ += record.token >= 0 ? 1 : 0;
    tickets.pop_front();
  }
  return seconds_since(start);
}

Result<StepTrace> StepBench::trace_prefill(uint32_t tokens, uint32_t depth) {
  tokens = std::min(tokens, engine_.chunk());
  LAHAR_TRY(check(uint64_t{depth} + tokens, 1));
  LAHAR_TRY(fill(depth, 1));
  place(0, depth, tokens);
  StepPlan plan = prompt_step(random_tokens(tokens, engine_.spec().vocabulary), LogitMode::kSampled);
  LAHAR_TRY(announce(plan));
  give_states(plan);
  return engine_.steps().trace(plan);
}

Result<StepTrace> StepBench::trace_decode(uint32_t depth, uint32_t batch) {
  LAHAR_TRY(check(uint64_t{depth} + 1, batch));
  LAHAR_TRY(fill(depth, batch));
  for (uint32_t slot = 0; slot < batch; ++slot) place(slot, depth, 1);
  StepPlan plan = decode_step(batch);
  LAHAR_TRY(announce(plan));
  give_states(plan);
  return engine_.steps().trace(plan);
}

}  // namespace lahar
