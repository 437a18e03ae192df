// Profiles and models: the tensors profiles see, and a validation from its files.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/pipeline/profile.hpp"

#include "pipeline/job/job_identity.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;
using testing::HasSubstr;
using testing::IsEmpty;
using testing_support::ScratchDirectory;

const std::string kModel = std::string(LLMQ_TEST_DATA) + "/pebble";

TEST(ProfileTensors, are_those_of_the_model_in_bytes) {
  const auto source = open_model(kModel);

  const auto tensors = profile_tensors(*source);

  ASSERT_EQ(tensors.size(), source->tensors().size());
  std::uint64_t original = 0;
  for (const ProfileTensor& tensor : tensors) original += tensor.original_bytes;
  EXPECT_EQ(original, source->stored_bytes());
  for (const ProfileTensor& tensor : tensors) {
    if (tensor.name == "blk.1.attn_norm.weight") {
      EXPECT_FALSE(tensor.quantizable);
      EXPECT_EQ(tensor.kept_bytes, 2 * tensor.original_bytes);  // BF16 there, F32 in files
    }
    if (tensor.name == "blk.1.ffn_down.weight") {
      EXPECT_TRUE(tensor.quantizable);
      EXPECT_EQ(tensor.layer, 1);
      EXPECT_EQ(tensor.rows, 256u);
    }
  }
}

class ProfileValidateTest : public testing::Test {
 protected:
  ProfileValidateResult validate(const std::string& profile) {
    return run_profile_validate({comm_, log_}, {profile, scratch_.path(), kModel});
  }

  ScratchDirectory scratch_;
  Communicator comm_ = Communicator::serial();
  Log log_{LogOptions{}};
};

TEST_F(ProfileValidateTest, counts_what_a_profile_decides) {
  const auto balanced = validate("balanced");
  EXPECT_THAT(balanced.problems, IsEmpty());
  EXPECT_EQ(balanced.limited, 0u);
  EXPECT_DOUBLE_EQ(balanced.most_bpw, 3.5);

  const auto attention = validate("attention-high");
  EXPECT_THAT(attention.problems, IsEmpty());
  EXPECT_EQ(attention.limited, attention.tensors);
  EXPECT_FALSE(attention.most_bytes);
}

TEST_F(ProfileValidateTest, layers_of_another_model_are_problems_and_no_failure) {
  std::ofstream(scratch_ / "other.dqprofile")
      << R"({"profile_id": "o", "profile_name": "o", "strategy": "custom",
             "layer_assignments": [{"layer_name": "model.layers.31", "bit_width": 4}]})";

  const auto result = validate("other");

  ASSERT_EQ(result.problems.size(), 1u);
  EXPECT_EQ(result.problems[0].pointer, "/layer_assignments/0/layer_name");
  EXPECT_THAT(result.problems[0].message, HasSubstr("model.layers.0 to model.layers.3"));
}

TEST(ProfileIdentity, is_what_the_profile_says_wherever_it_is) {
  const ScratchDirectory scratch;
  const auto write = [&](const char* file, const char* bpw) {
    std::ofstream(scratch / file) << R"({"profile_id": "p", "profile_name": "p", "strategy": "custom",
                                         "layer_assignments": [], "target_bpw": )"
                                  << bpw << "}";
  };
  write("a.dqprofile", "3");
  write("b.dqprofile", "3.0");
  job::ContentIndex contents(scratch.path());
  const std::string before = contents.profile("a");

  EXPECT_EQ(contents.profile((scratch / "b.dqprofile").string()), before);
  EXPECT_NE(contents.profile("balanced"), before);
  write("a.dqprofile", "4");
  EXPECT_NE(job::ContentIndex(scratch.path()).profile("a"), before);
  EXPECT_THROW((void)contents.profile("nowhere"), Error);
}

}  // namespace
