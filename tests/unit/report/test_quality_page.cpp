// Pages of reports and comparisons: well formed, escaped, complete, small; the Pareto line against all pairs.
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "llmq/report/quality_report.hpp"

#include "report/axis.hpp"
#include "report/heat_map.hpp"
#include "report/quality_charts.hpp"
#include "report/quality_sections.hpp"
#include "unit/report/page_checks.hpp"

namespace {
using namespace llmq;
using test::count;
using test::expect_sound;

QualityResult made_up(std::uint32_t layers) {
  QualityResult result;
  result.original = "/secret/place/model/";
  result.quantized = "/secret/place/model-Q4_K_M.gguf";
  result.metrics.kld = {0.0123, 0.0004};
  result.metrics.scores = 1000;
  result.chunks = 10;
  result.ctx = 256;
  result.dataset = "text.txt";
  result.file_bytes = 4000000;
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    for (const char* role :
         {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
      TensorError tensor{fmt::format("blk.{}.{}.weight", layer, role),
                         "Q4_K",
                         65536,
                         4.5,
                         1e-5 * (layer + 1),
                         0.02,
                         0.998,
                         {}};
      if (std::string(role) != "attn_norm") tensor.weighted_error = 0.001 * (layer + 1);
      result.tensor_errors.push_back(tensor);
    }
    result.layer_errors.push_back({fmt::format("model.layers.{}.mlp", layer), 1e-5, 0.02, 4.5, 0.998, 0.004});
  }
  for (int part = 0; part < 16; ++part)
    result.positions.push_back({128.0 + 8 * part, 136.0 + 8 * part, {0.01 + 0.001 * part, 0.0005}});
  result.sentences = {{3,
                       200,
                       0.5,
                       "before ",
                       {{"one", 0.001, 0.9, 0.9, "one", "one"}, {" two", 2.5, 0.5, 0.01, " two", " ten"}}}};
  return result;
}

TEST(QualityPage, shows_every_section_that_has_something) {
  const std::string page = quality_html(made_up(3));
  expect_sound(page);
  for (const char* id : {"facts", "figures", "positions", "map-bits", "map-weighted", "map-mse",
                         "worst-tensors", "layers", "all-tensors", "sentences"})
    EXPECT_EQ(count(page, "id=\"" + std::string(id) + "\""), 1U) << id;
  EXPECT_EQ(count(page, "<title>blk."), 3U * 3 * 7)
      << "three maps of three layers of seven roles, norms left out";
  EXPECT_NE(page.find("<title>blk.2.ffn_up.weight: 4.5 bits a weight</title>"), std::string::npos);
  EXPECT_NE(page.find("0.01230 ± 0.00040"), std::string::npos);
  EXPECT_NE(page.find("class=\"k9\" title=\"KL divergence 2.5"), std::string::npos);
  EXPECT_NE(page.find("<b title=\"KL divergence 0.001"), std::string::npos) << "small ones stay pale";
  EXPECT_NE(page.find("expected &quot; two&quot;, this file &quot; ten&quot;"), std::string::npos);
  EXPECT_EQ(page.find("secret"), std::string::npos) << "a directory is shown";
  EXPECT_EQ(page.find("Coherence"), std::string::npos);
}

TEST(QualityPage, has_nothing_of_what_was_not_measured) {
  QualityResult result = made_up(0);
  result.positions.clear();
  result.sentences.clear();
  result.coherence_score = 0.75;
  const std::string page = quality_html(result);
  expect_sound(page);
  for (const char* id : {"map-bits", "positions", "worst-tensors", "sentences", "layers"})
    EXPECT_EQ(count(page, "id=\"" + std::string(id) + "\""), 0U) << id;
  EXPECT_NE(page.find("<td>Coherence</td><td>0.75</td>"), std::string::npos);
}

TEST(QualityPage, escapes_what_comes_from_files) {
  QualityResult result = made_up(1);
  result.dataset = "</title><script>alert(1)</script>";
  result.tensor_errors[1].name = "blk.0.<b>\"x\".weight";
  result.sentences[0].before = "</p><script>\xff";
  result.sentences[0].tokens[0].text = "<i>\n\t\x01";
  result.sentences[0].tokens[1].top_quantized = "\"><script>";
  const std::string page = quality_html(result);
  expect_sound(page);
  EXPECT_NE(page.find("&lt;i&gt;⏎⇥"), std::string::npos);
}

TEST(QualityPage, stays_small_with_eighty_layers) {
  const std::string page = quality_html(made_up(80));
  expect_sound(page);
  EXPECT_EQ(count(page, "id=\"map-bits\""), 1U);
  expect_sound(quality_html(made_up(171)));  // as many cells as maps may have
  expect_sound(quality_html(made_up(400)));
}

TEST(QualityPage, a_layer_beyond_all_models_is_left_out_of_maps) {
  for (const std::uint32_t layer : {4000000U, 4294967295U}) {
    QualityResult result = made_up(3);
    result.tensor_errors.back().name = fmt::format("blk.{}.ffn_down.weight", layer);
    const std::string page = quality_html(result);
    expect_sound(page);
    EXPECT_EQ(count(page, "<title>blk."), 3U * (3 * 7 - 1));
  }
}

CompareResult comparison(std::size_t candidates, std::uint32_t layers) {
  CompareResult result;
  result.original = "model";
  result.chunks = 10;
  for (std::size_t i = 0; i < candidates; ++i) {
    result.candidates.push_back(made_up(layers));
    result.candidates.back().quantized = fmt::format("model-small-L{}.gguf", i);
    result.candidates.back().file_bytes = 1000000 * (candidates - i);
    result.candidates.back().metrics.kld = {0.001 * static_cast<double>(i + 1), 0.0001};
  }
  return result;
}

TEST(ComparePage, shows_points_lines_and_maps) {
  CompareResult result = comparison(4, 2);
  result.candidates.push_back(result.candidates[1]);
  result.candidates.back().quantized = "model-small-beaten.gguf";
  result.candidates.back().metrics.kld.mean = 0.5;
  const std::string page = compare_html(result);
  expect_sound(page);
  for (const char* id : {"candidates", "tradeoff", "positions", "map0-bits", "map4-mse", "sentences"})
    EXPECT_EQ(count(page, "id=\"" + std::string(id) + "\""), 1U) << id;
  EXPECT_EQ(count(page, "<circle"), 5U);
  EXPECT_EQ(count(page, "class=\"dot s7\""), 1U);
  EXPECT_NE(page.find("neither larger nor further off: beaten."), std::string::npos);
  EXPECT_NE(page.find(">L2</text>"), std::string::npos) << "what names have in common is left out";
  EXPECT_NE(page.find("Where model-small-beaten.gguf departs most"), std::string::npos);
}

TEST(ComparePage, shows_chosen_groups_only_and_stays_small) {
  CompareResult result = comparison(8, 0);
  result.metrics = {false, true, true, false};
  const std::string sizes = compare_html(result);
  expect_sound(sizes);
  EXPECT_EQ(sizes.find("KL divergence"), std::string::npos);
  EXPECT_EQ(sizes.find("perplexity"), std::string::npos);
  EXPECT_EQ(count(sizes, "<svg"), 0U);
  result.metrics = {false, false, true, true};
  const std::string bits = compare_html(result);
  expect_sound(bits);
  EXPECT_NE(bits.find(">Bits a weight</text>"), std::string::npos) << "the axis of the sizes that are shown";
  EXPECT_EQ(bits.find(" MB"), std::string::npos);
  result.metrics = {false, false, false, true};
  EXPECT_EQ(count(compare_html(result), "id=\"tradeoff\""), 0U);
  const std::string many = compare_html(comparison(12, 80));
  expect_sound(many);
  EXPECT_NE(many.find("more would make this page too large"), std::string::npos);
}

TEST(ComparePage, no_candidates_are_still_a_page) {
  const std::string page = compare_html(CompareResult{});
  expect_sound(page);
  EXPECT_EQ(count(page, "<svg"), 0U);
}

TEST(ComparePage, equal_candidates_and_one_without_divergence) {
  CompareResult result = comparison(4, 0);
  result.candidates[1] = result.candidates[0];
  result.candidates[3].metrics.kld = {0, 0};
  const std::string page = compare_html(result);
  expect_sound(page);
  EXPECT_NE(page.find(">L0 (2)</text>"), std::string::npos) << "both are named";
  EXPECT_EQ(count(page, "class=\"dot s7\""), 3U) << "the smallest is also the nearest";
  EXPECT_NE(page.find("\">0</text>"), std::string::npos) << "0 has its tick on the logarithmic axis";
}

TEST(ComparePage, one_candidate_without_divergence) {
  CompareResult result = comparison(1, 1);
  result.candidates[0].metrics.kld = {0, 0};
  for (PositionDivergence& part : result.candidates[0].positions) part.kld = {0, 0};
  expect_sound(compare_html(result));
}

TEST(Tradeoff, dominated_points_are_those_that_a_pair_shows) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<TradeoffPoint> points(1 + random() % 9);
    for (TradeoffPoint& point : points)
      point = {"x", static_cast<double>(random() % 5), {static_cast<double>(random() % 5), 0}};
    const std::vector<bool> dominated = find_dominated(points);
    for (std::size_t i = 0; i < points.size(); ++i) {
      bool beaten = false;
      for (const TradeoffPoint& other : points) {
        const bool equal = other.size == points[i].size && other.kld.mean == points[i].kld.mean;
        beaten = beaten || (!equal && other.size <= points[i].size && other.kld.mean <= points[i].kld.mean);
      }
      EXPECT_EQ(dominated[i], beaten);
    }
  }
}

TEST(Axis, ticks_and_places) {
  EXPECT_EQ(linear_ticks(0, 10), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  const Axis log = make_axis({0.003, 0.4}, true);
  EXPECT_DOUBLE_EQ(log.low, 0.002);
  EXPECT_DOUBLE_EQ(log.high, 0.5);
  EXPECT_EQ(log.place(-1), 0);
  EXPECT_EQ(log.place(9), 1);
  EXPECT_NEAR(log.place(std::sqrt(0.001)), 0.5, 1e-9);
  EXPECT_FALSE(log.zero_low);
  const Axis with_zero = make_axis({0.003, 0, 0.4}, true);
  EXPECT_TRUE(with_zero.zero_low);
  EXPECT_EQ(with_zero.place(0), 0);
  EXPECT_GT(with_zero.place(0.003), 0.15) << "the smallest figure is seen to be none";
  EXPECT_FALSE(make_axis({0, 0}, true).log);
  for (const double figure : {-3.0, 0.0, 1e-9, 7e12}) {
    const std::vector<double> ticks = linear_ticks(figure, figure);
    EXPECT_LE(ticks.front(), figure);
    EXPECT_LT(ticks.size(), 12U);
  }
  EXPECT_EQ(with_error(117.7846, 3.6815), "117.8 ± 3.7");
  EXPECT_EQ(with_error(0.5, 0), "0.5");
  EXPECT_EQ(heat_step(2.5, 2, 3, true), 5);
}

}  // namespace
