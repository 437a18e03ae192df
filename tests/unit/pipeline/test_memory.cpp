// What a batch system allows this process, from files of control groups.
#include <fstream>

#include <gtest/gtest.h>

#include "llmq/pipeline/stage_context.hpp"

#include "support/scratch.hpp"

namespace llmq {
namespace {

struct ControlGroups : ::testing::Test {
  testing_support::ScratchDirectory scratch;

  void write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = scratch / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
};

TEST_F(ControlGroups, tightest_ancestor_decides) {
  write("cgroup", "1:name=old:/elsewhere\n0::/job_7/step_0\n");
  write("fs/job_7/memory.max", "1000000\n");
  write("fs/job_7/memory.current", "400000\n");
  write("fs/job_7/step_0/memory.max", "max\n");
  write("fs/job_7/step_0/memory.current", "100000\n");

  EXPECT_EQ(cgroup_headroom_bytes(scratch / "cgroup", scratch / "fs"), 600000u);
}

TEST_F(ControlGroups, a_group_over_its_limit_has_nothing_left) {
  write("cgroup", "0::/job\n");
  write("fs/job/memory.max", "1000\n");
  write("fs/job/memory.current", "4000\n");

  EXPECT_EQ(cgroup_headroom_bytes(scratch / "cgroup", scratch / "fs"), 0u);
}

TEST_F(ControlGroups, no_files_no_limit) {
  write("cgroup", "0::/\n");

  EXPECT_EQ(cgroup_headroom_bytes(scratch / "cgroup", scratch / "fs"), ~std::uint64_t{0});
  EXPECT_EQ(cgroup_headroom_bytes(scratch / "nowhere", scratch / "fs"), ~std::uint64_t{0});
}

}  // namespace
}  // namespace llmq
