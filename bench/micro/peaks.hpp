// How fast this CPU multiplies and adds when nothing has to be loaded: one instruction after the other, each
// on a register of its own. SPDX-License-Identifier: Apache-2.0
#pragma once

namespace llmq::bench {

/// Each runs its loop with the widest vectors and returns how many multiply-adds that was; 0 where there is
/// no such instruction, or on another architecture.
double f32_peak();   ///< fused multiply-add
double pair_peak();  ///< 16-bit pairs to 32-bit lanes (vpmaddwd), and their addition
double quad_peak();  ///< AVX-512 VNNI, four bytes to a 32-bit lane (vpdpbusd)

}  // namespace llmq::bench
