// The file that keeps compiled pipelines between runs of the program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/log.h"
#include "core/result.h"

namespace lahar::gpu {

// What compiled pipelines are good for: one device, one driver, one build of the shaders.
struct PipelineCacheKey {
  std::string device_uuid;
  uint32_t driver_version = 0;
  std::string cache_uuid;     // VkPhysicalDeviceProperties::pipelineCacheUUID, in hex
  uint64_t shaders_hash = 0;  // of all SPIR-V of the build

  uint64_t hash() const;
};

uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t seed = 0);

// 16 hex digits
std::string hex16(uint64_t value);
// Deletes the files of a folder whose names begin and end so, but for the newest few.
void delete_old_files(const std::filesystem::path& folder, std::string_view prefix, std::string_view suffix);

// Of every shader in the bank.
uint64_t hash_shader_bank();

// A file of its own for each key, so that two builds do not overwrite each other's.
std::filesystem::path pipeline_cache_file(const std::filesystem::path& folder, const PipelineCacheKey& key);

// The driver's data, or nothing where there is no file. A file that is damaged or of another key is logged and counts as
// nothing.
std::vector<std::byte> read_pipeline_cache(const std::filesystem::path& file, const PipelineCacheKey& key, const Log& log);

// Atomic; keeps the newest few files of the device and deletes the others of it.
Status write_pipeline_cache(const std::filesystem::path& file, const PipelineCacheKey& key, std::span<const std::byte> data);

}  // namespace lahar::gpu
