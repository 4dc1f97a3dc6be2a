// Commands run as a user runs them, for what they print.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "test_data.h"

namespace lahar::test {
namespace {

class Commands : public testing::Test {
 protected:
  // What the command writes to stdout; a failure with its stderr unless it exits with 0.
  std::string run(const std::string& arguments) {
    const std::string errors = (folder_ / "stderr").string();
    const std::string command = std::string("'") + LAHAR_PROGRAM + "' " + arguments + " 2>'" + errors + "'";
    FILE* pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) {
      ADD_FAILURE() << "cannot run " << command;
      return {};
    }
    std::string text;
    char part[4096];
    while (const size_t n = fread(part, 1, sizeof part, pipe)) text.append(part, n);
    const int status = pclose(pipe);
    std::ifstream file(errors);
    EXPECT_EQ(status, 0) << command << "\n" << std::string(std::istreambuf_iterator<char>(file), {});
    return text;
  }

 private:
  TemporaryFolder folder_;
};

// --- bench --ops

struct Ops : Commands {
  // The lines of one kind, by the beginning of their op.
  static std::vector<nlohmann::json> lines(const nlohmann::json& all, const std::string& op) {
    std::vector<nlohmann::json> found;
    for (const nlohmann::json& line : all)
      if (line["op"].get<std::string>().starts_with(op)) found.push_back(line);
    return found;
  }
  nlohmann::json bench(const std::filesystem::path& model, const std::string& more = {}) {
    const std::string text = run("bench --ops '" + model.string() + "' -b 1,2 -p 20 -d 40 -r 1 -o json " + more);
    const nlohmann::json all = nlohmann::json::parse(text, nullptr, false);
    EXPECT_FALSE(all.is_discarded() || all.empty()) << text;
    for (const nlohmann::json& line : all) {
      EXPECT_GT(line["ns"].get<double>(), 0) << line;
      EXPECT_TRUE(std::isfinite(line["bytes_per_second"].get<double>())) << line;
      EXPECT_GT(line["bytes_per_second"].get<double>(), 0) << line;
    }
    return all;
  }
};

TEST_F(Ops, WithoutAttention) {
  LAHAR_NEED_DATA(model, "golden/hf/mamba2");
  const nlohmann::json all = bench(model);
  EXPECT_TRUE(lines(all, "attention").empty());
  EXPECT_TRUE(lines(all, "rope").empty());
  EXPECT_FALSE(lines(all, "matmul").empty());
  EXPECT_FALSE(lines(all, "norm").empty());
}

TEST_F(Ops, ExpertsAndTheCacheAskedFor) {
  LAHAR_NEED_DATA(model, "golden/hf/mixtral");
  const nlohmann::json all = bench(model, "--kv int8");
  EXPECT_EQ(lines(all, "experts").size(), 3u) << "1, 2 and 20 rows";
  const auto attention = lines(all, "attention int8");
  EXPECT_EQ(attention.size(), lines(all, "attention").size());
  ASSERT_EQ(attention.size(), 2u) << "a row at 40 tokens, and a prompt of 20";
  EXPECT_FALSE(attention[0]["form"].get<std::string>().empty());
  EXPECT_FALSE(lines(all, "rope").empty());
  EXPECT_EQ(lines(all, "head").size(), 2u) << "logits are wanted of the sequences' rows, not of a prompt's";
}

TEST_F(Ops, AttentionInSomeLayersAlone) {
  LAHAR_NEED_DATA(model, "golden/hf/qwen3-next");
  const nlohmann::json all = bench(model);
  EXPECT_FALSE(lines(all, "attention f16").empty());
  EXPECT_FALSE(lines(all, "experts").empty());
}

// --- perplexity: what a format of weights or of the cache may cost. Bounds are on both sides: on so few tokens a format
// that loses something is sometimes the better one, but not by more.

struct Perplexity : Commands {
  static constexpr uint64_t kTokens = 1024;  // two windows

  static nlohmann::json expected() {
    std::ifstream file(source_folder() / "tests/data/pumice/expected.json");
    return nlohmann::json::parse(file).at("perplexity");
  }
  double perplexity(const std::string& arguments, uint64_t tokens = kTokens) {
    const nlohmann::json e = expected();
    const auto text_file = source_folder() / "tests/data/pumice" / e["file"].get<std::string>();
    const std::string text = run("perplexity -f '" + text_file.string() + "' --tokens " + std::to_string(tokens) +
                                 " --window " + e["window"].dump() + " --stride " + e["stride"].dump() + " " + arguments);
    double value = 0;
    EXPECT_EQ(std::sscanf(text.c_str(), "perplexity %lf", &value), 1) << text;
    return value;
  }
  static void expect_within(double value, double reference, double share, const std::string& what) {
    EXPECT_NEAR(value, reference, share * reference) << what;
  }
};

// The built-in model has Q8_0 weights; the reference computed with those it was made from, in float32.
TEST_F(Perplexity, TheBuiltInModelIsAsGoodAsItsReference) {
  const nlohmann::json e = expected();
  expect_within(perplexity("", e["tokens"]), e["value"], 0.005, "Q8_0");
}

TEST_F(Perplexity, OfTheCachesTypes) {
  const double reference = perplexity("--kv f16");
  expect_within(perplexity("--kv int8"), reference, 0.005, "int8");
  expect_within(perplexity("--kv fp8"), reference, 0.005, "fp8");
  expect_within(perplexity("--kv int4"), reference, 0.03, "int4");
}

TEST_F(Perplexity, OfWeightsThatAreConvertedWhileLoading) {
  LAHAR_NEED_DATA(model, "default-model/pumice");
  const std::string folder = "'" + model.string() + "' ";
  const double reference = perplexity(folder);
  expect_within(perplexity(folder + "--quantize int8"), reference, 0.005, "int8");
  expect_within(perplexity(folder + "--quantize fp8"), reference, 0.02, "fp8");
  expect_within(perplexity(folder + "--quantize int4"), reference, 0.05, "int4");
}

}  // namespace
}  // namespace lahar::test
