// Arrays that begin at a cache line, for kernels. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>

#include "llmq/core/checked.hpp"

namespace llmq {

inline constexpr std::size_t kCacheLine = 64;

struct AlignedDelete {
  void operator()(void* memory) const noexcept { ::operator delete (memory, std::align_val_t{kCacheLine}); }
};
template <class T>
using AlignedArray = std::unique_ptr<T[], AlignedDelete>;

/// `count` values that are not set. @throws std::bad_alloc
template <class T>
AlignedArray<T> make_aligned(std::size_t count) {
  static_assert(std::is_trivially_default_constructible_v<T> && std::is_trivially_destructible_v<T>);
  const std::size_t bytes = checked_mul(count, sizeof(T), "size of an array");
  return AlignedArray<T>(static_cast<T*>(::operator new (bytes, std::align_val_t{kCacheLine})));
}

}  // namespace llmq
