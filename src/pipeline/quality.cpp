// The quality commands: open the models, evaluate them on the same samples, make figures of the scores.
// SPDX-License-Identifier: Apache-2.0
#include "llmq/pipeline/quality.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"
#include "llmq/embedded/texts.hpp"
#include "llmq/formats/gguf_split.hpp"
#include "llmq/hub/cache.hpp"
#include "llmq/pipeline/coherence.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/quant/type_policy.hpp"

#include "pipeline/content_hash.hpp"
#include "pipeline/evaluation_base.hpp"
#include "pipeline/quality_errors.hpp"
#include "pipeline/quality_evaluate.hpp"
#include "pipeline/quality_reuse.hpp"
#include "pipeline/quality_sentences.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFewChunks = 128;
constexpr const char* kCompareWithOrigin = "Compare a file with the model it was made from";

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void check_pair(const ModelSource& original, const fs::path& original_path, const ModelSource& quantized,
                const fs::path& quantized_path) {
  const ModelSpec& a = original.spec();
  const ModelSpec& b = quantized.spec();
  if (a.architecture != b.architecture || a.vocab_size != b.vocab_size || a.hidden_size != b.hidden_size ||
      a.n_layers != b.n_layers) {
    throw Error(ExitCode::validation,
                fmt::format("{} and {} are not the same model (architecture {} and {}, vocabulary {} and {}, "
                            "hidden size {} and {}, layers {} and {})",
                            original_path.string(), quantized_path.string(), a.architecture, b.architecture,
                            a.vocab_size, b.vocab_size, a.hidden_size, b.hidden_size, a.n_layers, b.n_layers),
                kCompareWithOrigin);
  }
}

/// Ids mean the same words in both: names of added and padding tokens may differ.
void check_tokens(const Vocabulary& original, const fs::path& original_path, const Vocabulary& quantized,
                  const fs::path& quantized_path) {
  const std::size_t count = std::min(original.tokens.size(), quantized.tokens.size());
  for (std::size_t id = 0; id < count; ++id) {
    const bool words = id < original.types.size() && id < quantized.types.size() &&
                       original.types[id] == TokenType::normal && quantized.types[id] == TokenType::normal;
    if (!words || original.tokens[id] == quantized.tokens[id]) continue;
    throw Error(ExitCode::validation,
                fmt::format("{} and {} have other vocabularies: token {} is \"{}\" and \"{}\"",
                            original_path.string(), quantized_path.string(), id, original.tokens[id],
                            quantized.tokens[id]),
                kCompareWithOrigin);
  }
}

/// Bits a quantized weight: of a W8A8 directory its codes with their scales, else the tensors that levels
/// quantize.
double effective_bpw(const ModelSource& model) {
  const bool coded = make_code_loader(model) != nullptr;
  std::uint64_t bytes = 0;
  std::uint64_t weights = 0;
  for (const ModelTensor& tensor : model.tensors()) {
    const bool counts =
        coded ? model.has_codes(tensor)
              : is_eligible({tensor.name, tensor.ne[0], tensor.ne[1], tensor.ne[2], tensor.stored_type});
    if (!counts) continue;
    bytes += tensor.bytes_as(tensor.stored_type) + (coded ? tensor.rows() * sizeof(float) : 0);
    weights += tensor.elements();
  }
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

SampleSet evaluation_samples(Log& log, const ModelSource& original, const Tokenizer& tokenizer,
                             const EvaluationOptions& options) {
  SampleSet samples = make_samples({options.text, embedded_evaluation_text(), "llm-quantize-evaluation",
                                    options.ctx, options.chunks, original.spec().context_length},
                                   tokenizer, log);
  if (scored_range(samples.ctx).size() == 0) {
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
  std::vector<fs::path> paths;           ///< of the candidates
  std::unique_ptr<Tokenizer> tokenizer;  ///< null when no metric needs a pass
  SampleSet samples;                     ///< empty then
};

/// Collective.
Evaluation open_evaluation(const StageContext& context, const fs::path& original,
                           const std::vector<fs::path>& candidates, const EvaluationOptions& options,
                           bool with_samples) {
  Evaluation evaluation;
  evaluation.paths = candidates;
  context.log.status(fmt::format("Loading model: {}", hub::model_title(original).string()));
  context.comm.together("open the models", [&] {
    evaluation.original = open_model(original);
    for (const fs::path& candidate : candidates) {
      evaluation.candidates.push_back(open_model(candidate));
      check_pair(*evaluation.original, original, *evaluation.candidates.back(), candidate);
    }
    if (!with_samples) return;
    Vocabulary vocabulary = evaluation.original->vocabulary();
    for (std::size_t i = 0; i < candidates.size(); ++i)
      check_tokens(vocabulary, original, evaluation.candidates[i]->vocabulary(), candidates[i]);
    evaluation.tokenizer = make_tokenizer(std::move(vocabulary));
    evaluation.samples =
        evaluation_samples(context.log, *evaluation.original, *evaluation.tokenizer, options);
  });
  return evaluation;
}

/// What follows from the files alone.
QualityResult describe_candidate(const Evaluation& evaluation, std::size_t index, const fs::path& original) {
  const ModelSource& model = *evaluation.candidates[index];
  QualityResult result;
  const fs::path& path = evaluation.paths[index];
  result.original = hub::model_title(original);
  result.quantized = hub::model_title(path);
  result.effective_bpw = effective_bpw(model);
  result.file_bytes = fs::is_regular_file(path) ? output_bytes(path) : model.stored_bytes();
  result.compression_ratio =
      static_cast<double>(result.file_bytes) / static_cast<double>(evaluation.original->stored_bytes());
  result.chunks = evaluation.samples.samples.size();
  result.ctx = evaluation.samples.ctx;
  result.dataset = evaluation.samples.dataset_name;
  return result;
}

/// Collective: what --base names; null without it.
/// @param original_hash  rank 0's counts
std::unique_ptr<EvaluationBase> open_base(const StageContext& context, const Evaluation& evaluation,
                                          const fs::path& path, const std::string& original_hash) {
  if (path.empty()) return nullptr;
  return std::make_unique<EvaluationBase>(context, path, *evaluation.original, evaluation.samples,
                                          original_hash);
}

/// What a pass gives beside scores.
struct Pass {
  PassSeconds seconds;          ///< on rank 0
  ColumnImportance importance;  ///< if it was asked for
};

/// Collective: the figures made of scores, on rank 0.
/// @param base  null: none
Pass evaluate(const StageContext& context, const Evaluation& evaluation, std::vector<QualityResult>& results,
              EvaluationBase* base, bool with_importance) {
  context.log.status("Computing quality metrics...");
  std::vector<Candidate> models;
  for (std::size_t i = 0; i < results.size(); ++i)
    models.push_back({evaluation.candidates[i].get(), std::nullopt, evaluation.paths[i].string()});
  const std::vector<std::uint8_t> ends = sentence_ends(*evaluation.tokenizer);
  const bool reads = base != nullptr && base->complete();
  const bool makes = base != nullptr && !reads;
  std::vector<LayerStatistics> statistics;
  const bool gathers = makes || (with_importance && !reads);
  const EvaluationScores scores =
      evaluate_candidates(context, evaluation.samples, *evaluation.original, models,
                          {{}, ends, gathers ? &statistics : nullptr, base});
  Pass pass;
  if (gathers) pass.importance = share_importance(context.comm, evaluation.original->spec(), statistics);
  if (makes) base->finish(pass.importance);
  if (reads && with_importance) {
    context.comm.together("read the importance of columns", [&] { pass.importance = base->importance(); });
  }
  if (!context.comm.is_root()) return pass;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const CandidateScores& found = scores.candidates[i];
    results[i].metrics = found.summary.metrics();
    results[i].positions = found.summary.along_positions(evaluation.samples.ctx);
    results[i].sentences = describe_sentences(*evaluation.tokenizer, evaluation.samples, found.worst);
  }
  pass.seconds = {1e-9 * static_cast<double>(scores.cost.original_nanoseconds),
                  1e-9 * static_cast<double>(scores.cost.candidate_nanoseconds), reads};
  return pass;
}

/// Collective; complete on rank 0, which alone reads the files.
std::string hash_original(const StageContext& context, const Evaluation& evaluation, const fs::path& path) {
  std::string hash;
  context.comm.together("hash the original", [&] {
    if (context.comm.is_root()) hash = "sha256:" + hash_model(*evaluation.original, path);
  });
  return hash;
}

/// Collective; complete on rank 0, which alone reads the files.
QualityIdentity identify(const StageContext& context, const Evaluation& evaluation,
                         const QualityOptions& options) {
  QualityIdentity identity;
  context.comm.together("hash the models", [&] {
    if (!context.comm.is_root()) return;
    identity = {LLMQ_VERSION,
                "sha256:" + hash_model(*evaluation.original, options.original),
                "sha256:" + hash_model(*evaluation.candidates.front(), options.quantized),
                "sha256:" + evaluation.samples.dataset_hash,
                options.ctx,
                options.chunks};
  });
  return identity;
}

/// Collective: a report of the same contents that stands beside the file, everywhere or nowhere. Complete on
/// rank 0.
std::optional<QualityResult> reuse(const StageContext& context, const QualityOptions& options,
                                   const QualityIdentity& identity) {
  std::optional<QualityResult> found;
  std::uint64_t any = 0;
  context.comm.together("look for a report", [&] {
    if (context.comm.is_root() && options.reuse) found = find_report(context.log, options, identity);
    any = found ? 1 : 0;
  });
  context.comm.broadcast(std::span(&any, 1), 0, "share whether there is a report");
  if (any != 0 && !found) found.emplace();
  return found;
}

void tell_perplexity(Log& log, const QualityMetrics& metrics) {
  log.status(fmt::format("Perplexity: {:.3f} → {:.3f} ({:+.1f}%)", metrics.perplexity_original,
                         metrics.perplexity_quantized, metrics.perplexity_delta_pct));
}

}  // namespace

fs::path quality_report_path(const fs::path& quantized) {
  if (!parse_gguf_shard_name(quantized)) return fs::path(quantized).replace_extension(".qreport");
  fs::path report = gguf_stem(quantized);
  return report += ".qreport";
}

QualityResult run_quality(const StageContext& context, const QualityOptions& options) {
  const auto start = Clock::now();
  const Evaluation evaluation =
      open_evaluation(context, options.original, {options.quantized}, options, true);
  const QualityIdentity identity = identify(context, evaluation, options);
  if (std::optional<QualityResult> found = reuse(context, options, identity)) {
    if (context.comm.is_root()) tell_perplexity(context.log, found->metrics);
    return std::move(*found);
  }
  std::vector<QualityResult> results = {describe_candidate(evaluation, 0, options.original)};
  QualityResult& result = results.front();
  result.identity = identity;
  const auto base = open_base(context, evaluation, options.base, identity.original_hash);
  const Pass pass = evaluate(context, evaluation, results, base.get(), options.include_layers);
  result.passes = pass.seconds;
  if (options.include_layers) {
    compare_weights(context, *evaluation.original, *evaluation.candidates[0], pass.importance,
                    result.tensor_errors, result.layer_errors);
  }
  if (options.coherence) {
    context.log.status("Checking coherence...");
    result.coherence_score =
        measure_coherence(context, {*evaluation.original, options.original.string()},
                          {*evaluation.candidates[0], options.quantized.string()}, *evaluation.tokenizer)
            .figures.score;
  }
  result.timestamp = utc_now();
  result.seconds = seconds_since(start);
  if (context.comm.is_root()) tell_perplexity(context.log, result.metrics);
  return std::move(result);
}

CompareResult run_compare(const StageContext& context, const CompareOptions& options) {
  const auto start = Clock::now();
  const Evaluation evaluation =
      open_evaluation(context, options.original, options.quantized, options, options.metrics.need_pass());
  CompareResult result;
  result.original = hub::model_title(options.original);
  result.metrics = options.metrics;
  for (std::size_t i = 0; i < options.quantized.size(); ++i)
    result.candidates.push_back(describe_candidate(evaluation, i, options.original));
  Pass pass;
  if (options.metrics.need_pass()) {
    const std::string hash = options.base.empty() ? "" : hash_original(context, evaluation, options.original);
    const auto base = open_base(context, evaluation, options.base, hash);
    pass = evaluate(context, evaluation, result.candidates, base.get(), options.include_layers);
  }
  result.passes = pass.seconds;
  if (options.include_layers) {
    for (std::size_t i = 0; i < result.candidates.size(); ++i) {
      compare_weights(context, *evaluation.original, *evaluation.candidates[i], pass.importance,
                      result.candidates[i].tensor_errors, result.candidates[i].layer_errors);
    }
  }
  result.chunks = evaluation.samples.samples.size();
  result.ctx = evaluation.samples.ctx;
  result.dataset = evaluation.samples.dataset_name;
  result.timestamp = utc_now();
  result.seconds = seconds_since(start);
  context.log.status(fmt::format("Complete: {} candidates compared", result.candidates.size()));
  return result;
}

}  // namespace llmq
