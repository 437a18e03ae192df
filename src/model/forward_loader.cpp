// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/model/forward.hpp"
#include "llmq/quant/int8_product.hpp"
#include "llmq/quant/split_product.hpp"

#include "model/module_loader.hpp"

namespace llmq {
namespace {
/// The module starts threads and multiplies codes by these: they must be in every program that loads the
/// module, used there or not.
[[maybe_unused, gnu::used]] constexpr auto* kThreads = &parallel_for;
[[maybe_unused, gnu::used]] constexpr auto* kProduct = &int8_matmul;
[[maybe_unused, gnu::used]] constexpr auto* kSplitProduct = &split_matmul;
[[maybe_unused, gnu::used]] constexpr auto kWeights = &Int8Weights::set_outputs;
[[maybe_unused, gnu::used]] constexpr void (*kRows)(std::span<const float>, std::size_t,
                                                    Int8Rows&) = &quantize_rows_int8;
}  // namespace

std::unique_ptr<ForwardPass> make_forward_pass(const ModelSpec& spec) {
  // With OMP_PROC_BIND set, the OpenMP library that comes with the module would pin this thread to one core,
  // and every thread it starts would inherit that core.
  ::setenv("OMP_PROC_BIND", "false", 1);
  using Entry = ForwardPass* (*)(const ModelSpec*);
  static const auto entry =
      reinterpret_cast<Entry>(load_module_entry("libllmq_model_torch.so", "llmq_make_forward_pass"));
  return std::unique_ptr<ForwardPass>(entry(&spec));
}

}  // namespace llmq
