// AltUp's streams around a layer's attention and feed-forward, LAuReL beside attention, and the inputs that each layer has
// of its own (Gemma 3n, Gemma 4). All of them do nothing in models without them.
#pragma once

#include "blocks/forward.h"

namespace lahar {

// Floats of Scratch::streams and layer_inputs for a row, and how wide they need Scratch::wide and mid; 0: none.
uint32_t streams_width(const ModelSpec& spec);
uint32_t layer_inputs_width(const ModelSpec& spec);
uint32_t altup_wide(const ModelSpec& spec);
uint32_t altup_mid(const ModelSpec& spec);

// After the embedding, from x: the layers' inputs and the streams. Writes wide.
Status record_streams(const Forward& f);
// Before a layer's attention: x becomes the prediction of the active stream.
Status record_layer_begin(const Forward& f, const LayerWeights& weights);
// After attention, whose input `normed` still is: x = (x + normed + norm(R L normed)) / sqrt 2. Writes mid and other.
Status record_laurel(const Forward& f, const LayerWeights& weights, const ops::Activations& normed);
// After the feed-forward: the streams are corrected, the layer's inputs added. Writes normed, mid and other.
Status record_layer_end(const Forward& f, uint32_t index);
// Before the final norm: x from all streams. Writes wide.
Status record_merge(const Forward& f);

}  // namespace lahar
