#include "format/model_source.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <system_error>

namespace lahar {

Result<std::unique_ptr<ModelSource>> ModelSource::open(const std::filesystem::path& path) {
  std::unique_ptr<ModelSource> source(new ModelSource);
  source->name_ = path.string();
  std::error_code ec;
  const auto status = std::filesystem::status(path, ec);
  if (status.type() == std::filesystem::file_type::not_found)
    return Error{ErrorCode::kNotFound, path.string() + ": no such file or folder"};
  if (std::filesystem::is_directory(status)) {
    LAHAR_ASSIGN(HfFolder folder, HfFolder::open(path));
    source->hf_ = std::make_unique<HfFolder>(std::move(folder));
    return source;
  }
  if (path.filename() == "config.json" || path.extension() == ".safetensors")
    return Error{ErrorCode::kInvalidArgument,
                 path.string() + ": a part of a model folder, name the folder instead (or a .gguf file)"};
  LAHAR_ASSIGN(GgufFile file, GgufFile::open(path));
  source->gguf_ = std::make_unique<GgufFile>(std::move(file));
  return source;
}

Result<std::unique_ptr<ModelSource>> ModelSource::from_memory(std::span<const std::byte> bytes, std::string name) {
  std::unique_ptr<ModelSource> source(new ModelSource);
  source->name_ = name;
  LAHAR_ASSIGN(GgufFile file, GgufFile::from_memory(bytes, std::move(name)));
  source->gguf_ = std::make_unique<GgufFile>(std::move(file));
  return source;
}

std::span<const TensorView> ModelSource::tensors() const { return gguf_ ? gguf_->tensors() : hf_->tensors(); }

const TensorView* ModelSource::find_tensor(std::string_view name) const {
  return gguf_ ? gguf_->find_tensor(name) : hf_->find_tensor(name);
}

std::string_view ModelSource::architecture() const {
  if (gguf_) return gguf_->metadata().string("general.architecture").value_or("");
  const auto found = hf_->config().find("model_type");
  if (found == hf_->config().end()) return {};
  const auto* text = found->get_ptr<const nlohmann::json::string_t*>();
  return text != nullptr ? std::string_view(*text) : std::string_view();
}

std::span<const std::string> ModelSource::missing_files() const {
  return hf_ ? hf_->missing_files() : std::span<const std::string>();
}

void ModelSource::release(std::span<const std::byte> range) const {
  const std::less_equal<const std::byte*> not_after;  // an order of any two pointers
  for (const platform::MappedFile& file : gguf_ ? gguf_->files() : hf_->files()) {
    const auto bytes = file.bytes();
    if (not_after(bytes.data(), range.data()) && not_after(range.data() + range.size(), bytes.data() + bytes.size()))
      return file.release(range);
  }
}

}  // namespace lahar
