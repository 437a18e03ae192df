// Protected weights decode within half precision's error, other blocks keep their bytes, and neighbours do
// not pay much.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/quant/codec.hpp"
#include "llmq/quant/protected.hpp"

#include "same_bytes.hpp"

namespace llmq {
namespace {

using Columns = std::vector<std::uint64_t>;

/// Every type with a search for held weights.
const std::vector<GgmlType> kTypes = {
    GgmlType::Q4_0,    GgmlType::Q4_1,   GgmlType::Q5_0,    GgmlType::Q5_1,   GgmlType::Q8_0,
    GgmlType::Q2_K,    GgmlType::Q3_K,   GgmlType::Q4_K,    GgmlType::Q5_K,   GgmlType::Q6_K,
    GgmlType::IQ4_NL,  GgmlType::IQ4_XS, GgmlType::IQ2_XXS, GgmlType::IQ2_XS, GgmlType::IQ2_S,
    GgmlType::IQ3_XXS, GgmlType::IQ3_S,  GgmlType::IQ1_S,   GgmlType::IQ1_M,  GgmlType::TQ1_0,
    GgmlType::TQ2_0};

std::vector<std::byte> encoded(GgmlType type, const std::vector<float>& row,
                               const std::vector<float>& importance) {
  std::vector<std::byte> bytes(row_bytes(type, row.size()));
  encode_rows(type, row, row.size(), importance, bytes);
  return bytes;
}

std::vector<float> decoded(GgmlType type, const std::vector<std::byte>& bytes, std::size_t count) {
  std::vector<float> values(count);
  decode_rows(type, bytes, count, values);
  return values;
}

std::vector<float> draw_row(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02F);
  std::vector<float> row(count);
  for (float& value : row) value = normal(random);
  return row;
}

double error_without(const Columns& columns, const std::vector<float>& row, const std::vector<float>& values,
                     const std::vector<float>& importance) {
  double error = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (std::binary_search(columns.begin(), columns.end(), i)) continue;
    const double difference = double{values[i]} - double{row[i]};
    error += (importance.empty() ? 1.0 : double{importance[i]}) * difference * difference;
  }
  return error;
}

bool holds_all(const Columns& columns, const std::vector<float>& row, const std::vector<float>& values) {
  return std::all_of(columns.begin(), columns.end(),
                     [&](std::uint64_t column) { return is_held(row[column], values[column]); });
}

TEST(Protected, relative_error_of_zeros_and_others) {
  EXPECT_EQ(relative_error(0.0F, 0.0F), 0);
  EXPECT_EQ(relative_error(0.0F, -0.0F), 0);
  EXPECT_EQ(relative_error(0.0F, 1e-30F), std::numeric_limits<double>::infinity());
  EXPECT_EQ(relative_error(-2.0F, -1.0F), 0.5);
  EXPECT_TRUE(is_held(1.0F, 1.0F + 0x1p-11F));
  EXPECT_FALSE(is_held(1.0F, 1.0F + 0x1p-10F));
}

TEST(Protected, one_weight_a_block_succeeds_for_every_type_and_size) {
  for (const GgmlType type : kTypes) {
    const std::size_t elems = block_type(type).block_elems;
    for (const float size : {0.003F, 0.02F, -0.1F, 0.6F, -20.0F}) {
      std::vector<float> row = draw_row(16 * elems, 3);
      const std::vector<float> importance = test::draw_importance(row.size());
      Columns columns;
      for (std::size_t block = 0; block < 16; ++block) {
        const std::size_t column = block * elems + (block * 37 + 5) % elems;
        columns.push_back(column);
        row[column] = size * (1 + 0.03F * static_cast<float>(block));
      }
      for (const auto& of_columns : {importance, std::vector<float>(row.size(), 1.0F)}) {
        std::vector<std::byte> bytes = encoded(type, row, of_columns);
        EXPECT_TRUE(protect_row(type, row, of_columns, columns, bytes)) << type_name(type) << " " << size;
        EXPECT_TRUE(holds_all(columns, row, decoded(type, bytes, row.size())))
            << type_name(type) << " " << size;
      }
    }
  }
}

TEST(Protected, blocks_without_protected_weights_keep_their_bytes) {
  for (const GgmlType type : kTypes) {
    const std::size_t elems = block_type(type).block_elems, size = block_type(type).block_bytes;
    const std::vector<float> row = draw_row(4 * elems, 4), importance = test::draw_importance(row.size());
    const std::vector<std::byte> before = encoded(type, row, importance);
    std::vector<std::byte> after = before;
    ASSERT_TRUE(protect_row(type, row, importance, Columns{2 * elems + 7}, after));
    EXPECT_TRUE(
        std::equal(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(2 * size), after.begin()));
    EXPECT_TRUE(std::equal(before.begin() + static_cast<std::ptrdiff_t>(3 * size), before.end(),
                           after.begin() + static_cast<std::ptrdiff_t>(3 * size)));
  }
}

#ifdef LLMQ_SANITIZED
constexpr unsigned kBlocks = 8;  // of each type; instrumented search takes long
#else
constexpr unsigned kBlocks = 24;
#endif

/// How often blocks with `count` protected weights succeed, and the error of the others over that without.
struct Outcome {
  int held = 0, tried = 0;
  double before = 0, after = 0;
};
Outcome protect_blocks(GgmlType type, std::size_t count) {
  std::mt19937 random(11);
  Outcome outcome;
  const std::size_t elems = block_type(type).block_elems;
  for (unsigned block = 0; block < kBlocks; ++block, ++outcome.tried) {
    const std::vector<float> row = draw_row(elems, 100 + block), importance = test::draw_importance(elems);
    std::set<std::uint64_t> chosen;
    while (chosen.size() < count) {
      const std::uint64_t column = random() % elems;
      if (std::fabs(row[column]) > 0.02F) chosen.insert(column);
    }
    const Columns columns(chosen.begin(), chosen.end());
    std::vector<std::byte> bytes = encoded(type, row, importance);
    const double before = error_without(columns, row, decoded(type, bytes, elems), importance);
    const bool can = can_protect_row(type, row, importance, columns);
    EXPECT_EQ(protect_row(type, row, importance, columns, bytes), can) << type_name(type);
    if (!can) continue;
    ++outcome.held;
    EXPECT_TRUE(holds_all(columns, row, decoded(type, bytes, elems))) << type_name(type);
    outcome.before += before;
    outcome.after += error_without(columns, row, decoded(type, bytes, elems), importance);
  }
  return outcome;
}

TEST(Protected, one_weight_costs_its_neighbours_little) {
  for (const GgmlType type : kTypes) {
    const Outcome outcome = protect_blocks(type, 1);
    EXPECT_EQ(outcome.held, outcome.tried) << type_name(type);
    const bool one_scale =
        block_type(type).block_elems == 32 || type == GgmlType::TQ1_0 || type == GgmlType::TQ2_0;
    EXPECT_LT(outcome.after / outcome.before, one_scale ? 2.2 : 1.15) << type_name(type);
  }
}

TEST(Protected, types_with_enough_freedom_hold_several) {
  const auto expect = [](GgmlType type, std::size_t count, double share, double loss) {
    const Outcome outcome = protect_blocks(type, count);
    EXPECT_GE(outcome.held, share * outcome.tried) << type_name(type) << " " << count;
    if (outcome.held == 0) return;
    EXPECT_LT(outcome.after / outcome.before, loss) << type_name(type) << " " << count;
  };
  expect(GgmlType::Q2_K, 2, 0.8, 2);
  expect(GgmlType::Q3_K, 2, 0.3, 2.5);
  expect(GgmlType::Q4_K, 2, 0.9, 2);
  expect(GgmlType::Q4_K, 3, 0.8, 3);
  expect(GgmlType::Q5_K, 2, 0.9, 2);
  expect(GgmlType::Q5_K, 3, 0.8, 3);
  expect(GgmlType::Q6_K, 2, 0.9, 2);
  expect(GgmlType::Q6_K, 3, 0.8, 2);
  for (const GgmlType type : kTypes) {
    for (const std::size_t count : {2u, 3u}) expect(type, count, 0, 16);  // those that succeed are held
  }
}

TEST(Protected, plain_types_hold_what_they_hold) {
  const std::vector<float> row = {1.0F, 0.1F, 1e-6F, 3e-41F};
  const auto try_columns = [&](GgmlType type, const Columns& columns) {
    std::vector<std::byte> bytes = encoded(type, row, {});
    return protect_row(type, row, {}, columns, bytes);
  };
  EXPECT_TRUE(try_columns(GgmlType::F32, {0, 1, 2, 3}));
  EXPECT_TRUE(try_columns(GgmlType::F16, {0, 1}));
  EXPECT_FALSE(try_columns(GgmlType::F16, {2}));  // a denormal half
  EXPECT_TRUE(try_columns(GgmlType::BF16, {0}));
  EXPECT_FALSE(try_columns(GgmlType::BF16, {0, 1}));
}

TEST(Protected, odd_rows_neither_fail_nor_lie) {
  for (const GgmlType type : kTypes) {
    const std::size_t elems = block_type(type).block_elems;
    std::vector<std::vector<float>> rows(7, std::vector<float>(elems, 0.0F));
    rows[1] = draw_row(elems, 9);
    for (float& value : rows[1]) value *= 1e-39F;  // denormals
    rows[2] = draw_row(elems, 10);
    rows[2][3] = 0;
    rows[3].assign(elems, 3e38F);
    rows[4].assign(elems, 0.25F);
    rows[5] = draw_row(elems, 11);
    rows[5][3] = 6e4F;
    rows[6] = draw_row(elems, 12);
    rows[6][3] = std::numeric_limits<float>::quiet_NaN();
    for (const auto& row : rows) {
      for (const auto& importance : {std::vector<float>(elems, 1.0F), std::vector<float>(elems, 0.0F),
                                     std::vector<float>(elems, 1e30F), test::draw_importance(elems)}) {
        for (const Columns& columns : {Columns{3}, Columns{0, 1, 2, 3, 4, 5, 6, 7}}) {
          std::vector<std::byte> bytes = encoded(type, row, importance);
          if (!protect_row(type, row, importance, columns, bytes)) continue;
          EXPECT_TRUE(holds_all(columns, row, decoded(type, bytes, elems))) << type_name(type);
        }
      }
    }
    std::vector<std::byte> zeros = encoded(type, rows[0], {});
    EXPECT_TRUE(protect_row(type, rows[0], {}, Columns{0, elems - 1}, zeros)) << type_name(type);
    const std::vector<std::byte> before = zeros;
    EXPECT_TRUE(protect_row(type, rows[0], {}, Columns{}, zeros));
    EXPECT_EQ(before, zeros);
  }
}

TEST(Protected, every_instruction_set_gives_the_same_bytes) {
  for (const GgmlType type : kTypes) {
    const std::vector<float> row = draw_row(1024, 21), importance = test::draw_importance(row.size());
    std::vector<std::byte> first;
    test::for_every_target([&](const char* target) {
      std::vector<std::byte> bytes = encoded(type, row, importance);
      (void)protect_row(type, row, importance, Columns{7, 300, 301, 900}, bytes);
      if (first.empty()) first = bytes;
      EXPECT_EQ(first, bytes) << type_name(type) << " on " << target;
    });
  }
}

}  // namespace
}  // namespace llmq
