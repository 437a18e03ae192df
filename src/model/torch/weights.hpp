// Weights of a layer as f32 matrices, and how they are loaded. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "llmq/model/forward.hpp"
#include "llmq/quant/int8_product.hpp"
#include "llmq/quant/split_product.hpp"

namespace llmq::torch_pass {

/// A large f32 array on huge pages where the system has them: loading a layer would else spend more time in
/// page faults than in reading, and packing walks over many pages at once. Not zeroed; every value is then
/// loaded.
class Values {
 public:
  Values() = default;
  explicit Values(std::size_t count);

  float* data() const noexcept { return data_.get(); }
  std::size_t size() const noexcept { return count_; }
  std::span<float> all() const noexcept { return {data_.get(), count_}; }

 private:
  struct Free {
    void operator()(float* data) const noexcept;
  };
  std::unique_ptr<float[], Free> data_;
  std::size_t count_ = 0;
};

/// Rows of f32 weights, [out_features, in_features], of 8-bit codes or of digits, with optional bias.
struct Linear {
  Values weight;  ///< empty with one of the others
  std::optional<Int8Weights> codes;
  std::optional<SplitWeights> digits;
  float input_scale = 0;  ///< of activations as codes; 0: every token has its own
  std::vector<float> bias;
  std::size_t out_features = 0;
  std::size_t in_features = 0;

  /// y [tokens, out_features] = x [tokens, in_features] W^T + b
  void apply(const float* x, std::size_t tokens, float* y) const;
  /// y += x W^T + b: a residual connection costs no pass of its own.
  void add_to(const float* x, std::size_t tokens, float* y) const;
  std::uint64_t bytes() const noexcept {
    return 4 * (weight.size() + bias.size()) + (codes ? std::uint64_t{out_features} * in_features : 0) +
           (digits ? digits->bytes() : 0);
  }

 private:
  void multiply_codes(const float* x, std::size_t tokens, float* y, Int8Output output) const;
};

[[noreturn]] void missing_tensor(std::string_view name);
std::vector<float> load_vector(const WeightLoader& weights, const std::string& name, std::size_t count);

struct Part {
  std::string name;  // without ".weight"
  std::size_t rows;
};
/// Parts stacked along the output, e.g. q, k and v.
/// As codes where `codes` has all parts; some parts alone are an error.
Linear load_linear(const WeightLoader& weights, const CodeLoader& codes, const std::vector<Part>& parts,
                   std::size_t in_features, Products products = Products::f32);

}  // namespace llmq::torch_pass
