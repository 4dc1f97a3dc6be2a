// Every model file of the test data loads, and so does the built-in model.
#include <algorithm>

#include "format/model_source.h"
#include "format_test.h"
#include "test_data.h"

namespace lahar {
namespace {

void expect_loads(const std::filesystem::path& path) {
  const auto source = ModelSource::open(path);
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_FALSE((*source)->architecture().empty()) << path;
  const bool vocabulary = path.filename().string().starts_with("ggml-vocab-");
  EXPECT_EQ((*source)->tensors().empty(), vocabulary) << path;
  EXPECT_TRUE((*source)->missing_files().empty()) << path;
  for (const TensorView& tensor : (*source)->tensors()) {
    EXPECT_EQ((*source)->find_tensor(tensor.name), &tensor);
    EXPECT_EQ(tensor.data.size(), byte_size(tensor.dtype, *tensor.shape.elements()));
  }
  if ((*source)->tensors().empty()) return;
  (*source)->release((*source)->tensors()[0].data);
}

int load_all(const std::filesystem::path& folder) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf" && !std::filesystem::exists(entry.path() / "config.json")) continue;
    expect_loads(entry.path());
    ++count;
  }
  return count;
}

TEST(GoldenFiles, BuiltInModel) { expect_loads(test::source_folder() / "model" / "default" / "pumice-q8_0.gguf"); }

class GoldenFolder : public testing::TestWithParam<const char*> {};

TEST_P(GoldenFolder, AllLoad) {
  LAHAR_NEED_DATA(folder, GetParam());
  EXPECT_GT(load_all(folder), 0);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenFolder,
                         testing::Values("golden/gguf", "golden/quant-gguf", "golden/hf", "golden/hf-long",
                                         "golden/quant-hf", "golden/vocab", "models", "default-model"),
                         [](const auto& info) { return test::test_name(info.param); });

}  // namespace
}  // namespace lahar
