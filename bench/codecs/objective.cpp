#include "codecs/objective.hpp"

#include <algorithm>
#include <cmath>

namespace llmq::bench {
namespace {

constexpr std::uint64_t kSuperBlock = 256;
constexpr std::uint64_t kWholeRow = 0;

/// w = scale(x) or, given importance a, a * sqrt(share * mean + x^2); mean is that of x^2 over `span`
/// weights.
enum class Shape : std::uint8_t {
  one,                 ///< 1
  magnitude,           ///< |x|
  square,              ///< x^2
  square_and_mean,     ///< share * mean + x^2
  root_and_magnitude,  ///< sqrt(mean) + |x|
  root,                ///< sqrt(share * mean + x^2)
};

struct Rule {
  Shape shape = Shape::one;
  std::uint64_t span = kSuperBlock;
  double share = 1.0;
};

struct Rules {
  Rule plain;   ///< without importance
  Rule factor;  ///< of the importance
  bool ignores_importance = false;
};

constexpr Rule kOne{};
constexpr Rule kRoot1{Shape::root, kSuperBlock, 1.0};
constexpr Rule kRoot2{Shape::root, kSuperBlock, 2.0};
constexpr Rule kSquare{Shape::square};

Rules rules_of(GgmlType type) {
  switch (type) {
    case GgmlType::Q4_0:
    case GgmlType::Q5_0:
    case GgmlType::Q4_1:
    case GgmlType::Q5_1:
      return {kOne, {Shape::root, kWholeRow, 1.0}};
    case GgmlType::Q2_K:
      return {{Shape::magnitude}, kRoot1};
    case GgmlType::Q4_K:
    case GgmlType::Q5_K:
      return {{Shape::root_and_magnitude, 32}, kRoot2};
    case GgmlType::Q6_K:
      return {kSquare, kOne};
    case GgmlType::IQ4_NL:
      return {kSquare, {Shape::root, 32, 2.0}};
    case GgmlType::Q3_K:
    case GgmlType::IQ4_XS:
    case GgmlType::IQ3_XXS:
    case GgmlType::IQ3_S:
    case GgmlType::IQ1_M:
      return {kSquare, kRoot2};
    case GgmlType::IQ2_S:
      return {{Shape::square_and_mean, kSuperBlock, 0.5}, kRoot2};
    case GgmlType::IQ2_XXS:
    case GgmlType::IQ2_XS:
      return {kRoot1, kRoot1};
    case GgmlType::IQ1_S:
      return {kRoot2, kRoot2};
    default:
      return {kOne, kOne, true};
  }
}

double apply(const Rule& rule, double x, double mean) {
  switch (rule.shape) {
    case Shape::one:
      return 1.0;
    case Shape::magnitude:
      return std::fabs(x);
    case Shape::square:
      return x * x;
    case Shape::square_and_mean:
      return rule.share * mean + x * x;
    case Shape::root_and_magnitude:
      return std::sqrt(mean) + std::fabs(x);
    case Shape::root:
      return std::sqrt(rule.share * mean + x * x);
  }
  return 1.0;
}

double mean_square(std::span<const float> values) {
  double sum = 0.0;
  for (const double value : values) sum += value * value;
  return sum / static_cast<double>(values.size());
}

}  // namespace

std::vector<float> objective_weights(GgmlType type, std::span<const float> weights, std::uint64_t row_elems,
                                     std::span<const float> importance) {
  const Rules rules = rules_of(type);
  const bool weighted = !importance.empty() && !rules.ignores_importance;
  const Rule& rule = weighted ? rules.factor : rules.plain;
  const std::uint64_t length = rule.span == kWholeRow ? row_elems : std::min(rule.span, row_elems);
  std::vector<float> result(weights.size());
  for (std::size_t begin = 0; begin < weights.size(); begin += length) {
    const auto part = weights.subspan(begin, length);
    const double mean = mean_square(part);
    for (std::size_t i = 0; i < length; ++i) {
      const double own = weighted ? importance[(begin + i) % row_elems] : 1.0;
      result[begin + i] = static_cast<float>(own * apply(rule, part[i], mean));
    }
  }
  return result;
}

}  // namespace llmq::bench
