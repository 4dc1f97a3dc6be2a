// Packed SPIR-V: what goes in comes out, and damage is noticed.
#include <gtest/gtest.h>

#include "gpu/shader_bank.h"
#include "gpu/shader_pack.h"

namespace lahar::gpu {
namespace {

TEST(ShaderPack, EveryShaderOfTheBankComesOutWhole) {
  size_t packed = 0, words = 0;
  for (uint16_t id = 0; id < static_cast<uint16_t>(ShaderId::kCount); ++id) {
    const ShaderInfo shader = shader_info(static_cast<ShaderId>(id));
    if (shader.spirv.empty()) continue;
    const auto spirv = unpack_spirv(shader.spirv);
    ASSERT_TRUE(spirv) << shader.name << " " << shader.variant;
    EXPECT_EQ(spirv->front(), 0x07230203u) << shader.name << " " << shader.variant;
    const auto again = pack_spirv(*spirv);
    ASSERT_TRUE(again);
    EXPECT_TRUE(std::equal(again->begin(), again->end(), shader.spirv.begin(), shader.spirv.end()));
    packed += shader.spirv.size();
    words += spirv->size();
  }
  EXPECT_LT(packed, words * 4 * 4 / 10);
}

TEST(ShaderPack, NumbersOfEverySize) {
  std::vector<uint32_t> words = {0x07230203u, 0x10300, 0, 1, 0};
  words.push_back(8u << 16 | 43);
  for (const uint32_t v : {0u, 127u, 128u, 16383u, 16384u, 0x7fffffffu, 0xffffffffu}) words.push_back(v);
  words.push_back(40u << 16 | 0xffff);  // more words than fit beside the opcode
  for (uint32_t i = 1; i < 40; ++i) words.push_back(i * 0x01010101u);
  const auto packed = pack_spirv(words);
  ASSERT_TRUE(packed);
  const auto unpacked = unpack_spirv(*packed);
  ASSERT_TRUE(unpacked);
  EXPECT_EQ(*unpacked, words);
  for (size_t n = 0; n < packed->size(); ++n) EXPECT_FALSE(unpack_spirv(std::span(*packed).first(n))) << n << " bytes";
  std::vector<std::byte> longer = *packed;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(unpack_spirv(longer));
  for (size_t i = 0; i < packed->size(); ++i) {  // any byte may lie: no crash, no memory beyond what deflate can hold
    std::vector<std::byte> damaged = *packed;
    damaged[i] = std::byte{0xff};
    const auto found = unpack_spirv(damaged);
    if (found) { EXPECT_LE(found->size(), 1032 * damaged.size()); }
  }
}

TEST(ShaderPack, WhatIsNoSpirvIsRefused) {
  EXPECT_FALSE(pack_spirv({}));
  const std::vector<uint32_t> empty_instruction = {0x07230203u, 0, 0, 0, 0, 7},
                              too_long = {0x07230203u, 0, 0, 0, 0, 2u << 16 | 7};
  EXPECT_FALSE(pack_spirv(empty_instruction));
  EXPECT_FALSE(pack_spirv(too_long));
}

}  // namespace
}  // namespace lahar::gpu
