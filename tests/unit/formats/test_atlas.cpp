// The error table's file: what is written comes back, equal content is equal bytes, damage is refused.
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/atlas.hpp"
#include "llmq/formats/imatrix.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;
namespace fs = std::filesystem;
using testing_support::ScratchDirectory;

Atlas example() {
  Atlas atlas;
  atlas.key = {"aa", "bb", "none", "1.2.3", 256};
  atlas.probe_text = {"sha256:cc", 16, 256};
  AtlasTensor tensor;
  tensor.in_features = 512;
  tensor.rows = 2048;
  tensor.sampled_rows = 256;
  tensor.power = 12.5;
  tensor.cells = {{GgmlType::Q2_K, 1.5, 0.25, 344064}, {GgmlType::IQ4_XS, 0.125, 0.0625, 557056}};
  tensor.probes = {{GgmlType::Q2_K, 0.5, 0.01}};
  atlas.tensors["blk.0.attn_q.weight"] = tensor;
  tensor.probes.clear();
  atlas.tensors["output.weight"] = tensor;
  return atlas;
}

void expect_equal(const Atlas& a, const Atlas& b) {
  EXPECT_EQ(a.content_hash(), b.content_hash());
  EXPECT_EQ(a.key, b.key);
  EXPECT_EQ(a.probe_text, b.probe_text);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
}

TEST(Atlas, comes_back_as_it_was_and_equal_content_is_equal_bytes) {
  const ScratchDirectory scratch;
  const fs::path one = scratch.path() / "one.atlas", two = scratch.path() / "two.atlas";
  write_atlas(example(), one);
  write_atlas(read_atlas(one), two);
  expect_equal(read_atlas(two), example());
  EXPECT_EQ(read_file(one, 1 << 20, 1), read_file(two, 1 << 20, 1));
  const Atlas read = read_atlas(one);
  const AtlasTensor& tensor = read.tensors.at("blk.0.attn_q.weight");
  EXPECT_DOUBLE_EQ(tensor.relative_error(*tensor.find(GgmlType::Q2_K)), 0.12);
  EXPECT_EQ(tensor.find(GgmlType::IQ4_XS)->bytes, 557056U);
  EXPECT_EQ(tensor.find(GgmlType::Q6_K), nullptr);
  EXPECT_DOUBLE_EQ(tensor.probes.at(0).kld, 0.5);
  EXPECT_TRUE(read.tensors.at("output.weight").probes.empty());
}

TEST(Atlas, damage_and_other_files_are_refused) {
  const ScratchDirectory scratch;
  const fs::path path = scratch.path() / "a.atlas";
  write_atlas(example(), path);
  const std::string good = read_file(path, 1 << 20, 1);
  int refused = 0, changed = 0;
  for (std::size_t at = 0; at < good.size(); at += 61) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x55);
    write_file_atomically(path, bad);
    try {
      changed += read_atlas(path).content_hash() != example().content_hash() ? 1 : 0;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::imatrix) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 10);
  EXPECT_EQ(changed, 0) << "damage went unseen";
  write_file_atomically(path, good.substr(0, good.size() / 2));
  EXPECT_THROW(read_atlas(path), Error);
  write_file_atomically(path, "no HDF5 at all");
  EXPECT_THROW(read_atlas(path), Error);
  Imatrix other;
  other.entries["a"] = {1, 1, {1.0}, {}, {}, {}, {1}, {}};
  write_imatrix(other, path, ImatrixFileFormat::hdf5);
  EXPECT_THROW(read_atlas(path), Error);
  EXPECT_THROW(read_atlas(scratch.path() / "absent"), Error);
}

TEST(Atlas, tables_that_do_not_fit_together_are_refused) {
  const ScratchDirectory scratch;
  const fs::path path = scratch.path() / "a.atlas";
  Atlas atlas = example();
  std::swap(atlas.tensors["output.weight"].cells[0], atlas.tensors["output.weight"].cells[1]);
  write_atlas(atlas, path);
  EXPECT_THROW(read_atlas(path), Error);
  atlas = example();
  atlas.tensors["output.weight"].cells[0].error = -1;
  write_atlas(atlas, path);
  EXPECT_THROW(read_atlas(path), Error);
}

}  // namespace
