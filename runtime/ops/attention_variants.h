// Inside of ops, and for the tuner: the forms in which attention can be computed. attention() takes the one that was
// measured to be fastest (ops/tuning.h), else a default by what the device is; tests and measurements name one. Thread rule:
// everything here but recording is pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ops/attention.h"

namespace lahar::ops {

enum class AttentionPath : uint8_t {
  kDecode,  // a team of lanes along the dims of a head, the context split over teams and workgroups; up to kDecodeRows rows
  kLine,    // straight-line code over CPU vectors, the context split into parts of `keys`; up to kDecodeRows rows
  kLoop,    // loops over CPU vectors, a page of keys at a time; up to kDecodeRows rows; takes a row's RoPE along
  kLanes,   // a query item a lane, for CPU drivers; any number of rows
  kCoop,    // tiles on cooperative matrices, fp16 operands; any number of rows, Precision::kDefault alone
  kTile,    // fp32 tiles in shared memory; any number of rows
  kCount,
};

// A kernel's path and the numbers that specialize it; those that the path has no use for are 0. An item is one query head
// of one row.
struct AttentionForm {
  AttentionPath path = AttentionPath::kDecode;
  uint32_t subgroup = 0;         // invocations of a subgroup
  uint32_t subgroups = 0;        // of a workgroup
  uint32_t team = 0;             // lanes that share a key (decode)
  uint32_t items = 0;            // for each team (decode), workgroup (line, loop, coop) or lane (lanes)
  uint32_t keys = 0;             // of a part (line) or of a step (lanes; decode and tile, where 0 means 4)
  uint32_t splits = 0;           // parts of the context (decode, line, loop)
  uint32_t m = 0, n = 0, k = 0;  // shape of the device's matrices (coop)
  bool operator==(const AttentionForm&) const = default;
};
// "decode subgroup 32 subgroups 4 team 16 items 4 splits 8": the path, then what is not 0.
std::string to_string(const AttentionForm& form);
// nullopt where the text is no form.
std::optional<AttentionForm> parse_attention_form(std::string_view text);

// What tells one measured case from another: "f16 32/8x128, bucket 1, context 4096, softcap". Needs the sizes alone.
// Contexts are told apart by the power of two above them, where forms depend on them: those for more than kDecodeRows rows
// do not, and of theirs a window or a chunk alone is named.
std::string attention_case(const AttentionParams& params);

// False where the device, the shape or the precision rules the form out. params has passed attention()'s checks.
bool can_attention(const gpu::Caps& caps, const AttentionParams& params, const AttentionForm& form);
// Every form worth measuring, the default first; never empty for params that attention() takes.
std::vector<AttentionForm> attention_forms(const gpu::Caps& caps, const AttentionParams& params);
// What attention() takes where nothing was measured; forms in quarantine are passed over.
AttentionForm default_form(const gpu::Caps& caps, const AttentionParams& params);
// Errors: those of attention(); kInvalidArgument where !can_attention().
Status attention_with(gpu::Recorder& recorder, const AttentionParams& params, const AttentionForm& form);

}  // namespace lahar::ops
