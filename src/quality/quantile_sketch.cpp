#include "llmq/quality/quantile_sketch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

constexpr int kDroppedBits = 52 - 11;  // of the mantissa
constexpr double kSmallest = 0x1p-60;

std::int32_t bin_of(double value) {
  const double magnitude = std::fabs(value);
  if (magnitude < kSmallest) return 0;
  const auto bin = static_cast<std::int32_t>(std::bit_cast<std::uint64_t>(magnitude) >> kDroppedBits);
  return value < 0 ? -bin : bin;
}

double middle_of(std::int32_t bin) {
  if (bin == 0) return 0;
  const auto magnitude = static_cast<std::uint64_t>(bin < 0 ? -bin : bin);
  const double middle =
      std::bit_cast<double>((magnitude << kDroppedBits) | (std::uint64_t{1} << (kDroppedBits - 1)));
  return bin < 0 ? -middle : middle;
}

}  // namespace

void QuantileSketch::add(double value) {
  if (!std::isfinite(value)) throw InternalError("a value of a sketch is not finite");
  ++bins_[bin_of(value)];
  min_ = count_ == 0 ? value : std::min(min_, value);
  max_ = count_ == 0 ? value : std::max(max_, value);
  ++count_;
}

void QuantileSketch::merge(const QuantileSketch& other) {
  if (other.count_ == 0) return;
  for (const auto& [bin, count] : other.bins_) bins_[bin] += count;
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = count_ == 0 ? other.max_ : std::max(max_, other.max_);
  count_ += other.count_;
}

double QuantileSketch::value_at(std::uint64_t rank) const {
  if (rank == 0) return min_;
  if (rank + 1 >= count_) return max_;
  std::uint64_t below = 0;
  for (const auto& [bin, count] : bins_) {
    below += count;
    if (rank < below) return std::clamp(middle_of(bin), min_, max_);
  }
  return max_;
}

double QuantileSketch::quantile(double fraction) const {
  if (count_ == 0) return 0;
  const double position = fraction * static_cast<double>(count_ - 1);
  const auto low = static_cast<std::uint64_t>(position);
  const double weight = position - static_cast<double>(low);
  if (weight == 0) return value_at(low);
  return value_at(low) * (1 - weight) + value_at(low + 1) * weight;
}

std::vector<std::uint64_t> QuantileSketch::words() const {
  std::vector<std::uint64_t> words = {count_, std::bit_cast<std::uint64_t>(min_),
                                      std::bit_cast<std::uint64_t>(max_)};
  for (const auto& [bin, count] : bins_) {
    words.push_back(static_cast<std::uint32_t>(bin));
    words.push_back(count);
  }
  return words;
}

QuantileSketch QuantileSketch::from_words(std::span<const std::uint64_t> words) {
  if (words.size() < 3 || words.size() % 2 == 0) throw InternalError("words of a sketch do not fit");
  QuantileSketch sketch;
  sketch.count_ = words[0];
  sketch.min_ = std::bit_cast<double>(words[1]);
  sketch.max_ = std::bit_cast<double>(words[2]);
  for (std::size_t i = 3; i < words.size(); i += 2)
    sketch.bins_[static_cast<std::int32_t>(static_cast<std::uint32_t>(words[i]))] = words[i + 1];
  return sketch;
}

}  // namespace llmq
