#include "scale/fit.hpp"

#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"

namespace llmq::scale {

void fit_forward(const nlohmann::json& result, const Shape& shape, Costs& costs) {
  if (!result.contains("phase_seconds") || !result["phase_seconds"].contains("matmul") ||
      !result.contains("timeline") || result["timeline"].size() != 1) {
    throw Error(ExitCode::invalid_arguments, "want the JSON result of analyze on one rank");
  }
  const auto& phases = result["phase_seconds"];
  const double ctx = result.at("ctx").get<double>();
  const double times = result.at("calibration_samples").get<double>() * shape.spec.n_layers;
  const LayerWork work = layer_work(shape.spec, ctx);
  costs.matmul_flop = phases.at("matmul").get<double>() / (times * work.matmul_flops);
  costs.attention_flop = phases.at("attention").get<double>() / (times * work.attention_flops);
  costs.elementwise_value = phases.at("elementwise").get<double>() / (times * work.elementwise_values);
  costs.statistics_value = phases.at("statistics").get<double>() / (times * ctx * work.columns);
}

}  // namespace llmq::scale
