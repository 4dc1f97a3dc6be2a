// Loads of weights on drivers that run lanes as the elements of CPU vectors (lane_picks.glsl), and the bytes of rows. Expects LANES,
// GROUP (columns per scale, for formats with outside scales), `lane`, FORMAT.
#if FORMAT == 1 || FORMAT == 3 || FORMAT == 4
#define LANE_F16
#endif
#if FORMAT == 2
#define LANE_U16
#endif
#if FORMAT == 3 || FORMAT == 7 || FORMAT == 9
#define LANE_I8
#endif
#if FORMAT >= 4 && FORMAT <= 8
#define LANE_U8
#endif
#if FORMAT == 5
#define LANE_U32
#endif
#include "lane_picks.glsl"

// Bytes of `cols` columns in the planes.
uint row_bytes0(uint cols) {
  return FORMAT == 0 ? cols * 4 : FORMAT <= 2 ? cols * 2 : FORMAT == 3 || FORMAT >= 8 ? cols : FORMAT == 7 ? cols / 4 * 3 : cols / 2;
}
uint row_bytes1(uint cols) {
  return FORMAT <= 2 ? 0 : FORMAT <= 4 ? cols / 32 * 2 : FORMAT == 5 ? cols / 32 * 4 : FORMAT <= 7 ? cols / 16 : (cols + GROUP - 1) / GROUP * 4;
}
uint row_bytes2(uint cols) { return FORMAT == 7 ? cols / 128 : 0; }
