#include "pipeline/wave_evaluator.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/core/thread_clock.hpp"
#include "llmq/pipeline/interrupt.hpp"
#include "llmq/quant/int8_product.hpp"

namespace llmq {
namespace {

/// Adds the CPU time between its making and its end to a walker.
class Stopwatch {
 public:
  explicit Stopwatch(Walker& walker) : walker_(walker), start_(thread_cpu_nanoseconds()) {}
  ~Stopwatch() { walker_.nanoseconds += thread_cpu_nanoseconds() - start_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  Walker& walker_;
  std::int64_t start_;
};

bool all_finite(std::span<const float> values) {
  bool finite = true;
  for (const float value : values) finite = finite && std::isfinite(value);
  return finite;
}

[[noreturn]] void not_finite(const Walker& walker, const std::string& where, std::uint64_t sample) {
  throw Error(
      ExitCode::importance, fmt::format("{}: NaN or Inf {} (chunk {})", walker.name, where, sample),
      "A weight in or before it is damaged or out of range; quantize the model again, with another type "
      "for it");
}

/// Whether all matrices of a layer are quantized.
bool all_in_blocks(const ModelSource& source, std::uint32_t layer) {
  bool some = false;
  for (const ModelTensor& tensor : source.tensors()) {
    if (tensor.layer != static_cast<std::int32_t>(layer) || tensor.n_dims < 2) continue;
    if (block_type(tensor.stored_type).block_elems == 1) return false;
    some = true;
  }
  return some;
}

/// What split products lose is next to nothing beside what quantization did to a layer. The layer alone
/// decides, whichever side of a comparison it is on: a file does not diverge from itself.
Products products_of(const ModelSource& source, std::uint32_t layer) {
  return int8_products_are_quick() && all_in_blocks(source, layer) ? Products::split : Products::f32;
}

/// @param states  [positions, hidden_size]
void run_head(const Walker& walker, const LayerWeights& head, std::span<const float> states,
              std::size_t first, std::size_t rows, std::vector<float>& logits) {
  const ModelSpec& spec = walker.source.spec();
  logits.resize(rows * spec.vocab_size);
  walker.pass->run_head(head, states.subspan(first * spec.hidden_size, rows * spec.hidden_size), logits);
}

}  // namespace

Walker::Walker(const ModelSource& model, std::string called)
    : source(model),
      name(std::move(called)),
      pass(make_forward_pass(model.spec())),
      loader(make_weight_loader(model)),
      codes(make_code_loader(model)) {}

WaveEvaluator::WaveEvaluator(const StageContext& context, const SampleSet& samples,
                             const ModelSource& original, std::span<const Candidate> candidates,
                             std::span<const std::uint8_t> sentence_ends,
                             std::vector<LayerStatistics>* statistics, EvaluationBase* base)
    : context_(context),
      samples_(samples),
      original_(original, "the original"),
      candidates_(candidates),
      sentence_ends_(sentence_ends),
      statistics_(statistics),
      base_(base),
      thread_statistics_(original.spec(), ImportanceMethod::activation,
                         statistics == nullptr ? 0 : context.threads),
      gathered_(candidates.size()) {
  for (const Candidate& candidate : candidates)
    walkers_.push_back(std::make_unique<Walker>(*candidate.model, candidate.name));
}

void WaveEvaluator::run(const std::vector<std::uint64_t>& wave, const std::function<void(double)>& progress) {
  original_runs_ =
      base_ == nullptr || !base_->holds(wave.front());  // a wave is there as a whole or not at all
  if (original_runs_) embed(original_, wave);
  for (std::size_t i = 0; i < walkers_.size(); ++i) {
    walkers_[i]->states.clear();
    if (candidates_[i].differs_in_embedding()) embed(*walkers_[i], wave);
  }
  const std::uint32_t n_layers = original_.source.spec().n_layers;
  for (std::uint32_t layer = 0; layer < n_layers; ++layer) {
    run_layer(layer, wave);
    progress(static_cast<double>(layer + 1) / (n_layers + 1));
  }
  score(wave);
}

PassCost WaveEvaluator::cost() const {
  PassCost cost;
  cost.original_nanoseconds = original_.nanoseconds;
  for (const auto& walker : walkers_) cost.candidate_nanoseconds += walker->nanoseconds;
  return cost;
}

void WaveEvaluator::embed(Walker& walker, const std::vector<std::uint64_t>& wave) const {
  walker.states.clear();
  for (const std::uint64_t sample : wave) walker.states[sample];
  parallel_for(wave.size(), context_.threads, [&](std::size_t i, std::size_t) {
    const Stopwatch watch(walker);
    embed_tokens(walker.source, samples_.samples[wave[i]], walker.states.at(wave[i]));
  });
}

void WaveEvaluator::advance(Walker& walker, std::uint32_t layer, const LayerWeights& weights,
                            const std::vector<std::uint64_t>& wave, bool watched) {
  parallel_for(wave.size(), context_.threads, [&](std::size_t i, std::size_t worker) {
    stop_if_asked();
    MatmulObserver observer;
    if (watched) {
      observer = [&](const MatmulRows& rows) {
        thread_statistics_.of(worker).input(rows).add_sample(rows.x);
      };
    }
    const Stopwatch watch(walker);
    std::vector<float>& states = walker.states.at(wave[i]);
    const std::string where = fmt::format("in the states of layer {}", layer);
    try {
      walker.pass->run_layer(weights, states, observer);
    } catch (const Error& error) {  // statistics refuse what is not finite
      if (error.code() == ExitCode::importance) not_finite(walker, where, wave[i]);
      throw;
    }
    if (!all_finite(states)) not_finite(walker, where, wave[i]);
  });
  if (watched) thread_statistics_.join_into((*statistics_)[layer]);
}

/// Those that differ here first, while the original's states are those before the layer; one layer's weights
/// are resident at a time.
void WaveEvaluator::run_layer(std::uint32_t layer, const std::vector<std::uint64_t>& wave) {
  const auto load = [layer](Walker& walker) {
    const Stopwatch watch(walker);
    return walker.pass->load_layer(layer, walker.loader, walker.codes, products_of(walker.source, layer));
  };
  for (std::size_t i = 0; i < walkers_.size(); ++i) {
    if (!candidates_[i].differs_in_layer(layer)) continue;
    Walker& walker = *walkers_[i];
    if (walker.states.empty()) walker.states = original_.states;
    advance(walker, layer, *load(walker), wave, false);
  }
  if (!original_runs_) return;
  const auto weights = load(original_);
  for (std::size_t i = 0; i < walkers_.size(); ++i) {
    if (!candidates_[i].differs_in_layer(layer) && !walkers_[i]->states.empty())
      advance(*walkers_[i], layer, *weights, wave, false);
  }
  advance(original_, layer, *weights, wave, statistics_ != nullptr);
}

void WaveEvaluator::score(const std::vector<std::uint64_t>& wave) {
  const auto load = [](Walker& walker) {
    const Stopwatch watch(walker);
    return walker.pass->load_head(walker.loader);
  };
  const auto head = load(original_);
  std::vector<std::unique_ptr<LayerWeights>> own_heads(walkers_.size());
  for (std::size_t i = 0; i < walkers_.size(); ++i) {
    if (candidates_[i].differs_in_head()) own_heads[i] = load(*walkers_[i]);
  }
  const std::size_t first = scored_range(samples_.ctx).begin;
  parallel_for(wave.size(), context_.threads, [&](std::size_t i, std::size_t) {
    const auto scores = score_sample(wave[i], *head, own_heads);
    const std::lock_guard lock(mutex_);
    for (std::size_t model = 0; model < scores.size(); ++model) {
      gathered_[model].summary.add_chunk(scores[model]);
      if (!sentence_ends_.empty())
        gathered_[model].worst.add_sample(wave[i], samples_.samples[wave[i]], first, scores[model],
                                          sentence_ends_);
    }
  });
}

/// The original's at the scored positions, in `stored` if they are read.
std::span<const float> WaveEvaluator::original_states(std::uint64_t sample, std::vector<float>& stored) {
  const Stopwatch watch(original_);
  if (!original_runs_) {
    stored.resize(base_->chunk_values());
    base_->read(sample, stored);
    return stored;
  }
  const ScoredRange range = scored_range(samples_.ctx);
  const std::size_t hidden = original_.source.spec().hidden_size;
  const auto states = std::span<const float>(original_.states.at(sample))
                          .subspan(range.begin * hidden, range.size() * hidden);
  if (base_ != nullptr) base_->write(sample, states);
  return states;
}

/// One vector a candidate. The original's exponentials are made once for all of them.
std::vector<std::vector<PositionScore>> WaveEvaluator::score_sample(
    std::uint64_t sample, const LayerWeights& head,
    std::span<const std::unique_ptr<LayerWeights>> own_heads) {
  const ScoredRange range = scored_range(samples_.ctx);
  std::vector<float> stored;
  const std::span<const float> states = original_states(sample, stored);
  const std::vector<TokenId>& tokens = samples_.samples[sample];
  const std::size_t vocab = original_.source.spec().vocab_size;
  std::vector<std::vector<PositionScore>> scores(walkers_.size());
  std::vector<float> masses, logits;
  std::vector<OriginalPrediction> originals;
  for (std::size_t begin = range.begin; begin < range.end; begin += kHeadRows) {
    const std::size_t rows = std::min(kHeadRows, range.end - begin);
    originals.clear();
    {
      const Stopwatch watch(original_);
      run_head(original_, head, states, begin - range.begin, rows, masses);
      for (std::size_t row = 0; row < rows; ++row) {
        originals.push_back(
            take_original(std::span(masses).subspan(row * vocab, vocab), tokens[begin + row + 1]));
        if (!originals.back().finite()) not_finite(original_, "in the logits", sample);
      }
    }
    for (std::size_t model = 0; model < walkers_.size(); ++model) {
      stop_if_asked();
      Walker& own = *walkers_[model];
      const Stopwatch watch(own);
      const Walker& walker = own.states.empty() ? original_ : own;
      run_head(walker, own_heads[model] ? *own_heads[model] : head, walker.states.at(sample), begin, rows,
               logits);
      for (std::size_t row = 0; row < rows; ++row) {
        scores[model].push_back(score_position(
            originals[row], std::span<const float>(masses).subspan(row * vocab, vocab),
            std::span<const float>(logits).subspan(row * vocab, vocab), tokens[begin + row + 1]));
        if (!std::isfinite(scores[model].back().kld)) not_finite(own, "in the logits", sample);
      }
    }
  }
  return scores;
}

}  // namespace llmq
