#include "hf_quantization.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "arch/config.h"
#include "core/quote.h"

namespace lahar {
namespace {

using nlohmann::json;

class Reader {
 public:
  Reader(const ModelSource& source, const json& config) : source_(source), config_(config) {}

  Result<HfQuantization> read();

 private:
  Error error(ErrorCode code, const std::string& what) const {
    return {code, source_.name() + ": config.json: quantization_config: " + what};
  }
  std::string text(const char* key, const char* fallback) const {
    auto found = config_.find(key);
    return found != config_.end() && found->is_string() ? found->get<std::string>() : fallback;
  }
  bool flag(const char* key, bool fallback) const {
    auto found = config_.find(key);
    return found != config_.end() && found->is_boolean() ? found->get<bool>() : fallback;
  }
  Status read_packed(std::initializer_list<uint32_t> widths);
  Status read_awq();
  Status read_gptq();
  Status read_compressed();
  void read_blocks(const json& object, const char* key);

  const ModelSource& source_;
  const json& config_;
  HfQuantization out_;
};

// bits and group_size, which AWQ and GPTQ have in common.
Status Reader::read_packed(std::initializer_list<uint32_t> widths) {
  auto bits = config_.find("bits");
  if (bits == config_.end() || !bits->is_number_unsigned()) return error(ErrorCode::kFormat, "bits: expected a number");
  std::string list;
  for (const uint32_t width : widths) list += (list.empty() ? "" : " and ") + std::to_string(width);
  if (std::find(widths.begin(), widths.end(), bits->get<uint64_t>()) == widths.end())
    return error(ErrorCode::kUnsupported, "bits: " + bits->dump() + " is not supported; " + list + " are");
  out_.bits = bits->get<uint32_t>();
  auto group = config_.find("group_size");
  if (group == config_.end() || !group->is_number_integer())
    return error(ErrorCode::kFormat, "group_size: expected a number");
  const auto size = group->get<int64_t>();
  if (size != -1 && (size < 1 || size > int64_t{arch::kMaxWidth}))
    return error(ErrorCode::kFormat, "group_size: expected -1, or 1 and more, found " + group->dump());
  out_.group = size == -1 ? 0 : static_cast<uint32_t>(size);
  return {};
}

Status Reader::read_awq() {
  out_.method = HfMethod::kAwq;
  const std::string version = text("version", "gemm");
  if (version != "gemm" && version != "GEMM")
    return error(ErrorCode::kUnsupported, "version: AWQ " + quote(version) + " is not supported; gemm is");
  return read_packed({4});
}

Status Reader::read_gptq() {
  out_.method = HfMethod::kGptq;
  const std::string format = text("checkpoint_format", "gptq");
  if (format != "gptq" && format != "gptq_v2")
    return error(ErrorCode::kUnsupported,
                 "checkpoint_format: GPTQ " + quote(format) + " is not supported; gptq and gptq_v2 are");
  out_.zero_less_one = format == "gptq";
  out_.symmetric = flag("sym", true);
  return read_packed({4, 8});
}

void Reader::read_blocks(const json& object, const char* key) {
  auto size = object.find(key);
  if (size == object.end() || !size->is_array() || size->size() != 2) return;
  for (const json& n : *size)
    if (!n.is_number_unsigned() || n.get<uint64_t>() == 0 || n.get<uint64_t>() > arch::kMaxWidth) return;
  out_.block_rows = (*size)[0].get<uint32_t>();
  out_.block_cols = (*size)[1].get<uint32_t>();
}

Status Reader::read_compressed() {
  out_.method = HfMethod::kCompressedTensors;
  const std::string format = text("format", "unknown");
  bool known = false;
  for (const char* name : {"float-quantized", "int-quantized", "naive-quantized", "pack-quantized", "mxfp4-pack-quantized"})
    known = known || format == name;
  if (!known)
    return error(ErrorCode::kUnsupported, "weights quantized by compressed-tensors as " + quote(format) +
                                              " are not supported; float-quantized, int-quantized, pack-quantized and "
                                              "mxfp4-pack-quantized are");
  auto groups = config_.find("config_groups");
  if (groups == config_.end() || !groups->is_object()) return {};
  for (const json& group : *groups) {
    if (!group.is_object()) continue;
    auto weights = group.find("weights");
    if (weights != group.end() && weights->is_object()) read_blocks(*weights, "block_structure");
  }
  return {};
}

Result<HfQuantization> Reader::read() {
  auto method = config_.is_object() ? config_.find("quant_method") : config_.end();
  if (!config_.is_object() || method == config_.end() || !method->is_string())
    return error(ErrorCode::kFormat, "expected an object with a quant_method");
  const auto& name = method->get_ref<const std::string&>();
  if (name == "awq") {
    LAHAR_TRY(read_awq());
  } else if (name == "gptq") {
    LAHAR_TRY(read_gptq());
  } else if (name == "compressed-tensors") {
    LAHAR_TRY(read_compressed());
  } else if (name == "fp8") {
    out_.method = HfMethod::kFp8;
    read_blocks(config_, "weight_block_size");
  } else if (name == "mxfp4") {
    out_.method = HfMethod::kMxfp4;
  } else {
    return error(ErrorCode::kUnsupported, "weights quantized by " + quote(name) +
                                              " are not supported; awq, gptq, compressed-tensors, fp8 and mxfp4 are");
  }
  return out_;
}

}  // namespace

Result<HfQuantization> read_hf_quantization(const ModelSource& source) {
  if (source.hf() == nullptr) return HfQuantization{.block_rows = 1};
  const json& root = source.hf()->config();
  auto found = root.find("quantization_config");
  if (found == root.end() || found->is_null()) return HfQuantization{};
  return Reader(source, *found).read();
}

}  // namespace lahar
