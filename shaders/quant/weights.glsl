// A matrix as its planes lie in memory.
#ifndef LAHAR_WEIGHTS_GLSL
#define LAHAR_WEIGHTS_GLSL
#include "load.glsl"

struct Weights {
  uint64_t plane0, plane1, plane2;  // of row 0
  uint row_bytes0, row_bytes1, row_bytes2;
  uint group;
};

Weights weights_at(Weights w, uint row) {
  w.plane0 += uint64_t(row) * uint64_t(w.row_bytes0);
  w.plane1 += uint64_t(row) * uint64_t(w.row_bytes1);
  w.plane2 += uint64_t(row) * uint64_t(w.row_bytes2);
  return w;
}

// Half i of an fp16 array; reads the word that holds it.
float load_half(uint64_t base, uint offset, uint i) {
  return unpackHalf2x16(load_u32(base, offset + (i & ~1u) * 2) >> ((i & 1) * 16)).x;
}
#endif
