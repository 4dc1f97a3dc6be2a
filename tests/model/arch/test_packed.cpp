// Checkpoints that hold several weights to a word: tensors laid out by the definition of each form, against scale * (n -
// zero); and tensors that lie about their shapes.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>

#include "packed_weights.h"
#include "quant/float_bits.h"
#include "quant/tables.h"
#include "span_values.h"
#include "tiny_model.h"

namespace lahar {

namespace {

using nlohmann::json;
using quant::WeightFormat;
using test::TinyTensor;

constexpr uint32_t kRows = 24, kCols = 192;

// Weights before they are packed: n [rows][cols], zeros and fp16 scales [rows][groups].
struct Weights {
  uint32_t bits, group, groups;
  std::vector<uint32_t> n, zeros, group_of;
  std::vector<float> scales;

  Weights(uint32_t bits, uint32_t group, bool symmetric, bool shuffled = false)
      : bits(bits), group(group), groups(kCols / group) {
    std::mt19937 random(bits * 100 + group + symmetric);
    for (uint32_t i = 0; i < kRows * kCols; ++i) n.push_back(random() % (1u << bits));
    for (uint32_t i = 0; i < kRows * groups; ++i) {
      // In the first form of GPTQ a zero point of 0 spoils its neighbours.
      zeros.push_back(symmetric ? 1u << (bits - 1) : 1 + random() % ((1u << bits) - 1));
      scales.push_back(quant::half_to_float(static_cast<uint16_t>(0x2000 + random() % 0x800)));
    }
    for (uint32_t c = 0; c < kCols; ++c) group_of.push_back(c / group);
    if (shuffled) std::shuffle(group_of.begin(), group_of.end(), random);
  }
  float value(uint32_t r, uint32_t c) const {
    const uint32_t g = r * groups + group_of[c];
    return scales[g] * (static_cast<float>(n[r * kCols + c]) - static_cast<float>(zeros[g]));
  }
};

template <typename T>
TinyTensor tensor(const std::string& name, DType dtype, const Shape& shape, const std::vector<T>& values) {
  TinyTensor t{name, dtype, shape, {}};
  t.data.resize(values.size() * sizeof(T));
  std::memcpy(t.data.data(), values.data(), t.data.size());
  return t;
}

// [outer][inner] of what value() gives, the `bits` of place(i) of each 32 / bits neighbours along the inner dimension.
std::vector<uint32_t> words(
    uint32_t outer, uint32_t inner, uint32_t bits, const std::function<uint32_t(uint32_t, uint32_t)>& value,
    const std::function<uint32_t(uint32_t)>& place = [](uint32_t i) { return i; }) {
  const uint32_t in_word = 32 / bits;
  std::vector<uint32_t> out(outer * inner / in_word);
  for (uint32_t o = 0; o < outer; ++o)
    for (uint32_t i = 0; i < inner; ++i) out[(o * inner + i) / in_word] |= value(o, i) << bits * place(i % in_word);
  return out;
}
std::vector<uint32_t> flipped(const std::vector<uint32_t>& in, uint32_t rows) {
  std::vector<uint32_t> out;
  for (size_t c = 0; c < in.size() / rows; ++c)
    for (uint32_t r = 0; r < rows; ++r) out.push_back(in[r * (in.size() / rows) + c]);
  return out;
}
std::vector<uint16_t> halves(const Weights& w, bool groups_outside) {
  std::vector<uint16_t> out;
  for (uint32_t i = 0; i < kRows * w.groups; ++i) {
    const uint32_t at = groups_outside ? i % kRows * w.groups + i / kRows : i;
    out.push_back(quant::float_to_half(w.scales[at]));
  }
  return out;
}

std::vector<TinyTensor> awq(const Weights& w) {
  // The order in which AWQ's words hold eight neighbours: 0 2 4 6 1 3 5 7 from the lowest nibble up.
  const auto place = [](uint32_t i) { return std::array<uint32_t, 8>{0, 4, 1, 5, 2, 6, 3, 7}[i]; };
  const auto n = words(
      kCols, kRows, 4, [&](uint32_t c, uint32_t r) { return w.n[r * kCols + c]; }, place);
  const auto z = words(
      w.groups, kRows, 4, [&](uint32_t g, uint32_t r) { return w.zeros[r * w.groups + g]; }, place);
  return {tensor("p.qweight", DType::kI32, {kCols, kRows / 8}, n), tensor("p.qzeros", DType::kI32, {w.groups, kRows / 8}, z),
          tensor("p.scales", DType::kF16, {w.groups, kRows}, halves(w, true))};
}

std::vector<TinyTensor> gptq(const Weights& w, uint32_t less) {
  const uint32_t in_word = 32 / w.bits;
  const auto n = flipped(words(kRows, kCols, w.bits, [&](uint32_t r, uint32_t c) { return w.n[r * kCols + c]; }), kRows);
  const auto z = words(w.groups, kRows, w.bits, [&](uint32_t g, uint32_t r) { return w.zeros[r * w.groups + g] - less; });
  return {tensor("p.qweight", DType::kI32, {kCols / in_word, kRows}, n),
          tensor("p.qzeros", DType::kI32, {w.groups, kRows / in_word}, z),
          tensor("p.scales", DType::kF16, {w.groups, kRows}, halves(w, true)),
          tensor("p.g_idx", DType::kI32, {kCols}, w.group_of)};
}

std::vector<TinyTensor> compressed(const Weights& w, bool zeros) {
  const uint32_t in_word = 32 / w.bits;
  std::vector<TinyTensor> all = {
      tensor("p.weight_packed", DType::kI32, {kRows, kCols / in_word},
             words(kRows, kCols, w.bits, [&](uint32_t r, uint32_t c) { return w.n[r * kCols + c]; })),
      tensor("p.weight_scale", DType::kF16, {kRows, w.groups}, halves(w, false)),
      tensor("p.weight_shape", DType::kI64, {2}, std::vector<int64_t>{kRows, kCols})};
  if (zeros)
    all.push_back(
        tensor("p.weight_zero_point", DType::kI32, {kRows / in_word, w.groups},
               flipped(words(w.groups, kRows, w.bits, [&](uint32_t g, uint32_t r) { return w.zeros[r * w.groups + g]; }),
                       w.groups)));
  return all;
}

std::vector<TinyTensor> bytes(const Weights& w) {
  std::vector<int8_t> n, z;
  for (const uint32_t v : w.n) n.push_back(static_cast<int8_t>(static_cast<int>(v) - 128));
  for (const uint32_t v : w.zeros) z.push_back(static_cast<int8_t>(static_cast<int>(v) - 128));
  return {tensor("p.weight", DType::kI8, {kRows, kCols}, n), tensor("p.weight_zero_point", DType::kI8, {kRows, w.groups}, z),
          tensor("p.weight_scale", DType::kF16, {kRows, w.groups}, halves(w, false))};
}

json config(const std::string& text) { return {{"model_type", "llama"}, {"quantization_config", json::parse(text)}}; }
const char* const kAwq = R"({"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": true, "version": "gemm"})";
const char* const kGptq = R"({"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": false})";
const char* const kCompressed = R"({"quant_method": "compressed-tensors", "format": "pack-quantized"})";

// What find_packed() makes of a checkpoint, and the weights that the planes hold.
struct Found {
  std::optional<Error> error;
  WeightFormat format = WeightFormat::kCount;
  std::vector<float> values;
};

Found find(const std::string& quantization, const std::vector<TinyTensor>& tensors) {
  const test::TemporaryFolder folder;
  test::write_folder(folder.path(), config(quantization), tensors);
  auto source = ModelSource::open(folder.path());
  Found found;
  if (!source.ok()) return found.error = source.error(), found;
  auto read = read_hf_quantization(**source);
  if (!read.ok()) return found.error = read.error(), found;
  auto piece = find_packed(**source, *read, "p", kRows, kCols);
  if (!piece.ok()) return found.error = piece.error(), found;
  if (!piece->has_value()) return found.error = Error{ErrorCode::kNotFound, "nothing packed"}, found;
  const PackedFormat format = packed_format(**piece);
  MatrixPlan plan;
  plan.format = found.format = format.format;
  plan.rows = kRows, plan.cols = kCols, plan.group = format.group;
  plan.layout = quant::layout(plan.format, kRows, kCols, plan.group).value();
  // In two spans, the second of which begins inside of a word.
  for (const auto& [first, rows] : {std::pair<uint32_t, uint32_t>{0, 3}, {3, kRows - 3}}) {
    std::vector<float> values;
    const RowSpan span{&**piece, first, rows, first};
    const Status status = test::span_values({}, plan, span, values);
    if (!status.ok()) return found.error = status.error(), found;
    found.values.insert(found.values.end(), values.begin(), values.end());
  }
  return found;
}

void expect_values(const Found& found, WeightFormat format, const Weights& w) {
  ASSERT_FALSE(found.error) << found.error->message;
  EXPECT_EQ(found.format, format) << to_string(found.format);
  for (uint32_t r = 0; r < kRows; ++r)
    for (uint32_t c = 0; c < kCols; ++c) {
      float expected = w.value(r, c);
      if (format == WeightFormat::kF16) expected = quant::half_to_float(quant::float_to_half(expected));
      ASSERT_EQ(found.values[r * kCols + c], expected) << r << " " << c;
    }
}

TEST(Packed, Awq) {
  const Weights w(4, 64, false);
  expect_values(find(kAwq, awq(w)), WeightFormat::kI4, w);
}

TEST(Packed, GptqInBothForms) {
  const Weights w(4, 64, false);
  expect_values(find(kGptq, gptq(w, 1)), WeightFormat::kI4, w);
  expect_values(
      find(R"({"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": false, "checkpoint_format": "gptq_v2"})",
           gptq(w, 0)),
      WeightFormat::kI4, w);
  const Weights rows(4, kCols, false);
  expect_values(find(R"({"quant_method": "gptq", "bits": 4, "group_size": -1, "sym": false})", gptq(rows, 1)),
                WeightFormat::kI4, rows);
}

TEST(Packed, SymmetricGptqWhateverItsZeroPoints) {
  const char* const symmetric = R"({"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": true})";
  const Weights w(4, 64, true);
  expect_values(find(symmetric, gptq(w, 1)), WeightFormat::kI4, w);
  expect_values(find(symmetric, gptq(w, 0)), WeightFormat::kI4, w);
}

TEST(Packed, GptqOfEightBits) {
  const char* const eight = R"({"quant_method": "gptq", "bits": 8, "group_size": 64, "sym": false})";
  const Weights symmetric(8, 64, true), w(8, 64, false);
  expect_values(find(eight, gptq(symmetric, 1)), WeightFormat::kI8, symmetric);
  expect_values(find(eight, gptq(w, 1)), WeightFormat::kF16, w);
}

TEST(Packed, ActOrderIsExpanded) {
  const Weights w(4, 64, false, true);
  expect_values(find(kGptq, gptq(w, 1)), WeightFormat::kF16, w);
}

TEST(Packed, GroupsThatUnitsStraddleAreExpanded) {
  const Weights w(4, 16, false);
  expect_values(find(R"({"quant_method": "gptq", "bits": 4, "group_size": 16, "sym": false})", gptq(w, 1)),
                WeightFormat::kF16, w);
}

TEST(Packed, CompressedTensors) {
  const Weights symmetric(4, 32, true), w(4, 32, false), symmetric8(8, 64, true), w8(8, 64, false);
  expect_values(find(kCompressed, compressed(symmetric, false)), WeightFormat::kI4, symmetric);
  expect_values(find(kCompressed, compressed(w, true)), WeightFormat::kI4, w);
  expect_values(find(kCompressed, compressed(symmetric8, false)), WeightFormat::kI8, symmetric8);
  expect_values(find(kCompressed, compressed(w8, true)), WeightFormat::kF16, w8);
  expect_values(find(kCompressed, bytes(w8)), WeightFormat::kF16, w8);
  const Weights shuffled(4, 32, true, true);
  auto ordered = compressed(shuffled, false);
  ordered.push_back(tensor("p.weight_g_idx", DType::kI32, {kCols}, shuffled.group_of));
  expect_values(find(kCompressed, ordered), WeightFormat::kF16, shuffled);
}

TEST(Packed, Fp4Pairs) {
  std::mt19937 random(3);
  std::vector<uint8_t> pairs(kRows * kCols / 2), powers(kRows * kCols / 32);
  for (uint8_t& v : pairs) v = static_cast<uint8_t>(random());
  for (uint8_t& v : powers) v = static_cast<uint8_t>(118 + random() % 8);
  const TinyTensor blocks = tensor("p_blocks", DType::kU8, {kRows, kCols / 32, 16}, pairs);
  const TinyTensor packed = tensor("p.weight_packed", DType::kU8, {kRows, kCols / 2}, pairs);
  const std::vector<TinyTensor> forms[] = {{blocks, tensor("p_scales", DType::kU8, {kRows, kCols / 32}, powers)},
                                           {packed, tensor("p.weight_scale", DType::kU8, {kRows, kCols / 32}, powers)}};
  for (const auto& tensors : forms) {
    const Found found = find(R"({"quant_method": "mxfp4"})", tensors);
    ASSERT_FALSE(found.error) << found.error->message;
    EXPECT_EQ(found.format, WeightFormat::kMXFP4);
    for (uint32_t i = 0; i < kRows * kCols; ++i) {
      const uint32_t nibble = pairs[i / 2] >> 4 * (i % 2) & 15;
      const float value = std::ldexp(quant::kE2m1Values[nibble & 7], powers[i / 32] - 127);
      ASSERT_EQ(found.values[i], nibble & 8 ? -value : value) << i;
    }
  }
}

TEST(Packed, LiesAreNamed) {
  const Weights w(4, 64, false), w8(8, 64, false);
  const std::pair<const char*, std::vector<TinyTensor>> checkpoints[] = {
      {kAwq, awq(w)}, {kGptq, gptq(w, 1)}, {kCompressed, compressed(w, true)}, {kCompressed, bytes(w8)}};
  for (const auto& [quantization, tensors] : checkpoints) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      SCOPED_TRACE(tensors[i].name);
      const auto refused = [&, &quantization = quantization, &tensors = tensors](const auto& change) {
        auto changed = tensors;
        change(changed[i]);
        const Found found = find(quantization, changed);
        ASSERT_TRUE(found.error);
        EXPECT_EQ(found.error->code, ErrorCode::kFormat) << found.error->message;
        EXPECT_NE(found.error->message.find("'p"), std::string::npos) << found.error->message;
      };
      // Half of the data, with a shape that says so; another rank; another type of the same size.
      refused([](TinyTensor& t) {
        Shape shape{t.shape[0] / 2};
        for (size_t d = 1; d < t.shape.rank(); ++d) shape.push_back(t.shape[d]);
        t.data.resize(t.data.size() * shape[0] / t.shape[0]);
        t.shape = shape;
      });
      refused([](TinyTensor& t) { t.shape = t.shape.rank() == 1 ? Shape{1, t.shape[0]} : Shape{t.shape[0] * t.shape[1]}; });
      refused([](TinyTensor& t) {
        t.dtype = t.dtype == DType::kI32   ? DType::kF32
                  : t.dtype == DType::kF16 ? DType::kI16
                  : t.dtype == DType::kI64 ? DType::kF64
                                           : DType::kBool;
      });
    }
  }
  auto gone = awq(w);
  gone.erase(gone.begin() + 1);
  EXPECT_NE(find(kAwq, gone).error->message.find("'p.qzeros': is missing"), std::string::npos);
  auto beyond = gptq(w, 1);
  beyond[3].data[kCols * 4 - 4] = std::byte{3};
  EXPECT_NE(find(kGptq, beyond).error->message.find("column 191 is of group 3, there are 3"), std::string::npos);
  auto infinite = gptq(w, 1);
  infinite[2].data[1] = std::byte{0x7c};
  EXPECT_NE(find(kGptq, infinite).error->message.find("a scale is not finite"), std::string::npos);
}

TEST(Packed, FormsThatAreNotThereAreNamed) {
  const auto message = [](const char* text) { return find(text, awq(Weights(4, 64, true))).error->message; };
  EXPECT_NE(message(R"({"quant_method": "aqlm"})").find("'aqlm'"), std::string::npos);
  EXPECT_NE(message(R"({"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemv"})").find("'gemv'"),
            std::string::npos);
  EXPECT_NE(message(R"({"quant_method": "gptq", "bits": 3, "group_size": 64})").find("bits: 3"), std::string::npos);
  EXPECT_NE(message(R"({"quant_method": "gptq", "bits": 4, "group_size": 0})").find("group_size"), std::string::npos);
  EXPECT_NE(
      message(R"({"quant_method": "gptq", "bits": 4, "group_size": 64, "checkpoint_format": "marlin"})").find("'marlin'"),
      std::string::npos);
  EXPECT_NE(message(R"({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"})").find("'nvfp4"),
            std::string::npos);
}

}  // namespace

}  // namespace lahar
