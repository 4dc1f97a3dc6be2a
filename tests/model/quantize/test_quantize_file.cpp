// Whole files: what is written, and what is left where it is not.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>

#include "format/gguf_types.h"
#include "quant/replane.h"
#include "quantize/quantize_file.h"
#include "tiny_model.h"
#include "weight_plan.h"
#include "weight_reader.h"

namespace lahar {
namespace {

class QuantizeFile : public testing::Test {
 protected:
  std::filesystem::path path(const char* name) const { return folder_.path() / name; }

  std::filesystem::path write_source(test::TinyLlama& model) const {
    const auto bytes = model.bytes();
    std::ofstream(path("in.gguf"), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return path("in.gguf");
  }

  // The error's message; empty where there is none.
  static std::string quantize(const std::filesystem::path& in, const std::filesystem::path& out, DType type,
                              const QuantizeOptions& options = {}) {
    auto source = ModelSource::open(in);
    if (!source) return source.error().message;
    const auto plan = plan_quantization(**source, type, {});
    if (!plan) return plan.error().message;
    const Status status = quantize_file(**source, *plan, out, options);
    return status.ok() ? "" : status.error().message;
  }

  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  const test::TemporaryFolder folder_;
};

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// With its scales, where it has any.
std::vector<float> values_of(const ModelSource& source, const std::string& name) {
  const TensorView* tensor = source.find_tensor(name);
  EXPECT_NE(tensor, nullptr) << name;
  std::vector<float> out(*tensor->shape.elements());
  EXPECT_TRUE(quant::to_floats(tensor->dtype, tensor->data, out).ok());
  const TensorView* scales = source.find_tensor(fp8_scale_name(name));
  if (scales == nullptr) return out;
  const size_t cols = tensor->shape.back(), groups = scales->shape.back();
  for (size_t i = 0; i < out.size(); ++i) {
    float scale = 0;
    std::memcpy(&scale, scales->data.data() + (i / cols * groups + i % cols / kGgufFp8Group) * sizeof scale, sizeof scale);
    out[i] *= scale;
  }
  return out;
}

// Relative to the values' own size.
double error_between(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) error += std::pow(a[i] - b[i], 2), size += std::pow(a[i], 2);
  return std::sqrt(error / size);
}

TEST_F(QuantizeFile, EveryTypeKeepsTheWeights) {
  test::TinyLlama model;
  model.tensor("blk.0.ffn_down.weight") = test::random_tensor("blk.0.ffn_down.weight", {64, 512}, DType::kBF16);
  const auto in = write_source(model);
  const auto before = ModelSource::open(in);
  for (const std::string_view name : quantize_types()) {
    const DType type = *quantize_type(name);
    ASSERT_EQ(quantize(in, path("out.gguf"), type), "");
    const auto after = ModelSource::open(path("out.gguf"));
    ASSERT_TRUE(after.ok()) << after.error().message;
    const bool coarse = traits(type).block_bytes * 8 < 6 * traits(type).block_values;
    for (const TensorView& t : (*before)->tensors()) {
      const double most = t.shape.rank() < 2 ? 0 : coarse ? 0.14 : 0.03;
      EXPECT_LE(error_between(values_of(**before, t.name), values_of(**after, t.name)), most) << name << " " << t.name;
    }
    EXPECT_EQ((*after)->find_tensor("blk.0.ffn_down.weight")->dtype, type);
    EXPECT_EQ((*after)->find_tensor("blk.0.attn_norm.weight")->dtype, DType::kF32);
    const auto& metadata = (*after)->gguf()->metadata();
    const auto file_type = detail::gguf_file_type(type);
    EXPECT_EQ(metadata.unsigned_integer("general.file_type"),
              file_type ? std::optional<uint64_t>(*file_type) : std::nullopt);
    EXPECT_EQ(metadata.unsigned_integer("general.quantization_version"), 2u);
  }
}

TEST_F(QuantizeFile, MetadataStaysAsItIs) {
  test::TinyLlama model;
  const std::vector<std::string> tokens{"a", "", "\xff\xfe"};
  model.metadata.add("tokenizer.ggml.tokens", tokens);
  model.metadata.add("test.flag", true);
  model.metadata.add("test.scores", std::span<const float>(std::vector<float>{1, -2, 3}));
  model.metadata.add("general.file_type", uint32_t{0});
  model.metadata.add("split.no", uint32_t{0});
  model.metadata.set_alignment(64);
  // An array of arrays: {{7}}
  const auto nested = [](std::initializer_list<uint64_t> words) {
    std::vector<std::byte> out;
    size_t i = 0;
    for (const uint64_t w : words) {
      const size_t size = i++ % 2 == 0 ? 4 : 8;  // type, count, type, count
      out.insert(out.end(), reinterpret_cast<const std::byte*>(&w), reinterpret_cast<const std::byte*>(&w) + size);
    }
    return out;
  }({9, 1, 4, 1, 7});
  model.metadata.add_raw("test.nested", GgufType::kArray, nested);
  const auto in = write_source(model);
  ASSERT_EQ(quantize(in, path("out.gguf"), DType::kQ8_0), "");
  const auto before = GgufFile::open(in), after = GgufFile::open(path("out.gguf"));
  ASSERT_TRUE(after.ok()) << after.error().message;
  for (const GgufEntry& entry : before->metadata().entries()) {
    const GgufEntry* kept = after->metadata().find(entry.key);
    if (entry.key == "split.no") {
      EXPECT_EQ(kept, nullptr);
      continue;
    }
    ASSERT_NE(kept, nullptr) << entry.key;
    EXPECT_EQ(kept->type, entry.type) << entry.key;
    if (entry.key == "general.file_type") continue;
    EXPECT_TRUE(std::equal(kept->encoded.begin(), kept->encoded.end(), entry.encoded.begin(), entry.encoded.end()))
        << entry.key;
  }
  EXPECT_EQ(after->metadata().unsigned_integer("general.file_type"), 7u);
}

TEST_F(QuantizeFile, TheSameForAnyNumberOfThreads) {
  test::TinyLlama model;
  const auto in = write_source(model);
  ASSERT_EQ(quantize(in, path("one.gguf"), DType::kIQ4_NL, {.threads = 1}), "");
  ASSERT_EQ(quantize(in, path("seven.gguf"), DType::kIQ4_NL, {.threads = 7}), "");
  EXPECT_EQ(contents(path("one.gguf")), contents(path("seven.gguf")));
}

TEST_F(QuantizeFile, ADryRunKnowsTheSizeAndWritesNothing) {
  test::TinyLlama model;
  const auto in = write_source(model);
  for (const DType type : {DType::kQ4_0, DType::kF8E4M3}) {
    const auto source = ModelSource::open(in);
    const auto plan = plan_quantization(**source, type, {});
    const auto writer = quantized_file(**source, *plan, {});
    const auto size = writer->file_size();
    ASSERT_TRUE(size.ok());
    EXPECT_EQ(files(), std::vector<std::string>{"in.gguf"});
    ASSERT_EQ(quantize(in, path("out.gguf"), type), "");
    EXPECT_EQ(std::filesystem::file_size(path("out.gguf")), *size);
    std::filesystem::remove(path("out.gguf"));
  }
}

TEST_F(QuantizeFile, NeverOntoItsSource) {
  test::TinyLlama model;
  const auto in = write_source(model);
  std::filesystem::create_symlink(in, path("link.gguf"));
  const std::string before = contents(in);
  for (const char* out : {"in.gguf", "./in.gguf", "link.gguf"})
    EXPECT_NE(quantize(in, path(out), DType::kQ8_0).find("is the file that is read"), std::string::npos) << out;
  EXPECT_EQ(contents(in), before);
  EXPECT_EQ(files(), (std::vector<std::string>{"in.gguf", "link.gguf"}));
}

TEST_F(QuantizeFile, ACancelLeavesWhatWasThere) {
  test::TinyLlama model;
  const auto in = write_source(model);
  std::ofstream(path("out.gguf")) << "old";
  QuantizeOptions options;
  uint64_t calls = 0;
  options.progress = [&](uint64_t done, uint64_t total) { return ++calls < 5 && done < total; };
  EXPECT_NE(quantize(in, path("out.gguf"), DType::kQ8_0, options).find("cancelled"), std::string::npos);
  EXPECT_EQ(calls, 5u);
  EXPECT_EQ(contents(path("out.gguf")), "old");
  EXPECT_EQ(files(), (std::vector<std::string>{"in.gguf", "out.gguf"}));
}

TEST_F(QuantizeFile, ADiskThatIsFullLeavesNothing) {
  test::TinyLlama model;
  const auto in = write_source(model);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit low{16384, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  const std::string error = quantize(in, path("out.gguf"), DType::kQ8_0);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(error.find("cannot be written"), std::string::npos) << error;
  EXPECT_EQ(files(), std::vector<std::string>{"in.gguf"});
}

TEST_F(QuantizeFile, AWeightThatIsNoNumberIsNamed) {
  test::TinyLlama model;
  const float bad = NAN;
  std::memcpy(model.tensor("blk.1.attn_k.weight").data.data() + (5 * 64 + 3) * sizeof bad, &bad, sizeof bad);
  const std::string error = quantize(write_source(model), path("out.gguf"), DType::kQ4_0);
  EXPECT_NE(error.find("'blk.1.attn_k.weight': row 5"), std::string::npos) << error;
  EXPECT_EQ(files(), std::vector<std::string>{"in.gguf"});
}

TEST_F(QuantizeFile, ATruncatedSourceIsAnError) {
  test::TinyLlama model;
  const auto in = write_source(model);
  const auto size = std::filesystem::file_size(in);
  for (const auto part : {size - 64, size / 2, size / 100, uintmax_t{10}, uintmax_t{0}}) {
    std::filesystem::resize_file(in, part);
    EXPECT_NE(quantize(in, path("out.gguf"), DType::kQ8_0), "") << part;
    EXPECT_EQ(files(), std::vector<std::string>{"in.gguf"});
  }
}

TEST_F(QuantizeFile, ImportanceDecidesWhereTheErrorGoes) {
  test::TinyLlama model;
  const auto in = write_source(model);
  std::vector<std::byte> bytes;
  const std::string name = "blk.0.attn_q.weight";
  const auto put = [&](const void* data, size_t size) {
    const auto* from = static_cast<const std::byte*>(data);
    bytes.insert(bytes.end(), from, from + size);
  };
  const int32_t one = 1, length = static_cast<int32_t>(name.size()), cols = 64;
  put(&one, 4), put(&length, 4), put(name.data(), name.size()), put(&one, 4), put(&cols, 4);
  std::vector<float> sums(64, 0.01f);
  for (size_t i = 0; i < 64; i += 4) sums[i] = 1;
  put(sums.data(), 256);
  const auto matrix = ImportanceMatrix::from_bytes(bytes, "m");
  ASSERT_TRUE(matrix.ok()) << matrix.error().message;
  ASSERT_EQ(quantize(in, path("with.gguf"), DType::kQ4_0, {.importance = &*matrix}), "");
  ASSERT_EQ(quantize(in, path("without.gguf"), DType::kQ4_0), "");
  const auto source = ModelSource::open(in);
  const auto weighted = [&](const char* file) {
    const auto exact = values_of(**source, name), found = values_of(**ModelSource::open(path(file)), name);
    double sum = 0;
    for (size_t i = 0; i < exact.size(); ++i) sum += sums[i % 64] * std::pow(exact[i] - found[i], 2);
    return sum;
  };
  EXPECT_LT(weighted("with.gguf"), weighted("without.gguf") * 0.9);
}

// Llama whose feed-forward width takes three groups of fp8 scales, the last one shorter.
test::TinyLlama wide_llama() {
  test::TinyLlama model;
  model.metadata = GgufWriter();
  model.metadata.add("general.architecture", "llama");
  for (const auto& [key, value] : {std::pair<const char*, uint32_t>{"block_count", 2},
                                   {"context_length", 128},
                                   {"embedding_length", 64},
                                   {"feed_forward_length", 320},
                                   {"attention.head_count", 4},
                                   {"attention.head_count_kv", 2}})
    model.metadata.add(std::string("llama.") + key, value);
  model.metadata.add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    model.tensor(layer + "ffn_down.weight") = test::random_tensor(layer + "ffn_down.weight", {64, 320});
    for (const std::string name : {"ffn_gate.weight", "ffn_up.weight"})
      model.tensor(layer + name) = test::random_tensor(layer + name, {320, 64});
  }
  return model;
}

// What the loader reads of tensor `name`, which is a part of `linear`.
std::vector<float> loaded(const WeightPlan& plan, const LinearPlan& linear, const std::string& name) {
  std::vector<float> out, scales;
  for (const MatrixPlan& matrix : linear.parts) {
    EXPECT_EQ(matrix.format, quant::WeightFormat::kF8);
    const uint32_t groups = quant::groups_in_row(matrix.cols, matrix.group);
    for (const RowSpan& span : row_spans(matrix, 3000)) {
      if (span.piece->tensor->name != name) continue;
      EXPECT_TRUE(read_scales(plan.data(), matrix, span, scales).ok());
      std::vector<float> values(size_t{span.rows} * matrix.cols);
      std::vector<std::byte> scratch;
      EXPECT_TRUE(quant::to_floats(DType::kF8E4M3, file_rows(span, scratch), values).ok());
      for (size_t i = 0; i < values.size(); ++i)
        out.push_back(values[i] * scales[i / matrix.cols * groups + i % matrix.cols / matrix.group]);
    }
  }
  return out;
}

// The loader takes fp8 with its scales from a GGUF as it does from safetensors, and the tool decodes it again.
TEST_F(QuantizeFile, Fp8IsLoaded) {
  test::TinyLlama model = wide_llama();
  const auto in = write_source(model);
  ASSERT_EQ(quantize(in, path("f8.gguf"), DType::kF8E4M3), "");
  const auto exact = ModelSource::open(in), source = ModelSource::open(path("f8.gguf"));
  EXPECT_EQ((*source)->find_tensor("blk.0.ffn_down.weight_scale")->shape, (Shape{64, 3}));
  const auto spec = read_model_spec(**source);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  const auto plan = WeightPlan::make(**source, *spec, Quantize::kNone, {});
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  const LayerPlan& layer = plan->data().layers[1];
  for (const auto& [linear, name] : {std::pair<const LinearPlan*, std::string>{&layer.qkv, "blk.1.attn_k.weight"},
                                     {&layer.down, "blk.1.ffn_down.weight"},
                                     {&plan->data().embedding, "token_embd.weight"}}) {
    const auto values = loaded(*plan, *linear, name), expected = values_of(**exact, name);
    ASSERT_EQ(values.size(), expected.size()) << name;
    EXPECT_LT(error_between(expected, values), 0.03) << name;
  }
  ASSERT_EQ(quantize(path("f8.gguf"), path("f16.gguf"), DType::kF16), "");
  const auto again = ModelSource::open(path("f16.gguf"));
  EXPECT_EQ((*again)->find_tensor("blk.1.ffn_down.weight_scale"), nullptr);
  EXPECT_LT(error_between(values_of(**exact, "blk.1.ffn_down.weight"), values_of(**again, "blk.1.ffn_down.weight")), 0.03);
  ASSERT_EQ(quantize(path("f8.gguf"), path("copy.gguf"), DType::kF8E4M3), "");
  EXPECT_EQ(contents(path("copy.gguf")), contents(path("f8.gguf")));
}

}  // namespace
}  // namespace lahar
