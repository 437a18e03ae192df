// Files of profiles: what they say, where they are looked for, and what is wrong with them in words.
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/allocate/profile.hpp"
#include "llmq/core/error.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;
using testing_support::ScratchDirectory;

/// A document with these members after the required ones but layer_assignments.
std::string with(const std::string& members) {
  return R"({"profile_id": "x", "profile_name": "X", "strategy": "custom", )" + members + "}";
}
std::string assigning(const std::string& entries) { return with("\"layer_assignments\": [" + entries + "]"); }

void write(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }

TEST(Profile, all_members_are_read) {
  const Profile profile = parse_profile(
      R"({"$schema": "x", "status": "success", "warnings": [], "profile_id": "mine", "profile_name": "My own",
          "description": "d", "strategy": "balanced", "target_bpw": 3.25, "target_compression": 0.2,
          "layer_assignments": [{"layer_name": "model.layers.0", "bit_width": 1.5, "is_protected": true,
                                 "tensor_types": {"ffn_*": "q8_0", "attn_v": "Q6_K"}},
                                {"layer_name": "lm_head", "bit_width": 16}]})",
      "p.dqprofile");

  EXPECT_EQ(profile.id, "mine");
  EXPECT_EQ(profile.name, "My own");
  EXPECT_EQ(profile.strategy, ProfileStrategy::balanced);
  EXPECT_EQ(profile.target_bpw, 3.25);
  EXPECT_EQ(profile.target_compression, 0.2);
  ASSERT_EQ(profile.layer_assignments.size(), 2u);
  EXPECT_TRUE(profile.layer_assignments[0].is_protected);
  ASSERT_EQ(profile.layer_assignments[0].tensor_types.size(), 2u);
  EXPECT_EQ(profile.layer_assignments[0].tensor_types[0].role, "attn_v");
  EXPECT_EQ(profile.layer_assignments[0].tensor_types[1].type, GgmlType::Q8_0);
  EXPECT_FALSE(profile.layer_assignments[1].is_protected);
}

TEST(Profile, written_and_read_again_it_is_the_same) {
  Profile profile{"a-b", "A \"b\"", "ü", ProfileStrategy::custom, {}, 3.5, std::nullopt};
  profile.layer_assignments.push_back({"model.layers.*", 2.25, true, {{"attn_v", GgmlType::Q6_K}}});
  profile.layer_assignments.push_back({"lm_head", 6, false, {}});

  const std::string text = profile_text(profile);

  EXPECT_EQ(profile_text(parse_profile(text, "p")), text);
  EXPECT_THAT(text, testing::HasSubstr("\"bit_width\": 6,"));
  EXPECT_THAT(text, testing::HasSubstr("\"target_compression\": null"));
}

TEST(Profile, nominal_widths_are_those_of_the_types_users_know) {
  EXPECT_EQ(average_limit(2), 2.625);
  EXPECT_EQ(average_limit(3), 3.4375);
  EXPECT_EQ(average_limit(4), 4.5);
  EXPECT_EQ(average_limit(5), 5.5);
  EXPECT_EQ(average_limit(6), 6.5625);
  EXPECT_EQ(average_limit(8), 8.5);
  EXPECT_EQ(average_limit(16), 16);
  EXPECT_EQ(average_limit(7), 7);
  EXPECT_EQ(average_limit(2.5), 2.5);
  EXPECT_EQ(average_limit(1.5), 1.5625);
}

struct Malformed {
  std::string text;
  const char* words;
};

TEST(Profile, malformed_files_are_refused_with_their_place) {
  const std::string deep(100, '[');
  const Malformed table[] = {
      {"", "p.dqprofile"},
      {"{", "p.dqprofile"},
      {"[]", "p.dqprofile: the document: expected an object with profile_id"},
      {deep, "nesting deeper"},
      {std::string(5 << 20, ' '), "is larger than"},
      {"{\"a\": \"\xff\"}", "not UTF-8"},
      {R"({"profile_id": "a", "profile_id": "b"})", "appears twice"},
      {R"({"profile_id": "a"})", "is missing"},
      {with(R"("layer_assignments": {})"), "/layer_assignments: expected a list"},
      {with(R"("layer_assignments": [], "bits": 3)"), "/bits: unknown here"},
      {with(R"("layer_assignments": [], "target_bpw": 1.4)"), "/target_bpw: expected a number of bits"},
      {with(R"("layer_assignments": [], "target_bpw": "3")"), "/target_bpw: expected a number of bits"},
      {with(R"("layer_assignments": [], "target_compression": 0)"),
       "/target_compression: expected a fraction"},
      {with(R"("layer_assignments": [], "target_compression": 1.1)"),
       "/target_compression: expected a fraction"},
      {with(R"("layer_assignments": [], "target_bpw": 1e999)"), "p.dqprofile"},
      {assigning("3"), "/layer_assignments/0: expected an assignment"},
      {assigning(R"({"bit_width": 3})"), "/layer_assignments/0: \"layer_name\" is missing"},
      {assigning(R"({"layer_name": "a"})"), "/layer_assignments/0: \"bit_width\" is missing"},
      {assigning(R"({"layer_name": "", "bit_width": 3})"),
       "/layer_assignments/0/layer_name: expected a name"},
      {assigning(R"({"layer_name": "a", "bit_width": 3}, {"layer_name": "b", "bit_width": 1.49})"),
       "/layer_assignments/1/bit_width: expected a number of bits from 1.5 to 16, found 1.49"},
      {assigning(R"({"layer_name": "a", "bit_width": 16.5})"), "/layer_assignments/0/bit_width: expected"},
      {assigning(R"({"layer_name": "a", "bit_width": "4"})"), "/layer_assignments/0/bit_width: expected"},
      {assigning(R"({"layer_name": "a", "bit_width": 4, "is_protected": 1})"),
       "/layer_assignments/0/is_protected: expected true or false"},
      {assigning(R"({"layer_name": "a", "bit_width": 4, "bitwidth": 1})"),
       "/layer_assignments/0/bitwidth: unknown"},
      {assigning(R"({"layer_name": "a", "bit_width": 4, "tensor_types": {"a/b": "Q4_9"}})"),
       "/layer_assignments/0/tensor_types/a~1b: unknown tensor type \"Q4_9\""},
      {assigning(R"({"layer_name": "a", "bit_width": 4, "tensor_types": {"a": 4}})"),
       "/layer_assignments/0/tensor_types/a: expected a tensor type"},
      {assigning(R"({"layer_name": "a", "bit_width": 4, "tensor_types": {"a": "Q8_K"}})"),
       "/layer_assignments/0/tensor_types/a: unknown tensor type \"Q8_K\""},
      {assigning(R"({"layer_name": "a", "bit_width": 4, "tensor_types": {"": "Q4_K"}})"),
       "/layer_assignments/0/tensor_types/: a role has"},
      {assigning(R"({"layer_name": "a", "bit_width": 4}, {"layer_name": "a", "bit_width": 5})"),
       "/layer_assignments/1/layer_name: \"a\" is named by /layer_assignments/0 already"},
      {R"({"profile_id": "a b", "profile_name": "x", "strategy": "custom", "layer_assignments": []})",
       "/profile_id: expected an id"},
      {R"({"profile_id": "a", "profile_name": "x", "strategy": "fast", "layer_assignments": []})",
       "/strategy: expected attention_high, balanced"},
  };
  for (const Malformed& row : table) {
    try {
      (void)parse_profile(row.text, "p.dqprofile");
      ADD_FAILURE() << "accepted: " << row.text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::profile) << row.text;
      EXPECT_THAT(error.what(), testing::HasSubstr(row.words));
      EXPECT_FALSE(error.suggestion().empty());
    }
  }
}

TEST(Profile, an_unknown_member_is_compared_with_the_known_ones) {
  try {
    (void)parse_profile(assigning(R"({"layer_name": "a", "bit_width": 4, "is_protect": true})"), "p");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.suggestion(), "Did you mean \"is_protected\"?");
  }
}

TEST(ProfileLookup, presets_come_first_in_their_order) {
  const auto listed = list_profiles({});

  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[0].name, "attention-high");
  EXPECT_EQ(listed[0].description, "Attention layers at 4-bit, MLP at 2-bit");
  EXPECT_EQ(listed[1].name, "balanced");
  EXPECT_EQ(listed[1].description, "Even distribution based on importance");
  EXPECT_EQ(listed[2].name, "compression-max");
  EXPECT_EQ(listed[2].description, "Minimize size while maintaining coherence");
  EXPECT_EQ(find_profile("balanced", {}).profile.target_bpw, kDefaultTargetBpw);
}

TEST(ProfileLookup, a_directory_adds_files_by_name_and_broken_ones_say_so) {
  const ScratchDirectory scratch;
  write(scratch / "zebra.dqprofile", with(R"("layer_assignments": [], "description": "stripes")"));
  write(scratch / "ant.dqprofile", "{");
  write(scratch / "notes.txt", "{");
  std::filesystem::create_directory(scratch / "dir.dqprofile");

  const auto listed = list_profiles(scratch.path());

  ASSERT_EQ(listed.size(), 5u);
  EXPECT_EQ(listed[3].name, "ant");
  EXPECT_FALSE(listed[3].problem.empty());
  EXPECT_EQ(listed[4].name, "zebra");
  EXPECT_EQ(listed[4].description, "stripes");
  EXPECT_EQ(list_profiles(scratch / "nowhere").size(), 3u);
}

TEST(ProfileLookup, path_then_directory_then_preset) {
  const ScratchDirectory scratch;
  write(scratch / "balanced.dqprofile", with(R"("layer_assignments": [])"));
  write(scratch / "other", with(R"("layer_assignments": [], "description": "by path")"));

  EXPECT_EQ(find_profile("balanced", scratch.path()).profile.id, "x");
  EXPECT_EQ(find_profile("balanced.dqprofile", scratch.path()).profile.id, "x");
  EXPECT_EQ(find_profile("balanced", {}).profile.id, "balanced");
  EXPECT_EQ(find_profile((scratch / "other").string(), {}).profile.description, "by path");
}

TEST(ProfileLookup, what_is_not_found_is_told_with_what_there_is) {
  const ScratchDirectory scratch;
  write(scratch / "mine.dqprofile", with(R"("layer_assignments": [])"));
  try {
    (void)find_profile("balance", scratch.path());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::profile);
    EXPECT_STREQ(error.what(), "profile \"balance\" not found");
    EXPECT_THAT(error.suggestion(), testing::HasSubstr("Did you mean \"balanced\"?"));
    EXPECT_THAT(error.suggestion(),
                testing::HasSubstr("Profiles: attention-high, balanced, compression-max, mine;"));
  }
  for (const char* name : {"", "/", ".", "../mine", "nowhere/x.dqprofile"})
    EXPECT_THROW((void)find_profile(name, scratch / "none"), Error) << name;
}

}  // namespace
