// The forward and backward pass behind an interface. The implementation (model/torch) is a shared module that
// is loaded when a command runs a model; torch types do not cross this border. One sample at a time, by one
// thread, always in the same shape: the bits of a sample's states depend on the sample and the weights only.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/model/kv_cache.hpp"
#include "llmq/model/spec.hpp"

namespace llmq {

/// Where weights come from: fills `out` with the f32 values of one tensor (Hugging Face row order, row-major)
/// by its GGUF name, e.g. "blk.3.attn_q.weight". Returns false if the model has no such tensor (optional
/// biases).
using WeightLoader = std::function<bool(std::string_view gguf_name, std::span<float> out)>;

/// Some rows of a weight: out.size() / row length rows from `first_row` on, in Hugging Face order.
using RowLoader =
    std::function<bool(std::string_view gguf_name, std::uint64_t first_row, std::span<float> out)>;

/// How a layer's products with its matrices are computed: in f32, or through two 8-bit digits a value
/// (quant/split_product.hpp), which is quicker and loses some 1e-4 of them.
enum class Products { f32, split };

/// 8-bit weights of a tensor by its GGUF name, in Hugging Face order: fills `codes` [rows, row length] and
/// `scales` [rows], a weight is code x scale. Returns the fixed scale of its input, 0 where every token has
/// its own; nothing when the tensor is not stored like that.
using CodeLoader = std::function<std::optional<float>(std::string_view gguf_name,
                                                      std::span<std::int8_t> codes, std::span<float> scales)>;

/// Rows of the output matrix that a part of the head should have.
inline constexpr std::size_t kHeadPartRows = 2048;

/// Next-token loss of one sample while the vocabulary goes by in parts; starts empty.
struct HeadProgress {
  std::vector<float> tops;         ///< [tokens - 1], largest logit so far
  std::vector<double> sums;        ///< [tokens - 1], of e^(logit - top)
  std::vector<float> next_logits;  ///< [tokens - 1], of the true next token
  std::vector<float> d_normed;     ///< [tokens, hidden_size], gradient behind the final norm
};

/// Inputs of the matmuls of one layer. In a layer of experts `ffn` goes to the router and to the shared
/// expert, whose second input is `ffn_down`.
enum class MatmulInput { attention, attention_output, ffn, ffn_down, experts, experts_down };

/// Rows that go into a product.
struct MatmulRows {
  MatmulInput input = MatmulInput::attention;
  std::uint32_t expert = 0;  ///< of `experts` and `experts_down`: which; only the tokens it was given
  std::span<const float> x;  ///< [tokens, in_features] row-major
  std::size_t in_features = 0;
};
/// Called with each matmul input; experts without a token are passed over. Thread-safe if the pass is used by
/// several.
using MatmulObserver = std::function<void(const MatmulRows& rows)>;

/// Which tokens an observer sees of an expert: those it was given, or all of the sample, as if every token
/// went to every expert. What the layer puts out is the same but for the rounding of products.
enum class ExpertTokens { given, all };

/// Called with the product of a layer's ffn_down, which read the rows observed last, before it is added to
/// the residual (and before an expert's share): [tokens, out_features].
using ProductObserver = std::function<void(std::span<const float> y, std::size_t out_features)>;

/// Some rows of the gradient of one weight, with the weights themselves. Rows in Hugging Face order.
struct GradientTile {
  std::string_view weight;       ///< GGUF name below "blk.N.", e.g. "attn_q.weight"
  std::uint32_t expert = 0;      ///< of weights of experts: which matrix
  std::size_t first_row = 0;     ///< tiles of a matrix come in the order of their rows
  std::size_t out_features = 0;  ///< rows of the whole matrix
  std::size_t in_features = 0;
  std::span<const float> weights;   ///< [rows, in_features]
  std::span<const float> gradient;  ///< [rows, in_features]
};
using GradientObserver = std::function<void(const GradientTile& tile)>;

/// One layer's weights resident in memory, ready to run. Immutable, usable by several threads at once.
class LayerWeights {
 public:
  virtual ~LayerWeights() = default;
  virtual std::uint64_t bytes() const noexcept = 0;
};

/// CPU seconds of run_layer, summed over threads, without observers.
struct StageSeconds {
  double matmul = 0;       ///< products with weights
  double attention = 0;    ///< rotation, scores, softmax, values
  double elementwise = 0;  ///< norms, SwiGLU
};

class ForwardPass {
 public:
  virtual ~ForwardPass() = default;
  /// Name and version of the numeric back end and its BLAS, for the log.
  virtual std::string description() const = 0;
  /// @param codes  weights it has stay 8-bit integers: their products are those of an INT8 engine,
  /// activations as codes included (quant/int8_product.hpp). Such a layer cannot run backward. Null: all in
  /// f32.
  /// @param products  of the other matrices of run_layer, experts aside. A layer of split products cannot run
  /// backward.
  virtual std::unique_ptr<LayerWeights> load_layer(std::uint32_t layer, const WeightLoader& weights,
                                                   const CodeLoader& codes = {},
                                                   Products products = Products::f32) const = 0;
  /// Embedding table [vocab, hidden].
  virtual std::unique_ptr<LayerWeights> load_embedding(const WeightLoader& weights) const = 0;
  /// Final norm and output matrix (the embedding when tied).
  virtual std::unique_ptr<LayerWeights> load_head(const WeightLoader& weights) const = 0;

  /// hidden [tokens, hidden_size] of the ids.
  virtual void embed(const LayerWeights& embedding, std::span<const std::int32_t> ids,
                     std::span<float> hidden) const = 0;
  /// Advances hidden [tokens, hidden_size] through one layer, positions 0..tokens-1, causal. `observer` may
  /// be empty, and so may `down_product`.
  virtual void run_layer(const LayerWeights& layer, std::span<float> hidden, const MatmulObserver& observer,
                         const ProductObserver& down_product = {},
                         ExpertTokens watched = ExpertTokens::given) const = 0;
  /// logits [tokens, vocab] of hidden [tokens, hidden_size].
  virtual void run_head(const LayerWeights& head, std::span<const float> hidden,
                        std::span<float> logits) const = 0;
  /// Advances hidden [all new tokens, hidden_size], sequence after sequence, through one layer: each token
  /// sees its own sequence up to itself, and is added to its cache. Where a sequence stands among others, how
  /// many tokens come at once and `threads` change no bit; the products are not those of run_layer, whose
  /// bits may differ. By one thread of the program, which may start others.
  virtual void extend_layer(const LayerWeights& layer, std::span<const SequenceRows> sequences,
                            std::span<float> hidden, std::size_t threads) const = 0;
  /// logits [rows, vocab] of hidden [rows, hidden_size]; the same promise.
  virtual void extend_head(const LayerWeights& head, std::span<const float> hidden, std::span<float> logits,
                           std::size_t threads) const = 0;
  /// Bytes of scratch the two take beside hidden and logits, for sequences of up to `tokens`.
  virtual std::uint64_t extend_scratch_bytes(std::size_t tokens, std::size_t threads) const noexcept = 0;
  /// `gradient` [tokens, hidden_size]: of the loss with respect to the layer's output, becomes that with
  /// respect to its input. `input` is the state before the layer; what lies between is computed again. The
  /// gradients of all matmul weights go by in tiles, so that none is ever whole in memory. Matrices of
  /// experts that no token was given to do not go by: their gradient is zero.
  virtual void backward_layer(const LayerWeights& layer, std::span<const float> input,
                              std::span<float> gradient, const GradientObserver& observer) const = 0;
  /// Final norm and rows [first, first + count) of the output matrix (the embedding when tied): one part of
  /// the vocabulary.
  virtual std::unique_ptr<LayerWeights> load_head_part(std::size_t first, std::size_t count,
                                                       const RowLoader& rows) const = 0;
  /// First round over all parts: takes the part's logits of `hidden` [tokens, hidden_size], the state after
  /// the last layer, into `progress`. At least two ids.
  virtual void head_forward(const LayerWeights& part, std::span<const std::int32_t> ids,
                            std::span<const float> hidden, HeadProgress& progress) const = 0;
  /// Second round, after the first has seen the whole vocabulary: adds the part's share of the gradient.
  virtual void head_backward(const LayerWeights& part, std::span<const std::int32_t> ids,
                             std::span<const float> hidden, HeadProgress& progress) const = 0;
  /// Mean next-token loss in nats over positions 0..tokens-2; `hidden` becomes its gradient. Any part will
  /// do.
  virtual double finish_head(const LayerWeights& part, std::span<float> hidden,
                             const HeadProgress& progress) const = 0;
  /// y [rows, outputs] = x w^T in f32, by the back end's BLAS, one thread.  @param x  [rows, in_features]
  /// @param w  [outputs, in_features]
  virtual void multiply_transposed(std::span<const float> x, std::span<const float> w,
                                   std::size_t in_features, std::span<float> y) const = 0;
  /// Bytes of scratch one thread needs to run one sample of `tokens`.
  virtual std::uint64_t scratch_bytes(std::size_t tokens) const noexcept = 0;
  /// The same forward and backward.
  virtual std::uint64_t backward_scratch_bytes(std::size_t tokens) const noexcept = 0;
  /// Since the pass was made. May be called at any time.
  virtual StageSeconds stage_seconds() const noexcept = 0;
};

/// Loads the torch module (once a process) and builds the pass for a model.
/// @throws Error(general) if the module is
/// missing.
std::unique_ptr<ForwardPass> make_forward_pass(const ModelSpec& spec);

}  // namespace llmq
