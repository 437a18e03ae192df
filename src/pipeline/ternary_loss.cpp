#include "pipeline/ternary_loss.hpp"

#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "llmq/quant/codec.hpp"

namespace llmq {
namespace {

constexpr double kFraction = 1 << 20;
constexpr std::uint64_t kPart = 32;  // keeps the product below 2^64 for more weights than a file can hold

constexpr double kExact = 1e-5;  // rounding d to half precision loses less
constexpr double kUnusable = 0.1;

}  // namespace

void TernaryLoss::add(GgmlType type, std::span<const float> weights, std::span<const std::byte> encoded,
                      std::uint64_t row_elems) {
  std::vector<float> decoded(weights.size());
  decode_rows(type, encoded, row_elems, decoded);
  double lost = 0, energy = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double x = weights[i], difference = x - static_cast<double>(decoded[i]);
    lost += difference * difference;
    energy += x * x;
  }
  const std::uint64_t count = weights.size() / kPart;
  const double loss = energy > 0 ? std::fmin(1, lost / energy) : 0;
  weighted_loss_ += static_cast<std::uint64_t>(std::llround(loss * kFraction)) * count;
  weights_ += count;
}

std::optional<double> TernaryLoss::share(const Communicator& comm) const {
  std::uint64_t sums[] = {weighted_loss_, weights_};
  comm.all_reduce(std::span<std::uint64_t>(sums), comm::ReduceOp::sum, "loss of ternary weights");
  if (sums[1] == 0) return std::nullopt;
  return static_cast<double>(sums[0]) / kFraction / static_cast<double>(sums[1]);
}

void TernaryLoss::report(const StageContext& context) const {
  const std::optional<double> loss = share(context.comm);
  if (!loss || !context.comm.is_root()) return;
  if (*loss < kExact) {
    context.log.status("The weights are ternary already: stored exactly, but for scales in half precision");
  } else if (*loss > kUnusable) {
    context.log.warn(
        fmt::format("the weights are not ternary: three levels keep {:.0f} % of their energy, so expect poor "
                    "answers; -q IQ1_M "
                    "(as small) or -q Q2_K keeps more, and `quality report` measures it",
                    100 * (1 - *loss)));
  }
}

}  // namespace llmq
