#include "llmq/quality/coherence.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>
#include <set>
#include <vector>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

constexpr std::size_t kGram = 4;

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014): every bit of x moves every bit of the result.
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}
constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15U;

std::uint64_t key_of(const WritingPlace& place) noexcept {
  return mix(mix(kGolden * (place.prompt + 1)) + kGolden * (place.step + 1));
}

/// 52 random bits m; u = (m + 1/2) / 2^52 is exact and never 0 or 1.
std::uint64_t random_bits(std::uint64_t key, std::size_t token) noexcept {
  return mix(key + kGolden * (token + 1)) >> 12;
}

double noise_of(std::uint64_t bits) noexcept {
  return -std::log(-std::log((static_cast<double>(bits) + 0.5) * 0x1p-52));
}

/// At least noise_of(bits), without a logarithm: -ln(-ln u) <= -ln(1 - u), and 1 - u is at least half a power
/// of two.
double noise_limit(std::uint64_t bits) noexcept {
  const std::uint64_t rest = (std::uint64_t{1} << 52) - 1 - bits;  // 1 - u = (rest + 1/2) / 2^52
  return static_cast<double>(53 - static_cast<int>(std::bit_width(rest))) * std::numbers::ln2 + 1e-9;
}

bool all_finite(std::span<const float> logits) noexcept {
  bool finite = true;
  for (const float z : logits) finite &= std::fabs(z) <= std::numeric_limits<float>::max();
  return finite;
}

/// Tokens that their noise cannot lift to the best so far are passed over: all but a few need no logarithm.
std::size_t noisy_top(std::span<const float> logits, std::size_t top, const WritingPlace& place) noexcept {
  const std::uint64_t key = key_of(place);
  std::size_t best = top;
  double best_value = static_cast<double>(logits[top]) + noise_of(random_bits(key, top));
  for (std::size_t token = 0; token < logits.size(); ++token) {
    const std::uint64_t bits = random_bits(key, token);
    const auto logit = static_cast<double>(logits[token]);
    if (logit + noise_limit(bits) < best_value) continue;
    const double value = logit + noise_of(bits);
    if (value < best_value || (value == best_value && token >= best)) continue;
    best = token;
    best_value = value;
  }
  return best;
}

}  // namespace

double gumbel_noise(const WritingPlace& place, std::int32_t token) noexcept {
  return noise_of(random_bits(key_of(place), static_cast<std::size_t>(token)));
}

std::optional<std::int32_t> pick_token(std::span<const float> logits, WritingMode mode,
                                       const WritingPlace& place) noexcept {
  if (!all_finite(logits)) return std::nullopt;
  const auto top = static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  return static_cast<std::int32_t>(mode == WritingMode::greedy ? top : noisy_top(logits, top, place));
}

double log_normalizer(std::span<const float> logits) noexcept {
  const float top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float z : logits) sum += static_cast<double>(std::exp(z - top));
  return static_cast<double>(top) + std::log(sum);
}

double distinct_share(std::span<const std::int32_t> tokens) {
  if (tokens.size() < kGram) return 1;
  std::set<std::array<std::int32_t, kGram>> grams;
  const std::size_t count = tokens.size() - kGram + 1;
  for (std::size_t first = 0; first < count; ++first) {
    std::array<std::int32_t, kGram> gram{};
    std::copy_n(tokens.begin() + static_cast<std::ptrdiff_t>(first), kGram, gram.begin());
    grams.insert(gram);
  }
  return static_cast<double>(grams.size()) / static_cast<double>(count);
}

CoherenceFigures coherence_figures(std::span<const CoherenceToken> tokens, std::size_t length) {
  if (tokens.empty() || length == 0 || tokens.size() % length != 0)
    throw InternalError("coherence_figures: no whole continuations");
  CoherenceFigures figures;
  double difference = 0, same = 0;
  for (const CoherenceToken& token : tokens) {
    difference += std::min(0.0, token.log_p_written - token.log_p_own);
    same += token.written == token.own ? 1 : 0;
    figures.mean_log_p_quantized += token.log_p_written;
    figures.mean_log_p_original += token.log_p_original;
  }
  std::vector<std::int32_t> quantized(length), original(length);
  for (std::size_t first = 0; first < tokens.size(); first += length) {
    for (std::size_t i = 0; i < length; ++i) {
      quantized[i] = tokens[first + i].written;
      original[i] = tokens[first + i].original;
    }
    figures.distinct_quantized += distinct_share(quantized);
    figures.distinct_original += distinct_share(original);
  }
  const auto count = static_cast<double>(tokens.size());
  const double sequences = count / static_cast<double>(length);
  figures.tokens = tokens.size();
  figures.mean_log_p_quantized /= count;
  figures.mean_log_p_original /= count;
  figures.agreement = same / count;
  figures.distinct_quantized /= sequences;
  figures.distinct_original /= sequences;
  figures.likelihood = std::exp(difference / count);
  figures.repetition = std::min(1.0, figures.distinct_quantized / figures.distinct_original);
  figures.score = figures.likelihood * figures.repetition;
  return figures;
}

}  // namespace llmq
