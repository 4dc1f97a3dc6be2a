#include <gtest/gtest.h>

#include <fstream>

#include "core/platform.h"
#include "temporary_folder.h"
#include "tune/database.h"

namespace lahar::test {
namespace {

using tune::Database;
using tune::DatabaseKey;

class DatabaseTest : public ::testing::Test {
 protected:
  static DatabaseKey key() {
    return {.name = "A device",
            .uuid = "00112233445566778899aabbccddeeff",
            .type = "discrete",
            .driver = "driver 1.2",
            .driver_cache = "ffee",
            .driver_version = 12,
            .features = 3,
            .shaders_hash = 0x123456789abcdef0u};
  }
  Database open(const DatabaseKey& k = key()) {
    return Database::open(k, folder_, Log([this](LogLevel, std::string_view text) { log_ += std::string(text) + "\n"; }));
  }
  Database filled() {
    Database database = open();
    database.choose("q8_0 64x64, bucket 1", {"gemv rows 2", "gemv rows 1", 1e-5, 2e-5});
    EXPECT_TRUE(database.quarantine("gemm", "wrong").ok());
    EXPECT_TRUE(database.save().ok());
    return database;
  }
  void write(const std::filesystem::path& file, std::string_view text) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
  }
  static std::string read(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const TemporaryFolder own_folder_;
  const std::filesystem::path& folder_ = own_folder_.path();
  std::string log_;
};

TEST_F(DatabaseTest, KeepsChoicesAndQuarantines) {
  const Database written = filled();
  const Database database = open();
  EXPECT_TRUE(database.stored());
  EXPECT_EQ(database.choices(), written.choices());
  EXPECT_EQ(database.quarantined(), written.quarantined());
  const auto tuning = database.tuning();
  ASSERT_NE(tuning, nullptr);
  ASSERT_NE(tuning->chosen("q8_0 64x64, bucket 1"), nullptr);
  EXPECT_EQ(*tuning->chosen("q8_0 64x64, bucket 1"), "gemv rows 2");
  EXPECT_NE(tuning->quarantined("gemm"), nullptr);
  EXPECT_EQ(log_, "");
}

TEST_F(DatabaseTest, IsEmptyWithoutAFile) {
  const Database database = open();
  EXPECT_FALSE(database.stored());
  EXPECT_EQ(database.tuning(), nullptr);
  EXPECT_EQ(log_, "");
}

TEST_F(DatabaseTest, EveryTruncationIsIgnored) {
  const std::filesystem::path file = filled().file();
  const std::string whole = read(file);
  for (size_t n = 0; n + 2 < whole.size(); n += 7) {  // without the last brace it is damaged
    write(file, std::string_view(whole).substr(0, n));
    log_.clear();
    const Database database = open();
    EXPECT_FALSE(database.stored()) << n;
    EXPECT_EQ(database.tuning(), nullptr) << n;
    EXPECT_NE(log_, "") << n;
  }
}

TEST_F(DatabaseTest, WrongTypesAreIgnored) {
  const std::filesystem::path file = filled().file();
  const std::string whole = read(file);
  for (const auto& [from, to] : {std::pair<std::string, std::string>{"\"gemv rows 2\"", "7"},
                                 {"\"wrong\"", "[]"},
                                 {"1e-05", "-1"},
                                 {"\"version\": 1", "\"version\": 2"},
                                 {"\"choices\": {", "\"choices\": 3, \"x\": {"}}) {
    const size_t at = whole.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    std::string changed = whole;
    write(file, changed.replace(at, from.size(), to));
    EXPECT_FALSE(open().stored()) << from;
  }
}

TEST_F(DatabaseTest, OtherDriversDevicesAndBuildsHaveTheirOwn) {
  filled();
  for (const auto change : {+[](DatabaseKey& k) { k.driver_version = 13; }, +[](DatabaseKey& k) { k.uuid[0] = 'f'; },
                            +[](DatabaseKey& k) { k.shaders_hash ^= 1; }, +[](DatabaseKey& k) { k.features = 1; }}) {
    DatabaseKey other = key();
    change(other);
    EXPECT_FALSE(open(other).stored());
  }
  EXPECT_TRUE(open().stored());
}

TEST_F(DatabaseTest, AFileOfAnotherDriverUnderThisNameIsIgnored) {
  const std::filesystem::path file = filled().file();
  std::string text = read(file);
  const size_t at = text.find("\"driver_version\": 12");
  ASSERT_NE(at, std::string::npos);
  write(file, text.replace(at, 20, "\"driver_version\": 11"));
  EXPECT_FALSE(open().stored());
  EXPECT_NE(log_.find("another device, driver or build"), std::string::npos) << log_;
}

TEST_F(DatabaseTest, AFormThatEndedTheProgramTwiceGoesToQuarantine) {
  const auto crash = [&] {
    Database database = open();
    ASSERT_TRUE(database.begin_trials().ok());
    ASSERT_TRUE(database.trying("coop tile_m 64").ok());
    // While the tuner is at work, its form is nobody's business.
    EXPECT_EQ(open().quarantined("coop tile_m 64"), nullptr);
    EXPECT_EQ(open().begin_trials().error().code, ErrorCode::kLimit);
  };
  crash();
  EXPECT_EQ(open().suspected(), "coop tile_m 64");
  EXPECT_NE(log_.find("coop tile_m 64"), std::string::npos);
  EXPECT_EQ(open().suspected(), "coop tile_m 64") << "it is written down";
  EXPECT_EQ(open().quarantined("coop tile_m 64"), nullptr);
  crash();
  EXPECT_NE(open().quarantined("coop tile_m 64"), nullptr);
  EXPECT_EQ(open().suspected(), "");
  EXPECT_TRUE(open().stored());
}

TEST_F(DatabaseTest, TwoCrashesThatDoNotFollowEachOtherBlameNothing) {
  const auto crash = [&](std::string_view form) {
    Database database = open();
    ASSERT_TRUE(database.begin_trials().ok());
    // Other forms came through before: that says nothing of the one that is left.
    ASSERT_TRUE(database.trying("gemv").ok());
    ASSERT_TRUE(database.trying("").ok());
    ASSERT_TRUE(database.trying(form).ok());
  };
  const auto come_through = [&](std::string_view form) {
    Database database = open();
    ASSERT_TRUE(database.begin_trials().ok());
    ASSERT_TRUE(database.trying(form).ok());
    ASSERT_TRUE(database.trying("").ok());
    database.end_trials();
  };
  crash("coop"), crash("tile");
  EXPECT_EQ(open().suspected(), "tile");
  come_through("tile");
  EXPECT_EQ(open().suspected(), "");
  crash("tile"), come_through("coop");  // which was not tried again stays under suspicion
  EXPECT_EQ(open().suspected(), "tile");
  EXPECT_TRUE(open().quarantined().empty());
  crash("tile");
  EXPECT_NE(open().quarantined("tile"), nullptr);
}

TEST_F(DatabaseTest, AFormThatIsReleasedMayBeUsed) {
  Database database = filled();
  ASSERT_TRUE(database.release("gemm").ok());
  ASSERT_TRUE(database.release("unheard of").ok());
  EXPECT_TRUE(open().quarantined().empty());
}

TEST_F(DatabaseTest, AFormThatCameThroughIsNotBlamed) {
  {
    Database database = open();
    ASSERT_TRUE(database.begin_trials().ok());
    ASSERT_TRUE(database.trying("gemv").ok());
    ASSERT_TRUE(database.trying("").ok());
  }
  EXPECT_TRUE(open().quarantined().empty());
  EXPECT_EQ(open().suspected(), "");
}

}  // namespace
}  // namespace lahar::test
