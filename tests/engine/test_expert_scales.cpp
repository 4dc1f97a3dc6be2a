// A scale of what each expert gives, with weights of any type: a power of two times the expert's weights is the same model,
// to the last bit.
#include <cmath>
#include <cstring>

#include "../model/arch/tiny_model.h"
#include "engine/engine_test.h"

namespace lahar::test {
namespace {

constexpr float kScales[TinyMoe::kExperts] = {1, 2, 0.5f, 4};

class ExpertScales : public GpuTest, public ::testing::WithParamInterface<DType> {
 protected:
  // Of random tokens, many at a time or one by one.
  std::vector<float> logits_of(TinyMoe& model, ops::Precision precision, uint32_t chunk) {
    const auto bytes = model.bytes();
    auto source = ModelSource::from_memory(bytes, "tiny.gguf");
    EXPECT_TRUE(source.ok()) << why(source);
    OpenOptions options;
    options.engine.context = 64;
    options.engine.precision = precision;
    options.engine.chunk = chunk;
    options.engine.all_logits = true;
    auto engine = open_engine(device().shared_from_this(), **source, options);
    EXPECT_TRUE(engine.ok()) << why(engine);
    if (!engine.ok()) return {};
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < 40; ++i) tokens.push_back(i * 37 % 80);
    const auto logits = all_logits(**engine, tokens);
    EXPECT_TRUE(logits.ok()) << why(logits);
    return logits.ok() ? *logits : std::vector<float>{};
  }
};

// Values that every type holds as well times a power of two: no type's smallest numbers.
TinyTensor down_of(const std::string& layer, DType type, bool multiplied) {
  TinyTensor tensor = random_tensor(layer + "ffn_down_exps.weight", {TinyMoe::kExperts, 64, TinyMoe::kWidth});
  std::vector<float> values(tensor.data.size() / sizeof(float));
  std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = std::round(values[i] * 1024) / 1024 * (multiplied ? kScales[i * TinyMoe::kExperts / values.size()] : 1);
  std::memcpy(tensor.data.data(), values.data(), tensor.data.size());
  return encoded(tensor, type);
}

TEST_P(ExpertScales, AreFactorsOfTheWeights) {
  TinyMoe scaled(TinyMoe::kExperts, 2), multiplied(TinyMoe::kExperts, 2), plain(TinyMoe::kExperts, 2);
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    scaled.tensors.push_back(values_tensor(layer + "ffn_down_exps.scale", {std::begin(kScales), std::end(kScales)}));
    for (TinyMoe* model : {&scaled, &multiplied, &plain})
      model->tensor(layer + "ffn_down_exps.weight") = down_of(layer, GetParam(), model == &multiplied);
  }
  for (const ops::Precision precision : {ops::Precision::kF32, ops::Precision::kDefault})
    for (const uint32_t chunk : {1u, 64u}) {
      SCOPED_TRACE("chunk " + std::to_string(chunk));
      const std::vector<float> found = logits_of(scaled, precision, chunk);
      EXPECT_EQ(found, logits_of(multiplied, precision, chunk));
      EXPECT_NE(found, logits_of(plain, precision, chunk));
    }
}

std::string type_name(const ::testing::TestParamInfo<DType>& info) { return std::string(to_string(info.param)); }

INSTANTIATE_TEST_SUITE_P(Types, ExpertScales, ::testing::Values(DType::kF32, DType::kF16, DType::kQ8_0, DType::kQ4_0),
                         type_name);

}  // namespace
}  // namespace lahar::test
