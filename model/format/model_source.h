// A model as it lies on disk or in memory: a GGUF file (or its parts), or a Hugging Face folder. What an architecture and
// the weight loader need from either: its configuration and its tensors.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "core/result.h"
#include "core/tensor_view.h"
#include "format/gguf.h"
#include "format/hf_folder.h"

namespace lahar {

class ModelSource {
 public:
  // `path`: a .gguf file, the first part of a split one, or a folder with config.json.
  static Result<std::unique_ptr<ModelSource>> open(const std::filesystem::path& path);
  // A GGUF in memory that outlives the result.
  static Result<std::unique_ptr<ModelSource>> from_memory(std::span<const std::byte> bytes, std::string name);

  // Exactly one of the two is not null.
  const GgufFile* gguf() const { return gguf_.get(); }
  const HfFolder* hf() const { return hf_.get(); }

  std::span<const TensorView> tensors() const;
  const TensorView* find_tensor(std::string_view name) const;
  // The source's own name of its architecture: general.architecture ("llama"), or config.json's model_type ("gemma3_text").
  // Empty where it says none.
  std::string_view architecture() const;
  // Weight files that should be there and are not, for the message about a missing tensor; see HfFolder.
  std::span<const std::string> missing_files() const;
  // For messages: the path that was opened.
  const std::string& name() const { return name_; }
  // Bytes that were read and will not be needed soon: their pages are given back. Ranges outside the files are ignored.
  void release(std::span<const std::byte> range) const;

 private:
  ModelSource() = default;
  std::string name_;
  std::unique_ptr<GgufFile> gguf_;
  std::unique_ptr<HfFolder> hf_;
};

}  // namespace lahar
