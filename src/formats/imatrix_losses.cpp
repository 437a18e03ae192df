// What a file of llama.cpp's does not hold of an importance matrix: a row a kind of content.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "llmq/formats/imatrix.hpp"

#include "formats/imatrix_foreign.hpp"

namespace llmq {
namespace {

template <typename Predicate>
bool any_entry(const Imatrix& imatrix, Predicate&& predicate) {
  return std::any_of(imatrix.entries.begin(), imatrix.entries.end(),
                     [&](const auto& item) { return predicate(item.second); });
}

bool has_sum(const Imatrix& imatrix) {
  return any_entry(imatrix, [](const ImatrixEntry& entry) { return !entry.sum.empty(); });
}

bool has_sum_beside_sensitivities(const Imatrix& imatrix) {
  return any_entry(imatrix, [](const ImatrixEntry& entry) {
    return !entry.sum.empty() && !foreign::holds_squares(entry);
  });
}

bool has_moments(const Imatrix& imatrix) {
  return any_entry(
      imatrix, [](const ImatrixEntry& entry) { return !entry.sum_quad.empty() || !entry.max_abs.empty(); });
}

bool has_sensitivities(const Imatrix& imatrix) {
  return any_entry(imatrix, [](const ImatrixEntry& entry) { return !foreign::holds_squares(entry); });
}

bool has_hashes(const Imatrix& imatrix) {
  return !imatrix.model_hash.empty() || !imatrix.tokenizer_hash.empty() || !imatrix.dataset_hash.empty();
}

bool has_super_weights(const Imatrix& imatrix) { return imatrix.super_weights.searched; }
bool has_method(const Imatrix& imatrix) { return imatrix.method != Imatrix{}.method; }
bool has_ctx(const Imatrix& imatrix) { return imatrix.ctx > 0; }

bool has_token_counts(const Imatrix& imatrix) {
  return !imatrix.counts_are_calls && any_entry(imatrix, foreign::holds_squares);
}

bool has_experts(const Imatrix& imatrix) {
  return any_entry(imatrix, [](const ImatrixEntry& entry) { return entry.n_mat > 1; });
}

bool beyond_f32(const std::vector<double>& values) {
  return std::any_of(values.begin(), values.end(),
                     [](double value) { return static_cast<double>(static_cast<float>(value)) != value; });
}

bool gguf_rounds(const Imatrix& imatrix) {
  return any_entry(imatrix, [](const ImatrixEntry& entry) {
    const foreign::Figures figures = foreign::gguf_figures(entry);
    return beyond_f32(figures.values) || beyond_f32(figures.counts) ||
           (foreign::holds_squares(entry) && beyond_f32(entry.sum));
  });
}

bool dat_rounds(const Imatrix& imatrix) {
  return any_entry(imatrix, [&](const ImatrixEntry& entry) {
    return beyond_f32(foreign::dat_values(entry, foreign::dat_calls(imatrix, entry)));
  });
}

struct Loss {
  ImatrixFileFormat format;
  std::string_view what;
  bool (*is_there)(const Imatrix&);
};

constexpr auto kGguf = ImatrixFileFormat::gguf;
constexpr auto kDat = ImatrixFileFormat::dat;
constexpr Loss kLosses[] = {
    {kGguf, "the method", has_method},
    {kGguf, "sums of a", has_sum_beside_sensitivities},
    {kGguf, "sums of a^2", has_sensitivities},
    {kGguf, "sums of a^4 and max |a|", has_moments},
    {kGguf, "sensitivities of rows", has_sensitivities},
    {kGguf, "hashes of model, tokenizer and data", has_hashes},
    {kGguf, "super weights", has_super_weights},
    {kGguf, "precision beyond f32", gguf_rounds},
    {kDat, "the method", has_method},
    {kDat, "sums of a", has_sum},
    {kDat, "sums of a^2", has_sensitivities},
    {kDat, "sums of a^4 and max |a|", has_moments},
    {kDat, "sensitivities of rows", has_sensitivities},
    {kDat, "token counts", has_token_counts},
    {kDat, "counts of single experts", has_experts},
    {kDat, "tokens a sample", has_ctx},
    {kDat, "hashes of model, tokenizer and data", has_hashes},
    {kDat, "super weights", has_super_weights},
    {kDat, "precision beyond f32", dat_rounds},
};

}  // namespace

std::vector<std::string> lost_in(const Imatrix& imatrix, ImatrixFileFormat format) {
  std::vector<std::string> lost;
  for (const Loss& loss : kLosses) {
    if (loss.format == format && loss.is_there(imatrix)) lost.emplace_back(loss.what);
  }
  return lost;
}

}  // namespace llmq
