// One layer over the new tokens of several sequences, whose earlier keys and values are kept. A row's bits
// depend on its sequence and the weights alone (row_products.hpp), whatever is extended beside it and by how
// many threads. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "llmq/model/kv_cache.hpp"

#include "model/torch/layer.hpp"
#include "model/torch/layer_parts.hpp"
#include "model/torch/matmul.hpp"
#include "model/torch/rope.hpp"
#include "model/torch/scratch.hpp"

namespace llmq::torch_pass {

/// Rows that go through a layer together; more of them go in turns. Enough that arithmetic binds and not the
/// reading of weights; their buffers stay small beside a layer.
inline constexpr std::size_t kExtendRows = 128;

/// Advances hidden [all new tokens, hidden], sequence after sequence; `scratch` of the pool for each thread.
/// `shape.attention.tokens` is not used.
void extend_rows(const LayerShape& shape, const Layer& layer, const Rope& rope,
                 std::span<const SequenceRows> sequences, float* hidden, std::size_t threads,
                 ScratchPool& scratch);

/// y [rows, out_features] = (or +=) x W^T + b, output features shared by threads.
void extend_product(const Linear& linear, const float* x, std::size_t rows, float* y, Product product,
                    std::size_t threads);

/// Values of all buffers of a call, for tokens up to position `context`.
std::uint64_t extend_scratch_values(const LayerShape& shape, std::size_t context,
                                    std::size_t threads) noexcept;

}  // namespace llmq::torch_pass
