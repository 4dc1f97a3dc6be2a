// Query tiles of a prefill step: a tile is TILE items of one run and one KV head, an item one query head of one row (the
// heads that share a KV head side by side). Includers define GROUP and have KvAddress within reach.
#ifndef LAHAR_TILES_GLSL
#define LAHAR_TILES_GLSL
#include "rows.glsl"

struct Tile {
  uint slot;
  uint first_row, rows;  // of the run; 0 rows: there is no such tile
  uint first_item;
};

// Which tile workgroup `index` has: runs follow each other, each with as many tiles as it fills.
Tile find_tile(uint64_t step, uint index, uint tile_items) {
  const uint runs = step_runs(step);
  const uint n_rows = step_rows(step);
  for (uint r = 0; r < runs; ++r) {
    const Run run = step_run(step, r);
    const uint first = min(run.first_row, n_rows);
    const uint rows = min(run.rows, n_rows - first);
    const uint tiles = (rows * GROUP + tile_items - 1) / tile_items;
    if (index < tiles) return Tile(run.slot, first, rows, index * tile_items);
    index -= tiles;
  }
  return Tile(0, 0, 0, 0);
}

// An item: its row and head, and the keys [first, last] that it sees. seen is false where there are none: an item past the
// run's end (present false too), or of a row that is not valid.
struct Item {
  uint row, head;
  uint first, last;
  bool present, seen;
};

Item tile_item(uint64_t step, Tile tile, uint index, uint kv_head, uint window, uint chunk, uint last_index) {
  Item item;
  const uint number = tile.first_item + index;
  const uint row = number / GROUP;
  item.present = row < tile.rows;
  item.row = tile.first_row + min(row, tile.rows - 1);
  item.head = kv_head * GROUP + number % GROUP;
  const Row data = step_row(step, item.row);
  item.seen = item.present && data.valid != 0;
  item.last = min(data.kv_index, last_index);
  item.first = first_key(item.last, window, chunk);
  return item;
}
#endif
