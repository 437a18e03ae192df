// Models in several GGUF files: names, where tensors are cut, and reading sets that are whole, incomplete or
// wrong.
#include <algorithm>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/formats/gguf_split.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;
namespace fs = std::filesystem;
using testing::HasSubstr;
using testing_support::ScratchDirectory;

/// Rows of 32 Q8_0 weights, 34 bytes each; padded to 32.
GgufTensorInfo tensor(const std::string& name, std::uint64_t rows) {
  GgufTensorInfo info;
  info.name = name;
  info.n_dims = 2;
  info.type = GgmlType::Q8_0;
  info.ne = {32, rows, 1, 1};
  return info;
}

GgufHeader model(std::initializer_list<std::uint64_t> rows) {
  GgufHeader header;
  header.metadata.set("general.architecture", std::string("llama"));
  header.metadata.set("llama.block_count", std::uint32_t{4});
  int number = 0;
  for (const std::uint64_t count : rows)
    header.tensors.push_back(tensor("t" + std::to_string(number++), count));
  plan_gguf(header);
  return header;
}

std::vector<std::size_t> tensors_of(const GgufSplit& split) {
  std::vector<std::size_t> counts;
  for (const GgufShard& shard : split.shards) counts.push_back(shard.header.tensors.size());
  return counts;
}

TEST(GgufShardName, is_read_as_it_is_written) {
  const GgufShardName name{"dir.d/pebble-Q4_K", 1, 12};
  EXPECT_EQ(name.path(), "dir.d/pebble-Q4_K-00002-of-00012.gguf");
  const auto read = parse_gguf_shard_name(name.path());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->stem, name.stem);
  EXPECT_EQ(read->index, 1u);
  EXPECT_EQ(read->count, 12u);
  for (const char* other :
       {"a-00000-of-00002.gguf", "a-00003-of-00002.gguf", "a-0001-of-00002.gguf", "a-00001-of-00002.bin",
        "-00001-of-00002.gguf", "a-00001-of-0000x.gguf", "a-00001_of-00002.gguf", "a.gguf", ""})
    EXPECT_FALSE(parse_gguf_shard_name(other)) << other;
}

TEST(GgufShardName, a_stem_is_what_all_files_of_a_model_share) {
  EXPECT_EQ(gguf_stem("out/a-00001-of-00003.gguf"), "out/a");
  EXPECT_EQ(gguf_stem("out/a.gguf"), "out/a");
  EXPECT_EQ(gguf_stem("Llama-3.2"), "Llama-3.2");
  const ScratchDirectory scratch;
  for (const char* name : {"a.gguf", "a-00001-of-00002.gguf", "a-00003-of-00003.gguf", "ab.gguf", "a-b.gguf",
                           "a-00001-of-00002.gguf.partial", "a"})
    write_file_atomically(scratch / name, "x");
  EXPECT_EQ(gguf_files_of_stem(scratch / "a"),
            (std::vector<fs::path>{scratch / "a-00001-of-00002.gguf", scratch / "a-00003-of-00003.gguf",
                                   scratch / "a.gguf"}));
}

TEST(GgufSplitPlan, files_stay_within_the_size_and_tensors_in_order) {
  const GgufHeader whole = model({3, 1, 7, 20, 2, 2, 9, 1});
  for (const std::uint64_t most : {600u, 700u, 1000u, 1300u}) {
    const GgufSplit split = plan_gguf_split(whole, most);
    std::vector<std::string> names;
    for (std::size_t s = 0; s < split.shards.size(); ++s) {
      const GgufShard& shard = split.shards[s];
      const GgufMetadata& keys = shard.header.metadata;
      const auto head = encode_gguf_head(shard.header);
      EXPECT_EQ(head.size(), shard.header.data_start);
      EXPECT_TRUE(shard.file_bytes <= most || shard.header.tensors.size() == 1) << most << " " << s;
      EXPECT_EQ(keys.integer("split.no"), static_cast<std::int64_t>(s));
      EXPECT_EQ(keys.integer("split.count"), static_cast<std::int64_t>(split.shards.size()));
      EXPECT_EQ(keys.integer("split.tensors.count"), 8);
      EXPECT_TRUE(std::holds_alternative<std::uint16_t>(*keys.find("split.no")));
      EXPECT_TRUE(std::holds_alternative<std::uint16_t>(*keys.find("split.count")));
      EXPECT_TRUE(std::holds_alternative<std::int32_t>(*keys.find("split.tensors.count")));
      EXPECT_EQ(keys.pairs().size(), s == 0 ? 5u : 3u);
      for (const GgufTensorInfo& info : shard.header.tensors) {
        EXPECT_EQ(split.shard_of[names.size()], s);
        names.push_back(info.name);
      }
    }
    EXPECT_EQ(names, (std::vector<std::string>{"t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"}));
  }
}

TEST(GgufSplitPlan, a_file_is_closed_when_the_next_tensor_would_not_fit) {
  const GgufHeader whole = model({4, 4, 4, 4});
  const GgufSplit small = plan_gguf_split(whole, 1);
  EXPECT_EQ(tensors_of(small), (std::vector<std::size_t>{0, 1, 1, 1, 1}));  // metadata alone, then one each
  EXPECT_EQ(small.shards[0].header.data_start, small.shards[0].file_bytes);
  const std::uint64_t pair = plan_gguf_split(whole, 100000).shards[0].file_bytes;  // all four in one
  EXPECT_EQ(tensors_of(plan_gguf_split(whole, pair)), (std::vector<std::size_t>{4}));
  EXPECT_EQ(tensors_of(plan_gguf_split(whole, pair - 1)), (std::vector<std::size_t>{3, 1}));
}

TEST(GgufSplitPlan, a_shard_never_takes_more_than_is_reserved_for_it) {
  const GgufHeader whole = model({4, 1, 9, 4});
  std::uint64_t joined = whole.data_start, apart = 0;
  for (const GgufTensorInfo& info : whole.tensors) joined += (info.size_bytes + 31) / 32 * 32;
  const GgufSplit split = plan_gguf_split(whole, 1);
  for (const GgufShard& shard : split.shards) apart += shard.file_bytes;
  EXPECT_LE(apart, joined + split.shards.size() * kGgufShardBytes);
}

TEST(GgufSplitPlan, more_files_than_the_key_can_say_are_refused) {
  GgufHeader whole;
  for (int i = 0; i < 65536; ++i) whole.tensors.push_back(tensor("t" + std::to_string(i), 1));
  plan_gguf(whole);
  try {
    (void)plan_gguf_split(whole, 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::invalid_arguments);
  }
}

/// A set of three files; every byte of a tensor is its number.
class Sets : public testing::Test {
 protected:
  Sets() : whole_(model({3, 1, 7, 2, 5})), split_(plan_gguf_split(whole_, 600)) {}

  fs::path shard(std::uint32_t index) const {
    return GgufShardName{scratch_ / "m", index, static_cast<std::uint32_t>(split_.shards.size())}.path();
  }
  void write() {
    int number = 0;
    for (std::uint32_t s = 0; s < split_.shards.size(); ++s) {
      const GgufHeader& header = split_.shards[s].header;
      const File file(shard(s), File::Mode::create_truncate);
      file.truncate(split_.shards[s].file_bytes);
      file.write_at(encode_gguf_head(header), 0);
      for (const GgufTensorInfo& info : header.tensors)
        file.write_at(std::vector<std::byte>(info.size_bytes, static_cast<std::byte>(number++)),
                      header.data_start + info.offset_bytes);
    }
  }
  /// Writes the set with other keys or tensors in a shard.
  void write_changed(std::uint32_t index, const std::function<void(GgufHeader&)>& change) {
    change(split_.shards[index].header);
    split_.shards[index].file_bytes = plan_gguf(split_.shards[index].header);
    write();
  }
  /// Code and words of opening the shard.
  std::pair<ExitCode, std::string> failure(std::uint32_t index = 0) const {
    try {
      const GgufSet set(shard(index));
    } catch (const Error& error) {
      return {error.code(), std::string(error.what()) + " / " + error.suggestion()};
    }
    return {ExitCode::ok, ""};
  }

  ScratchDirectory scratch_;
  GgufHeader whole_;
  GgufSplit split_;
};

TEST_F(Sets, are_read_as_one_file) {
  ASSERT_GE(split_.shards.size(), 3u);
  write();
  const GgufSet set(shard(0));
  EXPECT_EQ(set.files().size(), split_.shards.size());
  ASSERT_EQ(set.header().tensors.size(), whole_.tensors.size());
  std::uint64_t bytes = 0;
  for (const GgufShard& one : split_.shards) bytes += one.file_bytes;
  EXPECT_EQ(set.file_bytes(), bytes);
  for (std::size_t i = 0; i < whole_.tensors.size(); ++i) {
    const GgufTensorInfo& info = set.header().tensors[i];
    EXPECT_EQ(info.name, whole_.tensors[i].name);
    EXPECT_EQ(info.ne, whole_.tensors[i].ne);
    std::vector<std::byte> data(info.size_bytes - 5);
    set.read(info, 5, data);
    EXPECT_EQ(std::count(data.begin(), data.end(), static_cast<std::byte>(i)), std::ssize(data));
  }
  for (const auto& pair : whole_.metadata.pairs()) EXPECT_TRUE(set.header().metadata.contains(pair.key));
  EXPECT_EQ(gguf_files(shard(0)).size(), split_.shards.size());
  EXPECT_EQ(gguf_files(shard(1)), std::vector<fs::path>{shard(1)});
}

TEST_F(Sets, another_file_than_the_first_is_refused_and_the_first_named) {
  write();
  const auto [code, words] = failure(1);
  EXPECT_EQ(code, ExitCode::invalid_arguments);
  EXPECT_THAT(words, HasSubstr(shard(0).string()));
}

TEST_F(Sets, a_missing_file_is_named) {
  write();
  fs::remove(shard(2));
  const auto [code, words] = failure();
  EXPECT_EQ(code, ExitCode::model_not_found);
  EXPECT_THAT(words, HasSubstr(shard(2).string()));
}

TEST_F(Sets, other_names_than_the_files_were_made_with_are_refused) {
  write();
  fs::rename(shard(0), scratch_ / "first.gguf");
  EXPECT_THROW(GgufSet set(scratch_ / "first.gguf"), FormatError);
  const fs::path other = GgufShardName{scratch_ / "m", 0, 2}.path();
  fs::rename(scratch_ / "first.gguf", other);
  EXPECT_THROW(GgufSet set(other), FormatError);
}

TEST_F(Sets, a_file_of_another_set_is_named) {
  write_changed(1, [](GgufHeader& header) { header.metadata.set("split.count", std::uint16_t{9}); });
  EXPECT_EQ(failure().first, ExitCode::validation);
  EXPECT_THAT(failure().second, HasSubstr(shard(1).string()));
  write_changed(1, [&](GgufHeader& header) {
    header.metadata.set("split.count", static_cast<std::uint16_t>(split_.shards.size()));
  });
  EXPECT_EQ(failure().first, ExitCode::ok);
  write_changed(2, [](GgufHeader& header) { header.metadata.set("split.no", std::uint16_t{1}); });
  EXPECT_EQ(failure().first, ExitCode::validation);
  EXPECT_THAT(failure().second, HasSubstr(shard(2).string()));
  write_changed(2, [](GgufHeader& header) { header.metadata = {}; });
  EXPECT_THAT(failure().second, HasSubstr("split.no is missing"));
}

TEST_F(Sets, a_tensor_that_stands_twice_is_named) {
  write_changed(2, [](GgufHeader& header) { header.tensors.front().name = "t0"; });
  EXPECT_EQ(failure().first, ExitCode::validation);
  EXPECT_THAT(failure().second, HasSubstr(shard(2).string() + ": tensor t0"));
}

TEST_F(Sets, a_wrong_number_of_tensors_is_noticed) {
  write_changed(1, [](GgufHeader& header) { header.tensors.pop_back(); });
  EXPECT_EQ(failure().first, ExitCode::validation);
  EXPECT_THAT(failure().second, HasSubstr("split.tensors.count is 5, the files hold 4 tensors"));
}

TEST_F(Sets, numbers_out_of_range_are_refused) {
  for (const std::int64_t number : {std::int64_t{-1}, std::int64_t{9}}) {
    write_changed(0, [&](GgufHeader& header) { header.metadata.set("split.no", number); });
    EXPECT_EQ(failure().first, ExitCode::validation) << number;
  }
  write_changed(0, [](GgufHeader& header) { header.metadata.set("split.count", std::int64_t{-3}); });
  EXPECT_EQ(failure().first, ExitCode::validation);
}

TEST_F(Sets, a_truncated_file_is_named) {
  write();
  const File file(shard(1), File::Mode::read_write);
  file.truncate(split_.shards[1].file_bytes - 40);
  EXPECT_EQ(failure().first, ExitCode::validation);
  EXPECT_THAT(failure().second, HasSubstr(shard(1).string()));
}

}  // namespace
