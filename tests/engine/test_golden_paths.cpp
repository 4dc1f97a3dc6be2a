// Quantized models against reference logits with every product taken along one path, and not along the device's default.
#include <cstdlib>
#include <set>

#include "engine/engine_test.h"
#include "engine/golden.h"
#include "ops/matmul_variants.h"
#include "test_data.h"

namespace lahar::test {
namespace {

constexpr double kError = 2e-3;  // fp16 operands, integer ones, fp16 sums

// The first form of each path of GPUs, with sums in fp32 and in fp16, for steps of `bucket` rows.
std::vector<ops::MatmulForm> forms_for(gpu::Device& device, uint32_t bucket) {
  quant::Matrix w;
  w.format = quant::WeightFormat::kQ8_0, w.rows = w.cols = 256;
  const gpu::Buffer scratch = make_buffer(device, ops::matmul_scratch_bytes(w.cols, bucket));
  ops::MatmulParams p;
  p.w = &w, p.step.bucket = bucket, p.x_scratch = scratch;
  std::vector<ops::MatmulForm> forms;
  std::set<std::pair<ops::MatmulPath, uint32_t>> seen;
  for (const ops::MatmulForm& form : ops::matmul_forms(device.caps(), p))
    if (form.path != ops::MatmulPath::kLine && form.path != ops::MatmulPath::kLoop &&
        seen.insert({form.path, form.half_sums}).second)
      forms.push_back(form);
  return forms;
}

class GoldenPathsTest : public GpuTest, public ::testing::WithParamInterface<std::string> {
 protected:
  std::vector<float> logits_of(const std::filesystem::path& path, const Golden& golden, uint32_t chunk,
                               std::shared_ptr<const ops::Tuning> tuning) {
    OpenOptions options;
    options.engine.context = static_cast<uint32_t>(golden.tokens().size());
    options.engine.chunk = chunk;
    options.engine.all_logits = true;
    options.engine.tuning = std::move(tuning);
    auto opened = open_model(device(), path, options);
    EXPECT_TRUE(opened.ok()) << why(opened);
    if (!opened.ok()) return {};
    const auto logits = all_logits(*opened->engine, golden.tokens());
    EXPECT_TRUE(logits.ok()) << why(logits);
    return logits.ok() ? *logits : std::vector<float>{};
  }
};

TEST_P(GoldenPathsTest, EveryPath) {
  LAHAR_NEED_DATA(path, GetParam());
  const Golden golden = std::filesystem::is_directory(path)
                            ? read_hf_golden(path)
                            : read_gguf_golden(std::filesystem::path(path).replace_extension(".logits.bin"));
  for (const uint32_t chunk : {1u, 64u}) {
    std::set<std::string> asked;
    auto listener = std::make_shared<ops::Tuning>();
    listener->on_asked([&](std::string_view name, const std::string*) { asked.emplace(name); });
    const std::vector<float> usual = logits_of(path, golden, chunk, listener);
    ASSERT_FALSE(asked.empty());
    size_t others = 0;
    for (const ops::MatmulForm& form : forms_for(device(), chunk)) {
      SCOPED_TRACE("chunk " + std::to_string(chunk) + ", " + to_string(form));
      auto tuning = std::make_shared<ops::Tuning>();
      for (const std::string& name : asked) tuning->choose(name, to_string(form));
      const std::vector<float> logits = logits_of(path, golden, chunk, tuning);
      ASSERT_EQ(logits.size(), golden.logits.size());
      EXPECT_LE(normalized_error(logits, golden.logits), kError);
      others += logits != usual;
    }
    // Q8_0 has all paths: what is chosen is taken.
    if (path.filename() == "Q8_0.gguf") { EXPECT_GE(others, forms_for(device(), chunk).size() / 2); }
  }
}

// A CPU driver takes half a minute for each: some stand for all, which LAHAR_TEST_EVERY_PATH=1 runs.
std::vector<std::string> models() {
  if (std::getenv("LAHAR_TEST_EVERY_PATH") == nullptr)
    return {"golden/quant-gguf/F16.gguf", "golden/quant-gguf/Q8_0.gguf", "golden/quant-gguf/Q4_K_M.gguf",
            "golden/quant-gguf/MXFP4_MOE.gguf", "golden/quant-hf/awq-int4"};
  std::vector<std::string> all;
  for (const char* name : {"F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_S", "Q4_K_S", "Q4_K_M",
                           "Q5_K_S", "Q6_K", "IQ3_S", "IQ4_NL", "IQ4_XS", "MXFP4_MOE", "TQ1_0", "TQ2_0"})
    all.push_back(std::string("golden/quant-gguf/") + name + ".gguf");
  for (const char* name : {"awq-int4", "fp8-block", "fp8-channel", "gptq-int4", "int8-channel"})
    all.push_back(std::string("golden/quant-hf/") + name);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenPathsTest, ::testing::ValuesIn(models()),
                         [](const auto& info) { return test_name(info.param.substr(info.param.find('/') + 1)); });

}  // namespace
}  // namespace lahar::test
