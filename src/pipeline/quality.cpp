// Samples are dealt round robin over the ranks; each rank walks both models layer by layer over its own, then
// scores them. Scores are put into sample order before anything is summed, so the figures do not depend on
// ranks. SPDX-License-Identifier: Apache-2.0
#include "llmq/pipeline/quality.hpp"

#include <algorithm>
#include <chrono>
#include <map>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/core/text.hpp"
#include "llmq/embedded/texts.hpp"
#include "llmq/pipeline/interrupt.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/quality/tensor_error.hpp"
#include "llmq/quant/type_policy.hpp"

#include "pipeline/analyze_grid.hpp"
#include "pipeline/quality_errors.hpp"

namespace llmq {
namespace {

constexpr std::size_t kHeadRows = 64;  // positions per head product: bounds the logits held at once
constexpr std::uint64_t kFewChunks = 128;
constexpr std::uint64_t kProgramBytes = std::uint64_t{256} << 20;

/// One model on its way through the layers over a wave of samples.
struct Walker {
  const ModelSource& source;
  std::unique_ptr<ForwardPass> pass;
  WeightLoader loader;
  std::map<std::uint64_t, std::vector<float>> states;

  explicit Walker(const ModelSource& model)
      : source(model), pass(make_forward_pass(model.spec())), loader(make_weight_loader(model)) {}

  void embed(std::uint64_t sample, const std::vector<TokenId>& ids) {
    const ModelTensor& table = *source.find("token_embd.weight");
    const std::size_t hidden = source.spec().hidden_size;
    std::vector<float>& state = states.at(sample);
    state.resize(ids.size() * hidden);
    for (std::size_t token = 0; token < ids.size(); ++token) {
      source.read_rows(table, static_cast<std::uint64_t>(ids[token]), 1, RowOrder::hugging_face,
                       std::span(state).subspan(token * hidden, hidden));
    }
  }
};

void stop_if_asked() {
  if (interrupt_requested()) throw Error(ExitCode::interrupted, "interrupted; nothing was kept");
}

/// Both models through all layers over `wave`, then the scores of every position, by sample.
class WaveEvaluator {
 public:
  WaveEvaluator(const StageContext& context, const SampleSet& samples, Walker& original, Walker& quantized)
      : context_(context), samples_(samples), walkers_{&original, &quantized} {}

  std::vector<PositionScore> run(const std::vector<std::uint64_t>& wave,
                                 const std::function<void(double)>& progress) {
    for (Walker* walker : walkers_) {
      walker->states.clear();
      for (const std::uint64_t sample : wave) walker->states[sample];
      parallel_for(wave.size(), context_.threads,
                   [&](std::size_t i, std::size_t) { walker->embed(wave[i], samples_.samples[wave[i]]); });
    }
    const std::uint32_t n_layers = walkers_[0]->source.spec().n_layers;
    for (std::uint32_t layer = 0; layer < n_layers; ++layer) {
      for (Walker* walker : walkers_) {
        const auto weights = walker->pass->load_layer(layer, walker->loader);
        parallel_for(wave.size(), context_.threads, [&](std::size_t i, std::size_t) {
          stop_if_asked();
          walker->pass->run_layer(*weights, walker->states.at(wave[i]), {});
        });
      }
      progress(static_cast<double>(layer + 1) / (n_layers + 1));
    }
    return score(wave);
  }

 private:
  std::vector<PositionScore> score(const std::vector<std::uint64_t>& wave) {
    const auto head_p = walkers_[0]->pass->load_head(walkers_[0]->loader);
    const auto head_q = walkers_[1]->pass->load_head(walkers_[1]->loader);
    const ScoredRange range = scored_range(samples_.ctx);
    const std::size_t per_sample = range.end - range.begin;
    const std::size_t vocab = walkers_[0]->source.spec().vocab_size;
    std::vector<PositionScore> scores(wave.size() * per_sample);
    parallel_for(wave.size(), context_.threads, [&](std::size_t i, std::size_t) {
      stop_if_asked();
      const std::vector<TokenId>& ids = samples_.samples[wave[i]];
      std::vector<float> logits_p;
      std::vector<float> logits_q;
      for (std::size_t begin = range.begin; begin < range.end; begin += kHeadRows) {
        const std::size_t rows = std::min(kHeadRows, range.end - begin);
        run_head(*walkers_[0], *head_p, wave[i], begin, rows, logits_p);
        run_head(*walkers_[1], *head_q, wave[i], begin, rows, logits_q);
        for (std::size_t row = 0; row < rows; ++row) {
          scores[i * per_sample + begin - range.begin + row] =
              score_position(std::span(logits_p).subspan(row * vocab, vocab),
                             std::span(logits_q).subspan(row * vocab, vocab), ids[begin + row + 1]);
        }
      }
    });
    return scores;
  }

  static void run_head(Walker& walker, const LayerWeights& head, std::uint64_t sample, std::size_t first,
                       std::size_t rows, std::vector<float>& logits) {
    const std::size_t hidden = walker.source.spec().hidden_size;
    logits.resize(rows * walker.source.spec().vocab_size);
    walker.pass->run_head(
        head, std::span<const float>(walker.states.at(sample)).subspan(first * hidden, rows * hidden),
        logits);
  }

  const StageContext& context_;
  const SampleSet& samples_;
  std::array<Walker*, 2> walkers_;
};

/// Samples a rank can hold at once within its memory; at least one thread's worth, or Error(out_of_memory).
std::size_t wave_size(const StageContext& context, const Walker& walker, std::uint64_t ctx) {
  const ModelSpec& spec = walker.source.spec();
  std::map<std::int32_t, std::uint64_t> layer_bytes;
  for (const ModelTensor& tensor : walker.source.tensors()) {
    if (tensor.layer >= 0) layer_bytes[tensor.layer] += tensor.elements() * 4;
  }
  std::uint64_t layer = 0;
  for (const auto& [index, bytes] : layer_bytes) layer = std::max(layer, bytes);
  const std::uint64_t head = std::uint64_t{spec.vocab_size} * spec.hidden_size * 4;
  const std::uint64_t logits = 2 * kHeadRows * std::uint64_t{spec.vocab_size} * 4;
  const std::uint64_t fixed = kProgramBytes + std::max(2 * layer, 3 * head) +
                              context.threads * (logits + walker.pass->scratch_bytes(ctx));
  const std::uint64_t per_sample = 2 * ctx * spec.hidden_size * 4;
  require_memory(context, fixed + context.threads * per_sample, "the quality plan");
  return static_cast<std::size_t>((context.memory_limit_bytes - fixed) / per_sample);
}

void check_pair(const ModelSource& original, const ModelSource& quantized, const QualityOptions& options) {
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
                  options.original.string(), options.quantized.string(), a.vocab_size, b.vocab_size,
                  a.hidden_size, b.hidden_size, a.n_layers, b.n_layers),
      "Compare a file with the model it was made from");
}

std::vector<PositionScore> evaluate(const StageContext& context, const SampleSet& samples,
                                    const ModelSource& original, const ModelSource& quantized) {
  const auto rank = static_cast<std::uint32_t>(context.comm.rank());
  const auto ranks = static_cast<std::uint32_t>(context.comm.size());
  const std::vector<std::uint64_t> mine = samples_of_group(rank, ranks, samples.samples.size());
  std::vector<PositionScore> scores;
  ProgressBar bar(context.log, "Evaluating", samples.samples.size(), "chunks");
  context.comm.together("evaluate", [&] {
    Walker walker_p(original);
    Walker walker_q(quantized);
    const std::size_t wave = wave_size(context, walker_p, samples.ctx);
    WaveEvaluator evaluator(context, samples, walker_p, walker_q);
    for (std::size_t begin = 0; begin < mine.size(); begin += wave) {
      const std::size_t end = std::min(mine.size(), begin + wave);
      const std::vector<std::uint64_t> part(mine.begin() + static_cast<std::ptrdiff_t>(begin),
                                            mine.begin() + static_cast<std::ptrdiff_t>(end));
      const auto part_scores = evaluator.run(part, [&](double fraction) {
        const double whole = (static_cast<double>(begin) + fraction * static_cast<double>(end - begin)) /
                             static_cast<double>(mine.size());
        bar.update(static_cast<std::uint64_t>(whole * static_cast<double>(samples.samples.size())), whole);
      });
      scores.insert(scores.end(), part_scores.begin(), part_scores.end());
    }
  });
  bar.finish();
  const auto gathered = context.comm.gather(std::span<const PositionScore>(scores), "collect scores");
  const ScoredRange range = scored_range(samples.ctx);
  const std::size_t per_sample = range.end - range.begin;
  std::vector<PositionScore> ordered;
  if (!context.comm.is_root()) return ordered;
  ordered.resize(samples.samples.size() * per_sample);
  for (std::uint32_t from = 0; from < ranks; ++from) {
    const std::vector<std::uint64_t> theirs = samples_of_group(from, ranks, samples.samples.size());
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      std::copy_n(gathered[from].begin() + static_cast<std::ptrdiff_t>(i * per_sample), per_sample,
                  ordered.begin() + static_cast<std::ptrdiff_t>(theirs[i] * per_sample));
    }
  }
  return ordered;
}

double effective_bpw(const ModelSource& model) {
  std::uint64_t bytes = 0;
  std::uint64_t weights = 0;
  for (const ModelTensor& tensor : model.tensors()) {
    if (!is_eligible({tensor.name, tensor.ne[0], tensor.ne[1], tensor.ne[2], tensor.stored_type})) continue;
    bytes += row_bytes(tensor.stored_type, tensor.row_elems()) * tensor.rows();
    weights += tensor.elements();
  }
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

}  // namespace

QualityResult run_quality(const StageContext& context, const QualityOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  QualityResult result;
  result.original = options.original;
  result.quantized = options.quantized;
  std::unique_ptr<ModelSource> original;
  std::unique_ptr<ModelSource> quantized;
  SampleSet samples;
  context.log.status(fmt::format("Loading model: {}", options.original.string()));
  context.comm.together("open the models", [&] {
    original = open_model(options.original);
    quantized = open_model(options.quantized);
    check_pair(*original, *quantized, options);
    samples = make_samples({options.text, embedded_evaluation_text(), "llm-quantize-evaluation", options.ctx,
                            options.chunks, original->spec().context_length},
                           *make_tokenizer(original->vocabulary()), context.log);
    if (scored_range(samples.ctx).begin == scored_range(samples.ctx).end) {
      throw Error(ExitCode::invalid_arguments, "--ctx must be at least 4", "The default is 512");
    }
    if (samples.samples.size() < kFewChunks) {
      context.log.warn(
          fmt::format("{} evaluation chunks are few; the errors given are wide", samples.samples.size()));
    }
  });
  context.log.status("Computing quality metrics...");
  const std::vector<PositionScore> scores = evaluate(context, samples, *original, *quantized);
  if (options.include_layers) {
    compare_weights(context, *original, *quantized, result.tensor_errors, result.layer_errors);
  }
  if (context.comm.is_root()) result.metrics = summarize_scores(scores);
  result.effective_bpw = effective_bpw(*quantized);
  result.file_bytes = std::filesystem::is_regular_file(options.quantized)
                          ? std::filesystem::file_size(options.quantized)
                          : quantized->stored_bytes();
  result.compression_ratio =
      static_cast<double>(result.file_bytes) / static_cast<double>(original->stored_bytes());
  result.chunks = samples.samples.size();
  result.ctx = samples.ctx;
  result.dataset = samples.dataset_name;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (context.comm.is_root()) {
    context.log.status(fmt::format("Perplexity: {:.3f} → {:.3f} ({:+.1f}%)",
                                   result.metrics.perplexity_original, result.metrics.perplexity_quantized,
                                   result.metrics.perplexity_delta_pct));
  }
  return result;
}

}  // namespace llmq
