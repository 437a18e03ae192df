// Sums of products through pairs: codes widened to 16 bits, two neighbouring products to a 32-bit lane
// (pmaddwd). Exact; the 8-bit pmaddubsw would saturate. Included once per instruction set.
// SPDX-License-Identifier: Apache-2.0
#if defined(LLMQ_PAIR_KERNEL_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef LLMQ_PAIR_KERNEL_INL_HPP
#undef LLMQ_PAIR_KERNEL_INL_HPP
#else
#define LLMQ_PAIR_KERNEL_INL_HPP
#endif

#include <cstdint>
#include <cstring>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace llmq::int8::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// A lane of 32 bits is an output, and its four bytes are the codes of a quad. Shifts make two vectors of
/// pairs of them: bytes 0 and 2, bytes 1 and 3. Activations stand in that order, 16 bits each, and are
/// broadcast a pair at a time.
struct PairKernel {
  using Code = std::int16_t;

  static void pack_quad(const std::int8_t* codes, Code* out) {
    out[0] = codes[0], out[1] = codes[2], out[2] = codes[1], out[3] = codes[3];
  }

#if HWY_TARGET == HWY_SCALAR
  static constexpr std::size_t kRows = 1, kOutputs = 8;

  template <std::size_t Rows>
  static void add(const Code* a, const std::int8_t* w, std::size_t, std::size_t quads, std::int32_t* sums) {
    static_assert(Rows == 1);
    for (std::size_t quad = 0; quad < quads; ++quad, a += 4, w += 64) {
      for (std::size_t n = 0; n < kOutputs; ++n) {
        const std::int8_t* code = w + 4 * n;
        sums[n] += a[0] * code[0] + a[1] * code[2] + a[2] * code[1] + a[3] * code[3];
      }
    }
  }
#else
  using D = hn::CappedTag<std::int32_t, 16>;
  using V = hn::VFromD<D>;
  static constexpr std::size_t kLanes = hn::MaxLanes(D());
  /// Two vectors of outputs. Sums, four vectors of weights and what is on its way fit into the registers:
  /// 32 of them with AVX-512, 16 elsewhere.
  static constexpr std::size_t kRows = kLanes == 16 ? 10 : 4, kOutputs = 2 * kLanes;

  static HWY_INLINE V pair(const Code* codes) {
    std::int32_t both = 0;
    std::memcpy(&both, codes, sizeof both);
    return hn::Set(D(), both);
  }

  /// sums [Rows, kOutputs] += a w. The second vector of 16 outputs begins panel_bytes later, a part of a
  /// panel right behind the first.
  template <std::size_t Rows>
  static HWY_NOINLINE void add(const Code* a, const std::int8_t* w, std::size_t panel_bytes,
                               std::size_t quads, std::int32_t* sums) {
    constexpr D d32;
    const hn::Repartition<std::int16_t, D> d16;
    const hn::Repartition<std::int8_t, D> d8;
    const std::size_t second = kLanes == 16 ? panel_bytes : 4 * kLanes;
    // Instruction sets that pair lanes otherwise put half of a sum into `odd`.
    V sum[Rows][2], odd[Rows][2];
#pragma GCC unroll 16
    for (std::size_t row = 0; row < Rows; ++row) {
#pragma GCC unroll 2
      for (std::size_t v = 0; v < 2; ++v) {
        sum[row][v] = hn::Load(d32, sums + row * kOutputs + v * kLanes);
        odd[row][v] = hn::Zero(d32);
      }
    }
    for (std::size_t quad = 0; quad < quads; ++quad, a += 4 * Rows, w += 64) {
      const auto w0 = hn::BitCast(d16, hn::Load(d8, w)), w1 = hn::BitCast(d16, hn::Load(d8, w + second));
      const auto even0 = hn::ShiftRight<8>(hn::ShiftLeft<8>(w0)), odd0 = hn::ShiftRight<8>(w0);
      const auto even1 = hn::ShiftRight<8>(hn::ShiftLeft<8>(w1)), odd1 = hn::ShiftRight<8>(w1);
#pragma GCC unroll 16
      for (std::size_t row = 0; row < Rows; ++row) {
        const auto a02 = hn::BitCast(d16, pair(a + 4 * row)), a13 = hn::BitCast(d16, pair(a + 4 * row + 2));
        sum[row][0] = hn::ReorderWidenMulAccumulate(d32, a02, even0, sum[row][0], odd[row][0]);
        sum[row][1] = hn::ReorderWidenMulAccumulate(d32, a02, even1, sum[row][1], odd[row][1]);
        sum[row][0] = hn::ReorderWidenMulAccumulate(d32, a13, odd0, sum[row][0], odd[row][0]);
        sum[row][1] = hn::ReorderWidenMulAccumulate(d32, a13, odd1, sum[row][1], odd[row][1]);
      }
    }
#pragma GCC unroll 16
    for (std::size_t row = 0; row < Rows; ++row) {
#pragma GCC unroll 2
      for (std::size_t v = 0; v < 2; ++v) {
        hn::Store(hn::RearrangeToOddPlusEven(sum[row][v], odd[row][v]), d32,
                  sums + row * kOutputs + v * kLanes);
      }
    }
  }
#endif
};

}  // namespace llmq::int8::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
