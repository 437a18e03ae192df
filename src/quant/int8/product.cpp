#include "quant/int8/product.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/int8/product.cpp"
#include <algorithm>
#include <string>
#include <utility>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "quant/int8/pair_kernel-inl.hpp"
#include "quant/int8/quad_kernel.hpp"

#ifndef LLMQ_INT8_BLOCKS
#define LLMQ_INT8_BLOCKS
namespace llmq::int8 {
/// Weights are read once for so many rows: 44 tiles of 12.
inline constexpr std::size_t kBlockRows = 528;
/// Inputs of a block, in quads: 128 KiB of weights and 1 MiB of rows at most, which come from the second- and
/// third-level cache. 256 to 1024 are within 3 % of each other.
inline constexpr std::size_t kBlockQuads = 512;
/// Outputs for which rows are read from the first to the last block of inputs.
inline constexpr std::size_t kBlockOutputs = 64;
}  // namespace llmq::int8
#endif

HWY_BEFORE_NAMESPACE();
namespace llmq::int8::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

struct Pairs : PairKernel {
  static std::int32_t start(std::int32_t) { return 0; }

  static void add_rows(std::size_t rows, const Code* a, const std::int8_t* w, std::size_t panel_bytes,
                       std::size_t quads, std::int32_t* sums) {
    add(std::make_index_sequence<kRows>(), rows, a, w, panel_bytes, quads, sums);
  }

 private:
  template <std::size_t... Below>
  static void add(std::index_sequence<Below...>, std::size_t rows, const Code* a, const std::int8_t* w,
                  std::size_t panel_bytes, std::size_t quads, std::int32_t* sums) {
    ((rows == Below + 1 ? PairKernel::add<Below + 1>(a, w, panel_bytes, quads, sums) : void()), ...);
  }
};

struct Quads {
  using Code = std::uint8_t;
  static constexpr std::size_t kRows = kQuadRows, kOutputs = kQuadOutputs;

  static void pack_quad(const std::int8_t* codes, Code* out) {
    for (std::size_t i = 0; i < 4; ++i) out[i] = static_cast<Code>(codes[i] + 128);
  }
  /// What codes + 128 add too much is taken off before, modulo 2^32 like all that follows.
  static std::int32_t start(std::int32_t sum_of_weights) {
    return static_cast<std::int32_t>(0U - 128U * static_cast<std::uint32_t>(sum_of_weights));
  }
  static void add_rows(std::size_t rows, const Code* a, const std::int8_t* w, std::size_t panel_bytes,
                       std::size_t quads, std::int32_t* sums) {
    add_quads(rows, a, w, panel_bytes, quads, sums);
  }
};

/// What the sums of a row become. Every target does these operations in this order.
class Finish {
 public:
  explicit Finish(const Operands& operands)
      : bias_(operands.bias), scales_(operands.w.scales()), adds_(operands.output == Int8Output::add) {}

  /// y [count] from the sums of the outputs that begin at `n`.
  void row(const std::int32_t* sums, std::size_t n, std::size_t count, float a_scale, float* y) const {
    const hn::ScalableTag<float> full;
    const hn::CappedTag<float, 1> single;
    const std::size_t lanes = hn::Lanes(full);
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) lanes_of(full, sums + i, n + i, a_scale, y + i);
    for (; i < count; ++i) lanes_of(single, sums + i, n + i, a_scale, y + i);
  }

 private:
  template <class D>
  HWY_INLINE void lanes_of(D d, const std::int32_t* sums, std::size_t n, float a_scale, float* y) const {
    const hn::RebindToSigned<D> di;
    const auto scaled = hn::Mul(hn::ConvertTo(d, hn::LoadU(di, sums)), hn::Set(d, a_scale));
    auto value = hn::Mul(scaled, hn::LoadU(d, scales_ + n));
    if (bias_ != nullptr) value = hn::Add(value, hn::LoadU(d, bias_ + n));
    if (adds_) value = hn::Add(hn::LoadU(d, y), value);
    hn::StoreU(value, d, y);
  }

  const float* bias_;
  const float* scales_;
  bool adds_;
};

/// The product of up to kBlockRows rows.
template <class Kernel>
class RowBlock {
 public:
  using Code = typename Kernel::Code;

  explicit RowBlock(const Operands& operands)
      : o_(operands),
        most_rows_(std::min(kBlockRows, operands.a.scales.size())),
        codes_(make_aligned<Code>(most_rows_ * operands.w.quads() * 4)),
        sums_(make_aligned<std::int32_t>(most_rows_ * kBlockOutputs)) {}

  void run(std::size_t first) {
    first_ = first;
    rows_ = std::min(most_rows_, o_.a.scales.size() - first);
    pack();
    for (std::size_t n = 0; n < o_.w.padded_outputs(); n += kBlockOutputs) outputs(n);
  }

 private:
  /// Codes of (block of inputs, tile of rows), [quads][rows][4], one behind the other.
  Code* packed(std::size_t quad0, std::size_t quads, std::size_t row) const {
    return codes_.get() + 4 * (quad0 * rows_ + row * quads);
  }

  template <class Body>  // body(first quad, quads)
  void for_blocks(const Body& body) const {
    const std::size_t all = o_.w.quads();
    for (std::size_t quad = 0; quad < all; quad += kBlockQuads) body(quad, std::min(kBlockQuads, all - quad));
  }
  template <class Body>  // body(first row, rows)
  void for_tiles(const Body& body) const {
    for (std::size_t row = 0; row < rows_; row += Kernel::kRows) {
      body(row, std::min(Kernel::kRows, rows_ - row));
    }
  }

  void pack() const {
    for_blocks([&](std::size_t quad0, std::size_t quads) {
      for_tiles([&](std::size_t row, std::size_t rows) {
        Code* to = packed(quad0, quads, row);
        for (std::size_t i = 0; i < rows; ++i) pack_row(first_ + row + i, quad0, quads, to + 4 * i, 4 * rows);
      });
    });
  }
  void pack_row(std::size_t row, std::size_t quad0, std::size_t quads, Code* to, std::size_t stride) const {
    const std::size_t k = quad0 * 4, left = o_.a.in_features - k, whole = std::min(quads, left / 4);
    const std::int8_t* from = o_.a.codes.data() + row * o_.a.in_features + k;
    for (std::size_t quad = 0; quad < whole; ++quad) Kernel::pack_quad(from + 4 * quad, to + quad * stride);
    if (whole == quads) return;
    std::int8_t last[4] = {};
    std::copy(from + 4 * whole, from + left, last);
    Kernel::pack_quad(last, to + whole * stride);
  }

  /// Sums of (tile of outputs, row), [outputs of a tile].
  std::int32_t* sums_at(std::size_t tile, std::size_t row) const {
    return sums_.get() + (tile * rows_ + row) * Kernel::kOutputs;
  }

  void outputs(std::size_t n) const {
    const std::size_t tiles = std::min(kBlockOutputs, o_.w.padded_outputs() - n) / Kernel::kOutputs;
    for (std::size_t tile = 0; tile < tiles; ++tile) start(tile, n + tile * Kernel::kOutputs);
    for_blocks([&](std::size_t quad0, std::size_t quads) {
      const bool last = quad0 + quads == o_.w.quads();
      for (std::size_t tile = 0; tile < tiles; ++tile) {
        const std::size_t n0 = n + tile * Kernel::kOutputs;
        const std::int8_t* w = o_.w.at(n0) + quad0 * Int8Weights::kPanel * 4;
        for_tiles([&](std::size_t row, std::size_t rows) {
          Kernel::add_rows(rows, packed(quad0, quads, row), w, o_.w.panel_bytes(), quads, sums_at(tile, row));
          if (last) finish(row, rows, tile, n0);
        });
      }
    });
  }
  void start(std::size_t tile, std::size_t n) const {
    std::int32_t first[Kernel::kOutputs];
    for (std::size_t i = 0; i < Kernel::kOutputs; ++i) first[i] = Kernel::start(o_.w.sums()[n + i]);
    for (std::size_t row = 0; row < rows_; ++row) std::copy_n(first, Kernel::kOutputs, sums_at(tile, row));
  }
  void finish(std::size_t row, std::size_t rows, std::size_t tile, std::size_t n) const {
    if (n >= o_.w.out_features()) return;
    const std::size_t count = std::min(Kernel::kOutputs, o_.w.out_features() - n);
    for (std::size_t i = row; i < row + rows; ++i) {
      finish_.row(sums_at(tile, i), n, count, o_.a.scales[first_ + i], y_at(i, n));
    }
  }
  float* y_at(std::size_t row, std::size_t n) const {
    return o_.y + (first_ + row) * o_.w.out_features() + n;
  }

  const Operands& o_;
  std::size_t most_rows_, first_ = 0, rows_ = 0;
  AlignedArray<Code> codes_;
  AlignedArray<std::int32_t> sums_;
  Finish finish_{o_};
};

template <class Kernel>
void multiply_with(const Operands& operands) {
  RowBlock<Kernel> block(operands);
  for (std::size_t row = 0; row < operands.a.scales.size(); row += kBlockRows) block.run(row);
}

bool has_quads() {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  return has_quad_kernel();
#else
  return false;
#endif
}

void multiply(const Operands& operands, [[maybe_unused]] int8::Kernel kernel) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  if (kernel == int8::Kernel::best && has_quads()) return multiply_with<Quads>(operands);
#endif
  multiply_with<Pairs>(operands);
}

}  // namespace llmq::int8::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq {
namespace int8 {

HWY_EXPORT(has_quads);
HWY_EXPORT(multiply);

void multiply(const Operands& operands, Kernel kernel) { HWY_DYNAMIC_DISPATCH(multiply)(operands, kernel); }

}  // namespace int8

bool int8_products_are_quick() noexcept { return HWY_DYNAMIC_DISPATCH(int8::has_quads)(); }

void int8_matmul(const Int8Rows& a, const Int8Weights& w, std::span<const float> bias, std::span<float> y,
                 Int8Output output) {
  const std::size_t rows = a.scales.size();
  if (a.in_features != w.in_features() || a.codes.size() != rows * a.in_features ||
      y.size() != rows * w.out_features() || (!bias.empty() && bias.size() != w.out_features())) {
    throw InternalError("sizes of an int8 product do not fit: " + std::to_string(rows) + " rows of " +
                        std::to_string(a.in_features) + " for weights of " +
                        std::to_string(w.out_features()) + " x " + std::to_string(w.in_features()));
  }
  int8::multiply({a, w, bias.empty() ? nullptr : bias.data(), y.data(), output}, int8::Kernel::best);
}

}  // namespace llmq
#endif
