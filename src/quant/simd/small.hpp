// Vector forms of the encoders of TQ1_0, TQ2_0 and MXFP4, whose blocks have one scale. One source for all
// instruction sets; every one gives the bytes of src/quant/reference. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/quant/codec.hpp"

namespace llmq::simd {

/// The vector form of a type's encoder; null where there is none.
EncodeRow small_encoder(GgmlType type) noexcept;

}  // namespace llmq::simd
