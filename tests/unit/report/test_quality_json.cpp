// Quality reports as documents: what is written is read back, and what the schema refuses is refused by its
// pointer.
#include <functional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/report/quality_report.hpp"

namespace {
using namespace llmq;
using nlohmann::json;

QualityResult made_up() {
  QualityResult result;
  result.original = "model";
  result.quantized = "model-Q4_K_M.gguf";
  result.identity = {"1.2.3", "sha256:aa", "sha256:bb", "sha256:cc", 512, 256};
  result.metrics.perplexity_original = 5.234567890123456;
  result.metrics.perplexity_quantized = 5.3;
  result.metrics.kld = {0.0123, 0.0001};
  result.metrics.delta_p_pct = {-0.03, 0.01};
  result.metrics.scores = 65280;
  result.effective_bpw = 4.5;
  result.compression_ratio = 0.28;
  result.file_bytes = 123456789012;
  result.chunks = 255;
  result.ctx = 256;
  result.dataset = "text.txt";
  result.layer_errors = {{"model.layers.0.mlp", 1e-5, 0.02, 4.5, 0.998, 0.004},
                         {"model.layers.1.mlp", 1e-5, 0.02, 4.5, 0.998, std::nullopt}};
  result.tensor_errors = {{"blk.0.ffn_up.weight", "Q4_K", 65536, 4.5, 1e-5, 0.02, 0.998, 0.004},
                          {"output.weight", "Q6_K", 65536, 6.5625, 1e-7, 0.002, 0.9998, std::nullopt}};
  result.positions = {{256, 271.9375, {0.01, 0.001}}};
  result.sentences = {{3, 300, 0.5, "before", {{" word", 0.7, 0.5, 0.1, " word", " other"}}}};
  result.coherence_score = 0.93;
  result.timestamp = "2026-01-31T12:00:00Z";
  result.seconds = 12.5;
  result.passes = {3.5, 3.25};
  return result;
}

TEST(QualityJson, what_is_written_is_read_back) {
  const std::string text = quality_json(made_up(), {"a warning"}).dump();
  const QualityResult read = parse_quality_report(text, "x.qreport");
  EXPECT_EQ(quality_json(read, {"a warning"}).dump(), text);
  EXPECT_EQ(read.identity, made_up().identity);
  EXPECT_EQ(read.metrics.perplexity_original, made_up().metrics.perplexity_original);
  EXPECT_EQ(read.tensor_errors[1].weighted_error, std::nullopt);
  EXPECT_EQ(read.sentences[0].tokens[0].top_quantized, " other");
}

TEST(QualityJson, what_the_schema_refuses_is_told_by_its_place) {
  const auto message = [](const std::function<void(json&)>& damage) {
    json document = json::parse(quality_json(made_up(), {}).dump());
    damage(document);
    try {
      parse_quality_report(document.dump(), "x.qreport");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::validation);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(message([](json&) {}), "accepted");
  EXPECT_NE(
      message([](json& d) { d["metrics"].erase("kld_mean"); }).find("/metrics: \"kld_mean\" is missing"),
      std::string::npos);
  EXPECT_NE(message([](json& d) {
              d["tensor_errors"][1]["mse"] = "small";
            }).find("/tensor_errors/1/mse: expected a number"),
            std::string::npos);
  EXPECT_NE(message([](json& d) { d["file_size"] = -1; }).find("/file_size"), std::string::npos);
  EXPECT_NE(message([](json& d) { d["status"] = "error"; }).find("/status"), std::string::npos);
  EXPECT_NE(message([](json& d) { d = json::array(); }).find("the document"), std::string::npos);
  EXPECT_THROW(parse_quality_report("{", "x.qreport"), Error);
}

TEST(QualityCsv, a_row_a_candidate_with_the_groups_asked_for) {
  CompareResult comparison;
  comparison.candidates = {made_up(), made_up()};
  comparison.candidates[1].quantized = "odd, \"name\".gguf";
  comparison.metrics = {false, true, true, false};
  for (QualityResult& one : comparison.candidates) one.coherence_score.reset();
  EXPECT_EQ(compare_csv(comparison),
            "quantized_model,file_size,effective_bpw,compression_ratio\n"
            "model-Q4_K_M.gguf,123456789012,4.5,0.28\n"
            "\"odd, \"\"name\"\".gguf\",123456789012,4.5,0.28\n");
}

}  // namespace
