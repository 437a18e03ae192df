// GGUF: complete files read with every value, malformed ones refused, what is written reads back.
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "llmq/core/file.hpp"
#include "llmq/formats/gguf.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;
namespace fs = std::filesystem;
using testing_support::ScratchDirectory;

fs::path vectors() { return fs::path(LLMQ_TEST_DATA) / "vectors"; }

TEST(GgufReader, reads_every_value_type_and_tensor_of_the_complete_file) {
  const GgufFile file(vectors() / "gguf/tiny.gguf");
  EXPECT_EQ(file.header().metadata.pairs().size(), 20u);
  ASSERT_EQ(file.header().tensors.size(), 3u);
  EXPECT_EQ(file.header().tensors[1].type, GgmlType::F16);
  EXPECT_EQ(file.header().tensors[1].ne[0], 4u);
  EXPECT_EQ(file.header().tensors[1].ne[1], 3u);
  EXPECT_EQ(file.header().tensors[2].type, GgmlType::Q8_0);
  EXPECT_EQ(file.header().tensors[2].size_bytes, 2u * 2 * 34);
  EXPECT_EQ(GgufFile(vectors() / "gguf/tiny_align64.gguf").header().alignment, 64u);
}

TEST(GgufWriter, the_head_of_a_read_file_is_written_byte_for_byte) {
  for (const char* name : {"gguf/tiny.gguf", "gguf/tiny_align64.gguf", "bad/00_valid_control.gguf"}) {
    const GgufFile file(vectors() / name);
    const std::string original = read_file(vectors() / name, 1 << 20);
    GgufHeader header = file.header();
    plan_gguf(header);
    const auto head = encode_gguf_head(header);
    ASSERT_EQ(head.size(), header.data_start) << name;
    EXPECT_EQ(std::memcmp(head.data(), original.data(), head.size()), 0) << name;
  }
}

TEST(GgufReader, every_malformed_file_is_refused_with_a_typed_error) {
  int seen = 0;
  for (const auto& entry : fs::directory_iterator(vectors() / "bad")) {
    if (entry.path().extension() != ".gguf" || entry.path().filename().string().starts_with("00_")) continue;
    ++seen;
    EXPECT_THROW(GgufFile file(entry.path()), FormatError) << entry.path();
  }
  EXPECT_EQ(seen, 36);
}

TEST(GgufReader, truncation_anywhere_and_flipped_bits_never_crash) {
  const ScratchDirectory scratch;
  const std::string whole = read_file(vectors() / "gguf/tiny.gguf", 1 << 20);
  for (std::size_t length = 0; length < whole.size() - 32; ++length) {
    write_file_atomically(scratch / "cut.gguf", whole.substr(0, length));
    EXPECT_THROW(GgufFile file(scratch / "cut.gguf"), FormatError) << length;
  }
  for (std::size_t at = 0; at < whole.size(); at += 3) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
    write_file_atomically(scratch / "flip.gguf", flipped);
    try {
      const GgufFile file(scratch / "flip.gguf");
    } catch (const FormatError&) {
    }
  }
}

TEST(GgufPlan, names_duplicates_and_rows_are_checked) {
  const auto with = [](std::string name, GgmlType type, std::uint64_t ne0) {
    GgufTensorInfo info;
    info.name = std::move(name);
    info.type = type;
    info.ne[0] = ne0;
    return info;
  };
  GgufHeader header;
  header.tensors = {with("a", GgmlType::Q8_0, 40)};
  EXPECT_THROW(plan_gguf(header), Error);
  header.tensors = {with("a", GgmlType::F32, 4), with("a", GgmlType::F32, 4)};
  EXPECT_THROW(plan_gguf(header), Error);
  header.tensors = {with(std::string(64, 'n'), GgmlType::F32, 4)};
  EXPECT_THROW(plan_gguf(header), Error);
  header.tensors = {with("a", GgmlType::F32, 5), with("b", GgmlType::Q8_0, 64)};
  const std::uint64_t size = plan_gguf(header);
  EXPECT_EQ(size, header.data_start + 32 + 96);
  EXPECT_EQ(header.tensors[1].offset_bytes, 32u);
}

TEST(GgufMetadata, typed_access_and_replacement) {
  GgufMetadata metadata;
  metadata.set("n", std::uint32_t{7});
  metadata.set("n", std::int64_t{-3});
  metadata.set("big", std::numeric_limits<std::uint64_t>::max());
  metadata.set("flag", true);
  EXPECT_EQ(metadata.pairs().size(), 3u);
  EXPECT_EQ(metadata.integer("n"), -3);
  EXPECT_FALSE(metadata.integer("big"));
  EXPECT_FALSE(metadata.integer("flag"));
  EXPECT_EQ(metadata.boolean("flag"), true);
  EXPECT_FALSE(metadata.string("n"));
}

}  // namespace
