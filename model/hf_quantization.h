// config.json's quantization_config: how a Hugging Face checkpoint packs its weights.
#pragma once

#include <cstdint>

#include "core/result.h"
#include "format/model_source.h"

namespace lahar {

enum class HfMethod { kNone, kFp8, kAwq, kGptq, kCompressedTensors, kMxfp4 };

struct HfQuantization {
  HfMethod method = HfMethod::kNone;
  uint32_t bits = 4;                            // of AWQ and GPTQ
  uint32_t group = 0;                           // columns per scale of AWQ and GPTQ; 0: all of a row
  bool symmetric = false;                       // GPTQ: the zero point is in the middle
  bool zero_less_one = false;                   // GPTQ: qzeros hold the zero point less 1
  uint32_t block_rows = 128, block_cols = 128;  // of a scale of block-quantized fp8
};

// GGUF (whose fp8 has scales for each row), and a folder without a quantization_config: kNone. Errors: kFormat (not what it
// should be), kUnsupported (a method, a form of it, a number of bits), with the key and its value.
Result<HfQuantization> read_hf_quantization(const ModelSource& source);

}  // namespace lahar
