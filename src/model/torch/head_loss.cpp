#include "model/torch/head_loss.hpp"

#include <algorithm>
#include <cmath>

#include "model/torch/elementwise.hpp"
#include "model/torch/matmul.hpp"

namespace llmq::torch_pass {
namespace {

void part_logits(const HeadPart& part, const float* normed, std::size_t rows, std::vector<float>& logits) {
  const std::size_t count = rows * part.output.out_features;
  logits.resize(std::max(logits.size(), count));
  part.output.apply(normed, rows, logits.data());
  if (part.softcap > 0) softcap(logits.data(), count, 1, part.softcap);
}

/// Slope of the soft cap where it gave this logit.
float slope(const HeadPart& part, float logit) {
  if (part.softcap == 0) return 1;
  const float tangent = logit / part.softcap;
  return 1 - tangent * tangent;
}

/// Takes one row into its running top and sum of exponentials.
void take_in(std::span<const float> logits, float& top, double& sum) {
  const float highest = std::max(top, *std::max_element(logits.begin(), logits.end()));
  sum *= std::exp(static_cast<double>(top) - static_cast<double>(highest));  // 0 at the first part
  top = highest;
  for (const float logit : logits) sum += static_cast<double>(std::exp(logit - highest));
}

/// True if the part holds the token; `at` is then its column.
bool find_token(const HeadPart& part, std::int32_t token, std::size_t& at) {
  at = static_cast<std::size_t>(token) - part.first_token;
  return static_cast<std::size_t>(token) >= part.first_token && at < part.output.out_features;
}

double log_probability(const HeadProgress& progress, std::size_t row) {
  return static_cast<double>(progress.next_logits[row]) - static_cast<double>(progress.tops[row]) -
         std::log(progress.sums[row]);
}

}  // namespace

void take_logits(const HeadPart& part, std::span<const std::int32_t> ids, const float* normed,
                 HeadProgress& progress, std::vector<float>& logits) {
  const std::size_t rows = ids.size() - 1, width = part.output.out_features;
  if (progress.tops.empty()) {
    progress.tops.assign(rows, -INFINITY);
    progress.sums.assign(rows, 0.0);
    progress.next_logits.assign(rows, 0.0F);
  }
  part_logits(part, normed, rows, logits);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::span<const float> of_row(logits.data() + row * width, width);
    take_in(of_row, progress.tops[row], progress.sums[row]);
    std::size_t at = 0;
    if (find_token(part, ids[row + 1], at)) progress.next_logits[row] = of_row[at];
  }
}

void add_gradient(const HeadPart& part, std::span<const std::int32_t> ids, const float* normed,
                  HeadProgress& progress, std::vector<float>& logits) {
  const std::size_t rows = ids.size() - 1, width = part.output.out_features;
  const std::size_t hidden = part.output.in_features;
  if (progress.d_normed.empty()) progress.d_normed.assign(ids.size() * hidden, 0.0F);
  part_logits(part, normed, rows, logits);
  const double share = 1.0 / static_cast<double>(rows);
  for (std::size_t row = 0; row < rows; ++row) {  // logits become (p - 1 for the true token) / rows
    float* of_row = logits.data() + row * width;
    const float top = progress.tops[row];
    const auto factor = static_cast<float>(share / progress.sums[row]);
    std::size_t at = 0;
    const bool here = find_token(part, ids[row + 1], at);
    const float slope_at = here ? slope(part, of_row[at]) : 0;
    for (std::size_t k = 0; k < width; ++k)
      of_row[k] = std::exp(of_row[k] - top) * factor * slope(part, of_row[k]);
    // p - 1 by expm1, not as the difference of rounded numbers: a sure prediction keeps its gradient.
    if (here) of_row[at] = static_cast<float>(share * std::expm1(log_probability(progress, row))) * slope_at;
  }
  multiply({logits.data(), rows, width, width}, {part.output.weight.data(), width, hidden, hidden},
           {progress.d_normed.data(), rows, hidden, hidden}, Product::add);
}

double mean_loss(const HeadProgress& progress) {
  double loss = 0;
  for (std::size_t row = 0; row < progress.tops.size(); ++row) loss -= log_probability(progress, row);
  return loss / static_cast<double>(progress.tops.size());
}

}  // namespace llmq::torch_pass
