// Q4_1, Q5_1, Q2_K, Q4_K, Q5_K. SPDX-License-Identifier: Apache-2.0
#include "quant/protected/affine.hpp"

#include <cstring>

#include "quant/packing.hpp"
#include "quant/protected/families.hpp"
#include "quant/reference/plain_groups.hpp"

namespace llmq::held {
namespace {

/// What the encoder without constraints does with these weights.
template <class Shape>
Start free_start(const HeldBlock& block, const std::array<float, blocks::kSuper>& weights) noexcept {
  alignas(64) float x[kSlots * Shape::kGroup] = {};
  alignas(64) float w[kSlots * Shape::kGroup];
  std::fill(std::begin(w), std::end(w), 1.0F);
  std::copy_n(block.x.begin(), block.elems, x);
  std::copy_n(weights.begin(), block.elems, w);
  reference::AffineGroups<Shape> groups(x, w);
  Choice choices[kSlots / Shape::kGroups];
  choose_affine<Shape>(groups, choices);
  Start start;
  start.d = choices[0].d;
  start.dmin = choices[0].dmin;
  for (std::size_t g = 0; g < Shape::kGroups; ++g) {
    start.scale[g] = f16_to_f32(start.d) * static_cast<float>(choices[0].scales[g]);
    start.minimum[g] = f16_to_f32(start.dmin) * static_cast<float>(choices[0].minima[g]);
  }
  return start;
}

/// One held weight can always be the highest level above a minimum of 0, or the lowest level.
template <class Shape>
Start outermost(const HeldBlock& block, Start start) noexcept {
  const float largest = block.largest_held();
  if (Shape::kGroups == 1) {
    start.dmin = scale_to_half(-largest);
  } else if (largest > 0) {
    start.d = scale_to_half(largest / static_cast<float>(Shape::kScaleTop * Shape::kTop));
  } else {
    start.dmin = scale_to_half(-largest / static_cast<float>(Shape::kMinTop));
  }
  return start;
}

template <class Shape>
bool encode(const HeldBlock& block, std::span<std::byte> out) {
  AffineHolder<Shape> holder(block);
  Start start;
  for (const float pull : kPulls) {
    start = free_start<Shape>(block, block.pulled(pull));
    holder.search(start);
  }
  holder.search(outermost<Shape>(block, start));
  holder.search_pairs(start);
  if (!holder.found()) return false;
  Choice choice = holder.choice();
  // The format of blocks of one group adds its offset, the search subtracts a minimum.
  if (Shape::kGroups == 1 && choice.dmin != 0)
    choice.dmin = static_cast<std::uint16_t>(choice.dmin ^ 0x8000u);
  typename Shape::Block packed{};
  packing::pack(choice, packed);
  std::memcpy(out.data(), &packed, sizeof packed);
  return true;
}

template <class Shape>
constexpr HeldEncoder kEncoder{Shape::kObjective, Shape::kGroup, &encode<Shape>};

}  // namespace

const HeldEncoder* find_affine(GgmlType type) noexcept {
  switch (type) {
    case GgmlType::Q4_1:
      return &kEncoder<ShapeQ4_1>;
    case GgmlType::Q5_1:
      return &kEncoder<ShapeQ5_1>;
    case GgmlType::Q2_K:
      return &kEncoder<ShapeQ2_K>;
    case GgmlType::Q4_K:
      return &kEncoder<ShapeQ4_K>;
    case GgmlType::Q5_K:
      return &kEncoder<ShapeQ5_K>;
    default:
      return nullptr;
  }
}

}  // namespace llmq::held
