// A Hugging Face model folder: config.json, model.safetensors (or shards with model.safetensors.index.json), and what goes
// with it where it is there: tokenizer.json, tokenizer_config.json, chat_template.jinja, generation_config.json.
// Safe for untrusted input, as gguf.h.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/platform.h"
#include "core/result.h"
#include "core/tensor_view.h"

namespace lahar {

class HfFolder {
 public:
  // A folder without weights loads too (for its tokenizer); then tensors() is empty, or lacks those of missing_files().
  // Errors: kNotFound where there is no config.json, kIo, kFormat, kUnsupported, kLimit.
  static Result<HfFolder> open(const std::filesystem::path& folder);
  HfFolder(HfFolder&&) noexcept;
  HfFolder& operator=(HfFolder&&) noexcept;
  ~HfFolder();

  const std::filesystem::path& folder() const { return folder_; }
  const nlohmann::json& config() const { return *config_; }                        // an object
  const nlohmann::json& generation_config() const { return *generation_config_; }  // an object, empty where there is no file
  const nlohmann::json& tokenizer_config() const { return *tokenizer_config_; }    // an object, empty where there is no file
  std::span<const TensorView> tensors() const { return tensors_; }                 // sorted by name
  const TensorView* find_tensor(std::string_view name) const;
  std::span<const platform::MappedFile> files() const { return files_; }
  // The weight files that should be there and are not: shards that the index names, or "model.safetensors".
  std::span<const std::string> missing_files() const { return missing_files_; }

  // The text of tokenizer.json; nullopt where there is none. chat_template: the file chat_template.jinja, else
  // tokenizer_config.json's "chat_template" (where that is a list, the entry named "default").
  std::optional<std::string> tokenizer_json() const;
  std::optional<std::string> chat_template() const;

 private:
  HfFolder();
  Status open_weights();
  Status open_shards(const nlohmann::json& index, const std::string& index_name);

  std::filesystem::path folder_;
  std::unique_ptr<nlohmann::json> config_, generation_config_, tokenizer_config_;
  std::vector<TensorView> tensors_;
  std::vector<platform::MappedFile> files_;
  std::vector<std::string> missing_files_;
};

}  // namespace lahar
