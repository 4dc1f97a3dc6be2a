#include "format/safetensors.h"
#include "format_test.h"

namespace lahar {
namespace {

using test::ExactCopy;
using test::expect_message;

const std::string kName = "test.safetensors";

std::string file_of(std::string_view header, size_t data_bytes) {
  test::ByteBuilder b;
  b.put<uint64_t>(header.size());
  b.bytes += header;
  for (size_t i = 0; i < data_bytes; ++i) b.bytes += static_cast<char>(i);
  return b.bytes;
}

const std::string kHeader =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[8,20]},)"
    R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"s":{"dtype":"I8","shape":[],"data_offsets":[20,21]},)"
    R"("none":{"dtype":"BF16","shape":[0,4],"data_offsets":[21,21]}})";
constexpr size_t kDataBytes = 21;

void refused(const std::string& bytes, std::string_view part = {}) {
  const auto tensors = read_safetensors(ExactCopy(bytes).bytes(), kName);
  EXPECT_FALSE(tensors.ok()) << "expected: " << part;
  if (!tensors.ok()) expect_message(tensors.error(), kName, part);
}

void header_refused(std::string_view header, std::string_view part = {}) { refused(file_of(header, 64), part); }

// A file with one tensor "t" of these fields
void tensor_refused(const std::string& fields, std::string_view part) { header_refused("{\"t\":" + fields + "}", part); }

TEST(Safetensors, ReadsTensorsSortedByName) {
  const ExactCopy copy(file_of(kHeader, kDataBytes));
  const auto tensors = read_safetensors(copy.bytes(), kName);
  ASSERT_TRUE(tensors.ok()) << tensors.error().message;
  ASSERT_EQ(tensors->size(), 4u);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_EQ((*tensors)[1].name, "b");
  EXPECT_EQ((*tensors)[1].dtype, DType::kF16);
  EXPECT_EQ((*tensors)[1].shape, (Shape{2, 3}));
  EXPECT_EQ((*tensors)[1].data.size(), 12u);
  EXPECT_EQ((*tensors)[1].data[0], std::byte{8});
  EXPECT_EQ((*tensors)[2].name, "none");
  EXPECT_TRUE((*tensors)[2].data.empty());
  EXPECT_EQ((*tensors)[3].shape.rank(), 0u);
}

TEST(Safetensors, EveryElementType) {
  for (const auto& [name, bytes] : std::vector<std::pair<std::string, int>>{{"F64", 8},
                                                                            {"F32", 4},
                                                                            {"F16", 2},
                                                                            {"BF16", 2},
                                                                            {"F8_E4M3", 1},
                                                                            {"F8_E5M2", 1},
                                                                            {"I64", 8},
                                                                            {"I32", 4},
                                                                            {"I16", 2},
                                                                            {"I8", 1},
                                                                            {"U64", 8},
                                                                            {"U32", 4},
                                                                            {"U16", 2},
                                                                            {"U8", 1},
                                                                            {"BOOL", 1}}) {
    const std::string header =
        "{\"t\":{\"dtype\":\"" + name + "\",\"shape\":[3],\"data_offsets\":[0," + std::to_string(3 * bytes) + "]}}";
    const ExactCopy copy(file_of(header, 24));
    const auto tensors = read_safetensors(copy.bytes(), kName);
    ASSERT_TRUE(tensors.ok()) << tensors.error().message;
    EXPECT_EQ((*tensors)[0].data.size(), static_cast<size_t>(3 * bytes));
  }
  tensor_refused(R"({"dtype":"Q4_0","shape":[32],"data_offsets":[0,18]})", "tensor 't': unknown element type 'Q4_0'");
  tensor_refused(R"({"dtype":"F4","shape":[2],"data_offsets":[0,1]})", "unknown element type 'F4'");
}

TEST(Safetensors, EveryTruncationIsAnError) {
  const std::string whole = file_of(kHeader, kDataBytes);
  ASSERT_TRUE(read_safetensors(ExactCopy(whole).bytes(), kName).ok());
  for (size_t n = 0; n < whole.size(); ++n) refused(whole.substr(0, n));
}

TEST(Safetensors, HeaderLengthMayLie) {
  const std::string whole = file_of(kHeader, kDataBytes);
  for (const uint64_t lie :
       {uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 7, uint64_t{kHeader.size() + 1}, uint64_t{kHeader.size() - 1},
        uint64_t{whole.size()}, uint64_t{whole.size() - 7}, uint64_t{0}, uint64_t{1}}) {
    std::string bytes = whole;
    test::patch(bytes, 0, lie);
    refused(bytes);
  }
  std::string bytes = whole;
  test::patch(bytes, 0, uint64_t{1} << 63);
  refused(bytes, "a header of 9223372036854775808 bytes is claimed");
}

TEST(Safetensors, NumbersInTheHeaderMayLie) {
  tensor_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775808]})", "'data_offsets'");
  tensor_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]})", "'data_offsets'");
  tensor_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[0,99999999999999999999999]})", "'data_offsets'");
  tensor_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})", "'data_offsets'");
  tensor_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})", "ends before it begins");
  tensor_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[57,65]})", "goes beyond the end");
  tensor_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[0,9]})", "has 9 bytes, shape [2] of F32 needs 8");
  tensor_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[0,7]})", "has 7 bytes");
  tensor_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})", "two integers expected");
  tensor_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8,8]})", "two integers expected");
  tensor_refused(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})", "'shape'");
  tensor_refused(R"({"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,8]})", "more than 2^64 bytes");
  tensor_refused(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})", "more than 2^64 bytes");
  tensor_refused(R"({"dtype":"I8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]})", "rank 9, at most 8 expected");
}

TEST(Safetensors, WrongTypesAreNamed) {
  tensor_refused("[]", "tensor 't': an object expected");
  tensor_refused("null", "tensor 't': an object expected");
  tensor_refused(R"({"shape":[2],"data_offsets":[0,8]})", "tensor 't': key 'dtype' is missing");
  tensor_refused(R"({"dtype":7,"shape":[2],"data_offsets":[0,8]})", "key 'dtype': expected a string, found 7");
  tensor_refused(R"({"dtype":"F32","data_offsets":[0,4]})", "key 'shape' is missing");
  tensor_refused(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})", "key 'shape'");
  tensor_refused(R"({"dtype":"F32","shape":["2"],"data_offsets":[0,8]})", "key 'shape'");
  tensor_refused(R"({"dtype":"F32","shape":[2]})", "'data_offsets': two integers expected, found 0");
  header_refused("[]", "does not start with '{'");
  header_refused("{", "not valid JSON");
  header_refused("{} x", "not valid JSON");
  header_refused("{\"\xff\":1}", "not valid JSON");
}

TEST(Safetensors, RepeatedNamesAndSharedBytesAreRefused) {
  header_refused(
      R"({"t":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}})",
      "key 't' is there twice");
  header_refused(
      R"({"x":{"dtype":"I8","shape":[4],"data_offsets":[2,6]},"y":{"dtype":"I8","shape":[3],"data_offsets":[0,3]}})",
      "tensors 'y' and 'x' share bytes");
}

TEST(Safetensors, HeaderMayBePadded) {
  const ExactCopy copy(file_of(kHeader + "     ", kDataBytes));
  EXPECT_TRUE(read_safetensors(copy.bytes(), kName).ok());
  const ExactCopy empty(file_of("{}", 0));
  EXPECT_TRUE(read_safetensors(empty.bytes(), kName).ok());
}

TEST(Safetensors, DeepHeaderIsRefused) { header_refused("{\"t\":" + std::string(1'000'000, '['), "nested deeper"); }

}  // namespace
}  // namespace lahar
