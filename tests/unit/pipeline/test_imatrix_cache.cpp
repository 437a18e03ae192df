// A matrix that was computed is taken again for the same job, and only for that; a damaged one is made anew.
#include <gtest/gtest.h>

#include "llmq/core/file.hpp"
#include "llmq/formats/imatrix.hpp"
#include "llmq/pipeline/analyze.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;

AnalyzeResult analyze(const std::filesystem::path& cache, ImportanceMethod method) {
  const Communicator comm = Communicator::serial();
  Log log({Verbosity::quiet, false, false, "", ""});
  const StageContext context{comm, log, 2, std::uint64_t{4} << 30};
  AnalyzeOptions options;
  options.model = std::string(LLMQ_TEST_DATA) + "/pebble";
  options.method = method;
  options.samples = 3;
  options.ctx = 32;
  options.cache_directory = cache;
  options.checkpoints.enabled = false;
  return run_analyze(context, options);
}

TEST(ImatrixCache, the_same_job_finds_what_was_computed) {
  const testing_support::ScratchDirectory scratch;
  const std::filesystem::path cache = scratch / "deep/cache";
  const AnalyzeResult first = analyze(cache, ImportanceMethod::activation);
  const AnalyzeResult again = analyze(cache, ImportanceMethod::activation);
  const AnalyzeResult other = analyze(cache, ImportanceMethod::fisher);
  EXPECT_FALSE(first.from_cache);
  EXPECT_TRUE(again.from_cache);
  EXPECT_EQ(again.output_path, first.output_path);
  EXPECT_EQ(again.output_path.parent_path(), cache);
  EXPECT_FALSE(other.from_cache);
  EXPECT_EQ(read_imatrix(first.output_path).method, "activation_magnitude");
  EXPECT_EQ(read_imatrix(other.output_path).method, "fisher_information");
}

TEST(ImatrixCache, a_damaged_file_is_made_anew) {
  const testing_support::ScratchDirectory scratch;
  const AnalyzeResult first = analyze(scratch / "cache", ImportanceMethod::activation);
  const std::string bytes = read_file(first.output_path, 1 << 24);
  write_file_atomically(first.output_path, bytes.substr(0, bytes.size() / 2));
  EXPECT_FALSE(analyze(scratch / "cache", ImportanceMethod::activation).from_cache);
  EXPECT_EQ(read_file(first.output_path, 1 << 24), bytes);
}

}  // namespace
