// How RoPE reaches more positions than a model was trained on, by the user's choice or because a streaming cache is that
// long.
#pragma once

#include <optional>

#include "spec.h"

namespace lahar {

struct RopeChoice {
  // kNone, kLinear or kYarn, instead of the model's own. None: the model's own; with a factor, kLinear where that has none.
  std::optional<RopeScaling> scaling;
  double factor = 0;              // of the context; 0: what the context needs
  uint32_t original_context = 0;  // tokens of the sequences that the model was trained on; 0: what its file says

  bool automatic() const { return !scaling && factor == 0; }
};

// Takes the choice into the spec; what it was read with stays where nothing was chosen. `context`: tokens of the cache, 0:
// the model's own. With a factor, context_length grows to what the stretched RoPE reaches.
//
// While streaming, and where nothing was chosen, each RoPE that is used over longer distances than the model was trained on
// is stretched to them by YaRN, or its own YaRN further; the log says so. Of the ways that need no training YaRN alone keeps
// near tokens as they were and far ones apart. Models with another scaling, and those with latent attention, whose scores
// are scaled with it, stay as they are; the log warns where that is too short.
//
// The tables are not computed: set_context does that. Layers with a sliding window are left alone where others have none.
// Errors: kInvalidArgument (a number out of range; choices that do not go together), kUnsupported (a choice for a model
// without RoPE, with latent attention or with factors of its own for each frequency).
Status choose_rope(ModelSpec& spec, const RopeChoice& choice, uint32_t context, bool streaming, const Log& log);

}  // namespace lahar
