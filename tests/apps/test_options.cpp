// What the command line makes of its options.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/options.h"

namespace lahar::cli {
namespace {

// What the options of a model say, or the parser's error.
struct Parsed {
  OpenOptions open;
  std::string error;
};

Parsed parse(std::vector<std::string> arguments) {
  CLI::App app;
  ModelOptions options;
  add_model_options(app, options);
  add_streaming_option(app, options);
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) { return {{}, error.what()}; }
  auto open = open_options(options);
  if (!open.ok()) return {{}, open.error().message};
  return {std::move(open).value(), ""};
}

TEST(Options, RopeIsTheModelsOwnUnlessSomethingIsSaid) {
  const Parsed parsed = parse({});
  ASSERT_EQ(parsed.error, "");
  EXPECT_TRUE(parsed.open.engine.rope.automatic());
  EXPECT_EQ(parsed.open.engine.rope.original_context, 0u);
}

TEST(Options, RopeScaling) {
  const std::pair<const char*, RopeScaling> names[] = {
      {"none", RopeScaling::kNone}, {"linear", RopeScaling::kLinear}, {"yarn", RopeScaling::kYarn}};
  for (const auto& [name, scaling] : names) {
    const Parsed parsed = parse({"--rope-scaling", name});
    ASSERT_EQ(parsed.error, "");
    EXPECT_EQ(parsed.open.engine.rope.scaling, scaling);
    EXPECT_FALSE(parsed.open.engine.rope.automatic());
  }
  const Parsed parsed = parse({"--rope-scaling", "yarn", "--rope-scale", "2.5", "--yarn-orig-ctx", "256"});
  ASSERT_EQ(parsed.error, "");
  EXPECT_EQ(parsed.open.engine.rope.factor, 2.5);
  EXPECT_EQ(parsed.open.engine.rope.original_context, 256u);
}

TEST(Options, RopeScalingThatIsRefused) {
  EXPECT_NE(parse({"--rope-scaling", "cubic"}).error.find("cubic"), std::string::npos);
  for (const char* factor : {"0", "0.5", "-2", "1e7", "two"})
    EXPECT_NE(parse({"--rope-scale", factor}).error.find("--rope-scale"), std::string::npos) << factor;
  for (const char* tokens : {"0", "-1", "many"})
    EXPECT_NE(parse({"--yarn-orig-ctx", tokens}).error.find("--yarn-orig-ctx"), std::string::npos) << tokens;
}

}  // namespace
}  // namespace lahar::cli
