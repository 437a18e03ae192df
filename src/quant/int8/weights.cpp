#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>

#include "llmq/core/checked.hpp"
#include "llmq/quant/int8_product.hpp"

namespace llmq {

Int8Weights::Int8Weights(std::size_t out_features, std::size_t in_features)
    : out_features_(out_features), in_features_(in_features) {
  if (out_features == 0 || in_features == 0 || in_features > kInt8InFeatures) {
    throw Error(ExitCode::validation, "no int8 product has weights of " + std::to_string(out_features) +
                                          " x " + std::to_string(in_features) + ": inputs are 1 to " +
                                          std::to_string(kInt8InFeatures));
  }
  const std::size_t padded = align_up(out_features, kOutputPadding);
  const std::size_t bytes = checked_mul(padded / kPanel, panel_bytes(), "size of int8 weights");
  scales_.resize(padded);
  sums_.resize(padded);
  codes_ = make_aligned<std::int8_t>(bytes);
  std::memset(codes_.get(), 0, bytes);
}

Int8Weights::Int8Weights(std::span<const std::int8_t> codes, std::span<const float> scales,
                         std::size_t in_features)
    : Int8Weights(scales.size(), in_features) {
  set_outputs(0, codes, scales);
}

void Int8Weights::set_outputs(std::size_t first, std::span<const std::int8_t> codes,
                              std::span<const float> scales) {
  if (first > out_features_ || scales.size() > out_features_ - first ||
      codes.size() != scales.size() * in_features_) {
    throw InternalError("outputs do not fit int8 weights");
  }
  std::copy(scales.begin(), scales.end(), scales_.begin() + static_cast<std::ptrdiff_t>(first));
  for (std::size_t row = 0; row < scales.size(); ++row) {
    const std::int8_t* from = codes.data() + row * in_features_;
    std::int8_t* to = codes_.get() + (at(first + row) - codes_.get());
    sums_[first + row] = std::accumulate(from, from + in_features_, std::int32_t{0});
    for (std::size_t k = 0; k < in_features_; k += kQuad, to += kPanel * kQuad) {
      std::memcpy(to, from + k, std::min(kQuad, in_features_ - k));
    }
  }
}

}  // namespace llmq
