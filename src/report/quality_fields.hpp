// Names of the figures of a quality report in JSON and CSV, for writing and reading alike.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "llmq/report/quality_report.hpp"

namespace llmq {

/// A candidate as flat name-value pairs, of the groups asked for: an object of the comparison, a row of its
/// CSV.
nlohmann::ordered_json candidate_json(const QualityResult& candidate, const MetricSet& metrics);

/// field(name, value) for every figure of the group; `metrics` may be const.
template <class Metrics, class Field>
void for_each_perplexity(Metrics& metrics, const Field& field) {
  field("perplexity_original", metrics.perplexity_original);
  field("perplexity_original_error", metrics.perplexity_original_error);
  field("perplexity_quantized", metrics.perplexity_quantized);
  field("perplexity_quantized_error", metrics.perplexity_quantized_error);
  field("perplexity_delta_pct", metrics.perplexity_delta_pct);
  field("ln_perplexity_ratio", metrics.ln_ratio);
  field("ln_perplexity_ratio_error", metrics.ln_ratio_error);
  field("correlation_pct", metrics.correlation_pct);
}

template <class Metrics, class Field>
void for_each_divergence(Metrics& metrics, const Field& field) {
  field("kld_mean", metrics.kld.mean);
  field("kld_mean_error", metrics.kld.error);
  field("kld_median", metrics.kld_median);
  field("kld_p99", metrics.kld_p99);
  field("kld_p999", metrics.kld_p999);
  field("kld_max", metrics.kld_max);
  field("same_top_pct", metrics.same_top_pct);
  field("same_top_error_pct", metrics.same_top_error_pct);
  field("delta_p_mean_pct", metrics.delta_p_pct.mean);
  field("delta_p_mean_error_pct", metrics.delta_p_pct.error);
  field("delta_p_rms_pct", metrics.delta_p_rms_pct);
  field("delta_p_rms_error_pct", metrics.delta_p_rms_error_pct);
  field("delta_p_p1_pct", metrics.delta_p_p1_pct);
}

}  // namespace llmq
