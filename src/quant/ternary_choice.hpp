// TQ1_0 and TQ2_0: 256 weights, each -d, 0 or d. A weight is 0 where |x| < d / 2 whatever it counts for, so
// the best d belongs to a threshold: half the weighted mean of the magnitudes above it. Many thresholds are
// tried, then the best one is followed to where it stays. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "quant/blocks.hpp"
#include "quant/objective.hpp"
#include "quant/packing.hpp"

namespace llmq {

inline constexpr Objective kTernaryObjective{PlainWeight::one, Spread::super_block, 2};

/// Thresholds tried, as parts of the largest magnitude; from almost all weights down to the outliers.
inline constexpr std::array<float, 16> kTernaryThresholds = {0.5F,    0.42F,   0.35F,   0.29F, 0.24F, 0.2F,
                                                             0.165F,  0.135F,  0.11F,   0.09F, 0.07F, 0.05F,
                                                             0.0325F, 0.0175F, 0.0075F, 0.003F};
inline constexpr int kTernaryRefits = 5;

struct TernaryChoice {
  std::uint16_t d = 0;                               ///< half precision
  std::array<std::uint8_t, blocks::kSuper> trits{};  ///< 0, 1, 2 for -d, 0, d
};

namespace packing {

/// Five trits in one byte, as a fixed-point fraction of 3^5 rounded up.
inline std::uint8_t five_trits(unsigned t0, unsigned t1, unsigned t2, unsigned t3, unsigned t4) noexcept {
  const unsigned value = (((t0 * 3 + t1) * 3 + t2) * 3 + t3) * 3 + t4;
  return static_cast<std::uint8_t>((value * 256 + 242) / 243);
}

inline void pack(const TernaryChoice& choice, blocks::TQ1_0& block) noexcept {
  const std::uint8_t* t = choice.trits.data();
  block.d = choice.d;
  for (std::size_t m = 0; m < 32; ++m) {
    block.qs[m] = five_trits(t[m], t[m + 32], t[m + 64], t[m + 96], t[m + 128]);
  }
  for (std::size_t m = 0; m < 16; ++m) {
    block.qs[32 + m] = five_trits(t[160 + m], t[176 + m], t[192 + m], t[208 + m], t[224 + m]);
  }
  for (std::size_t m = 0; m < 4; ++m)
    block.qh[m] = five_trits(t[240 + m], t[244 + m], t[248 + m], t[252 + m], 0);
}

inline void pack(const TernaryChoice& choice, blocks::TQ2_0& block) noexcept {
  block.d = choice.d;
  pack_two_bits(choice.trits.data(), block.qs);
}

}  // namespace packing
}  // namespace llmq
