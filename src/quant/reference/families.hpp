// The codecs by family; codec.cpp puts them into the registry.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "llmq/quant/codec.hpp"

namespace llmq {

extern const std::array<Codec, 3> kPlainCodecs;    ///< F32, F16, BF16
extern const std::array<Codec, 5> kLegacyCodecs;   ///< Q4_0, Q4_1, Q5_0, Q5_1, Q8_0
extern const std::array<Codec, 3> kKCodecs;        ///< Q4_K, Q5_K, Q6_K
extern const std::array<Codec, 2> kSmallKCodecs;   ///< Q2_K, Q3_K
extern const std::array<Codec, 6> kLevelCodecs;    ///< IQ4_NL, IQ4_XS, MXFP4, NVFP4, Q1_0, Q2_0
extern const std::array<Codec, 2> kTernaryCodecs;  ///< TQ1_0, TQ2_0
extern const std::array<Codec, 7> kGridCodecs;     ///< IQ1_*, IQ2_*, IQ3_*

}  // namespace llmq
