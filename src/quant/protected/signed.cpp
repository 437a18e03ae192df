// Q4_0, Q5_0, Q8_0, Q3_K, Q6_K, IQ4_NL, IQ4_XS, TQ1_0, TQ2_0. SPDX-License-Identifier: Apache-2.0
#include "quant/protected/signed.hpp"

#include <cstring>

#include "quant/packing.hpp"
#include "quant/protected/families.hpp"
#include "quant/reference/plain_groups.hpp"
#include "quant/ternary_choice.hpp"

namespace llmq::held {
namespace {

/// What SignedHolder needs to know of a type of choice.hpp.
template <class ShapeType>
struct Linear {
  using Shape = ShapeType;
  using Block = typename Shape::Block;
  static constexpr std::size_t kGroup = Shape::kGroup, kGroups = Shape::kGroups;
  static constexpr int kScaleLow = kGroups == 1 ? 1 : Shape::kScaleLow;
  static constexpr int kScaleHigh = kGroups == 1 ? 1 : -Shape::kScaleLow - 1;
  static constexpr Objective kObjective = Shape::kObjective;
  static constexpr bool kIq4 = Shape::kLevels == Levels::iq4;
  static constexpr int kCodes = kIq4 ? 16 : 2 * Shape::kHalf;
  static constexpr float kOuter = kIq4 ? 127.0F : static_cast<float>(Shape::kHalf);

  static int code(float value) noexcept {
    if constexpr (kIq4) return static_cast<int>(reference::nearest_iq4(value));
    return static_cast<int>(round_even(within(value, -kOuter, kOuter - 1))) + Shape::kHalf;
  }
  static float level(int code) noexcept {
    if constexpr (kIq4) return codebooks::kIq4Levels[static_cast<std::size_t>(code)];
    return static_cast<float>(code - Shape::kHalf);
  }
  static void pack(const Choice& choice, Block& block) noexcept { packing::pack(choice, block); }
};

/// Levels -Top..Top of one group.
template <class BlockType, std::size_t Elems, int Top>
struct Rounding {
  using Block = BlockType;
  static constexpr std::size_t kGroup = Elems, kGroups = 1;
  static constexpr int kScaleLow = 1, kScaleHigh = 1;
  static constexpr int kCodes = 2 * Top + 1;
  static constexpr float kOuter = Top;
  static int code(float value) noexcept {
    return static_cast<int>(round_even(within(value, -kOuter, kOuter))) + Top;
  }
  static float level(int code) noexcept { return static_cast<float>(code - Top); }
};
struct OfQ8_0 : Rounding<blocks::Q8_0, blocks::kSmall, 127> {
  static constexpr Objective kObjective{PlainWeight::one, Spread::none, 1};
  static void pack(const Choice& choice, Block& block) noexcept {
    block.d = choice.d;
    for (std::size_t i = 0; i < kGroup; ++i) block.qs[i] = static_cast<std::int8_t>(choice.codes[i] - 127);
  }
};
template <class BlockType>
struct Ternary : Rounding<BlockType, blocks::kSuper, 1> {
  static constexpr Objective kObjective = kTernaryObjective;
  static void pack(const Choice& choice, BlockType& block) noexcept {
    packing::pack(TernaryChoice{choice.d, choice.codes}, block);
  }
};

/// What the encoder without constraints does with these weights.
template <class Type>
Start free_start(const HeldBlock& block, const std::array<float, blocks::kSuper>& weights) noexcept {
  Start start;
  if constexpr (requires { typename Type::Shape; }) {
    using Shape = typename Type::Shape;
    alignas(64) float x[kSlots * Shape::kGroup] = {};
    alignas(64) float w[kSlots * Shape::kGroup];
    std::fill(std::begin(w), std::end(w), 1.0F);
    std::copy_n(block.x.begin(), block.elems, x);
    std::copy_n(weights.begin(), block.elems, w);
    reference::SignedGroups<Shape> groups(x, w);
    Choice choices[kSlots / Shape::kGroups];
    choose_signed<Shape>(groups, choices);
    start.d = choices[0].d;
    for (std::size_t g = 0; g < Shape::kGroups; ++g)
      start.scale[g] = f16_to_f32(start.d) * static_cast<float>(choices[0].scales[g]);
  } else {
    float top = 0;
    for (std::size_t i = 0; i < block.elems; ++i) {
      if (weights[i] > 0) top = std::max(top, std::fabs(block.x[i]));
    }
    start.d = scale_to_half(top / Type::kOuter);
  }
  return start;
}

/// One held weight can always be made the outermost level, of either sign.
template <class Type>
void search_outermost(const HeldBlock& block, Start start, SignedHolder<Type>& holder) {
  constexpr int low = Type::kScaleLow, high = Type::kScaleHigh;
  const float largest = block.largest_held();
  for (const int scale : {low, high}) {
    for (const float level : {-Type::kOuter, Type::level(Type::code(Type::kOuter))}) {
      start.d = scale_to_half(largest / (static_cast<float>(scale) * level));
      holder.search(start);
    }
  }
}

template <class Type>
bool encode(const HeldBlock& block, std::span<std::byte> out) {
  SignedHolder<Type> holder(block);
  Start start;
  for (const float pull : kPulls) {
    start = free_start<Type>(block, block.pulled(pull));
    holder.search(start);
    if (Type::kGroups > 1) continue;
    start.d = static_cast<std::uint16_t>(start.d ^ 0x8000u);
    holder.search(start);
  }
  search_outermost<Type>(block, start, holder);
  if (!holder.found()) return false;
  typename Type::Block packed{};
  Type::pack(holder.choice(), packed);
  std::memcpy(out.data(), &packed, sizeof packed);
  return true;
}

template <class Type>
constexpr HeldEncoder kEncoder{Type::kObjective, Type::kGroup, &encode<Type>};

}  // namespace

const HeldEncoder* find_signed(GgmlType type) noexcept {
  switch (type) {
    case GgmlType::Q4_0:
      return &kEncoder<Linear<ShapeQ4_0>>;
    case GgmlType::Q5_0:
      return &kEncoder<Linear<ShapeQ5_0>>;
    case GgmlType::Q8_0:
      return &kEncoder<OfQ8_0>;
    case GgmlType::Q3_K:
      return &kEncoder<Linear<ShapeQ3_K>>;
    case GgmlType::Q6_K:
      return &kEncoder<Linear<ShapeQ6_K>>;
    case GgmlType::IQ4_NL:
      return &kEncoder<Linear<ShapeIQ4_NL>>;
    case GgmlType::IQ4_XS:
      return &kEncoder<Linear<ShapeIQ4_XS>>;
    case GgmlType::TQ1_0:
      return &kEncoder<Ternary<blocks::TQ1_0>>;
    case GgmlType::TQ2_0:
      return &kEncoder<Ternary<blocks::TQ2_0>>;
    default:
      return nullptr;
  }
}

}  // namespace llmq::held
