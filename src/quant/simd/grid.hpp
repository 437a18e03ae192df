// Vector forms of the encoders of the grid types. One source for all instruction sets; every one gives the
// bytes of src/quant/reference. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/quant/codec.hpp"

namespace llmq::simd {

/// The vector form of a type's encoder; null where there is none.
EncodeRow grid_encoder(GgmlType type) noexcept;

}  // namespace llmq::simd
