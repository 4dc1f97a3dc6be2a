// pack IN.spv OUT: packs one module for the library. A program of the build.
#include <cstdio>
#include <fstream>
#include <iterator>

#include "gpu/shader_pack.h"

int main(int argc, char** argv) {
  const auto fail = [&](const char* why) {
    std::fprintf(stderr, "pack: %s: %s\n", argc > 1 ? argv[1] : "IN.spv OUT", why);
    return 1;
  };
  if (argc != 3) return fail("two files are needed");
  std::ifstream in(argv[1], std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
  if (!in || bytes.size() % 4 != 0) return fail("not whole words");
  std::vector<uint32_t> words(bytes.size() / 4);
  for (size_t i = 0; i < bytes.size(); ++i)
    words[i / 4] |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * (i % 4));
  const auto packed = lahar::gpu::pack_spirv(words);
  if (!packed || lahar::gpu::unpack_spirv(*packed) != words) return fail("not SPIR-V");
  std::ofstream out(argv[2], std::ios::binary);
  out.write(reinterpret_cast<const char*>(packed->data()), static_cast<std::streamsize>(packed->size()));
  return out.flush() ? 0 : fail("cannot be written");
}
