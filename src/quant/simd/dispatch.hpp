// From functions that were compiled for every instruction set to rows of the registry. Each takes the
// arguments of EncodeRow. Used with a list of types: X(type, function). SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hwy/highway.h>

#include "llmq/quant/codec.hpp"

/// Defines dispatch_FUNCTION, which calls FUNCTION for the best instruction set.
#define LLMQ_EXPORT_ENCODER(type, function)                                                      \
  HWY_EXPORT(function);                                                                          \
  static void dispatch_##function(std::span<const float> row, std::span<const float> importance, \
                                  std::span<std::byte> out) noexcept {                           \
    HWY_DYNAMIC_DISPATCH(function)(row, importance, out);                                        \
  }

/// One case of a switch over types.
#define LLMQ_ENCODER_CASE(type, function) \
  case GgmlType::type:                    \
    return &dispatch_##function;
