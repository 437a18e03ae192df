#include "micro/peaks.hpp"

namespace llmq::bench {

#if defined(__x86_64__)
namespace {

constexpr int kRounds = 200'000, kSums = 12;  // more than an instruction's latency x two in a cycle

// For each register n of twelve. In assembly, because compilers move such sums around.
#define LLMQ_EACH(instructions) ".irp n,4,5,6,7,8,9,10,11,12,13,14,15\n" instructions "\n.endr\n"
/// Runs the instructions on vectors %v (xmm, ymm ...); registers 0 and 1 hold the factors, 2 is free.
#define LLMQ_LOOP(instructions)                                                                        \
  int rounds = kRounds;                                                                                \
  asm volatile("vzeroall\n1:\n" LLMQ_EACH(instructions) "dec %0\njnz 1b\nvzeroupper"                   \
               : "+r"(rounds)                                                                          \
               :                                                                                       \
               : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
                 "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

bool wide() { return __builtin_cpu_supports("avx512bw") != 0; }
double done(int multiply_adds_each) { return double{kRounds} * kSums * multiply_adds_each; }

double f32_wide() {
  LLMQ_LOOP("vfmadd231ps %%zmm0, %%zmm1, %%zmm\\n");
  return done(16);
}
double f32_narrow() {
  LLMQ_LOOP("vfmadd231ps %%ymm0, %%ymm1, %%ymm\\n");
  return done(8);
}
double pair_wide() {
  LLMQ_LOOP("vpmaddwd %%zmm0, %%zmm1, %%zmm2\nvpaddd %%zmm2, %%zmm\\n, %%zmm\\n");
  return done(32);
}
double pair_narrow() {
  LLMQ_LOOP("vpmaddwd %%ymm0, %%ymm1, %%ymm2\nvpaddd %%ymm2, %%ymm\\n, %%ymm\\n");
  return done(16);
}
double quad_wide() {
  LLMQ_LOOP("vpdpbusd %%zmm0, %%zmm1, %%zmm\\n");
  return done(64);
}

}  // namespace

double f32_peak() {
  if (wide()) return f32_wide();
  return __builtin_cpu_supports("fma") != 0 ? f32_narrow() : 0;
}
double pair_peak() {
  if (wide()) return pair_wide();
  return __builtin_cpu_supports("avx2") != 0 ? pair_narrow() : 0;
}
double quad_peak() { return __builtin_cpu_supports("avx512vnni") != 0 ? quad_wide() : 0; }

#else
double f32_peak() { return 0; }
double pair_peak() { return 0; }
double quad_peak() { return 0; }
#endif

}  // namespace llmq::bench
