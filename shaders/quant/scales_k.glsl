// The packed scales of Q4_K and Q5_K: scale and minimum of sub-block b, 6 bits each; packed lies as in the file.
vec2 q4_k_scale(uvec3 packed, uint b) {
  const uint s = 8 * (b & 3);
  const uint low = packed.x >> s, middle = packed.y >> s, high = packed.z >> s;
  return b < 4 ? vec2(low & 63, middle & 63)
               : vec2((high & 15) | ((low >> 2) & 0x30), ((high >> 4) & 15) | ((middle >> 2) & 0x30));
}
