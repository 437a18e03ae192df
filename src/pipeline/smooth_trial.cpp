#include "pipeline/smooth_trial.hpp"

#include <algorithm>
#include <span>

#include "llmq/core/int128.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"
#include "llmq/quant/int8_product.hpp"

#include "pipeline/smooth_fit.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kRowsAtOnce = 256;  // of a weight
constexpr int kFractionBits = 60;

/// Some rows of a balance weight.
struct Part {
  const ModelTensor* tensor;
  std::uint64_t row, count;
};

std::vector<Part> parts_of(const ModelSource& source, const SmoothMapping& mapping) {
  std::vector<Part> parts;
  for (const std::string& name : mapping.balance) {
    const ModelTensor& tensor = *source.find(name);
    for (std::uint64_t row = 0; row < tensor.rows(); row += kRowsAtOnce)
      parts.push_back({&tensor, row, std::min(kRowsAtOnce, tensor.rows() - row)});
  }
  return parts;
}

class Trial {
 public:
  Trial(const StageContext& context, const ModelSource& source, const ForwardPass& pass,
        const SmoothMapping& mapping, const std::vector<std::vector<float>>& inputs,
        const std::vector<float>& start, const std::vector<std::vector<float>>& choices)
      : context_(context),
        source_(source),
        pass_(pass),
        mapping_(mapping),
        inputs_(inputs),
        measure_(scales_of_columns(mapping, source.spec(), start)) {
    for (const auto& scales : choices) columns_.push_back(scales_of_columns(mapping, source.spec(), scales));
  }

  /// This rank's sums: one a choice, and the product's.
  std::vector<Int128> run() {
    quantize_inputs();
    const std::vector<Part> parts = parts_of(source_, mapping_);
    std::vector<std::vector<Int128>> sums(context_.threads, std::vector<Int128>(columns_.size() + 1, 0));
    parallel_for(parts.size(), context_.threads,
                 [&](std::size_t i, std::size_t worker) { try_part(parts[i], sums[worker]); });
    for (std::size_t worker = 1; worker < sums.size(); ++worker) add_all_fixed(sums[0], sums[worker]);
    return sums[0];
  }

 private:
  void quantize_inputs() {
    const std::size_t samples = inputs_.size(), width = measure_.size();
    rows_.resize(columns_.size() * samples);
    parallel_for(rows_.size(), context_.threads, [&](std::size_t task, std::size_t) {
      const std::vector<float>&columns = columns_[task / samples], &input = inputs_[task % samples];
      std::vector<float> smooth(input.size());
      for (std::size_t k = 0; k < input.size(); ++k) smooth[k] = input[k] / columns[k % width];
      quantize_rows_int8(smooth, width, rows_[task]);
    });
  }

  void try_part(const Part& part, std::vector<Int128>& sums) const {
    stop_if_asked();
    const std::size_t width = measure_.size();
    std::vector<float> weights(part.count * width);
    source_.read_rows(*part.tensor, part.row, part.count, RowOrder::hugging_face, weights);
    std::vector<double> counts(part.count, 0);  // what an output's squares are multiplied by
    for (std::size_t r = 0; r < part.count; ++r) {
      const double norm = scaled_norm_squared(std::span(weights).subspan(r * width, width), measure_);
      if (norm > 0) counts[r] = 1 / norm;
    }
    std::vector<std::vector<float>> products(inputs_.size());
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      products[i].resize(inputs_[i].size() / width * part.count);
      pass_.multiply_transposed(inputs_[i], weights, width, products[i]);
      add(products[i], {}, counts, sums.back());
    }
    for (std::size_t choice = 0; choice < columns_.size(); ++choice)
      try_choice(choice, weights, products, counts, sums[choice]);
  }

  void try_choice(std::size_t choice, const std::vector<float>& weights,
                  const std::vector<std::vector<float>>& products, const std::vector<double>& counts,
                  Int128& sum) const {
    const std::size_t width = measure_.size();
    std::vector<float> scaled(weights.size()), coded;
    for (std::size_t k = 0; k < scaled.size(); ++k) scaled[k] = weights[k] * columns_[choice][k % width];
    Int8Rows encoded;
    quantize_rows_int8(scaled, width, encoded);
    const Int8Weights codes(encoded.codes, encoded.scales, width);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      coded.resize(products[i].size());
      int8_matmul(rows_[choice * inputs_.size() + i], codes, {}, coded);
      add(products[i], coded, counts, sum);
    }
  }

  /// Adds a sample's squared differences as a whole number. @param coded  empty: zeros
  static void add(std::span<const float> product, std::span<const float> coded,
                  const std::vector<double>& counts, Int128& sum) {
    double squares = 0;
    for (std::size_t k = 0; k < product.size(); ++k) {
      const double difference =
          static_cast<double>(product[k]) - (coded.empty() ? 0.0 : static_cast<double>(coded[k]));
      squares += difference * difference * counts[k % counts.size()];
    }
    sum = add_fixed(sum, to_fixed(squares, kFractionBits));
  }

  const StageContext& context_;
  const ModelSource& source_;
  const ForwardPass& pass_;
  const SmoothMapping& mapping_;
  const std::vector<std::vector<float>>& inputs_;
  std::vector<float> measure_;               ///< the start's scales of the columns
  std::vector<std::vector<float>> columns_;  ///< of the choices
  std::vector<Int8Rows> rows_;               ///< inputs by choice, then sample
};

}  // namespace

TrialErrors try_scales(const StageContext& context, const ModelSource& source, const ForwardPass& pass,
                       const SmoothMapping& mapping, const std::vector<std::vector<float>>& inputs,
                       const std::vector<float>& start, const std::vector<std::vector<float>>& choices) {
  std::vector<Int128> sums(choices.size() + 1, 0);
  context.comm.together("try scales",
                        [&] { sums = Trial(context, source, pass, mapping, inputs, start, choices).run(); });
  context.comm.all_reduce(std::span(sums), comm::ReduceOp::sum, "add up errors of scales");
  TrialErrors errors;
  for (const Int128 sum : sums) errors.choices.push_back(from_fixed(sum, kFractionBits));
  errors.product = errors.choices.back();
  errors.choices.pop_back();
  return errors;
}

}  // namespace llmq
