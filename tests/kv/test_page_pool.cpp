#include <gtest/gtest.h>

#include <set>

#include "kv/block_table.h"
#include "kv/page_pool.h"

namespace lahar::kv {
namespace {

TEST(PagePool, HandsOutEveryPageOnceAndThenNone) {
  PagePool pool(5);
  std::set<PageId> seen;
  for (int i = 0; i < 5; ++i) {
    const auto page = pool.allocate();
    ASSERT_TRUE(page);
    EXPECT_LT(*page, 5u);
    EXPECT_TRUE(seen.insert(*page).second);
  }
  EXPECT_FALSE(pool.allocate());
  EXPECT_EQ(pool.free_pages(), 0u);
}

TEST(PagePool, APageComesBackOnlyWhenTheDeviceIsDoneWithIt) {
  PagePool pool(1);
  const PageId page = *pool.allocate();
  pool.release(page, 7);
  EXPECT_EQ(pool.retiring_pages(), 1u);
  pool.collect(6);
  EXPECT_FALSE(pool.allocate());
  pool.collect(7);
  EXPECT_EQ(pool.retiring_pages(), 0u);
  EXPECT_EQ(pool.allocate(), page);
}

TEST(PagePool, ASharedPageStaysUntilItsLastHolderLeaves) {
  PagePool pool(1);
  const PageId page = *pool.allocate();
  pool.retain(page);
  pool.release(page, 1);
  pool.collect(10);
  EXPECT_EQ(pool.references(page), 1u);
  EXPECT_FALSE(pool.allocate());
  pool.release(page, 11);
  pool.collect(11);
  EXPECT_TRUE(pool.allocate());
}

TEST(BlockTable, GrowsByWholePagesAndShrinksToWhatIsNeeded) {
  PagePool pool(4);
  BlockTable table(pool, 16);
  EXPECT_TRUE(table.reserve(1));
  EXPECT_EQ(table.capacity(), 16u);
  EXPECT_TRUE(table.reserve(16));
  EXPECT_EQ(table.pages().size(), 1u);
  EXPECT_TRUE(table.reserve(17));
  EXPECT_EQ(table.pages().size(), 2u);
  EXPECT_FALSE(table.reserve(16 * 5));
  EXPECT_EQ(table.capacity(), 64u);  // what there was
  table.truncate(33, 3);
  EXPECT_EQ(table.pages().size(), 3u);
  table.clear(4);
  pool.collect(3);
  EXPECT_EQ(pool.free_pages(), 1u);
  pool.collect(4);
  EXPECT_EQ(pool.free_pages(), 4u);
}

}  // namespace
}  // namespace lahar::kv
