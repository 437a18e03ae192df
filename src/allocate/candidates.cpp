#include "llmq/allocate/candidates.hpp"

#include <algorithm>

namespace llmq {
namespace {

using Type = GgmlType;

// Q4_0, Q4_1, Q5_0 and Q5_1 have a K type or IQ4_XS beside them that does better at its size; they are for
// rows that only blocks of 32 divide.
constexpr Type kOf256[] = {Type::IQ1_S, Type::IQ1_M,   Type::IQ2_XXS, Type::IQ2_XS, Type::IQ2_S,
                           Type::Q2_K,  Type::IQ3_XXS, Type::Q3_K,    Type::IQ3_S,  Type::IQ4_XS,
                           Type::Q4_K,  Type::Q5_K,    Type::Q6_K,    Type::Q8_0};
constexpr Type kOf32[] = {Type::IQ4_NL, Type::Q4_0, Type::Q4_1, Type::Q5_0, Type::Q5_1, Type::Q8_0};

}  // namespace

std::vector<GgmlType> candidate_types(std::uint64_t row_elems, GgmlType stored) {
  std::vector<GgmlType> types;
  if (row_elems % 256 == 0) {
    types.assign(std::begin(kOf256), std::end(kOf256));
  } else if (row_elems % 32 == 0) {
    types.assign(std::begin(kOf32), std::end(kOf32));
  }
  types.push_back(stored == Type::BF16 ? Type::BF16 : Type::F16);
  std::sort(types.begin(), types.end());
  return types;
}

}  // namespace llmq
