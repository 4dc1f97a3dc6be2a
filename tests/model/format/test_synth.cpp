#include <algorithm>
#include <cmath>
#include <set>

#include "format/synth.h"
#include "format/synth_blocks.h"
#include "format/synth_vocabulary.h"
#include "format_test.h"
#include "quant/float_bits.h"

namespace lahar {
namespace {

float half_at(std::span<const std::byte> bytes, size_t offset) {
  uint16_t half = 0;
  std::memcpy(&half, bytes.data() + offset, sizeof(half));
  return quant::half_to_float(half);
}

// Plain decoders of the formats, written from their descriptions.
std::vector<float> decode(DType dtype, std::span<const std::byte> bytes) {
  std::vector<float> out;
  const size_t block = traits(dtype).block_bytes;
  const auto byte = [&](size_t i) { return std::to_integer<uint32_t>(bytes[i]); };
  for (size_t at = 0; at < bytes.size(); at += block) {
    switch (dtype) {
      case DType::kF32: {
        float value = 0;
        std::memcpy(&value, bytes.data() + at, sizeof(value));
        out.push_back(value);
        break;
      }
      case DType::kF16: out.push_back(half_at(bytes, at)); break;
      case DType::kQ8_0:
        for (size_t i = 0; i < 32; ++i)
          out.push_back(half_at(bytes, at) * static_cast<float>(static_cast<int8_t>(byte(at + 2 + i))));
        break;
      case DType::kQ4_0:
        for (size_t i = 0; i < 32; ++i) {
          const uint32_t q = i < 16 ? byte(at + 2 + i) & 15 : byte(at + 2 + i - 16) >> 4;
          out.push_back(half_at(bytes, at) * (static_cast<float>(q) - 8));
        }
        break;
      case DType::kQ4_K:
        for (size_t i = 0; i < 256; ++i) {
          const size_t b = i / 32, s = at + 4;
          const uint32_t scale = b < 4 ? byte(s + b) & 63 : (byte(s + 4 + b) & 15) | (byte(s + b - 4) >> 6) << 4;
          const uint32_t depth = b < 4 ? byte(s + 4 + b) & 63 : byte(s + 4 + b) >> 4 | (byte(s + b) >> 6) << 4;
          const uint32_t pair = byte(at + 16 + 32 * (b / 2) + i % 32), q = b % 2 ? pair >> 4 : pair & 15;
          out.push_back(half_at(bytes, at) * static_cast<float>(scale * q) -
                        half_at(bytes, at + 2) * static_cast<float>(depth));
        }
        break;
      default: ADD_FAILURE() << "no decoder"; return out;
    }
  }
  return out;
}

TEST(SynthBlocks, DecodeToTheStreamWithinTheFormatsPrecision) {
  constexpr size_t n = 1 << 16;
  constexpr uint64_t first = 256 * 3;
  // The largest error, in deviations of the values: half a step of the coarsest block (the values lie within 3.5
  // deviations).
  for (const auto& [dtype, tolerance] : std::vector<std::pair<DType, double>>{{DType::kF32, 1e-6},
                                                                              {DType::kF16, 2e-3},
                                                                              {DType::kQ8_0, 3.5 / 127},
                                                                              {DType::kQ4_0, 3.5 / 8},
                                                                              {DType::kQ4_K, 7.0 / 15}}) {
    std::vector<std::byte> bytes(*byte_size(dtype, n));
    detail::fill_random(dtype, 42, first, 0, 0.02f, bytes);
    const std::vector<float> values = decode(dtype, bytes);
    ASSERT_EQ(values.size(), n);
    double worst = 0, sum = 0, squares = 0, error = 0;
    for (size_t i = 0; i < n; ++i) {
      const double exact = 0.02 * detail::random_value(42, first + i);
      worst = std::max(worst, std::abs(values[i] - exact));
      error += (values[i] - exact) * (values[i] - exact);
      sum += values[i];
      squares += double{values[i]} * values[i];
    }
    EXPECT_LT(worst / 0.02, tolerance) << to_string(dtype);
    EXPECT_LT(std::sqrt(error / n) / 0.02, tolerance / 3) << to_string(dtype);
    EXPECT_NEAR(sum / n, 0, 0.02 * 5 / std::sqrt(n)) << to_string(dtype);
    EXPECT_NEAR(std::sqrt(squares / n), 0.02, 0.02 * 0.03) << to_string(dtype);
  }
}

TEST(SynthBlocks, StreamsDifferAndPiecesFitTogether) {
  std::vector<std::byte> whole(34 * 8), part(34 * 4), other(34 * 8);
  detail::fill_random(DType::kQ8_0, 1, 0, 0, 1, whole);
  detail::fill_random(DType::kQ8_0, 1, 128, 0, 1, part);
  detail::fill_random(DType::kQ8_0, 2, 0, 0, 1, other);
  EXPECT_EQ(std::memcmp(whole.data() + 34 * 4, part.data(), part.size()), 0);
  EXPECT_NE(whole, other);
}

TEST(SynthVocabulary, MergesMakeTheTokens) {
  for (const uint32_t size : {257u, 1000u, 49152u, 151936u}) {
    const auto v = detail::make_synth_vocabulary(size);
    ASSERT_EQ(v.tokens.size(), size);
    ASSERT_EQ(v.types.size(), size);
    EXPECT_EQ(v.tokens[' '], "\u0120");
    EXPECT_EQ(v.tokens['\n'], "\u010a");
    EXPECT_EQ(v.tokens['a'], "a");
    EXPECT_EQ(v.tokens.back(), "<|endoftext|>");
    EXPECT_EQ(v.types.back(), 3);
    ASSERT_EQ(v.merges.size(), size - 257);
    std::set<std::string_view> known(v.tokens.begin(), v.tokens.begin() + 256);
    EXPECT_EQ(known.size(), 256u);
    for (size_t i = 0; i < v.merges.size(); ++i) {
      const std::string_view merge = v.merges[i];
      const size_t space = merge.find(' ');
      ASSERT_NE(space, merge.npos);
      ASSERT_TRUE(known.contains(merge.substr(0, space)) && known.contains(merge.substr(space + 1))) << merge;
      ASSERT_EQ(v.tokens[256 + i], std::string(merge.substr(0, space)) + std::string(merge.substr(space + 1)));
      ASSERT_TRUE(known.insert(v.tokens[256 + i]).second) << merge;
    }
  }
}

class Synth : public test::FolderTest {};

TEST_F(Synth, MakesAModelOfTheShape) {
  const auto path = folder_ / "m.gguf";
  uint64_t last = 0, all = 0;
  SynthOptions options{.threads = 1, .progress = [&](uint64_t done, uint64_t total) {
                         EXPECT_GE(done, last);
                         last = done;
                         all = total;
                         return true;
                       }};
  const Status status = synthesize("smol-135m", "q4_0", path, options);
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(last, all);
  EXPECT_EQ(all, std::filesystem::file_size(path));
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->metadata().unsigned_integer("llama.block_count"), 30u);
  EXPECT_EQ(file->metadata().array("tokenizer.ggml.tokens")->count, 49152u);
  EXPECT_EQ(file->tensors().size(), 2u + 30u * 9u);
  EXPECT_EQ(file->find_tensor("token_embd.weight")->shape, (Shape{49152, 576}));
  EXPECT_EQ(file->find_tensor("output.weight"), nullptr);
  const TensorView* k = file->find_tensor("blk.29.attn_k.weight");
  ASSERT_NE(k, nullptr);
  EXPECT_EQ(k->shape, (Shape{192, 576}));
  EXPECT_EQ(k->dtype, DType::kQ4_0);
  const TensorView* norm = file->find_tensor("blk.0.ffn_norm.weight");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->dtype, DType::kF32);
  for (const float value : decode(DType::kF32, norm->data)) EXPECT_NEAR(value, 1, 0.2);
  uint64_t weights = 0;
  for (const TensorView& tensor : file->tensors()) weights += *tensor.shape.elements();
  EXPECT_EQ(weights, 134'515'008u);

  // The same file whatever the number of threads
  const auto other_path = folder_ / "other.gguf";
  options = {.threads = 3};
  ASSERT_TRUE(synthesize("smol-135m", "Q4_0", other_path, options).ok());
  const auto one = platform::MappedFile::open(path), three = platform::MappedFile::open(other_path);
  ASSERT_TRUE(one.ok() && three.ok());
  EXPECT_TRUE(std::ranges::equal(one->bytes(), three->bytes()));
}

TEST_F(Synth, ExpertsAreStacked) {
  const auto path = folder_ / "m.gguf";
  ASSERT_TRUE(synthesize("mixtral-small", "Q4_0", path, {}).ok());
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->metadata().unsigned_integer("llama.expert_count"), 32u);
  EXPECT_EQ(file->metadata().unsigned_integer("llama.expert_used_count"), 4u);
  ASSERT_NE(file->find_tensor("blk.11.ffn_gate_inp.weight"), nullptr);
  EXPECT_EQ(file->find_tensor("blk.11.ffn_gate_inp.weight")->shape, (Shape{32, 512}));
  ASSERT_NE(file->find_tensor("blk.0.ffn_down_exps.weight"), nullptr);
  EXPECT_EQ(file->find_tensor("blk.0.ffn_down_exps.weight")->shape, (Shape{32, 512, 256}));
  EXPECT_EQ(file->find_tensor("blk.0.ffn_gate.weight"), nullptr);
}

TEST_F(Synth, RefusalsAreClear) {
  const auto refused = [&](std::string_view shape, std::string_view format, std::string_view part) {
    const Status status = synthesize(shape, format, folder_ / "m.gguf");
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    test::expect_message(status.error(), "", part);
    EXPECT_FALSE(std::filesystem::exists(folder_ / "m.gguf"));
  };
  refused("smol-135m", "Q4_K", "a row of 576 values is not a multiple of Q4_K's block of 256");
  refused("smol", "Q4_0", "unknown shape 'smol', there are smol-135m, llama3-1b, llama3-8b, qwen3-0.6b, mixtral-small");
  refused("smol-135m", "IQ1_M", "unknown format 'IQ1_M', there are F32, F16, BF16, Q8_0, Q4_0, Q4_1");
  const Status cancelled =
      synthesize("smol-135m", "Q4_0", folder_ / "m.gguf", {.progress = [](uint64_t, uint64_t) { return false; }});
  ASSERT_FALSE(cancelled.ok());
  EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace lahar
