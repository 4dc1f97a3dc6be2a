#include "format/synth.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numbers>
#include <string>
#include <thread>

#include "core/quote.h"
#include "format/gguf_types.h"
#include "format/synth_blocks.h"
#include "format/synth_vocabulary.h"

namespace lahar {
namespace {

struct SynthShape {
  std::string_view name;
  std::string_view architecture;  // as GGUF names it
  std::string_view pre;           // pre-tokenizer, as GGUF names it
  uint32_t layers, hidden, heads, kv_heads, head_dim, ffn, vocab, context;
  float rope_theta, norm_epsilon;
  bool tied = false;                       // the embedding is the output matrix too
  bool qk_norm = false;                    // a norm over each head's queries and keys
  float rope_stretch = 1;                  // the factor of llama 3's frequency scaling
  uint32_t experts = 0, experts_used = 0;  // 0: one feed-forward block; else so many of width ffn
};

// From the config.json of SmolLM-135M, Llama-3.2-1B, Meta-Llama-3-8B and Qwen3-0.6B; the last is a mixture of experts as
// Mixtral is one, in small.
constexpr SynthShape kShapes[] = {
    {.name = "smol-135m",
     .architecture = "llama",
     .pre = "gpt-2",
     .layers = 30,
     .hidden = 576,
     .heads = 9,
     .kv_heads = 3,
     .head_dim = 64,
     .ffn = 1536,
     .vocab = 49152,
     .context = 2048,
     .rope_theta = 1e4f,
     .norm_epsilon = 1e-5f,
     .tied = true},
    {.name = "llama3-1b",
     .architecture = "llama",
     .pre = "llama-bpe",
     .layers = 16,
     .hidden = 2048,
     .heads = 32,
     .kv_heads = 8,
     .head_dim = 64,
     .ffn = 8192,
     .vocab = 128256,
     .context = 131072,
     .rope_theta = 5e5f,
     .norm_epsilon = 1e-5f,
     .tied = true,
     .rope_stretch = 32},
    {.name = "llama3-8b",
     .architecture = "llama",
     .pre = "llama-bpe",
     .layers = 32,
     .hidden = 4096,
     .heads = 32,
     .kv_heads = 8,
     .head_dim = 128,
     .ffn = 14336,
     .vocab = 128256,
     .context = 8192,
     .rope_theta = 5e5f,
     .norm_epsilon = 1e-5f},
    {.name = "qwen3-0.6b",
     .architecture = "qwen3",
     .pre = "qwen2",
     .layers = 28,
     .hidden = 1024,
     .heads = 16,
     .kv_heads = 8,
     .head_dim = 128,
     .ffn = 3072,
     .vocab = 151936,
     .context = 40960,
     .rope_theta = 1e6f,
     .norm_epsilon = 1e-6f,
     .tied = true,
     .qk_norm = true},
    {.name = "mixtral-small",
     .architecture = "llama",
     .pre = "gpt-2",
     .layers = 12,
     .hidden = 512,
     .heads = 8,
     .kv_heads = 8,
     .head_dim = 64,
     .ffn = 256,
     .vocab = 32000,
     .context = 4096,
     .rope_theta = 1e6f,
     .norm_epsilon = 1e-5f,
     .experts = 32,
     .experts_used = 4},
};

constexpr DType kFormats[] = {DType::kF32,    DType::kF16,   DType::kBF16,  DType::kQ8_0,   DType::kQ4_0,
                              DType::kQ4_1,   DType::kQ5_0,  DType::kQ5_1,  DType::kQ2_K,   DType::kQ3_K,
                              DType::kQ4_K,   DType::kQ5_K,  DType::kQ6_K,  DType::kIQ4_NL, DType::kIQ3_S,
                              DType::kIQ4_XS, DType::kTQ1_0, DType::kTQ2_0, DType::kMXFP4};

constexpr float kDeviation = 0.02f;      // of weights
constexpr float kNormDeviation = 0.05f;  // of norms, around 1
constexpr uint64_t kPieceBytes = 8 << 20;

std::string joined(const std::vector<std::string_view>& names) {
  std::string out;
  for (const std::string_view name : names) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

uint64_t stream_of(uint64_t seed, std::string_view tensor) {
  uint64_t hash = 0xcbf29ce484222325u ^ seed * 0x9e3779b97f4a7c15u;  // FNV-1a
  for (const char c : tensor) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

// Fills a piece on all threads; every thread has whole blocks.
void fill_piece(DType dtype, uint64_t stream, uint64_t first, float mean, float deviation, unsigned threads,
                std::span<std::byte> out) {
  const uint64_t block_values = traits(dtype).block_values, block_bytes = traits(dtype).block_bytes;
  // An even number of blocks, because random numbers come in pairs.
  const uint64_t blocks = out.size() / block_bytes, share = (blocks / threads + 1) / 2 * 2 + 2;
  std::vector<std::thread> workers;
  for (uint64_t begin = 0; begin < blocks; begin += share) {
    const auto part = out.subspan(begin * block_bytes, std::min(share, blocks - begin) * block_bytes);
    const auto work = [=] { detail::fill_random(dtype, stream, first + begin * block_values, mean, deviation, part); };
    if (begin + share >= blocks) work();
    else workers.emplace_back(work);
  }
  for (std::thread& worker : workers) worker.join();
}

class Synthesizer {
 public:
  Synthesizer(const SynthShape& shape, DType format, const SynthOptions& options)
      : shape_(shape), format_(format), options_(options) {
    threads_ = options.threads != 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  }

  GgufWriter& build() {
    add_metadata();
    add_tensors();
    return writer_;
  }

 private:
  void add_metadata() {
    const std::string arch(shape_.architecture);
    const auto key = [&](const char* name) { return arch + "." + name; };
    writer_.add("general.architecture", shape_.architecture);
    writer_.add("general.name", std::string(shape_.name) + " (random weights)");
    if (const auto type = detail::gguf_file_type(format_)) writer_.add("general.file_type", *type);
    writer_.add("general.quantization_version", uint32_t{2});
    writer_.add(key("block_count"), shape_.layers);
    writer_.add(key("context_length"), shape_.context);
    writer_.add(key("embedding_length"), shape_.hidden);
    writer_.add(key("feed_forward_length"), shape_.ffn);
    writer_.add(key("attention.head_count"), shape_.heads);
    writer_.add(key("attention.head_count_kv"), shape_.kv_heads);
    writer_.add(key("attention.key_length"), shape_.head_dim);
    writer_.add(key("attention.value_length"), shape_.head_dim);
    writer_.add(key("attention.layer_norm_rms_epsilon"), shape_.norm_epsilon);
    writer_.add(key("rope.freq_base"), shape_.rope_theta);
    writer_.add(key("rope.dimension_count"), shape_.head_dim);
    if (shape_.experts > 0) {
      writer_.add(key("expert_count"), shape_.experts);
      writer_.add(key("expert_used_count"), shape_.experts_used);
    }
    writer_.add(key("vocab_size"), shape_.vocab);
    detail::add_synth_vocabulary(writer_, shape_.vocab, shape_.pre);
  }

  void add_tensors() {
    const uint64_t q = uint64_t{shape_.heads} * shape_.head_dim, kv = uint64_t{shape_.kv_heads} * shape_.head_dim;
    const uint64_t hidden = shape_.hidden, ffn = shape_.ffn;
    add_matrix("token_embd.weight", shape_.vocab, hidden);
    if (shape_.rope_stretch != 1) add_rope_factors();
    for (uint32_t layer = 0; layer < shape_.layers; ++layer) {
      const std::string blk = "blk." + std::to_string(layer) + ".";
      add_norm(blk + "attn_norm.weight", hidden);
      add_matrix(blk + "attn_q.weight", q, hidden);
      add_matrix(blk + "attn_k.weight", kv, hidden);
      add_matrix(blk + "attn_v.weight", kv, hidden);
      if (shape_.qk_norm) {
        add_norm(blk + "attn_q_norm.weight", shape_.head_dim);
        add_norm(blk + "attn_k_norm.weight", shape_.head_dim);
      }
      add_matrix(blk + "attn_output.weight", hidden, q);
      add_norm(blk + "ffn_norm.weight", hidden);
      if (shape_.experts > 0) {
        add_random(blk + "ffn_gate_inp.weight", DType::kF32, {shape_.experts, hidden}, 0, kDeviation);
        for (const char* name : {"ffn_gate_exps.weight", "ffn_up_exps.weight"})
          add_random(blk + name, format_, {shape_.experts, ffn, hidden}, 0, kDeviation);
        add_random(blk + "ffn_down_exps.weight", format_, {shape_.experts, hidden, ffn}, 0, kDeviation);
        continue;
      }
      add_matrix(blk + "ffn_gate.weight", ffn, hidden);
      add_matrix(blk + "ffn_up.weight", ffn, hidden);
      add_matrix(blk + "ffn_down.weight", hidden, ffn);
    }
    add_norm("output_norm.weight", hidden);
    if (!shape_.tied) add_matrix("output.weight", shape_.vocab, hidden);
  }

  void add_matrix(const std::string& name, uint64_t rows, uint64_t columns) {
    add_random(name, format_, {rows, columns}, 0, kDeviation);
  }
  void add_norm(const std::string& name, uint64_t size) { add_random(name, DType::kF32, {size}, 1, kNormDeviation); }

  void add_random(const std::string& name, DType dtype, const Shape& shape, float mean, float deviation) {
    const uint64_t stream = stream_of(options_.seed, name);
    const uint64_t blocks = *shape.elements() / traits(dtype).block_values;
    const unsigned threads = threads_;
    writer_.add_tensor(name, dtype, shape, [=](const GgufWriter::Sink& sink) -> Status {
      const uint64_t block_bytes = traits(dtype).block_bytes, block_values = traits(dtype).block_values;
      const uint64_t piece = kPieceBytes / block_bytes / 2 * 2;  // blocks
      std::vector<std::byte> buffer(std::min(piece, blocks) * block_bytes);
      for (uint64_t done = 0; done < blocks; done += piece) {
        const auto part = std::span(buffer).first(std::min(piece, blocks - done) * block_bytes);
        fill_piece(dtype, stream, done * block_values, mean, deviation, threads, part);
        LAHAR_TRY(sink(part));
      }
      return {};
    });
  }

  // What a frequency is divided by: nothing where its wave is short, the whole stretch where it is longer than the context
  // that the model was first trained on, and a blend between. https://arxiv.org/abs/2407.21783, section 3.4
  void add_rope_factors() {
    constexpr double kFirstContext = 8192, kLowFactor = 1, kHighFactor = 4;
    std::vector<float> factors(shape_.head_dim / 2);
    for (size_t i = 0; i < factors.size(); ++i) {
      const double frequency = std::pow(double{shape_.rope_theta}, -2.0 * static_cast<double>(i) / shape_.head_dim);
      const double waves = kFirstContext * frequency / (2 * std::numbers::pi);  // in the first context
      const double blend = std::clamp((waves - kLowFactor) / (kHighFactor - kLowFactor), 0.0, 1.0);
      factors[i] = static_cast<float>(1 / (blend + (1 - blend) / shape_.rope_stretch));
    }
    writer_.add_tensor("rope_freqs.weight", DType::kF32, {factors.size()}, std::as_bytes(std::span(factors)));
  }

  const SynthShape& shape_;
  const DType format_;
  const SynthOptions& options_;
  unsigned threads_ = 1;
  GgufWriter writer_;
};

}  // namespace

std::vector<std::string_view> synth_shapes() {
  std::vector<std::string_view> out;
  for (const SynthShape& shape : kShapes) out.push_back(shape.name);
  return out;
}

std::vector<std::string_view> synth_formats() {
  std::vector<std::string_view> out;
  for (const DType format : kFormats) out.push_back(to_string(format));
  return out;
}

Status synthesize(std::string_view shape_name, std::string_view format_name, const std::filesystem::path& path,
                  const SynthOptions& options) {
  const auto* shape =
      std::find_if(std::begin(kShapes), std::end(kShapes), [&](const auto& s) { return s.name == shape_name; });
  if (shape == std::end(kShapes))
    return Error{ErrorCode::kInvalidArgument,
                 "unknown shape " + quote(shape_name) + ", there are " + joined(synth_shapes())};
  std::string upper(format_name);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  const auto* format =
      std::find_if(std::begin(kFormats), std::end(kFormats), [&](DType f) { return to_string(f) == upper; });
  if (format == std::end(kFormats))
    return Error{ErrorCode::kInvalidArgument,
                 "unknown format " + quote(format_name) + ", there are " + joined(synth_formats())};

  Synthesizer synthesizer(*shape, *format, options);
  const GgufWriter& writer = synthesizer.build();
  const std::string what = std::string(shape_name) + " as " + upper;
  auto total = writer.file_size();
  if (!total) return annotate(std::move(total).error(), what);
  uint64_t done = 0;
  return writer.write_file(path, [&](uint64_t bytes) {
    done += bytes;
    return !options.progress || options.progress(done, *total);
  });
}

}  // namespace lahar
