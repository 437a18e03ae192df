#include <algorithm>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/kernels.hpp"

namespace llmq {
namespace {

TEST(Kernels, every_usable_target_can_be_forced_and_undone) {
  const KernelTargets at_first = kernel_targets();
  ASSERT_FALSE(at_first.usable.empty());
  EXPECT_EQ(at_first.active, at_first.usable.front());
  for (std::string name : at_first.usable) {
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    force_kernels(name);
    EXPECT_EQ(kernel_targets().usable, at_first.usable) << "a forced target hides none";
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
    EXPECT_EQ(kernel_targets().active, name);
  }
  force_kernels("best");
  EXPECT_EQ(kernel_targets().active, at_first.active);
}

TEST(Kernels, an_unknown_target_is_refused_with_the_known_ones) {
  try {
    force_kernels("MMX2000");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::invalid_arguments);
    EXPECT_NE(error.suggestion().find(kernel_targets().usable.front()), std::string::npos);
  }
  force_kernels("best");
}

}  // namespace
}  // namespace llmq
