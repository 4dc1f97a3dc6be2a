// Sequences that are saved and restored through the C API.
#include <cstddef>

#include "api/api_test.h"

namespace lahar::test {
namespace {

class SaveSequenceTest : public PumiceEngineTest {
 protected:
  static Reply ask(const Engine& engine) { return generate(engine.get(), user_message("What is 7 + 8?")); }
  static std::vector<std::byte> save(const Engine& engine) {
    size_t size = 0;
    EXPECT_EQ(lahar_save_sequence(engine.get(), nullptr, 0, &size), LAHAR_LIMIT);
    std::vector<std::byte> bytes(size);
    EXPECT_EQ(lahar_save_sequence(engine.get(), bytes.data(), bytes.size(), &size), LAHAR_OK)
        << lahar_engine_error(engine.get());
    EXPECT_EQ(size, bytes.size());
    return bytes;
  }
  static uint32_t held_tokens(const Engine& engine) {
    size_t count = 0;
    lahar_get_kv_pages(engine.get(), nullptr, 0, &count);
    std::vector<lahar_kv_page> pages(count);
    EXPECT_EQ(lahar_get_kv_pages(engine.get(), pages.data(), count, &count), LAHAR_OK);
    uint32_t tokens = 0;
    for (const lahar_kv_page& page : pages) tokens += page.sequence >= 0 ? page.tokens : 0;
    return tokens;
  }
};

TEST_F(SaveSequenceTest, AnotherEngineGoesOn) {
  const Reply first = ask(engine);
  ASSERT_EQ(first.status, LAHAR_OK);
  const std::vector<std::byte> saved = save(engine);
  const Engine other = make_engine(model, 256);
  ASSERT_EQ(lahar_restore_sequence(other.get(), saved.data(), saved.size()), LAHAR_OK) << lahar_engine_error(other.get());
  EXPECT_EQ(held_tokens(other), held_tokens(engine));
  const Reply again = ask(other);
  EXPECT_EQ(again.text, first.text);
  EXPECT_EQ(again.result.prompt_tokens, 1u) << "all but the last token was there";
  EXPECT_EQ(again.result.reused_tokens + 1, first.result.prompt_tokens);
}

TEST_F(SaveSequenceTest, RoomThatIsTooSmallStaysAsItIs) {
  ask(engine);
  const size_t size = save(engine).size();
  std::vector<std::byte> room(size, std::byte{0x5a});
  size_t needed = 0;
  EXPECT_EQ(lahar_save_sequence(engine.get(), room.data(), size - 1, &needed), LAHAR_LIMIT);
  EXPECT_EQ(needed, size);
  EXPECT_EQ(room, std::vector<std::byte>(size, std::byte{0x5a}));
  EXPECT_NE(error().find(std::to_string(size)), std::string::npos) << error();
}

TEST_F(SaveSequenceTest, WhatIsNoSavedSequenceChangesNothing) {
  const Reply first = ask(engine);
  std::vector<std::byte> saved = save(engine);
  EXPECT_EQ(lahar_restore_sequence(engine.get(), saved.data(), saved.size() - 1), LAHAR_FORMAT);
  EXPECT_EQ(lahar_restore_sequence(engine.get(), saved.data(), 0), LAHAR_FORMAT);
  saved[saved.size() / 2] ^= std::byte{1};
  EXPECT_EQ(lahar_restore_sequence(engine.get(), saved.data(), saved.size()), LAHAR_FORMAT);
  EXPECT_NE(error().find("checksum"), std::string::npos) << error();
  EXPECT_EQ(ask(engine).result.reused_tokens + 1, first.result.prompt_tokens);
}

TEST_F(SaveSequenceTest, ArgumentsThatCannotBe) {
  size_t size = 7;
  std::byte byte{};
  EXPECT_EQ(lahar_save_sequence(nullptr, nullptr, 0, &size), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(size, 0u);
  EXPECT_EQ(lahar_save_sequence(engine.get(), &byte, 1, nullptr), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_save_sequence(engine.get(), nullptr, 1, &size), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_restore_sequence(nullptr, &byte, 1), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_restore_sequence(engine.get(), nullptr, 1), LAHAR_INVALID_ARGUMENT);
}

TEST_F(SaveSequenceTest, InsideACallbackTheEngineWouldWaitForItself) {
  const std::vector<std::byte> saved = save(engine);
  const Reply reply = generate(engine.get(), user_message("Hi"), [&](const lahar_token&) {
    size_t size = 0;
    EXPECT_EQ(lahar_save_sequence(engine.get(), nullptr, 0, &size), LAHAR_INVALID_ARGUMENT);
    EXPECT_EQ(lahar_restore_sequence(engine.get(), saved.data(), saved.size()), LAHAR_INVALID_ARGUMENT);
    return 1;
  });
  EXPECT_EQ(reply.result.reason, LAHAR_STOP_CANCELLED);
}

}  // namespace
}  // namespace lahar::test
