// IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S. SPDX-License-Identifier: Apache-2.0
#include "quant/protected/grid.hpp"

#include <cstring>

#include "quant/grid_packing.hpp"
#include "quant/grid_search.hpp"
#include "quant/protected/families.hpp"
#include "quant/reference/plain_magnitudes.hpp"
#include "quant/reference/plain_ternary.hpp"

namespace llmq::held {

std::span<const codebooks::HalfPair> iq1_halves() {
  static const std::vector<codebooks::HalfPair> halves = [] {
    std::vector<codebooks::HalfPair> all;
    for (const codebooks::Codeword& word : codebooks::iq1()) {
      int first = 0, second = 0;
      for (std::size_t e = 0; e < 4; ++e) {
        first = 3 * first + word[e] + 1;
        second = 3 * second + word[e + 4] + 1;
      }
      all.push_back({static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(second)});
    }
    return all;
  }();
  return halves;
}

namespace {

template <class Shape>
struct PlainCells {
  using Type = reference::MagnitudeCells<Shape>;
};
template <class Shape>
requires kIsTernaryGrid<Shape>
struct PlainCells<Shape> {
  using Type = reference::TernaryCells<Shape>;
};

/// What the encoder without constraints does with these weights.
template <class Shape>
Start free_start(const HeldBlock& block, const std::array<float, blocks::kSuper>& weights) {
  typename PlainCells<Shape>::Type cells(block.x.data(), weights.data());
  GridChoice choice;
  choose_grid<Shape>(cells, choice);
  Start start;
  start.d = choice.d;
  for (std::size_t g = 0; g < kGroupsOf<Shape>; ++g)
    start.scale[g] = f16_to_f32(choice.d) * multiple_of<Shape>(static_cast<float>(choice.scales[g]));
  return start;
}

/// One held weight can always be the highest level of the highest scale.
template <class Shape>
Start outermost(const HeldBlock& block, Start start) noexcept {
  float top = 1 + kIq1Shift;
  if constexpr (!kIsTernaryGrid<Shape>) top = static_cast<float>(Shape::kLevels.back());
  start.d = scale_to_half(std::fabs(block.largest_held()) /
                          (Shape::kFactor * static_cast<float>(2 * Shape::kScaleTop + 1) * top));
  return start;
}

template <class Shape>
bool encode(const HeldBlock& block, std::span<std::byte> out) {
  GridHolder<Shape> holder(block);
  Start start;
  for (const float pull : kPulls) {
    start = free_start<Shape>(block, block.pulled(pull));
    holder.search(start);
  }
  holder.search(outermost<Shape>(block, start));
  GridChoice choice;
  if (!holder.choose(choice)) return false;
  typename Shape::Block packed{};
  packing::pack(choice, packed);
  std::memcpy(out.data(), &packed, sizeof packed);
  return true;
}

template <class Shape>
constexpr HeldEncoder kEncoder{Shape::kObjective, Shape::kGroup, &encode<Shape>};

}  // namespace

const HeldEncoder* find_grid(GgmlType type) noexcept {
  switch (type) {
    case GgmlType::IQ1_S:
      return &kEncoder<ShapeIQ1_S>;
    case GgmlType::IQ1_M:
      return &kEncoder<ShapeIQ1_M>;
    case GgmlType::IQ2_XXS:
      return &kEncoder<ShapeIQ2_XXS>;
    case GgmlType::IQ2_XS:
      return &kEncoder<ShapeIQ2_XS>;
    case GgmlType::IQ2_S:
      return &kEncoder<ShapeIQ2_S>;
    case GgmlType::IQ3_XXS:
      return &kEncoder<ShapeIQ3_XXS>;
    case GgmlType::IQ3_S:
      return &kEncoder<ShapeIQ3_S>;
    default:
      return nullptr;
  }
}

}  // namespace llmq::held
