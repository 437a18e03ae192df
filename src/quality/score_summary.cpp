#include "llmq/quality/score_summary.hpp"

#include <algorithm>
#include <cmath>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

constexpr int kFractionBits = 60;  // steps of 9e-19 up to 7e19

MeanError mean_error(double sum, double sum_sq, double n) {
  const double mean = sum / n;
  const double variance = sum_sq / n - mean * mean;
  return {mean, n > 10 && variance > 0 ? std::sqrt(variance / (n - 1)) : 0.0};
}

void add_words(std::vector<std::uint64_t>& words, Int128 value) {
  words.push_back(static_cast<std::uint64_t>(static_cast<UInt128>(value)));
  words.push_back(static_cast<std::uint64_t>(static_cast<UInt128>(value) >> 64));
}

/// Takes words off the front of what is left.
class WordReader {
 public:
  explicit WordReader(std::span<const std::uint64_t> words) : words_(words) {}
  std::span<const std::uint64_t> next(std::size_t count) {
    if (count > words_.size()) throw InternalError("words of a summary do not fit");
    const auto front = words_.first(count);
    words_ = words_.subspan(count);
    return front;
  }
  std::uint64_t word() { return next(1)[0]; }
  Int128 wide() {
    const auto both = next(2);
    return static_cast<Int128>(static_cast<UInt128>(both[1]) << 64 | both[0]);
  }
  QuantileSketch sketch() { return QuantileSketch::from_words(next(word())); }

 private:
  std::span<const std::uint64_t> words_;
};

}  // namespace

void ScoreSummary::add_chunk(std::span<const PositionScore> scores) {
  std::array<double, kSums> sums = {};
  std::array<std::array<double, 2>, kPositionBins> divergence = {};
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const PositionScore& score = scores[i];
    const double a = score.nll_quantized, b = score.nll_original, d = score.delta_p;
    const double terms[kSums] = {a,     a * a,        b, b * b, a * b, score.kld, score.kld * score.kld, d,
                                 d * d, d * d * d * d};
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += terms[k];
    const std::size_t bin = i * kPositionBins / scores.size();
    divergence[bin][0] += score.kld;
    divergence[bin][1] += score.kld * score.kld;
    ++bins_[bin].n;
    same_top_ += static_cast<std::uint64_t>(score.same_top());
    kld_sketch_.add(score.kld);
    dp_sketch_.add(score.delta_p);
  }
  n_ += scores.size();
  for (std::size_t k = 0; k < kSums; ++k) sums_[k] = add_fixed(sums_[k], to_fixed(sums[k], kFractionBits));
  for (std::size_t bin = 0; bin < kPositionBins; ++bin) {
    bins_[bin].kld = add_fixed(bins_[bin].kld, to_fixed(divergence[bin][0], kFractionBits));
    bins_[bin].kld_sq = add_fixed(bins_[bin].kld_sq, to_fixed(divergence[bin][1], kFractionBits));
  }
}

void ScoreSummary::merge(const ScoreSummary& other) {
  n_ += other.n_;
  same_top_ += other.same_top_;
  for (std::size_t k = 0; k < kSums; ++k) sums_[k] = add_fixed(sums_[k], other.sums_[k]);
  for (std::size_t bin = 0; bin < kPositionBins; ++bin) {
    bins_[bin].n += other.bins_[bin].n;
    bins_[bin].kld = add_fixed(bins_[bin].kld, other.bins_[bin].kld);
    bins_[bin].kld_sq = add_fixed(bins_[bin].kld_sq, other.bins_[bin].kld_sq);
  }
  kld_sketch_.merge(other.kld_sketch_);
  dp_sketch_.merge(other.dp_sketch_);
}

double ScoreSummary::sum(Sum which) const { return from_fixed(sums_[which], kFractionBits); }

MeanError ScoreSummary::mean(Sum of, Sum of_squares) const {
  return mean_error(sum(of), sum(of_squares), static_cast<double>(n_));
}

QualityMetrics ScoreSummary::metrics() const {
  if (n_ == 0) throw InternalError("no scores to summarize");
  const auto n = static_cast<double>(n_);
  const MeanError quantized = mean(q, qq), original = mean(o, oo);
  QualityMetrics metrics;
  metrics.scores = n_;
  metrics.perplexity_quantized = std::exp(quantized.mean);
  metrics.perplexity_quantized_error = metrics.perplexity_quantized * quantized.error;
  metrics.perplexity_original = std::exp(original.mean);
  metrics.perplexity_original_error = metrics.perplexity_original * original.error;
  metrics.ln_ratio = quantized.mean - original.mean;
  metrics.perplexity_delta_pct = 100 * std::expm1(metrics.ln_ratio);
  const double covariance = n > 1 ? (sum(qo) / n - quantized.mean * original.mean) / (n - 1) : 0;
  const double errors = quantized.error * original.error;
  metrics.correlation_pct = errors > 0 ? 100 * covariance / errors : 0;
  metrics.ln_ratio_error = std::sqrt(
      std::max(0.0, quantized.error * quantized.error + original.error * original.error - 2 * covariance));
  metrics.kld = mean(kld, kld_sq);
  metrics.kld_median = kld_sketch_.quantile(0.5);
  metrics.kld_p99 = kld_sketch_.quantile(0.99);
  metrics.kld_p999 = kld_sketch_.quantile(0.999);
  metrics.kld_max = kld_sketch_.max();
  const double fraction = static_cast<double>(same_top_) / n;
  metrics.same_top_pct = 100 * fraction;
  metrics.same_top_error_pct = n > 1 ? 100 * std::sqrt(fraction * (1 - fraction) / (n - 1)) : 0;
  const MeanError delta_p = mean(dp, dp_sq), squares = mean(dp_sq, dp_quad);
  metrics.delta_p_pct = {100 * delta_p.mean, 100 * delta_p.error};
  const double rms = std::sqrt(squares.mean);
  metrics.delta_p_rms_pct = 100 * rms;
  metrics.delta_p_rms_error_pct = rms > 0 ? 100 * 0.5 / rms * squares.error : 0;
  metrics.delta_p_p1_pct = 100 * dp_sketch_.quantile(0.01);
  return metrics;
}

std::vector<PositionDivergence> ScoreSummary::along_positions(std::size_t ctx) const {
  const ScoredRange range = scored_range(ctx);
  const auto place = [&](std::size_t bin) {
    return static_cast<double>(range.begin) +
           static_cast<double>(bin) * static_cast<double>(range.size()) / kPositionBins;
  };
  std::vector<PositionDivergence> parts;
  for (std::size_t bin = 0; bin < kPositionBins; ++bin) {
    if (bins_[bin].n == 0) continue;
    parts.push_back(
        {place(bin), place(bin + 1),
         mean_error(from_fixed(bins_[bin].kld, kFractionBits), from_fixed(bins_[bin].kld_sq, kFractionBits),
                    static_cast<double>(bins_[bin].n))});
  }
  return parts;
}

std::vector<std::uint64_t> ScoreSummary::words() const {
  std::vector<std::uint64_t> words = {n_, same_top_};
  for (const Int128 value : sums_) add_words(words, value);
  for (const Bin& bin : bins_) {
    words.push_back(bin.n);
    add_words(words, bin.kld);
    add_words(words, bin.kld_sq);
  }
  for (const QuantileSketch* sketch : {&kld_sketch_, &dp_sketch_}) {
    const std::vector<std::uint64_t> more = sketch->words();
    words.push_back(more.size());
    words.insert(words.end(), more.begin(), more.end());
  }
  return words;
}

ScoreSummary ScoreSummary::from_words(std::span<const std::uint64_t> words) {
  WordReader reader(words);
  ScoreSummary summary;
  summary.n_ = reader.word();
  summary.same_top_ = reader.word();
  for (Int128& value : summary.sums_) value = reader.wide();
  for (Bin& bin : summary.bins_) {
    bin.n = reader.word();
    bin.kld = reader.wide();
    bin.kld_sq = reader.wide();
  }
  summary.kld_sketch_ = reader.sketch();
  summary.dp_sketch_ = reader.sketch();
  return summary;
}

}  // namespace llmq
