// Samples are dealt round robin over the ranks; each rank walks all models layer by layer over its own, then
// scores them. Scores are put into sample order before anything is summed, so the figures do not depend on
// ranks. SPDX-License-Identifier: Apache-2.0
#include "pipeline/quality_evaluate.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"

#include "pipeline/analyze_grid.hpp"

namespace llmq {
namespace {

constexpr std::size_t kHeadRows = 64;  // positions per head product: bounds the logits held at once
constexpr std::uint64_t kProgramBytes = std::uint64_t{256} << 20;

using Scores = std::vector<PositionScore>;

/// One model on its way through the layers over a wave of samples.
struct Walker {
  const ModelSource& source;
  std::unique_ptr<ForwardPass> pass;
  WeightLoader loader;
  std::map<std::uint64_t, std::vector<float>> states;  ///< by sample; empty: still those of the original

  explicit Walker(const ModelSource& model)
      : source(model), pass(make_forward_pass(model.spec())), loader(make_weight_loader(model)) {}
};

/// The original and some candidates through all layers over a wave, then the scores of every position.
class WaveEvaluator {
 public:
  WaveEvaluator(const StageContext& context, const SampleSet& samples, const ModelSource& original,
                std::span<const Candidate> candidates)
      : context_(context), samples_(samples), original_(original), candidates_(candidates) {
    for (const Candidate& candidate : candidates)
      walkers_.push_back(std::make_unique<Walker>(*candidate.model));
  }

  /// One vector a candidate, by sample of the wave.
  std::vector<Scores> run(const std::vector<std::uint64_t>& wave,
                          const std::function<void(double)>& progress) {
    embed(original_, wave);
    for (std::size_t i = 0; i < walkers_.size(); ++i) {
      walkers_[i]->states.clear();
      if (candidates_[i].differs_in_embedding()) embed(*walkers_[i], wave);
    }
    const std::uint32_t n_layers = original_.source.spec().n_layers;
    for (std::uint32_t layer = 0; layer < n_layers; ++layer) {
      run_layer(layer, wave);
      progress(static_cast<double>(layer + 1) / (n_layers + 1));
    }
    return score(wave);
  }

 private:
  void embed(Walker& walker, const std::vector<std::uint64_t>& wave) const {
    walker.states.clear();
    for (const std::uint64_t sample : wave) walker.states[sample];
    parallel_for(wave.size(), context_.threads, [&](std::size_t i, std::size_t) {
      embed_tokens(walker.source, samples_.samples[wave[i]], walker.states.at(wave[i]));
    });
  }

  void advance(Walker& walker, const LayerWeights& weights, const std::vector<std::uint64_t>& wave) const {
    parallel_for(wave.size(), context_.threads, [&](std::size_t i, std::size_t) {
      stop_if_asked();
      walker.pass->run_layer(weights, walker.states.at(wave[i]), {});
    });
  }

  /// Those that differ here first, while the original's states are those before the layer; one layer's
  /// weights are resident at a time.
  void run_layer(std::uint32_t layer, const std::vector<std::uint64_t>& wave) {
    for (std::size_t i = 0; i < walkers_.size(); ++i) {
      if (!candidates_[i].differs_in_layer(layer)) continue;
      Walker& walker = *walkers_[i];
      if (walker.states.empty()) walker.states = original_.states;
      advance(walker, *walker.pass->load_layer(layer, walker.loader), wave);
    }
    const auto weights = original_.pass->load_layer(layer, original_.loader);
    for (std::size_t i = 0; i < walkers_.size(); ++i) {
      if (!candidates_[i].differs_in_layer(layer) && !walkers_[i]->states.empty())
        advance(*walkers_[i], *weights, wave);
    }
    advance(original_, *weights, wave);
  }

  std::vector<Scores> score(const std::vector<std::uint64_t>& wave) const {
    const auto head = original_.pass->load_head(original_.loader);
    std::vector<std::unique_ptr<LayerWeights>> own_heads(walkers_.size());
    for (std::size_t i = 0; i < walkers_.size(); ++i) {
      if (candidates_[i].differs_in_head()) own_heads[i] = walkers_[i]->pass->load_head(walkers_[i]->loader);
    }
    const ScoredRange range = scored_range(samples_.ctx);
    std::vector<Scores> scores(walkers_.size(), Scores(wave.size() * (range.end - range.begin)));
    parallel_for(wave.size(), context_.threads, [&](std::size_t i, std::size_t) {
      std::vector<float> logits_p;
      std::vector<float> logits_q;
      for (std::size_t begin = range.begin; begin < range.end; begin += kHeadRows) {
        const std::size_t rows = std::min(kHeadRows, range.end - begin);
        const std::size_t first = i * (range.end - range.begin) + begin - range.begin;
        run_head(original_, *head, wave[i], begin, rows, logits_p);
        for (std::size_t model = 0; model < walkers_.size(); ++model) {
          stop_if_asked();
          const Walker& walker = walkers_[model]->states.empty() ? original_ : *walkers_[model];
          run_head(walker, own_heads[model] ? *own_heads[model] : *head, wave[i], begin, rows, logits_q);
          score_rows(logits_p, logits_q, std::span(samples_.samples[wave[i]]).subspan(begin + 1, rows),
                     std::span(scores[model]).subspan(first, rows));
        }
      }
    });
    return scores;
  }

  static void run_head(const Walker& walker, const LayerWeights& head, std::uint64_t sample,
                       std::size_t first, std::size_t rows, std::vector<float>& logits) {
    const ModelSpec& spec = walker.source.spec();
    logits.resize(rows * spec.vocab_size);
    const std::span<const float> states = walker.states.at(sample);
    walker.pass->run_head(head, states.subspan(first * spec.hidden_size, rows * spec.hidden_size), logits);
  }

  static void score_rows(std::span<const float> logits_p, std::span<const float> logits_q,
                         std::span<const TokenId> next, std::span<PositionScore> scores) {
    const std::size_t vocab = logits_p.size() / next.size();
    for (std::size_t row = 0; row < next.size(); ++row) {
      scores[row] = score_position(logits_p.subspan(row * vocab, vocab), logits_q.subspan(row * vocab, vocab),
                                   next[row]);
    }
  }

  const StageContext& context_;
  const SampleSet& samples_;
  Walker original_;
  std::span<const Candidate> candidates_;
  std::vector<std::unique_ptr<Walker>> walkers_;  ///< of the candidates
};

WaveDemand measure_demand(const StageContext& context, const ModelSource& original, std::uint64_t ctx) {
  const ModelSpec& spec = original.spec();
  std::map<std::int32_t, std::uint64_t> layer_bytes;
  for (const ModelTensor& tensor : original.tensors()) {
    if (tensor.layer >= 0) layer_bytes[tensor.layer] += tensor.elements() * 4;
  }
  WaveDemand demand;
  demand.program = kProgramBytes;
  for (const auto& [index, bytes] : layer_bytes) demand.layer = std::max(demand.layer, bytes);
  demand.head = std::uint64_t{spec.vocab_size} * spec.hidden_size * 4;
  demand.thread =
      2 * kHeadRows * std::uint64_t{spec.vocab_size} * 4 + make_forward_pass(spec)->scratch_bytes(ctx);
  demand.state = ctx * spec.hidden_size * 4;
  demand.threads = context.threads;
  return demand;
}

/// One vector of scores a candidate over the samples in `mine`, in that order. Local.
std::vector<Scores> evaluate_mine(const StageContext& context, const SampleSet& samples,
                                  const ModelSource& original, std::span<const Candidate> candidates,
                                  const std::vector<std::uint64_t>& mine,
                                  const std::function<void(double)>& progress) {
  WaveDemand demand = measure_demand(context, original, samples.ctx);
  demand.own_heads = static_cast<std::uint64_t>(std::count_if(
      candidates.begin(), candidates.end(), [](const Candidate& one) { return one.differs_in_head(); }));
  const WavePlan plan = plan_waves(demand, candidates.size(), context.memory_limit_bytes);
  if (plan.candidates == 0) require_memory(context, wave_bytes(demand, 1), "the quality plan");
  if (plan.candidates < candidates.size()) {
    context.log.status(
        fmt::format("Note: memory holds {} of {} candidates at once; the original runs again "
                    "for the others",
                    plan.candidates, candidates.size()));
  }
  std::vector<Scores> scores(candidates.size());
  const double all = static_cast<double>(candidates.size() * mine.size());
  for (std::size_t first = 0; first < candidates.size(); first += plan.candidates) {
    const auto group = candidates.subspan(first, std::min(plan.candidates, candidates.size() - first));
    WaveEvaluator evaluator(context, samples, original, group);
    for (std::size_t begin = 0; begin < mine.size(); begin += plan.samples) {
      const std::size_t end = std::min(mine.size(), begin + plan.samples);
      const std::vector<std::uint64_t> wave(mine.begin() + static_cast<std::ptrdiff_t>(begin),
                                            mine.begin() + static_cast<std::ptrdiff_t>(end));
      const auto part = evaluator.run(wave, [&](double fraction) {
        const double samples_done = static_cast<double>(begin) + fraction * static_cast<double>(end - begin);
        const double whole =
            (static_cast<double>(first * mine.size()) + static_cast<double>(group.size()) * samples_done) /
            all;
        progress(whole);
      });
      for (std::size_t i = 0; i < part.size(); ++i)
        scores[first + i].insert(scores[first + i].end(), part[i].begin(), part[i].end());
    }
  }
  return scores;
}

/// Collective: every rank's scores of one candidate, in sample order, on rank 0.
Scores gather_in_order(const Communicator& comm, const SampleSet& samples, const Scores& mine) {
  const auto gathered = comm.gather(std::span<const PositionScore>(mine), "collect scores");
  Scores ordered;
  if (!comm.is_root()) return ordered;
  const auto ranks = static_cast<std::uint32_t>(comm.size());
  const ScoredRange range = scored_range(samples.ctx);
  const std::size_t per_sample = range.end - range.begin;
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

}  // namespace

std::uint64_t wave_bytes(const WaveDemand& demand, std::size_t candidates) noexcept {
  // Loading a layer or a head holds one tensor twice for a moment.
  const std::uint64_t heads = std::min<std::uint64_t>(candidates, demand.own_heads) + 2;
  return demand.program + std::max(2 * demand.layer, heads * demand.head) +
         demand.threads * (demand.thread + (candidates + 1) * demand.state);
}

WavePlan plan_waves(const WaveDemand& demand, std::size_t candidates, std::uint64_t limit_bytes) noexcept {
  while (candidates > 0 && wave_bytes(demand, candidates) > limit_bytes) --candidates;
  if (candidates == 0) return {};
  const std::uint64_t per_sample = (candidates + 1) * demand.state;
  const std::uint64_t rest = limit_bytes - wave_bytes(demand, candidates);
  return {candidates, static_cast<std::size_t>(demand.threads + rest / per_sample)};
}

std::vector<Scores> evaluate_candidates(const StageContext& context, const SampleSet& samples,
                                        const ModelSource& original, std::span<const Candidate> candidates,
                                        const std::function<void(double)>& progress) {
  const std::vector<std::uint64_t> mine =
      samples_of_group(static_cast<std::uint32_t>(context.comm.rank()),
                       static_cast<std::uint32_t>(context.comm.size()), samples.samples.size());
  std::optional<ProgressBar> bar;
  if (!progress) bar.emplace(context.log, "Evaluating", samples.samples.size(), "chunks");
  const auto show = [&](double whole) {
    if (progress) return progress(whole);
    bar->update(static_cast<std::uint64_t>(whole * static_cast<double>(samples.samples.size())), whole);
  };
  std::vector<Scores> scores;
  context.comm.together("evaluate",
                        [&] { scores = evaluate_mine(context, samples, original, candidates, mine, show); });
  if (bar) bar->finish();
  for (Scores& one : scores) one = gather_in_order(context.comm, samples, one);
  return scores;
}

}  // namespace llmq
