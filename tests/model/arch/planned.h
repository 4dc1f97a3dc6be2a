// A small model, read and planned: what the tests of plans look at.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "weight_plan.h"

namespace lahar::test {

struct Planned {
  std::vector<std::byte> bytes;  // of a file in memory, which `source` points into
  std::unique_ptr<ModelSource> source;
  Result<ModelSpec> spec = Error{};
  Result<WeightPlan> plan = Error{};
  // The first error's message; empty where there is none.
  std::string error() const {
    if (!spec.ok()) return spec.error().message;
    return plan.ok() ? "" : plan.error().message;
  }
  // From `source`, which is there.
  void finish(Quantize quantize = Quantize::kNone, const Log& log = {}) {
    spec = read_model_spec(*source);
    if (spec.ok()) plan = WeightPlan::make(*source, *spec, quantize, log);
  }
};

// Of a GGUF file's bytes.
inline Planned plan_of_bytes(std::vector<std::byte> bytes, Quantize quantize = Quantize::kNone, const Log& log = {}) {
  Planned planned;
  planned.bytes = std::move(bytes);
  auto source = ModelSource::from_memory(planned.bytes, "tiny.gguf");
  EXPECT_TRUE(source.ok());
  planned.source = std::move(source).value();
  planned.finish(quantize, log);
  return planned;
}

}  // namespace lahar::test
