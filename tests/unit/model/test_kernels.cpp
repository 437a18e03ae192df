// The kernels between the products of a layer: the bytes of plain loops where a plain loop defines them, near
// double precision elsewhere, and the same bytes on every instruction set at every length.
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "model/torch/elementwise.hpp"
#include "model/torch/rope.hpp"
#include "model/torch/softmax.hpp"
#include "support/every_target.hpp"

namespace {
using namespace llmq;
using namespace llmq::torch_pass;
using Row = std::vector<float>;

constexpr std::size_t kLengths[] = {1, 3, 7, 8, 9, 31, 256, 1000};
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Row normal_row(std::size_t count, float scale = 1) {
  std::mt19937 random(static_cast<std::uint32_t>(count));
  std::normal_distribution<float> draw(0, scale);
  Row row(count);
  for (float& value : row) value = draw(random);
  return row;
}

/// The kernel's output on every target, which must agree with the first; NaN compares by place.
Row on_every_target(const std::function<Row()>& kernel) {
  Row first;
  test::for_every_target([&](const std::string& target) {
    const Row got = kernel();
    if (first.empty()) first = got;
    ASSERT_EQ(got.size(), first.size());
    EXPECT_EQ(std::memcmp(got.data(), first.data(), got.size() * sizeof(float)), 0) << target;
  });
  return first;
}

/// Distance in units of the last place of the wanted value.
double ulps(float got, double wanted) {
  const float rounded = std::fabs(static_cast<float>(wanted));
  const double unit = static_cast<double>(std::nextafter(rounded, kInf)) - static_cast<double>(rounded);
  return std::fabs(static_cast<double>(got) - wanted) / unit;
}

TEST(Kernels, several_instruction_sets_are_under_test) {
  std::vector<std::string> names;
  test::for_every_target([&](const std::string& target) { names.push_back(target); });
  EXPECT_GE(names.size(), 2u);
}

TEST(Kernels, layer_norm_gives_the_bytes_of_its_definition) {
  for (const std::size_t width : kLengths) {
    constexpr std::size_t kTokens = 3;
    Row x = normal_row(kTokens * width);
    for (float& value : x) value += 3;  // a mean that matters
    const Row weight = normal_row(width), bias = normal_row(width, 0.3F);

    const Row got = on_every_target([&] {
      Row out(x.size());
      layer_norm(x.data(), weight.data(), bias.data(), 1e-5F, kTokens, width, out.data());
      return out;
    });

    for (std::size_t t = 0; t < kTokens; ++t) {
      const float* row = &x[t * width];
      const auto sum_of = [&](const auto& term) {
        double lanes[8] = {}, sum = 0;
        const std::size_t whole = width / 8 * 8;
        for (std::size_t j = 0; j < whole; ++j) lanes[j % 8] += term(static_cast<double>(row[j]));
        for (const double lane : lanes) sum += lane;
        for (std::size_t j = whole; j < width; ++j) sum += term(static_cast<double>(row[j]));
        return sum / static_cast<double>(width);
      };
      const double mean = sum_of([](double value) { return value; });
      const double variance = sum_of([&](double value) { return (value - mean) * (value - mean); });
      const auto scale = static_cast<float>(1 / std::sqrt(variance + static_cast<double>(1e-5F)));
      for (std::size_t j = 0; j < width; ++j)
        EXPECT_EQ(got[t * width + j], (row[j] - static_cast<float>(mean)) * scale * weight[j] + bias[j]);
    }
  }
}

TEST(Kernels, rms_norm_gives_the_bytes_of_its_definition) {
  for (const std::size_t width : kLengths) {
    constexpr std::size_t kTokens = 3;
    const Row x = normal_row(kTokens * width), weight = normal_row(width);

    const Row got = on_every_target([&] {
      Row out(x.size());
      rms_norm(x.data(), weight.data(), 1e-5F, kTokens, width, out.data());
      return out;
    });

    for (std::size_t t = 0; t < kTokens; ++t) {
      const float* row = &x[t * width];
      double lanes[8] = {}, sum = 0;
      const std::size_t whole = width / 8 * 8;
      for (std::size_t j = 0; j < whole; ++j) lanes[j % 8] += static_cast<double>(row[j]) * row[j];
      for (const double lane : lanes) sum += lane;
      for (std::size_t j = whole; j < width; ++j) sum += static_cast<double>(row[j]) * row[j];
      const auto scale =
          static_cast<float>(1 / std::sqrt(sum / static_cast<double>(width) + static_cast<double>(1e-5F)));
      for (std::size_t j = 0; j < width; ++j) EXPECT_EQ(got[t * width + j], row[j] * scale * weight[j]);
    }
  }
}

TEST(Kernels, bias_gives_the_bytes_of_its_definition) {
  for (const std::size_t width : kLengths) {
    const Row x = normal_row(2 * width), bias = normal_row(width);

    const Row got = on_every_target([&] {
      Row out = x;
      add_bias(out.data(), bias.data(), 2, width);
      add_bias(out.data(), nullptr, 2, width);
      return out;
    });

    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(got[i], x[i] + bias[i % width]);
  }
}

TEST(Kernels, swiglu_is_within_4_ulp) {
  for (const std::size_t width : kLengths) {
    const Row gate_up = normal_row(4 * width, 8);

    const Row got = on_every_target([&] {
      Row out(2 * width);
      swiglu(gate_up.data(), 2, width, out.data());
      return out;
    });

    for (std::size_t i = 0; i < got.size(); ++i) {
      const double gate = gate_up[i / width * 2 * width + i % width];
      const double up = gate_up[i / width * 2 * width + width + i % width];
      EXPECT_LE(ulps(got[i], gate / (1 + std::exp(-gate)) * up), 4) << gate;
    }
  }
}

TEST(Kernels, swiglu_of_extreme_gates) {
  const Row gate_up = {kNaN, kInf, -kInf, 0, -0.0F, 200, -200, -88, 1, /* up */ 2, 2, 2, 2, 2, 2, 2, 2, kNaN};
  test::for_every_target([&](const std::string& target) {
    Row out(9);
    swiglu(gate_up.data(), 1, 9, out.data());
    EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[2]) && std::isnan(out[8])) << target;
    EXPECT_EQ(out[1], kInf);
    EXPECT_EQ(out[3], 0);
    EXPECT_EQ(out[4], 0);
    EXPECT_EQ(out[5], 400);
    EXPECT_EQ(out[6], 0);
    EXPECT_LT(std::fabs(out[7]), 1e-35F);
  });
}

TEST(Kernels, exponentials_are_within_1_5_ulp) {
  // A row whose first score is the largest, 0: the others become e^x.
  Row row{0};
  for (double x = 0; x >= -87.3; x -= 0.00173) row.push_back(static_cast<float>(x));

  const Row got = on_every_target([&] {
    Row scores = row;
    float inverse_sum = 0;
    causal_softmax(scores.data(), 1, row.size(), row.size(), row.size(), 1, &inverse_sum);
    return scores;
  });

  EXPECT_EQ(got[0], 1);
  for (std::size_t i = 1; i < row.size(); ++i)
    ASSERT_LE(ulps(got[i], std::exp(static_cast<double>(row[i]))), 1.5) << row[i];
}

TEST(Kernels, softmax_rows_see_one_more_score_each) {
  for (const std::size_t width : kLengths) {
    const std::size_t rows = std::min<std::size_t>(width, 5), visible = width - rows + 1, stride = width + 3;
    const Row scores = normal_row(rows * stride, 20);
    constexpr float kScale = 0.125F;

    const Row got = on_every_target([&] {
      Row out = scores;
      Row inverse_sums(rows);
      causal_softmax(out.data(), rows, visible, width, stride, kScale, inverse_sums.data());
      out.insert(out.end(), inverse_sums.begin(), inverse_sums.end());
      return out;
    });

    for (std::size_t row = 0; row < rows; ++row) {
      const float* before = &scores[row * stride];
      const float top = *std::max_element(before, before + visible + row);
      double sum = 0;
      for (std::size_t k = 0; k < visible + row; ++k) {
        const double wanted = std::exp(static_cast<double>((before[k] - top) * kScale));
        EXPECT_LE(ulps(got[row * stride + k], wanted), 1.5);
        sum += wanted;
      }
      for (std::size_t k = visible + row; k < width; ++k) EXPECT_EQ(got[row * stride + k], 0);
      for (std::size_t k = width; k < stride; ++k) EXPECT_EQ(got[row * stride + k], before[k]);
      // 1000 columns: 63 additions a lane of half an ulp each, and 16 of the lanes.
      EXPECT_NEAR(got[rows * stride + row] * sum, 1, 80 * 0x1p-24);
    }
  }
}

TEST(Kernels, softmax_of_bad_scores) {
  test::for_every_target([&](const std::string& target) {
    for (const float bad : {kNaN, kInf}) {
      for (std::size_t place = 0; place < 37; ++place) {
        Row scores = normal_row(37);
        scores[place] = bad;
        float inverse_sum = 0;
        causal_softmax(scores.data(), 1, 37, 37, 37, 1, &inverse_sum);
        EXPECT_TRUE(std::isnan(scores[place])) << target << " at " << place;
        EXPECT_TRUE(std::isnan(inverse_sum)) << target << " at " << place;
      }
    }
    Row far = {1000, 0, -1000, -kInf};
    float inverse_sum = 0;
    causal_softmax(far.data(), 1, 4, 4, 4, 1, &inverse_sum);
    EXPECT_EQ(far, (Row{1, 0, 0, 0})) << target;
    EXPECT_EQ(inverse_sum, 1);
  });
}

TEST(Kernels, rotation_gives_the_bytes_of_its_definition) {
  for (const std::size_t half : kLengths) {
    constexpr std::size_t kTokens = 4, kFirst = 5;
    Row frequencies(half);
    for (std::size_t c = 0; c < half; ++c) frequencies[c] = 1 / static_cast<float>(c + 1);
    const Rope rope(frequencies, kTokens + kFirst);
    const std::size_t stride = 2 * half + 3;
    const Row x = normal_row(kTokens * stride);

    const Row got = on_every_target([&] {
      Row out(kTokens * 2 * half);
      rope.rotate(x.data(), stride, kFirst, kTokens, out.data(), 2 * half);
      return out;
    });
    Row in_place = x;
    rope.rotate(in_place.data(), stride, kFirst, kTokens, in_place.data(), stride);

    for (std::size_t t = 0; t < kTokens; ++t) {
      for (std::size_t c = 0; c < half; ++c) {
        const auto angle = static_cast<double>(static_cast<float>(kFirst + t) * frequencies[c]);
        const auto cosine = static_cast<float>(std::cos(angle)), sine = static_cast<float>(std::sin(angle));
        const float a = x[t * stride + c], b = x[t * stride + half + c];
        EXPECT_EQ(got[t * 2 * half + c], a * cosine - b * sine);
        EXPECT_EQ(got[t * 2 * half + half + c], b * cosine + a * sine);
        EXPECT_EQ(in_place[t * stride + c], got[t * 2 * half + c]);
        EXPECT_EQ(in_place[t * stride + half + c], got[t * 2 * half + half + c]);
      }
    }
  }
}

}  // namespace
