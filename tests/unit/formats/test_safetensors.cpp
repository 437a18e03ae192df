// Safetensors: the control is read, every malformed file and index is refused with the right error.
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/safetensors.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;
namespace fs = std::filesystem;
using testing_support::ScratchDirectory;

fs::path bad() { return fs::path(LLMQ_TEST_DATA) / "vectors/bad"; }

ExitCode code_of(const fs::path& path) {
  try {
    const SafetensorsCheckpoint checkpoint(path);
    return ExitCode::ok;
  } catch (const Error& error) {
    return error.code();
  }
}

TEST(Safetensors, control_file_is_read) {
  const SafetensorsCheckpoint checkpoint(bad() / "00_valid_control.safetensors");
  ASSERT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.total_bytes(), 24u);
  EXPECT_EQ(checkpoint.fingerprint().size(), 64u);
}

TEST(Safetensors, every_malformed_file_is_refused) {
  int seen = 0;
  for (const auto& entry : fs::directory_iterator(bad())) {
    if (entry.path().extension() != ".safetensors" || entry.path().filename().string().starts_with("00_"))
      continue;
    ++seen;
    EXPECT_EQ(code_of(entry.path()), ExitCode::validation) << entry.path();
  }
  EXPECT_EQ(seen, 25);
}

TEST(Safetensors, broken_indexes_are_refused) {
  EXPECT_EQ(code_of(bad() / "index/i1_missing_shard.index.json"), ExitCode::model_not_found);
  EXPECT_EQ(code_of(bad() / "index/i2_path_escape.index.json"), ExitCode::validation);
  const ScratchDirectory scratch;
  fs::copy(bad() / "00_valid_control.safetensors", scratch / "00_valid_control.safetensors");
  fs::copy(bad() / "index/i3_tensor_not_in_shard.index.json", scratch / "model.safetensors.index.json");
  EXPECT_NE(code_of(scratch.path()), ExitCode::ok);
  EXPECT_EQ(code_of(scratch / "empty"), ExitCode::model_not_found);
}

TEST(Safetensors, sharding_does_not_change_the_fingerprint) {
  const ScratchDirectory scratch;
  fs::copy(bad() / "00_valid_control.safetensors", scratch / "part.safetensors");
  const SafetensorsCheckpoint single(scratch / "part.safetensors");
  std::string map;
  for (const auto& tensor : single.tensors())
    map += (map.empty() ? "\"" : ", \"") + tensor.name + "\": \"part.safetensors\"";
  write_file_atomically(scratch / "model.safetensors.index.json", "{\"weight_map\": {" + map + "}}");

  const SafetensorsCheckpoint sharded(scratch.path());

  EXPECT_EQ(sharded.fingerprint(), single.fingerprint());
}

}  // namespace
