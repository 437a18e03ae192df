// Int8 products are exact integers and the same bits on every instruction set, with every kernel.
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "llmq/quant/int8_product.hpp"

#include "quant/int8/product.hpp"
#include "quant/int8/reference.hpp"
#include "support/every_target.hpp"

namespace llmq {
namespace {

using Codes = std::vector<std::int8_t>;

/// Codes and scales of a product; y is compared with exact sums, or with the plain code's bits.
struct Case {
  Int8Rows a;
  Codes w;
  std::vector<float> w_scales, bias;

  std::size_t rows() const { return a.scales.size(); }
  std::size_t outputs() const { return w_scales.size(); }
};

using Draw = std::function<int(std::size_t index)>;

Case make_case(std::size_t rows, std::size_t outputs, std::size_t inputs, const Draw& a, const Draw& w) {
  Case made;
  made.a = {inputs, Codes(rows * inputs), std::vector<float>(rows, 1.0F)};
  made.w.resize(outputs * inputs);
  made.w_scales.assign(outputs, 1.0F);
  for (std::size_t i = 0; i < made.a.codes.size(); ++i) made.a.codes[i] = static_cast<std::int8_t>(a(i));
  for (std::size_t i = 0; i < made.w.size(); ++i) made.w[i] = static_cast<std::int8_t>(w(i));
  return made;
}

Case random_case(std::size_t rows, std::size_t outputs, std::size_t inputs, unsigned seed) {
  std::mt19937 random(seed);
  const auto draw = [&](std::size_t) { return static_cast<int>(random() % 255) - 127; };
  return make_case(rows, outputs, inputs, draw, draw);
}

/// Scales and a bias that make every rounding count.
void give_scales(Case& made) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> draw(0.001F, 0.1F);
  for (float& scale : made.a.scales) scale = draw(random);
  for (float& scale : made.w_scales) scale = draw(random);
  made.bias.resize(made.outputs());
  for (float& value : made.bias) value = draw(random) - 0.05F;
}

std::vector<float> product(const Case& made, int8::Kernel kernel, Int8Output output = Int8Output::replace,
                           float before = std::numeric_limits<float>::quiet_NaN()) {
  const Int8Weights weights(made.w, made.w_scales, made.a.in_features);
  std::vector<float> y(made.rows() * made.outputs(), before);
  int8::multiply({made.a, weights, made.bias.empty() ? nullptr : made.bias.data(), y.data(), output}, kernel);
  return y;
}

/// body(kernel, name) for every instruction set, and for both kernels where there are two.
void for_every_kernel(const std::function<void(int8::Kernel, const std::string&)>& body) {
  test::for_every_target([&](const std::string& target) {
    body(int8::Kernel::best, target);
    body(int8::Kernel::pairs, target + ", pairs");
  });
}

std::vector<float> exact_sums(const Case& made) {
  std::vector<float> sums;
  const std::size_t inputs = made.a.in_features;
  for (std::size_t row = 0; row < made.rows(); ++row) {
    for (std::size_t n = 0; n < made.outputs(); ++n) {
      std::int64_t sum = 0;
      for (std::size_t k = 0; k < inputs; ++k) {
        sum += std::int64_t{made.a.codes[row * inputs + k]} * made.w[n * inputs + k];
      }
      sums.push_back(static_cast<float>(sum));
    }
  }
  return sums;
}

void expect_exact(const Case& made, const std::string& what) {
  const std::vector<float> expected = exact_sums(made);
  for_every_kernel([&](int8::Kernel kernel, const std::string& target) {
    EXPECT_EQ(product(made, kernel), expected) << target << ": " << what << ", " << made.rows() << " x "
                                               << made.outputs() << " x " << made.a.in_features;
  });
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(Int8Product, all_remainders_of_rows_and_outputs_are_exact) {
  for (std::size_t rows = 1; rows <= 26; ++rows) expect_exact(random_case(rows, 33, 37, 1), "rows");
  for (std::size_t outputs = 1; outputs <= 66; ++outputs)
    expect_exact(random_case(3, outputs, 21, 2), "outputs");
}

TEST(Int8Product, all_remainders_of_inputs_are_exact) {
  for (std::size_t inputs = 1; inputs <= 70; ++inputs) expect_exact(random_case(5, 17, inputs, 3), "inputs");
  for (const std::size_t inputs : {1023u, 1025u, 2044u, 2047u, 2048u, 2049u, 2053u, 4097u, 5001u}) {
    expect_exact(random_case(13, 35, inputs, 4), "inputs");
  }
}

TEST(Int8Product, blocks_of_rows_and_outputs_meet) {
  expect_exact(random_case(529, 5, 9, 5), "two blocks of rows");
  expect_exact(random_case(3, 65, 2060, 6), "two blocks of outputs");
  expect_exact(random_case(2, 199, 5, 6), "four blocks of outputs");
}

TEST(Int8Product, extreme_codes_do_not_saturate) {
  const Draw top = [](std::size_t) { return 127; }, bottom = [](std::size_t) { return -127; };
  const Draw lowest = [](std::size_t) { return -128; };
  const Draw turns = [](std::size_t i) { return i % 2 == 0 ? 127 : -127; };
  for (const std::size_t inputs : {1u, 2u, 4u, 7u, 64u, 1000u, 5000u}) {
    for (const Draw& a : {top, bottom, turns}) {
      for (const Draw& w : {top, bottom, turns, lowest}) {
        expect_exact(make_case(13, 33, inputs, a, w), "extreme codes");
      }
    }
  }
}

TEST(Int8Product, the_largest_sums_fit) {
  const Draw top = [](std::size_t) { return 127; }, lowest = [](std::size_t) { return -128; };
  expect_exact(make_case(1, 2, kInt8InFeatures, top, top), "largest");
  expect_exact(make_case(1, 2, kInt8InFeatures, top, lowest), "smallest");
  EXPECT_THROW(Int8Weights(1, kInt8InFeatures + 1), Error);
  EXPECT_THROW(Int8Weights(1, 0), Error);
  EXPECT_THROW(Int8Weights(0, 1), Error);
}

TEST(Int8Product, every_target_gives_the_bits_of_the_plain_code) {
  for (const auto output : {Int8Output::replace, Int8Output::add}) {
    for (const std::size_t outputs : {1u, 15u, 31u, 64u, 301u}) {
      Case made = random_case(14, outputs, 1100, 8);
      give_scales(made);
      std::vector<float> expected(made.rows() * outputs, 0.3F);
      int8::reference_matmul(made.a, made.w, made.w_scales, made.bias, expected, output);
      for_every_kernel([&](int8::Kernel kernel, const std::string& target) {
        EXPECT_TRUE(same_bits(product(made, kernel, output, 0.3F), expected)) << target << ", " << outputs;
      });
    }
  }
}

TEST(Int8Product, add_keeps_what_was_there_and_replace_does_not) {
  const Case made = make_case(
      1, 1, 2, [](std::size_t i) { return i == 0 ? 2 : 3; }, [](std::size_t i) { return i == 0 ? 5 : -1; });
  EXPECT_EQ(product(made, int8::Kernel::best, Int8Output::replace, 100), std::vector<float>{7});
  EXPECT_EQ(product(made, int8::Kernel::best, Int8Output::add, 100), std::vector<float>{107});
}

TEST(Int8Product, weights_may_come_in_parts) {
  const Case made = random_case(2, 37, 11, 9);
  const Int8Weights whole(made.w, made.w_scales, 11);
  Int8Weights parts(37, 11);
  const std::span<const std::int8_t> codes(made.w);
  const std::span<const float> scales(made.w_scales);
  parts.set_outputs(20, codes.subspan(20 * 11), scales.subspan(20));
  parts.set_outputs(0, codes.first(20 * 11), scales.first(20));
  std::vector<float> expected(2 * 37), y(2 * 37);

  int8_matmul(made.a, whole, {}, expected);
  int8_matmul(made.a, parts, {}, y);

  EXPECT_EQ(y, expected);
  EXPECT_EQ(expected, exact_sums(made));
  EXPECT_THROW(parts.set_outputs(30, codes.first(8 * 11), scales.first(8)), InternalError);
}

TEST(Int8Product, sizes_that_do_not_fit_are_refused) {
  const Case made = random_case(2, 3, 5, 10);
  const Int8Weights weights(made.w, made.w_scales, 5), longer(3, 6);
  std::vector<float> y(6), bias(2);
  EXPECT_THROW(int8_matmul(made.a, longer, {}, y), InternalError);
  EXPECT_THROW(int8_matmul(made.a, weights, bias, y), InternalError);
  EXPECT_THROW(int8_matmul(made.a, weights, {}, std::span(y).first(5)), InternalError);
}

TEST(Int8Product, nothing_comes_of_no_rows) {
  const Int8Weights weights(3, 5);
  Int8Rows none;
  quantize_rows_int8({}, 5, none);
  EXPECT_NO_THROW(int8_matmul(none, weights, {}, {}));
}

void expect_rows(const std::vector<float>& x, std::size_t in_features, const std::string& what) {
  const Int8Rows expected = int8::reference_rows(x, in_features);
  test::for_every_target([&](const std::string& target) {
    Int8Rows rows;
    quantize_rows_int8(x, in_features, rows);
    EXPECT_EQ(rows.codes, expected.codes) << target << ": " << what;
    EXPECT_TRUE(same_bits(rows.scales, expected.scales)) << target << ": " << what;
  });
}

TEST(QuantizeRowsInt8, every_target_gives_the_codes_of_the_plain_code) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0, 1);
  for (const std::size_t length : {1u, 2u, 3u, 15u, 16u, 17u, 63u, 64u, 65u, 130u, 1000u}) {
    std::vector<float> x(length * 24);
    for (std::size_t i = 0; i < x.size(); ++i) {  // from denormals to the largest
      x[i] = normal(random) * std::ldexp(1.0F, static_cast<int>(i / length) * 11 - 128);
    }
    expect_rows(x, length, std::to_string(length) + " values a row");
  }
}

TEST(QuantizeRowsInt8, the_largest_magnitude_is_found_at_every_place) {
  for (std::size_t place = 0; place < 131; ++place) {
    std::vector<float> x(131, 0.01F);
    x[place] = place % 2 == 0 ? 12.7F : -12.7F;
    test::for_every_target([&](const std::string& target) {
      Int8Rows rows;
      quantize_rows_int8(x, x.size(), rows);
      EXPECT_EQ(rows.scales, std::vector<float>{12.7F / 127}) << target;
      EXPECT_EQ(rows.codes[place], place % 2 == 0 ? 127 : -127) << target;
    });
  }
}

TEST(QuantizeRowsInt8, the_example_of_the_header_holds) {
  Int8Rows rows;
  quantize_rows_int8(std::vector<float>{1, -2, 0.5F}, 3, rows);
  EXPECT_EQ(rows.codes, (Codes{64, -127, 32}));
  EXPECT_EQ(rows.scales, std::vector<float>{2.0F / 127});
}

TEST(QuantizeRowsInt8, ties_go_to_even) {
  const std::vector<float> x{127,   0.5F,   1.5F,   2.5F,  -0.5F,       -1.5F,
                             -2.5F, 126.5F, 125.5F, -0.0F, 0.49999997F, 3.5F};
  const Codes expected{127, 0, 2, 2, 0, -2, -2, 126, 126, 0, 0, 4};
  for (std::size_t repeat : {1u, 5u}) {  // shorter and longer than a vector
    std::vector<float> row;
    Codes codes;
    for (std::size_t i = 0; i < repeat; ++i) {
      row.insert(row.end(), x.begin(), x.end());
      codes.insert(codes.end(), expected.begin(), expected.end());
    }
    test::for_every_target([&](const std::string& target) {
      Int8Rows rows;
      quantize_rows_int8(row, row.size(), rows);
      EXPECT_EQ(rows.codes, codes) << target;
      EXPECT_EQ(rows.scales, std::vector<float>{1.0F}) << target;
    });
  }
}

TEST(QuantizeRowsInt8, rows_of_nothing_are_zero) {
  const float least = std::numeric_limits<float>::denorm_min();
  std::vector<float> x(3 * 40, 0.0F);
  x[1] = -0.0F;
  x[40] = 63 * least;  // / 127 rounds to zero
  x[80] = 64 * least;  // ... and this to the least scale, which puts it beyond the largest code
  x[81] = -200 * least;
  Int8Rows rows;
  rows.codes.assign(1000, 5);  // what was there before does not show through
  quantize_rows_int8(x, 40, rows);
  EXPECT_EQ(rows.scales, (std::vector<float>{0, 0, 2 * least}));
  Codes expected(120, 0);
  expected[80] = 32, expected[81] = -100;
  EXPECT_EQ(rows.codes, expected);
  expect_rows(x, 40, "rows of nothing");
}

TEST(QuantizeRowsInt8, a_scale_known_beforehand_clamps) {
  std::vector<float> x{0.25F, 0.75F, 63.5F, 63.75F, -1e30F, 1e30F, -0.25F, 0.5F};
  const Codes once{0, 2, 127, 127, -127, 127, 0, 1};
  Codes expected;
  for (int i = 0; i < 6; ++i) expected.insert(expected.end(), once.begin(), once.end());
  for (int i = 0; i < 5; ++i) x.insert(x.end(), x.begin(), x.begin() + 8);
  test::for_every_target([&](const std::string& target) {
    Int8Rows rows;
    quantize_rows_int8(x, 24, 0.5F, rows);
    EXPECT_EQ(rows.codes, expected) << target;
    EXPECT_EQ(rows.scales, (std::vector<float>{0.5F, 0.5F})) << target;
  });
  Int8Rows rows;
  for (const float scale : {0.0F, -1.0F, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    EXPECT_THROW(quantize_rows_int8(x, 24, scale, rows), Error) << scale;
  }
}

TEST(QuantizeRowsInt8, what_is_not_finite_is_named_wherever_it_stands) {
  const float infinity = std::numeric_limits<float>::infinity();
  test::for_every_target([&](const std::string& target) {
    for (const float value : {std::nanf(""), -std::nanf(""), infinity, -infinity}) {
      for (std::size_t column = 0; column < 131; column += 13) {
        std::vector<float> x(2 * 131, 3.0F);
        x[131 + column] = value;
        for (const bool fixed : {false, true}) {
          Int8Rows rows;
          try {
            fixed ? quantize_rows_int8(x, 131, 1.0F, rows) : quantize_rows_int8(x, 131, rows);
            ADD_FAILURE() << target << " took " << value << " at " << column;
          } catch (const NotFiniteError& error) {
            EXPECT_EQ(error.row(), 1u) << target;
            EXPECT_EQ(error.column(), column) << target;
          }
        }
      }
    }
  });
}

TEST(Int8Product, only_one_family_of_instruction_sets_is_quick) {
  test::for_every_target([](const std::string& target) {
    EXPECT_TRUE(!int8_products_are_quick() || target.starts_with("AVX3")) << target;
  });
}

}  // namespace
}  // namespace llmq
