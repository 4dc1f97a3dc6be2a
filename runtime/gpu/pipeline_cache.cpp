#include "gpu/pipeline_cache.h"

#include <algorithm>
#include <cstring>

#include "core/platform.h"
#include "gpu/shader_bank.h"

namespace lahar::gpu {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[8] = {'L', 'A', 'H', 'A', 'R', 'P', 'C', '1'};
constexpr size_t kKeptFiles = 4;  // of one device

struct Header {
  char magic[8];
  uint64_t key;
  uint64_t size;      // of what follows, in bytes
  uint64_t checksum;  // of what follows
};
static_assert(sizeof(Header) == 32);

std::string file_prefix(const PipelineCacheKey& key) { return "pipelines-" + key.device_uuid + "-"; }

}  // namespace

std::string hex16(uint64_t value) {
  std::string text(16, '0');
  for (int i = 15; i >= 0; --i, value >>= 4) text[static_cast<size_t>(i)] = "0123456789abcdef"[value & 15];
  return text;
}

void delete_old_files(const fs::path& folder, std::string_view prefix, std::string_view suffix) {
  std::error_code error;
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(suffix)) files.emplace_back(it->last_write_time(error), it->path());
  }
  std::sort(files.rbegin(), files.rend());
  for (size_t i = kKeptFiles; i < files.size(); ++i) fs::remove(files[i].second, error);
}

uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t seed) {
  // FNV-1a over 64-bit words with a final mix: for finding damage and changes, not for keeping anybody out.
  constexpr uint64_t kPrime = 0x100000001b3;
  uint64_t h = (0xcbf29ce484222325 ^ seed) * kPrime ^ bytes.size();
  while (bytes.size() >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    h = (h ^ word) * kPrime;
    h ^= h >> 29;
    bytes = bytes.subspan(8);
  }
  for (std::byte b : bytes) h = (h ^ static_cast<uint64_t>(b)) * kPrime;
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccd;
  return h ^ (h >> 33);
}

uint64_t hash_shader_bank() {
  static const uint64_t hash = [] {
    uint64_t h = 0;
    for (uint16_t i = 0; i < static_cast<uint16_t>(ShaderId::kCount); ++i)
      h = hash_bytes(std::as_bytes(shader_info(static_cast<ShaderId>(i)).spirv), h);
    return h;
  }();
  return hash;
}

uint64_t PipelineCacheKey::hash() const {
  const std::string text = device_uuid + "/" + std::to_string(driver_version) + "/" + cache_uuid;
  return hash_bytes(std::as_bytes(std::span(text)), shaders_hash);
}

fs::path pipeline_cache_file(const fs::path& folder, const PipelineCacheKey& key) {
  return folder / (file_prefix(key) + hex16(key.hash()) + ".bin");
}

std::vector<std::byte> read_pipeline_cache(const fs::path& file, const PipelineCacheKey& key, const Log& log) {
  const Result<platform::MappedFile> mapped = platform::MappedFile::open(file);
  if (!mapped.ok()) {
    if (mapped.error().code != ErrorCode::kNotFound) log.warning("pipeline cache: " + mapped.error().message);
    return {};
  }
  const std::span<const std::byte> bytes = mapped->bytes();
  const auto discard = [&](std::string_view why) {
    log.warning("pipeline cache " + file.string() + " is discarded: " + std::string(why));
    return std::vector<std::byte>();
  };
  Header header;
  if (bytes.size() < sizeof(header)) return discard("it is too short");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) return discard("it is not a pipeline cache");
  if (header.key != key.hash()) return discard("it is of another device, driver or build");
  const std::span<const std::byte> data = bytes.subspan(sizeof(header));
  if (header.size != data.size()) return discard("it is cut short");
  if (header.checksum != hash_bytes(data)) return discard("its checksum is wrong");
  return {data.begin(), data.end()};
}

Status write_pipeline_cache(const fs::path& file, const PipelineCacheKey& key, std::span<const std::byte> data) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.key = key.hash();
  header.size = data.size();
  header.checksum = hash_bytes(data);
  std::vector<std::byte> bytes(sizeof(header) + data.size());
  std::memcpy(bytes.data(), &header, sizeof(header));
  if (!data.empty()) std::memcpy(bytes.data() + sizeof(header), data.data(), data.size());
  LAHAR_TRY(platform::write_file_atomically(file, bytes));
  delete_old_files(file.parent_path(), file_prefix(key), ".bin");
  return {};
}

}  // namespace lahar::gpu
