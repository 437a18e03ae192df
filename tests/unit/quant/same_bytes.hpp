// What tests of the vector encoders share. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <random>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/quant/codec.hpp"

#include "support/every_target.hpp"

namespace llmq::test {

/// A row through a vector encoder gives the reference's bytes on every instruction set, and none behind them.
inline void expect_same_bytes(const Codec& reference, EncodeRow vector_form, const std::vector<float>& row,
                              const std::vector<float>& importance, std::string_view what) {
  const std::size_t bytes = row_bytes(reference.type, row.size());
  std::vector<std::byte> expected(bytes);
  reference.encode(row, importance, expected);
  for_every_target([&](const char* target) {
    std::vector<std::byte> found(bytes + 1, std::byte{0x5A});
    vector_form(row, importance, std::span(found).first(bytes));
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), found.begin()))
        << type_name(reference.type) << " " << what << (importance.empty() ? "" : " with importance")
        << " on " << target;
    EXPECT_EQ(found[bytes], std::byte{0x5A}) << "wrote behind the row";
  });
}

/// Uneven importance with a dead column now and then.
inline std::vector<float> draw_importance(std::size_t count) {
  std::mt19937 random(7);
  std::lognormal_distribution<float> draw(0, 1.5F);
  std::vector<float> importance(count);
  for (std::size_t i = 0; i < count; ++i) importance[i] = i % 37 == 5 ? 0 : draw(random);
  return importance;
}

}  // namespace llmq::test
