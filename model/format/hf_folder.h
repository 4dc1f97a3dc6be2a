// A Hugging Face model folder: config.json, model.safetensors (or shards with model.safetensors.index.json), and what goes
// with it where it is there: tokenizer.json, tokenizer_config.json, chat_template.jinja, generation_config.json.
// Safe for untrusted input, as gguf.h.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <memory>
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

  // The text of tokenizer.json; nullopt where there is none. chat_template: the file chat_template.jinja, else
  // tokenizer_config.json's "chat_template" (where that is a list, the entry named "default").
  std::optional<std::string> tokenizer_json() const;
  std::optional<std::string> chat_template() const;

 private:
  HfFolder();
  std::filesystem::path folder_;
  std::unique_ptr<nlohmann::json> config_, generation_config_, tokenizer_config_;
  std::vector<TensorView> tensors_;
  std::vector<platform::MappedFile> files_;
};

}  // namespace lahar
