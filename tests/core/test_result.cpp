#include <gtest/gtest.h>

#include <memory>

#include "core/result.h"

namespace lahar {
namespace {

Result<int> positive(int n) {
  if (n <= 0) return Error{ErrorCode::kInvalidArgument, "not positive"};
  return n;
}

Result<std::string> doubled(int n, int* steps) {
  LAHAR_TRY(positive(n));
  ++*steps;
  LAHAR_ASSIGN(const int value, positive(n - 1));
  ++*steps;
  return std::to_string(2 * value);
}

Status only_status(int n) {
  LAHAR_TRY(positive(n));
  return {};
}

TEST(Result, MacrosPassErrorsOn) {
  int steps = 0;
  const auto good = doubled(4, &steps);
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(*good, "6");
  EXPECT_EQ(steps, 2);

  steps = 0;
  const auto early = doubled(0, &steps);
  ASSERT_FALSE(early.ok());
  EXPECT_EQ(early.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(steps, 0);

  const auto late = doubled(1, &steps);
  EXPECT_FALSE(late.ok());
  EXPECT_EQ(steps, 1);
}

TEST(Result, StatusIsAResultOfNothing) {
  EXPECT_TRUE(only_status(1).ok());
  const Status bad = only_status(-1);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().message, "not positive");
}

TEST(Result, MovesWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  const std::unique_ptr<int> value = std::move(result).value();
  EXPECT_EQ(*value, 5);
}

TEST(Result, AnnotateSaysWhere) {
  const Error error = annotate({ErrorCode::kIo, "too short"}, "a.gguf");
  EXPECT_EQ(error.code, ErrorCode::kIo);
  EXPECT_EQ(error.message, "a.gguf: too short");
}

TEST(Result, EveryCodeHasAName) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i)
    EXPECT_NE(to_string(static_cast<ErrorCode>(i)), "unknown error") << i;
}

}  // namespace
}  // namespace lahar
