// Writes a GGUF file, version 3. Tensor data is streamed: a tensor's bytes are asked for when its turn comes, piece by
// piece, so that a model is never held in memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/result.h"
#include "core/shape.h"
#include "format/gguf.h"

namespace lahar {

class GgufWriter {
 public:
  // Takes the next bytes of a tensor (or of the file).
  using Sink = std::function<Status(std::span<const std::byte>)>;
  // Hands all bytes of a tensor to the sink, in order and in pieces of any size, and passes on the sink's errors.
  using Producer = std::function<Status(const Sink&)>;

  // Metadata, written in the order of the calls. A key that is given twice is refused by write().
  void add(std::string_view key, uint32_t value);
  void add(std::string_view key, uint64_t value);
  void add(std::string_view key, int32_t value);
  void add(std::string_view key, float value);
  void add(std::string_view key, bool value);
  void add(std::string_view key, std::string_view value);
  void add(std::string_view key, const char* value) { add(key, std::string_view(value)); }
  void add(std::string_view key, std::span<const std::string> values);
  void add(std::string_view key, std::span<const int32_t> values);
  void add(std::string_view key, std::span<const float> values);
  // `encoded` is the value as the format has it (an array: element type, count, elements); nothing checks it.
  void add_raw(std::string_view key, GgufType type, std::span<const std::byte> encoded);

  // A power of two from 8 to 1 MiB; 32 unless set. Also writes general.alignment.
  void set_alignment(uint32_t alignment);

  // `shape` is outermost first, rank 1 to 4. The producer is called by write(), once.
  void add_tensor(std::string name, DType dtype, const Shape& shape, Producer producer);
  // Copies the bytes.
  void add_tensor(std::string name, DType dtype, const Shape& shape, std::span<const std::byte> data);

  // Bytes of the whole file. Errors as write().
  Result<uint64_t> file_size() const;
  // Hands the file to `sink`. Errors: kInvalidArgument (a key or tensor twice, a shape that does not fill whole blocks, a
  // producer with the wrong number of bytes), kUnsupported (an element type that GGUF does not have), those of producers and
  // the sink.
  Status write(const Sink& sink) const;
  // Writes `path`.partial and renames it at the end: `path` is the whole file or untouched. `wrote`, where given, is told
  // the size of each piece; false from it stops the work with kCancelled. Errors: as write(), kIo (also where the volume has
  // too little room).
  Status write_file(const std::filesystem::path& path, const std::function<bool(uint64_t)>& wrote = {}) const;

 private:
  struct Tensor {
    std::string name;
    DType dtype;
    Shape shape;
    Producer producer;
  };
  // The bytes before the tensors' data, padded; `sizes` gets the bytes of each tensor.
  Result<std::string> header(std::vector<uint64_t>* sizes) const;
  void begin_entry(std::string_view key, GgufType type);

  std::string entries_;  // encoded
  std::vector<std::string> keys_;
  uint32_t alignment_ = 32;
  std::vector<Tensor> tensors_;
};

}  // namespace lahar
