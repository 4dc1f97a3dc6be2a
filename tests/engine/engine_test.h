// Opens engines on the test program's device.
#pragma once

#include "engine/open.h"
#include "gpu/gpu_test.h"

namespace lahar::test {

struct Opened {
  std::unique_ptr<ModelSource> source;
  std::unique_ptr<Engine> engine;
};

inline Result<Opened> open_model(gpu::Device& device, const std::filesystem::path& path, const OpenOptions& options) {
  Opened opened;
  LAHAR_ASSIGN(opened.source, ModelSource::open(path));
  LAHAR_ASSIGN(opened.engine, open_engine(device.shared_from_this(), *opened.source, options));
  return opened;
}

inline Result<std::vector<float>> all_logits(Engine& engine, std::span<const int32_t> tokens) {
  std::vector<float> all;
  const uint32_t vocabulary = engine.spec().vocabulary;
  LAHAR_TRY(
      engine.logits(tokens, [&](uint32_t first, uint32_t rows, std::span<const float> logits, uint32_t stride) -> Status {
        EXPECT_EQ(first * uint64_t{vocabulary}, all.size());
        for (uint32_t r = 0; r < rows; ++r) {
          const auto row = logits.subspan(size_t{r} * stride, vocabulary);
          all.insert(all.end(), row.begin(), row.end());
        }
        return {};
      }));
  return all;
}

}  // namespace lahar::test
