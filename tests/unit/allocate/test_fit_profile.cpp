// Profiles against the tensors of a model: what is fixed, what is limited, what does not fit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/allocate/fit_profile.hpp"
#include "llmq/embedded/profiles.hpp"

namespace {
using namespace llmq;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t kRows = 512;

ProfileTensor matrix(const std::string& name, std::int32_t layer, std::uint64_t ne0) {
  return {name, layer, ne0, kRows, true, 2 * ne0 * kRows, 0};
}

/// Two layers, norms included, in BF16; attention reads `hidden` weights a row, ffn_down `ffn`.
std::vector<ProfileTensor> model(std::uint64_t hidden = 256, std::uint64_t ffn = 512, bool tied = false) {
  std::vector<ProfileTensor> tensors = {matrix("token_embd.weight", -1, hidden)};
  if (!tied) tensors.push_back(matrix("output.weight", -1, hidden));
  for (std::int32_t layer = 0; layer < 2; ++layer) {
    const std::string at = "blk." + std::to_string(layer) + ".";
    tensors.push_back({at + "attn_norm.weight", layer, hidden, 1, false, 2 * hidden, 4 * hidden});
    for (const char* role : {"attn_q", "attn_v"})
      tensors.push_back(matrix(at + role + ".weight", layer, hidden));
    tensors.push_back(matrix(at + "ffn_up.weight", layer, hidden));
    tensors.push_back(matrix(at + "ffn_down.weight", layer, ffn));
  }
  return tensors;
}

Profile assigning(std::vector<LayerAssignment> assignments) {
  return {"x", "X", "", ProfileStrategy::custom, std::move(assignments), std::nullopt, std::nullopt};
}

std::vector<std::string> names_of(const std::vector<ProfileTensor>& tensors, const FittedGroup& group) {
  std::vector<std::string> names;
  for (const std::size_t index : group.tensors) names.push_back(tensors[index].name);
  return names;
}

const FittedTensor& at(const ProfileFit& fit, const std::vector<ProfileTensor>& tensors, const char* name) {
  for (std::size_t index = 0; index < tensors.size(); ++index)
    if (tensors[index].name == name) return fit.tensors[index];
  throw std::out_of_range(name);
}

TEST(FitProfile, presets_fit_tied_and_untied_models) {
  for (const bool tied : {false, true}) {
    for (const EmbeddedProfile& preset : embedded_profiles()) {
      const ProfileFit fit = fit_profile(parse_profile(preset.text, preset.name), model(256, 512, tied));
      EXPECT_THAT(fit.problems, IsEmpty()) << preset.name << fit.problems.front().message;
      EXPECT_EQ(fit.most_bytes.has_value(), preset.name == "balanced");
    }
  }
}

TEST(FitProfile, the_first_entry_that_names_a_tensor_decides) {
  const auto tensors = model();
  const ProfileFit fit = fit_profile(assigning({{"blk.0.attn_q.weight", 8, false, {}},
                                                {"model.layers.0.self_attn", 4, true, {}},
                                                {"model.layers.*", 2, false, {}}}),
                                     tensors);

  EXPECT_THAT(fit.problems, IsEmpty());
  ASSERT_EQ(fit.groups.size(), 3u);
  EXPECT_THAT(names_of(tensors, fit.groups[0]), ElementsAre("blk.0.attn_q.weight"));
  EXPECT_THAT(names_of(tensors, fit.groups[1]), ElementsAre("blk.0.attn_v.weight"));
  EXPECT_THAT(names_of(tensors, fit.groups[2]),
              ElementsAre("blk.0.ffn_up.weight", "blk.0.ffn_down.weight", "blk.1.attn_q.weight",
                          "blk.1.attn_v.weight", "blk.1.ffn_up.weight", "blk.1.ffn_down.weight"));
  EXPECT_EQ(fit.groups[0].most_bytes, 256 * kRows * 34 / 32);
  EXPECT_EQ(fit.groups[2].pointer, "/layer_assignments/2");
  EXPECT_THAT(fit.protected_layers, ElementsAre(0));
  EXPECT_TRUE(at(fit, tensors, "blk.0.attn_v.weight").is_protected);
  EXPECT_FALSE(at(fit, tensors, "blk.0.attn_q.weight").is_protected);
  EXPECT_FALSE(at(fit, tensors, "token_embd.weight").group);
}

TEST(FitProfile, lm_head_is_the_embedding_where_both_are_one) {
  const auto tied = model(256, 512, true);
  const ProfileFit fit =
      fit_profile(assigning({{"lm_head", 6, false, {}}, {"model.embed_tokens", 4, false, {}}}), tied);

  EXPECT_THAT(fit.problems, IsEmpty());
  ASSERT_EQ(fit.groups.size(), 1u);
  EXPECT_THAT(fit.notes, ElementsAre(HasSubstr("/layer_assignments/1")));
}

TEST(FitProfile, pins_are_exact_and_the_nearest_name_wins) {
  const auto tensors = model();
  const ProfileFit fit = fit_profile(
      assigning({{"model.layers.*",
                  8,
                  false,
                  {{"*", GgmlType::Q4_K}, {"attn_v", GgmlType::Q6_K}, {"ffn_*", GgmlType::IQ3_S}}}}),
      tensors);

  EXPECT_THAT(fit.problems, IsEmpty());
  EXPECT_EQ(at(fit, tensors, "blk.1.attn_q.weight").type, GgmlType::Q4_K);
  EXPECT_EQ(at(fit, tensors, "blk.1.attn_v.weight").type, GgmlType::Q6_K);
  EXPECT_EQ(at(fit, tensors, "blk.1.ffn_down.weight").type, GgmlType::IQ3_S);
  EXPECT_FALSE(at(fit, tensors, "output.weight").type);
}

TEST(FitProfile, pins_of_families_fall_back_and_those_of_one_tensor_do_not) {
  const auto tensors = model(96, 512);
  const ProfileFit family =
      fit_profile(assigning({{"model.layers.*", 16, false, {{"attn_v", GgmlType::Q6_K}}}}), tensors);
  EXPECT_THAT(family.problems, IsEmpty());
  EXPECT_EQ(at(family, tensors, "blk.0.attn_v.weight").type, GgmlType::Q8_0);
  EXPECT_EQ(at(family, tensors, "blk.0.attn_v.weight").fallback_from, GgmlType::Q6_K);
  EXPECT_EQ(family.notes.size(), 2u);

  const ProfileFit one =
      fit_profile(assigning({{"model.layers.0", 16, false, {{"attn_v", GgmlType::Q6_K}}}}), tensors);
  ASSERT_EQ(one.problems.size(), 1u);
  EXPECT_EQ(one.problems[0].pointer, "/layer_assignments/0/tensor_types/attn_v");
  EXPECT_EQ(one.problems[0].tensor, "blk.0.attn_v.weight");
  EXPECT_THAT(one.problems[0].message,
              HasSubstr("rows of 96 weights are no multiple of Q6_K's block of 256; Q8_0"));
}

struct Misfit {
  Profile profile;
  const char* pointer;
  const char* tensor;
  const char* words;
};

TEST(FitProfile, what_does_not_fit_is_told_with_its_place) {
  Profile low = assigning({});
  low.target_bpw = 1.55;
  Profile high = assigning({});
  high.target_bpw = 16;
  Profile small = assigning({});
  small.target_compression = 0.05;
  Profile pinned = assigning({{"model.layers.*", 16, false, {{"ffn_down", GgmlType::Q8_0}}}});
  pinned.target_bpw = 2;
  const Misfit table[] = {
      {assigning({{"model.layers.7", 4, false, {}}}), "/layer_assignments/0/layer_name", "",
       "no tensor is named \"model.layers.7\": the model's layers are model.layers.0 to model.layers.1"},
      {assigning({{"model.layers.0.attn_norm", 4, false, {}}}), "/layer_assignments/0/layer_name", "",
       "no tensor"},
      {assigning({{"model.layers.0.input_layernorm", 4, false, {}}}), "/layer_assignments/0/layer_name",
       "blk.0.attn_norm.weight", "names nothing that is quantized"},
      {assigning({{"lm_head", 4, false, {{"attn_v", GgmlType::Q6_K}}}}),
       "/layer_assignments/0/tensor_types/attn_v", "", "has no quantized tensor of the role \"attn_v\""},
      {assigning({{"blk.0.attn_v", 4, false, {{"attn_v", GgmlType::Q6_K}}}}),
       "/layer_assignments/0/bit_width", "blk.0.attn_v.weight",
       "4 allows 4.5 bits a weight, but its type Q6_K takes 6.5625"},
      {low, "/target_bpw", "", "but the smallest types that their rows allow take"},
      {small, "/target_compression", "", "but the smallest types that their rows allow take"},
      {pinned, "/target_bpw", "", "blk.0.ffn_down.weight as Q8_0 +"},
  };
  for (const Misfit& row : table) {
    const ProfileFit fit = fit_profile(row.profile, model());
    ASSERT_EQ(fit.problems.size(), 1u) << row.words;
    EXPECT_EQ(fit.problems[0].pointer, row.pointer);
    EXPECT_EQ(fit.problems[0].tensor, row.tensor);
    EXPECT_THAT(fit.problems[0].message, HasSubstr(row.words));
  }
  EXPECT_THAT(fit_profile(high, model()).problems, IsEmpty());
  auto eight_bit = model();
  for (ProfileTensor& tensor : eight_bit) tensor.original_bytes /= 2;
  ASSERT_EQ(fit_profile(high, eight_bit).problems.size(), 1u);
  EXPECT_THAT(fit_profile(high, eight_bit).problems[0].message,
              HasSubstr("above the 8 bits a weight of the original"));
}

TEST(FitProfile, a_group_names_every_tensor_whose_rows_are_too_short) {
  const ProfileFit fit = fit_profile(assigning({{"model.layers.0.mlp", 2, false, {}}}), model(96, 128));

  ASSERT_EQ(fit.problems.size(), 2u);
  EXPECT_EQ(fit.problems[1].tensor, "blk.0.ffn_down.weight");
  EXPECT_EQ(fit.problems[0].pointer, "/layer_assignments/0/bit_width");
  EXPECT_EQ(fit.problems[0].tensor, "blk.0.ffn_up.weight");
  EXPECT_THAT(fit.problems[0].message, HasSubstr("rows of 96 weights take at least 4.5 (IQ4_NL)"));
  // Where longer rows make up for short ones, the average is what counts.
  EXPECT_THAT(fit_profile(assigning({{"model.layers.0.mlp", 2, false, {}}}), model(96, 256)).problems,
              IsEmpty());
}

TEST(FitProfile, budgets_are_in_bytes_and_the_smaller_target_counts) {
  const auto tensors = model();
  std::uint64_t weights = 0, original = 0, kept = 0;
  for (const ProfileTensor& tensor : tensors) {
    original += tensor.original_bytes;
    (tensor.quantizable ? weights : kept) += tensor.quantizable ? tensor.elements() : tensor.kept_bytes;
  }
  Profile profile = assigning({});
  profile.target_bpw = 3.5;
  EXPECT_EQ(fit_profile(profile, tensors).most_bytes, weights * 7 / 16);
  profile.target_compression = 0.125;
  EXPECT_EQ(fit_profile(profile, tensors).most_bytes, original / 8 - kept);
}

TEST(FitProfile, smallest_types_by_row) {
  EXPECT_EQ(smallest_type(512), GgmlType::IQ1_S);
  EXPECT_EQ(smallest_type(96), GgmlType::IQ4_NL);
  EXPECT_EQ(smallest_type(100), GgmlType::F16);
}

}  // namespace
