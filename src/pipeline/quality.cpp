// The quality commands: open the models, evaluate them on the same samples, make figures of the scores.
// SPDX-License-Identifier: Apache-2.0
#include "llmq/pipeline/quality.hpp"

#include <chrono>
#include <memory>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/embedded/texts.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/quant/type_policy.hpp"

#include "pipeline/quality_errors.hpp"
#include "pipeline/quality_evaluate.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kFewChunks = 128;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void check_pair(const ModelSource& original, const std::filesystem::path& original_path,
                const ModelSource& quantized, const std::filesystem::path& quantized_path) {
  const ModelSpec& a = original.spec();
  const ModelSpec& b = quantized.spec();
  if (a.architecture == b.architecture && a.vocab_size == b.vocab_size && a.hidden_size == b.hidden_size &&
      a.n_layers == b.n_layers) {
    return;
  }
  throw Error(
      ExitCode::validation,
      fmt::format("{} and {} are not the same model (vocabulary {} and {}, hidden size {} and {}, layers {} "
                  "and {})",
                  original_path.string(), quantized_path.string(), a.vocab_size, b.vocab_size, a.hidden_size,
                  b.hidden_size, a.n_layers, b.n_layers),
      "Compare a file with the model it was made from");
}

double effective_bpw(const ModelSource& model) {
  std::uint64_t bytes = 0;
  std::uint64_t weights = 0;
  for (const ModelTensor& tensor : model.tensors()) {
    if (!is_eligible({tensor.name, tensor.ne[0], tensor.ne[1], tensor.ne[2], tensor.stored_type})) continue;
    bytes += tensor.bytes_as(tensor.stored_type);
    weights += tensor.elements();
  }
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

SampleSet evaluation_samples(Log& log, const ModelSource& original, const EvaluationOptions& options) {
  SampleSet samples = make_samples({options.text, embedded_evaluation_text(), "llm-quantize-evaluation",
                                    options.ctx, options.chunks, original.spec().context_length},
                                   *make_tokenizer(original.vocabulary()), log);
  if (scored_range(samples.ctx).begin == scored_range(samples.ctx).end) {
    throw Error(ExitCode::invalid_arguments, "--ctx must be at least 4", "The default is 512");
  }
  if (samples.samples.size() < kFewChunks) {
    log.warn(fmt::format("{} evaluation chunks are few; the errors given are wide", samples.samples.size()));
  }
  return samples;
}

/// The original, the files made from it, and the samples all of them are judged by.
struct Evaluation {
  std::unique_ptr<ModelSource> original;
  std::vector<std::unique_ptr<ModelSource>> candidates;
  SampleSet samples;  ///< empty when no metric needs a pass
};

/// Collective.
Evaluation open_evaluation(const StageContext& context, const std::filesystem::path& original,
                           const std::vector<std::filesystem::path>& candidates,
                           const EvaluationOptions& options, bool with_samples) {
  Evaluation evaluation;
  context.log.status(fmt::format("Loading model: {}", original.string()));
  context.comm.together("open the models", [&] {
    evaluation.original = open_model(original);
    for (const std::filesystem::path& candidate : candidates) {
      evaluation.candidates.push_back(open_model(candidate));
      check_pair(*evaluation.original, original, *evaluation.candidates.back(), candidate);
    }
    if (with_samples) evaluation.samples = evaluation_samples(context.log, *evaluation.original, options);
  });
  return evaluation;
}

/// Collective: the figures of all candidates; those made of scores on rank 0 only.
std::vector<QualityResult> evaluate(const StageContext& context, const Evaluation& evaluation,
                                    const std::filesystem::path& original,
                                    const std::vector<std::filesystem::path>& candidates) {
  std::vector<QualityResult> results(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const ModelSource& model = *evaluation.candidates[i];
    results[i].original = original;
    results[i].quantized = candidates[i];
    results[i].effective_bpw = effective_bpw(model);
    results[i].file_bytes = std::filesystem::is_regular_file(candidates[i])
                                ? std::filesystem::file_size(candidates[i])
                                : model.stored_bytes();
    results[i].compression_ratio =
        static_cast<double>(results[i].file_bytes) / static_cast<double>(evaluation.original->stored_bytes());
    results[i].chunks = evaluation.samples.samples.size();
    results[i].ctx = evaluation.samples.ctx;
    results[i].dataset = evaluation.samples.dataset_name;
  }
  if (evaluation.samples.samples.empty()) return results;
  context.log.status("Computing quality metrics...");
  std::vector<Candidate> models;
  for (const auto& model : evaluation.candidates) models.push_back({model.get(), std::nullopt});
  const auto scores = evaluate_candidates(context, evaluation.samples, *evaluation.original, models);
  if (!context.comm.is_root()) return results;
  for (std::size_t i = 0; i < results.size(); ++i) results[i].metrics = summarize_scores(scores[i]);
  return results;
}

}  // namespace

QualityResult run_quality(const StageContext& context, const QualityOptions& options) {
  const auto start = Clock::now();
  const Evaluation evaluation =
      open_evaluation(context, options.original, {options.quantized}, options, true);
  QualityResult result = evaluate(context, evaluation, options.original, {options.quantized}).front();
  if (options.include_layers) {
    compare_weights(context, *evaluation.original, *evaluation.candidates[0], result.tensor_errors,
                    result.layer_errors);
  }
  result.seconds = seconds_since(start);
  if (context.comm.is_root()) {
    context.log.status(fmt::format("Perplexity: {:.3f} → {:.3f} ({:+.1f}%)",
                                   result.metrics.perplexity_original, result.metrics.perplexity_quantized,
                                   result.metrics.perplexity_delta_pct));
  }
  return result;
}

CompareResult run_compare(const StageContext& context, const CompareOptions& options) {
  const auto start = Clock::now();
  const Evaluation evaluation =
      open_evaluation(context, options.original, options.quantized, options, options.metrics.need_pass());
  CompareResult result;
  result.original = options.original;
  result.metrics = options.metrics;
  result.candidates = evaluate(context, evaluation, options.original, options.quantized);
  result.chunks = evaluation.samples.samples.size();
  result.ctx = evaluation.samples.ctx;
  result.dataset = evaluation.samples.dataset_name;
  result.seconds = seconds_since(start);
  context.log.status(fmt::format("Complete: {} candidates compared", result.candidates.size()));
  return result;
}

}  // namespace llmq
