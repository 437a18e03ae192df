// Does a quantized model still write like its original? Noise, the choice of a token, and the score.
// Definition and what the number means: docs/coherence.md. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

namespace llmq {

enum class WritingMode { greedy, sampled };

/// Where a token is written; decides its noise.
struct WritingPlace {
  std::uint64_t prompt = 0;
  std::uint64_t step = 0;  ///< 0: the first token behind the prompt
};

/// Gumbel noise -ln(-ln u) of one token at one place, u in (0, 1) from a hash of the three: the same for
/// every model, in any order, without state.
double gumbel_noise(const WritingPlace& place, std::int32_t token) noexcept;

/// The token of the largest logit (greedy) or of the largest logit plus noise, which draws from the softmax
/// at temperature 1; the lowest id of several. Empty when a logit is NaN or infinite. At least one logit.
std::optional<std::int32_t> pick_token(std::span<const float> logits, WritingMode mode,
                                       const WritingPlace& place) noexcept;

/// ln of the softmax's normalizer: ln p of a token is its logit less this.
double log_normalizer(std::span<const float> logits) noexcept;

/// One token of one continuation of both models. Probabilities p are those of the original. Plain data:
/// gathered between ranks as bytes.
struct CoherenceToken {
  double log_p_written = 0;   ///< ln p of what the quantized model wrote
  double log_p_own = 0;       ///< ln p of what the original writes at the same place, context and noise
  double log_p_original = 0;  ///< ln p of `original`
  std::int32_t written = 0;   ///< by the quantized model
  std::int32_t own = 0;       ///< by the original in the quantized model's context
  std::int32_t original = 0;  ///< by the original in its own context
  std::int32_t unused = 0;    ///< no gap in the bytes
};
static_assert(std::is_trivially_copyable_v<CoherenceToken> && sizeof(CoherenceToken) == 40);

struct CoherenceFigures {
  double score = 0;                 ///< likelihood x repetition, in [0, 1]
  double likelihood = 0;            ///< e^(mean of min(0, ln p(written) - ln p(own)))
  double repetition = 0;            ///< min(1, distinct_quantized / distinct_original)
  double agreement = 0;             ///< share of tokens with written == own
  double mean_log_p_quantized = 0;  ///< of what the quantized model writes
  double mean_log_p_original = 0;   ///< of what the original writes by itself
  double distinct_quantized = 0;    ///< distinct 4-grams / 4-grams of a continuation, mean
  double distinct_original = 0;
  std::uint64_t tokens = 0;  ///< judged
};

/// Distinct 4-grams / 4-grams. Example: 1 2 3 4 1 2 3 4 1 2 -> 4 / 7. 1 for fewer than four tokens.
double distinct_share(std::span<const std::int32_t> tokens);

/// @param tokens  continuation after continuation, each of `length`; summed in this order.
/// @throws InternalError when there is none or a last one is not whole.
CoherenceFigures coherence_figures(std::span<const CoherenceToken> tokens, std::size_t length);

}  // namespace llmq
