#include "pipeline/smooth_search.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>

#include "llmq/core/error.hpp"
#include "llmq/core/int128.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"
#include "llmq/quant/int8_product.hpp"

#include "pipeline/analyze_grid.hpp"
#include "pipeline/layer_statistics.hpp"

namespace llmq {
namespace {

constexpr std::size_t kTokens = 128;        // of a sample, evenly spread: enough to tell exponents apart
constexpr std::uint64_t kRowsAtOnce = 256;  // of a weight
constexpr int kFractionBits = 60;
constexpr std::size_t kAlphas = std::size(kTriedAlphas);
/// Sums of a mapping: unfolded, one an exponent, the product's squares.
constexpr std::size_t kSums = kAlphas + 2;

/// Inputs of a layer's products: some tokens of each sample of this rank.
using Inputs = std::array<std::vector<std::vector<float>>, kLayerInputs>;

std::vector<float> spread_tokens(std::span<const float> x, std::size_t width) {
  const std::size_t tokens = x.size() / width, taken = std::min(kTokens, tokens);
  std::vector<float> rows;
  rows.reserve(taken * width);
  for (std::size_t i = 0; i < taken; ++i) {
    const auto row = x.subspan(i * tokens / taken * width, width);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

/// One mapping under one choice of scales, against all samples.
class Trial {
 public:
  /// @param columns  scale of each column of the balance weights
  Trial(const ModelSource& source, const ForwardPass& pass, const SmoothMapping& mapping,
        std::vector<float> columns)
      : source_(source), pass_(pass), mapping_(mapping), columns_(std::move(columns)) {}

  /// Adds each sample's sum of squared errors, and of squares of the f32 product, as whole numbers.
  void run(const std::vector<std::vector<float>>& inputs, Int128& error, Int128* product) {
    std::vector<Int8Rows> rows(inputs.size());
    std::vector<double> errors(inputs.size(), 0), products(inputs.size(), 0);
    for (std::size_t i = 0; i < inputs.size(); ++i) quantize(inputs[i], rows[i]);
    for (const std::string& weight : mapping_.balance) {
      const ModelTensor& tensor = *source_.find(weight);
      for (std::uint64_t row = 0; row < tensor.rows(); row += kRowsAtOnce) {
        stop_if_asked();
        read(tensor, row, std::min(kRowsAtOnce, tensor.rows() - row));
        for (std::size_t i = 0; i < inputs.size(); ++i) add(inputs[i], rows[i], errors[i], products[i]);
      }
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      error = add_fixed(error, to_fixed(errors[i], kFractionBits));
      if (product != nullptr) *product = add_fixed(*product, to_fixed(products[i], kFractionBits));
    }
  }

 private:
  void quantize(const std::vector<float>& input, Int8Rows& rows) const {
    std::vector<float> smooth(input.size());
    const std::size_t width = columns_.size();
    for (std::size_t k = 0; k < input.size(); ++k) smooth[k] = input[k] / columns_[k % width];
    quantize_rows_int8(smooth, width, rows);
  }

  void read(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count) {
    const std::size_t width = columns_.size();
    weights_.resize(count * width);
    source_.read_rows(tensor, row, count, RowOrder::hugging_face, weights_);
    std::vector<float> scaled(weights_.size());
    for (std::size_t k = 0; k < scaled.size(); ++k) scaled[k] = weights_[k] * columns_[k % width];
    Int8Rows encoded;
    quantize_rows_int8(scaled, width, encoded);
    codes_ = std::make_unique<Int8Weights>(encoded.codes, encoded.scales, width);
  }

  void add(const std::vector<float>& input, const Int8Rows& rows, double& error, double& product) {
    const std::size_t width = columns_.size(), outputs = weights_.size() / width;
    plain_.resize(input.size() / width * outputs);
    coded_.resize(plain_.size());
    pass_.multiply_transposed(input, weights_, width, plain_);
    int8_matmul(rows, *codes_, {}, coded_);
    for (std::size_t k = 0; k < plain_.size(); ++k) {
      const double wanted = plain_[k], difference = wanted - static_cast<double>(coded_[k]);
      error += difference * difference;
      product += wanted * wanted;
    }
  }

  const ModelSource& source_;
  const ForwardPass& pass_;
  const SmoothMapping& mapping_;
  std::vector<float> columns_;
  std::vector<float> weights_, plain_, coded_;
  std::unique_ptr<Int8Weights> codes_;
};

/// This rank's samples on their way through the layers.
class AlphaSearch {
 public:
  AlphaSearch(const StageContext& context, const ModelSource& source,
              const std::vector<SmoothMapping>& mappings, const std::vector<ChannelRanges>& ranges)
      : context_(context),
        source_(source),
        mappings_(mappings),
        ranges_(ranges),
        pass_(make_forward_pass(source.spec())) {}

  /// Sums of all mappings, kSums each.
  std::vector<Int128> run(const SampleSet& samples, const std::vector<std::uint64_t>& mine) {
    std::vector<Int128> sums(mappings_.size() * kSums, 0);
    std::vector<std::vector<float>> states(mine.size());
    for (std::size_t i = 0; i < mine.size(); ++i) embed_tokens(source_, samples.samples[mine[i]], states[i]);
    const WeightLoader loader = make_weight_loader(source_);
    for (std::uint32_t layer = 0; layer < source_.spec().n_layers && !mine.empty(); ++layer) {
      const auto weights = pass_->load_layer(layer, loader);
      Inputs inputs;
      for (auto& of_samples : inputs) of_samples.resize(mine.size());
      parallel_for(mine.size(), context_.threads, [&](std::size_t i, std::size_t) {
        stop_if_asked();
        pass_->run_layer(*weights, states[i],
                         [&](MatmulInput which, std::span<const float> x, std::size_t width) {
                           inputs[static_cast<std::size_t>(which)][i] = spread_tokens(x, width);
                         });
      });
      try_layer(layer, inputs, sums);
    }
    return sums;
  }

 private:
  void try_layer(std::uint32_t layer, const Inputs& inputs, std::vector<Int128>& sums) {
    std::vector<std::size_t> of_layer;
    for (std::size_t m = 0; m < mappings_.size(); ++m) {
      if (mappings_[m].layer == layer) of_layer.push_back(m);
    }
    const std::size_t choices = kAlphas + 1;
    parallel_for(of_layer.size() * choices, context_.threads, [&](std::size_t task, std::size_t) {
      const std::size_t m = of_layer[task / choices], choice = task % choices;
      const SmoothMapping& mapping = mappings_[m];
      Trial trial(source_, *pass_, mapping, columns(m, choice));
      trial.run(inputs[static_cast<std::size_t>(mapping.input)], sums[m * kSums + choice],
                choice == 0 ? &sums[m * kSums + kSums - 1] : nullptr);
    });
  }

  /// Scales of the columns: all 1, or those of an exponent.
  std::vector<float> columns(std::size_t m, std::size_t choice) const {
    const SmoothMapping& mapping = mappings_[m];
    const std::size_t width = input_width(source_.spec(), mapping.input);
    std::vector<float> columns(width, 1.0F);
    if (choice == 0) return columns;
    const std::vector<float> scales = smooth_scales(ranges_[m], kTriedAlphas[choice - 1]);
    for (std::size_t c = 0; c < width; ++c)
      columns[c] = scales[channel_of_column(mapping, source_.spec(), c)];
    return columns;
  }

  const StageContext& context_;
  const ModelSource& source_;
  const std::vector<SmoothMapping>& mappings_;
  const std::vector<ChannelRanges>& ranges_;
  std::unique_ptr<ForwardPass> pass_;
};

}  // namespace

std::vector<SmoothTrials> try_alphas(const StageContext& context, const ModelSource& source,
                                     const std::vector<SmoothMapping>& mappings,
                                     const std::vector<ChannelRanges>& ranges, const SampleSet& samples) {
  const std::vector<std::uint64_t> mine =
      samples_of_group(static_cast<std::uint32_t>(context.comm.rank()),
                       static_cast<std::uint32_t>(context.comm.size()), samples.samples.size());
  std::vector<Int128> sums(mappings.size() * kSums, 0);
  context.comm.together("try exponents",
                        [&] { sums = AlphaSearch(context, source, mappings, ranges).run(samples, mine); });
  context.comm.all_reduce(std::span(sums), comm::ReduceOp::sum, "add up errors of exponents");
  std::vector<SmoothTrials> trials(mappings.size());
  for (std::size_t m = 0; m < mappings.size(); ++m) {
    const auto sum = [&](std::size_t index) { return from_fixed(sums[m * kSums + index], kFractionBits); };
    trials[m].unfolded = sum(0);
    for (std::size_t a = 0; a < kAlphas; ++a) trials[m].folded.push_back(sum(a + 1));
    trials[m].product = sum(kSums - 1);
  }
  return trials;
}

}  // namespace llmq
