// The page as a document: well formed, escaped, complete, small, with nothing from elsewhere.
#include <gtest/gtest.h>

#include "llmq/report/analyze_report.hpp"

#include "report/heat_map.hpp"
#include "report/html.hpp"
#include "unit/report/hand_made.hpp"
#include "unit/report/page_checks.hpp"

namespace {
using namespace llmq;

using test::count;
using test::expect_sound;
using test::unbalanced_tag;

std::string page_of(const Imatrix& imatrix, const ModelSpec& spec) {
  return analyze_report_html(make_analyze_report(imatrix, spec));
}

TEST(AnalyzePage, checker_sees_what_is_wrong) {
  EXPECT_EQ(unbalanced_tag("<a><b/></a>"), "");
  EXPECT_EQ(unbalanced_tag("<a><b></a>"), "/a");
  EXPECT_EQ(unbalanced_tag("<a x=\"1\">"), "a");
}

TEST(AnalyzePage, shows_every_section_that_has_something) {
  Imatrix imatrix = hand_made();
  add_super_weights(imatrix);
  const std::string page = page_of(imatrix, small_spec());
  expect_sound(page);
  for (const char* id : {"importance-map", "outlier-map", "outlier-table", "super-weight-map",
                         "super-weight-table", "covered-map", "experts", "expert-table", "convergence-chart",
                         "error-map", "top-tensors", "all-tensors", "facts"})
    EXPECT_EQ(count(page, "id=\"" + std::string(id) + "\""), 1U) << id;
  // Three tensors stand in layers: in the maps of importance, outliers and covered weights; one in that of
  // errors.
  EXPECT_EQ(count(page, "<title>blk."), 3U * 3 + 1);
  EXPECT_NE(page.find("<title>blk.0.attn_q.weight: 51.5 mean a^2</title>"), std::string::npos);
  EXPECT_NE(page.find("3 (80×)"), std::string::npos);
  EXPECT_NE(page.find("<td class=\"n\">-3.5</td><td class=\"n\">+0.75</td><td class=\"n\">0.5</td>"),
            std::string::npos);
  EXPECT_NE(page.find("<title>layer 1: 1</title>"), std::string::npos);
  EXPECT_NE(page.find("independent"), std::string::npos);
}

TEST(AnalyzePage, says_that_nothing_was_searched_or_found) {
  Imatrix imatrix = hand_made();
  const std::string unsearched = page_of(imatrix, small_spec());
  EXPECT_NE(unsearched.find("not searched"), std::string::npos);
  EXPECT_EQ(unsearched.find("covered-map"), std::string::npos);

  imatrix.super_weights.searched = true;
  imatrix.entries.erase("blk.0.ffn_down_exps.weight");
  const std::string none = page_of(imatrix, small_spec());
  EXPECT_NE(none.find("No super weights."), std::string::npos);
  EXPECT_EQ(none.find("id=\"experts\""), std::string::npos);
  expect_sound(none);
}

TEST(AnalyzePage, escapes_names) {
  Imatrix imatrix = hand_made();
  imatrix.dataset_name = "<script>&\"'\x01\xff.txt";
  imatrix.entries["blk.0.<i>.weight"] = plain_entry();
  ModelSpec spec = small_spec();
  spec.name = "</title><b>";
  const std::string page = page_of(imatrix, spec);
  expect_sound(page);
  EXPECT_EQ(page.find("<i>"), std::string::npos);
  EXPECT_NE(page.find("&lt;script&gt;&amp;&quot;&#39;\xEF\xBF\xBD\xEF\xBF\xBD.txt"), std::string::npos);
  EXPECT_NE(page.find("&lt;/title&gt;&lt;b&gt;"), std::string::npos);
  EXPECT_NO_THROW((void)analyze_report_json(make_analyze_report(imatrix, spec)));
}

TEST(AnalyzePage, nothing_measured_is_still_a_page) { expect_sound(page_of(Imatrix{}, small_spec())); }

TEST(AnalyzePage, eighty_layers_and_many_experts_stay_small) {
  Imatrix imatrix = hand_made();
  add_super_weights(imatrix);
  ImatrixEntry experts;
  experts.in_features = 2;
  experts.n_mat = 256;
  experts.sum_sq.assign(512, 1.0);
  for (std::uint64_t i = 0; i < 256; ++i) experts.counts.push_back(i * 7919 % 500);
  for (std::uint32_t layer = 0; layer < 80; ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    for (const char* role : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})
      imatrix.entries[block + role + ".weight"] = plain_entry();
    for (const char* role : {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"})
      imatrix.entries[block + role + ".weight"] = experts;
  }
  const std::string page = page_of(imatrix, small_spec(80));
  expect_sound(page);
  EXPECT_EQ(count(page, "id=\"experts-blk."), 80U);  // gate, up and down of a layer saw the same
}

TEST(Escape, replaces_what_is_no_character_and_keeps_the_rest) {
  const std::string gone = "\xEF\xBF\xBD";
  EXPECT_EQ(html::escape("é\xff€"), "é" + gone + "€");
  EXPECT_EQ(html::escape("\xE2\x82"), gone + gone) << "a character cut short";
  EXPECT_EQ(html::escape("\xC0\xAF"), gone + gone) << "an overlong slash";
  EXPECT_EQ(html::escape("😀\n<\xF0\x9F\x98"), "😀" + gone + "&lt;" + gone + gone + gone);
}

TEST(HeatSteps, logarithmic_from_end_to_end) {
  EXPECT_EQ(heat_step(1, 1, 1e10), 0);
  EXPECT_EQ(heat_step(1.1e5, 1, 1e10), 5);
  EXPECT_EQ(heat_step(1e10, 1, 1e10), kHeatSteps - 1);
  EXPECT_EQ(heat_step(3, 3, 3), kHeatSteps / 2);
}

}  // namespace
