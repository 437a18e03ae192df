#include "quant/int8/quad_kernel.hpp"

#if defined(__x86_64__)
#include <cstring>
#include <immintrin.h>
#include <utility>
#endif

namespace llmq::int8 {

#if defined(__x86_64__)
namespace {

/// Two panels are two vectors; with 12 rows 24 sums, two vectors of weights and one of activations stand in
/// the 32 registers, and 14 loads serve 24 multiply-adds.
template <std::size_t Rows>
__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))) void add_rows(const std::uint8_t* a,
                                                                              const std::int8_t* w,
                                                                              std::size_t panel_bytes,
                                                                              std::size_t quads,
                                                                              std::int32_t* sums) noexcept {
  __m512i sum[Rows][2];
#pragma GCC unroll 12
  for (std::size_t row = 0; row < Rows; ++row) {
    sum[row][0] = _mm512_loadu_si512(sums + row * kQuadOutputs);
    sum[row][1] = _mm512_loadu_si512(sums + row * kQuadOutputs + 16);
  }
  for (std::size_t quad = 0; quad < quads; ++quad, a += 4 * Rows, w += 64) {
    const __m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + panel_bytes);
#pragma GCC unroll 12
    for (std::size_t row = 0; row < Rows; ++row) {
      int codes = 0;
      std::memcpy(&codes, a + 4 * row, sizeof codes);
      const __m512i row_codes = _mm512_set1_epi32(codes);
      sum[row][0] = _mm512_dpbusd_epi32(sum[row][0], row_codes, w0);
      sum[row][1] = _mm512_dpbusd_epi32(sum[row][1], row_codes, w1);
    }
  }
#pragma GCC unroll 12
  for (std::size_t row = 0; row < Rows; ++row) {
    _mm512_storeu_si512(sums + row * kQuadOutputs, sum[row][0]);
    _mm512_storeu_si512(sums + row * kQuadOutputs + 16, sum[row][1]);
  }
}

template <std::size_t... Below>
void add(std::index_sequence<Below...>, std::size_t rows, const std::uint8_t* a, const std::int8_t* w,
         std::size_t panel_bytes, std::size_t quads, std::int32_t* sums) noexcept {
  ((rows == Below + 1 ? add_rows<Below + 1>(a, w, panel_bytes, quads, sums) : void()), ...);
}

}  // namespace

bool has_quad_kernel() noexcept { return __builtin_cpu_supports("avx512vnni") != 0; }

void add_quads(std::size_t rows, const std::uint8_t* a, const std::int8_t* w, std::size_t panel_bytes,
               std::size_t quads, std::int32_t* sums) noexcept {
  add(std::make_index_sequence<kQuadRows>(), rows, a, w, panel_bytes, quads, sums);
}

#else

bool has_quad_kernel() noexcept { return false; }
void add_quads(std::size_t, const std::uint8_t*, const std::int8_t*, std::size_t, std::size_t,
               std::int32_t*) noexcept {}

#endif

}  // namespace llmq::int8
