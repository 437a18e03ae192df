#include "llmq/quality/scores.hpp"

#include <algorithm>
#include <cmath>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

/// max and ln(sum exp(z - max)) of logits.
struct LogNormalizer {
  float max = 0;
  double log_sum = 0;
  std::size_t argmax = 0;
};

LogNormalizer normalize(std::span<const float> logits) {
  LogNormalizer result;
  const auto top = std::max_element(logits.begin(), logits.end());
  result.max = *top;
  result.argmax = static_cast<std::size_t>(top - logits.begin());
  double sum = 0;
  for (const float z : logits) sum += static_cast<double>(std::exp(z - result.max));
  result.log_sum = std::log(sum);
  return result;
}

MeanError mean_error(double sum, double sum_sq, double n) {
  const double mean = sum / n;
  const double variance = sum_sq / n - mean * mean;
  return {mean, n > 10 && variance > 0 ? std::sqrt(variance / (n - 1)) : 0.0};
}

/// Value at fraction g of sorted values: position g (n - 1), linear between neighbours.
double percentile(const std::vector<double>& sorted, double fraction) {
  const double position = fraction * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(position);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  const double weight = position - static_cast<double>(low);
  return sorted[low] * (1 - weight) + sorted[high] * weight;
}

}  // namespace

ScoredRange scored_range(std::size_t ctx) noexcept {
  if (ctx < 3) return {0, 0};
  return {ctx / 2, ctx - 1};
}

PositionScore score_position(std::span<const float> original, std::span<const float> quantized,
                             std::int32_t next_token) {
  if (original.size() != quantized.size() || next_token < 0 ||
      static_cast<std::size_t>(next_token) >= original.size()) {
    throw InternalError("score_position: sizes do not fit");
  }
  const LogNormalizer p = normalize(original);
  const LogNormalizer q = normalize(quantized);
  // ln p_k - ln q_k = (z_k - w_k) - shift, with one shift for all k.
  const double shift = (static_cast<double>(p.max) + p.log_sum) - (static_cast<double>(q.max) + q.log_sum);
  double weighted = 0;
  for (std::size_t k = 0; k < original.size(); ++k) {
    const auto mass = static_cast<double>(std::exp(original[k] - p.max));
    weighted += mass * (static_cast<double>(original[k]) - static_cast<double>(quantized[k]));
  }
  const auto next = static_cast<std::size_t>(next_token);
  PositionScore score;
  score.nll_original = static_cast<double>(p.max) + p.log_sum - static_cast<double>(original[next]);
  score.nll_quantized = static_cast<double>(q.max) + q.log_sum - static_cast<double>(quantized[next]);
  score.kld = weighted / std::exp(p.log_sum) - shift;
  score.delta_p = std::exp(-score.nll_quantized) - std::exp(-score.nll_original);
  score.same_top = p.argmax == q.argmax ? 1 : 0;
  return score;
}

QualityMetrics summarize_scores(std::span<const PositionScore> scores) {
  if (scores.empty()) throw InternalError("no scores to summarize");
  const auto n = static_cast<double>(scores.size());
  double a = 0, aa = 0, b = 0, bb = 0, ab = 0, kld = 0, kld_sq = 0, dp_sq = 0, same = 0;
  std::vector<double> sorted;
  sorted.reserve(scores.size());
  for (const PositionScore& score : scores) {
    a += score.nll_quantized, aa += score.nll_quantized * score.nll_quantized;
    b += score.nll_original, bb += score.nll_original * score.nll_original;
    ab += score.nll_quantized * score.nll_original;
    kld += score.kld, kld_sq += score.kld * score.kld;
    dp_sq += score.delta_p * score.delta_p;
    same += static_cast<double>(score.same_top);
    sorted.push_back(score.kld);
  }
  std::sort(sorted.begin(), sorted.end());
  const MeanError quantized = mean_error(a, aa, n);
  const MeanError original = mean_error(b, bb, n);
  QualityMetrics metrics;
  metrics.perplexity_quantized = std::exp(quantized.mean);
  metrics.perplexity_quantized_error = metrics.perplexity_quantized * quantized.error;
  metrics.perplexity_original = std::exp(original.mean);
  metrics.perplexity_original_error = metrics.perplexity_original * original.error;
  metrics.ln_ratio = quantized.mean - original.mean;
  metrics.perplexity_delta_pct = 100 * std::expm1(metrics.ln_ratio);
  const double covariance = n > 1 ? (ab / n - quantized.mean * original.mean) / (n - 1) : 0;
  metrics.ln_ratio_error = std::sqrt(
      std::max(0.0, quantized.error * quantized.error + original.error * original.error - 2 * covariance));
  metrics.kld = mean_error(kld, kld_sq, n);
  metrics.kld_median = percentile(sorted, 0.5);
  metrics.kld_p99 = percentile(sorted, 0.99);
  metrics.kld_p999 = percentile(sorted, 0.999);
  metrics.kld_max = sorted.back();
  const double fraction = same / n;
  metrics.same_top_pct = 100 * fraction;
  metrics.same_top_error_pct = n > 1 ? 100 * std::sqrt(fraction * (1 - fraction) / (n - 1)) : 0;
  metrics.delta_p_rms_pct = 100 * std::sqrt(dp_sq / n);
  metrics.scores = scores.size();
  return metrics;
}

}  // namespace llmq
