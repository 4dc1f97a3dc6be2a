// Small templates with what Jinja2 3.1 under Python 3.11 makes of them (null: it refuses). Each row of the data files is
// one template; all of a file share one input.
#include <gtest/gtest.h>

#include <fstream>

#include "test_data.h"
#include "text/chat_template.h"

namespace lahar {
namespace {

void check_cases(const char* file) {
  const auto path = test::source_folder() / "tests/model/text/data" / file;
  std::ifstream stream(path);
  ASSERT_TRUE(stream) << path;
  const auto data = nlohmann::ordered_json::parse(stream);
  const auto input = ChatInput::from_json(data["input"].contains("messages") ? data["input"] : nlohmann::ordered_json());
  ASSERT_TRUE(input.ok()) << input.error().message;
  ASSERT_GT(data["cases"].size(), 200u);
  for (const auto& row : data["cases"]) {
    const std::string source = row[0];
    SCOPED_TRACE(source);
    const auto parsed = ChatTemplate::parse(source);
    if (!parsed.ok()) {
      EXPECT_TRUE(row[1].is_null()) << parsed.error().message;
      continue;
    }
    const auto rendering = parsed->render(*input);
    if (row[1].is_null()) {
      EXPECT_FALSE(rendering.ok()) << rendering->text();
    } else if (!rendering.ok()) {
      ADD_FAILURE() << "expected " << row[1] << ", failed with " << rendering.error().message;
    } else {
      EXPECT_EQ(rendering->text(), row[1].get<std::string>());
    }
  }
}

TEST(JinjaCases, Expressions) { check_cases("jinja_expressions.json"); }
TEST(JinjaCases, StatementsAndWhitespace) { check_cases("jinja_statements.json"); }

}  // namespace
}  // namespace lahar
