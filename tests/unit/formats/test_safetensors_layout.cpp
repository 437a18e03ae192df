// Planned safetensors files: written by the plan they are what the strict reader reads.
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/safetensors.hpp"
#include "llmq/formats/safetensors_layout.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;
using testing_support::ScratchDirectory;

std::vector<SafetensorsEntry> some_entries() {
  return {{"model.embed_tokens.weight", DType::BF16, {16, 8}},
          {"a.weight", DType::I8, {5, 7}},
          {"a.weight_scale", DType::F32, {5, 1}},
          {"b.weight", DType::I8, {3, 3}},
          {"b.weight_scale", DType::F32, {3, 1}},
          {"model.norm.weight", DType::BF16, {8}},
          {"nothing", DType::F32, {0, 4}}};
}

/// Byte k of entry i.
std::byte content(std::size_t entry, std::uint64_t k) { return static_cast<std::byte>(entry * 37 + k * 11); }

void write(const SafetensorsLayout& layout, const std::filesystem::path& directory) {
  for (std::size_t s = 0; s < layout.shards.size(); ++s) {
    std::string bytes = layout.shards[s].head;
    bytes.resize(layout.shards[s].file_bytes);
    for (std::size_t i = 0; i < layout.places.size(); ++i) {
      if (layout.places[i].shard != s) continue;
      for (std::uint64_t k = 0; k < layout.places[i].size_bytes; ++k)
        bytes[layout.places[i].offset_bytes + k] = static_cast<char>(content(i, k));
    }
    write_file_atomically(directory / layout.shards[s].file_name, bytes);
  }
  if (!layout.index.empty()) write_file_atomically(directory / "model.safetensors.index.json", layout.index);
}

void expect_read(const std::vector<SafetensorsEntry>& entries, const SafetensorsLayout& layout,
                 const std::filesystem::path& directory) {
  const SafetensorsCheckpoint read(directory);
  ASSERT_EQ(read.tensors().size(), entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const SafetensorsTensor* tensor = read.find(entries[i].name);
    ASSERT_NE(tensor, nullptr) << entries[i].name;
    EXPECT_EQ(tensor->dtype, entries[i].dtype);
    EXPECT_EQ(tensor->shape, entries[i].shape);
    EXPECT_EQ(tensor->offset_bytes, layout.places[i].offset_bytes);
    EXPECT_EQ(tensor->offset_bytes % dtype_bytes(tensor->dtype), 0u) << "not aligned";
    std::vector<std::byte> bytes(tensor->size_bytes);
    read.read(*tensor, 0, bytes);
    for (std::uint64_t k = 0; k < bytes.size(); ++k) ASSERT_EQ(bytes[k], content(i, k)) << entries[i].name;
  }
}

TEST(SafetensorsLayout, one_file_and_shards_are_read_back) {
  const auto entries = some_entries();
  for (const std::uint64_t limit :
       {std::uint64_t{1}, std::uint64_t{60}, std::uint64_t{300}, std::uint64_t{1} << 40}) {
    const ScratchDirectory scratch;
    const SafetensorsLayout layout = plan_safetensors(entries, limit);
    write(layout, scratch.path());
    expect_read(entries, layout, scratch.path());
    for (std::size_t s = 0; s < layout.shards.size(); ++s) {
      std::uint64_t data = 0, count = 0;
      for (const SafetensorsPlace& place : layout.places) {
        if (place.shard == s) data += place.size_bytes, ++count;
      }
      EXPECT_TRUE(data <= limit || count == 1) << "shard " << s << " of limit " << limit;
      EXPECT_EQ(layout.shards[s].file_bytes, layout.shards[s].head.size() + data);
    }
    EXPECT_EQ(layout.index.empty(), layout.shards.size() == 1);
  }
  EXPECT_EQ(plan_safetensors(entries, 1).shards.size(), 7u);
  EXPECT_EQ(plan_safetensors(entries, 1).shards[2].file_name, "model-00003-of-00007.safetensors");
  EXPECT_EQ(plan_safetensors(entries, 1 << 20).shards[0].file_name, "model.safetensors");
}

TEST(SafetensorsLayout, metadata_are_read_back_also_from_a_file_cut_short) {
  const ScratchDirectory scratch;
  const SafetensorsMetadata metadata = {{"format", "of a test"}, {"chunks", "7"}};
  const SafetensorsLayout layout = plan_safetensors(some_entries(), 1 << 20, metadata);
  write(layout, scratch.path());
  EXPECT_EQ(read_safetensors_metadata(File(scratch / "model.safetensors", File::Mode::read)), metadata);
  write_file_atomically(scratch / "cut", layout.shards.front().head);
  EXPECT_EQ(read_safetensors_metadata(File(scratch / "cut", File::Mode::read)), metadata);
  write_file_atomically(scratch / "no header", layout.shards.front().head.substr(0, 30));
  EXPECT_THROW(read_safetensors_metadata(File(scratch / "no header", File::Mode::read)), FormatError);
  write_file_atomically(scratch / "none", std::string("\2\0\0\0\0\0\0\0{}", 10));
  EXPECT_TRUE(read_safetensors_metadata(File(scratch / "none", File::Mode::read)).empty());
}

TEST(SafetensorsLayout, refuses_what_cannot_be_written) {
  EXPECT_THROW(plan_safetensors({{"a", DType::I8, {1}}, {"a", DType::I8, {1}}}, 100), Error);
  EXPECT_THROW(plan_safetensors({{"", DType::I8, {1}}}, 100), Error);
  EXPECT_THROW(plan_safetensors({{"__metadata__", DType::I8, {1}}}, 100), Error);
  EXPECT_THROW(plan_safetensors({{"a", DType::F32, {std::uint64_t{1} << 40, std::uint64_t{1} << 40}}}, 100),
               Error);
  EXPECT_THROW(plan_safetensors({}, 100), InternalError);
}

}  // namespace
