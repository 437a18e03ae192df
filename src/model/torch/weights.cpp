#include "model/torch/weights.hpp"

#include <cstdlib>
#include <new>
#include <sys/mman.h>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

#include "model/torch/elementwise.hpp"
#include "model/torch/matmul.hpp"

namespace llmq::torch_pass {
namespace {
constexpr std::size_t kHugePage = std::size_t{2} << 20;
}

Values::Values(std::size_t count) : count_(count) {
  const std::size_t bytes = count * sizeof(float);
  if (bytes < kHugePage) {
    data_.reset(static_cast<float*>(std::malloc(bytes == 0 ? 1 : bytes)));
  } else {
    // Not rounded up to whole huge pages (aligned_alloc would ask for it): the last one stays ordinary pages.
    void* block = nullptr;
    if (::posix_memalign(&block, kHugePage, bytes) != 0) throw std::bad_alloc();
    data_.reset(static_cast<float*>(block));
    ::madvise(data_.get(), bytes, MADV_HUGEPAGE);  // a wish: refusal costs speed only
  }
  if (!data_) throw std::bad_alloc();
}

void Values::Free::operator()(float* data) const noexcept { std::free(data); }

void Linear::multiply_codes(const float* x, std::size_t tokens, float* y, Int8Output output) const {
  thread_local Int8Rows rows;  // grown once
  const std::span<const float> values(x, tokens * in_features);
  if (input_scale > 0)
    quantize_rows_int8(values, in_features, input_scale, rows);
  else
    quantize_rows_int8(values, in_features, rows);
  int8_matmul(rows, *codes, bias, {y, tokens * out_features}, output);
}

void Linear::apply(const float* x, std::size_t tokens, float* y) const {
  if (codes) return multiply_codes(x, tokens, y, Int8Output::replace);
  if (digits)
    return split_matmul({x, tokens * in_features}, *digits, bias, {y, tokens * out_features},
                        Int8Output::replace);
  multiply_transposed({x, tokens, in_features, in_features},
                      {weight.data(), out_features, in_features, in_features},
                      {y, tokens, out_features, out_features}, Product::replace);
  add_bias(y, bias.empty() ? nullptr : bias.data(), tokens, out_features);
}

void Linear::add_to(const float* x, std::size_t tokens, float* y) const {
  if (codes) return multiply_codes(x, tokens, y, Int8Output::add);
  if (digits)
    return split_matmul({x, tokens * in_features}, *digits, bias, {y, tokens * out_features},
                        Int8Output::add);
  multiply_transposed({x, tokens, in_features, in_features},
                      {weight.data(), out_features, in_features, in_features},
                      {y, tokens, out_features, out_features}, Product::add);
  add_bias(y, bias.empty() ? nullptr : bias.data(), tokens, out_features);
}

void missing_tensor(std::string_view name) {
  throw Error(ExitCode::validation, fmt::format("tensor {} is missing", name),
              "The checkpoint is incomplete; fetch it again");
}

std::vector<float> load_vector(const WeightLoader& weights, const std::string& name, std::size_t count) {
  std::vector<float> values(count);
  if (!weights(name, values)) missing_tensor(name);
  return values;
}

namespace {

/// Codes of all parts, or of none.
void load_codes(const CodeLoader& loader, const std::vector<Part>& parts, Linear& linear) {
  std::size_t row = 0, found = 0;
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  for (const Part& part : parts) {
    codes.resize(part.rows * linear.in_features);
    scales.resize(part.rows);
    const std::optional<float> input = loader(part.name + ".weight", codes, scales);
    if (input) {
      if (!linear.codes) linear.codes.emplace(linear.out_features, linear.in_features);
      if (found++ > 0 && *input != linear.input_scale) {
        throw Error(ExitCode::validation,
                    fmt::format("{} has another input scale than what shares its input", part.name));
      }
      linear.input_scale = *input;
      linear.codes->set_outputs(row, codes, scales);
    }
    row += part.rows;
  }
  if (found != 0 && found != parts.size()) {
    throw Error(
        ExitCode::unsupported_conversion,
        fmt::format("{} and what shares its input are not all stored as 8-bit codes", parts.front().name));
  }
}

/// Rows of a part that begin at `row`.
void load_part(const WeightLoader& weights, const Part& part, std::size_t row, Linear& linear) {
  const std::size_t count = part.rows * linear.in_features;
  const Values staged(linear.digits ? count : 0);
  const std::span<float> values =
      linear.digits ? staged.all() : linear.weight.all().subspan(row * linear.in_features, count);
  if (!weights(part.name + ".weight", values)) missing_tensor(part.name + ".weight");
  if (linear.digits) linear.digits->set_outputs(row, values);
}

}  // namespace

Linear load_linear(const WeightLoader& weights, const CodeLoader& codes, const std::vector<Part>& parts,
                   std::size_t in_features, Products products) {
  Linear linear;
  linear.in_features = in_features;
  for (const Part& part : parts) linear.out_features += part.rows;
  if (codes) load_codes(codes, parts, linear);
  if (!linear.codes && products == Products::split && in_features <= kInt8InFeatures)
    linear.digits.emplace(linear.out_features, in_features);
  else if (!linear.codes)
    linear.weight = Values(linear.out_features * in_features);
  std::vector<float> bias(linear.out_features, 0.0F);
  bool has_bias = false;
  std::size_t row = 0;
  for (const Part& part : parts) {
    if (!linear.codes) load_part(weights, part, row, linear);
    has_bias = weights(part.name + ".bias", std::span(bias).subspan(row, part.rows)) || has_bias;
    row += part.rows;
  }
  if (has_bias) linear.bias = std::move(bias);
  return linear;
}

}  // namespace llmq::torch_pass
