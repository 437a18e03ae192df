// Samples are dealt round robin over the ranks; each rank walks all models layer by layer over its own and
// gathers their scores in sums that do not depend on who added what. SPDX-License-Identifier: Apache-2.0
#include "pipeline/quality_evaluate.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

#include "pipeline/analyze_grid.hpp"
#include "pipeline/wave_evaluator.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kProgramBytes = std::uint64_t{256} << 20;

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

/// What a rank has found over its samples.
struct Findings {
  std::vector<CandidateScores> candidates;
  PassCost cost;
};

/// Over the samples in `mine`. Local.
Findings evaluate_mine(const StageContext& context, const SampleSet& samples, const ModelSource& original,
                       std::span<const Candidate> candidates, const std::vector<std::uint64_t>& mine,
                       const EvaluationExtras& extras, const std::function<void(double)>& progress) {
  WaveDemand demand = measure_demand(context, original, samples.ctx);
  if (extras.statistics != nullptr) {
    demand.program += (original.spec().n_layers + context.threads) *
                      LayerStatistics::bytes(original.spec(), ImportanceMethod::activation);
  }
  demand.own_heads = static_cast<std::uint64_t>(std::count_if(
      candidates.begin(), candidates.end(), [](const Candidate& one) { return one.differs_in_head(); }));
  const WavePlan plan = plan_waves(demand, candidates.size(), context.memory_limit_bytes);
  if (plan.candidates == 0) require_memory(context, wave_bytes(demand, 1), "the quality plan");
  if (plan.candidates < candidates.size()) {
    context.log.status(fmt::format(
        "Note: memory holds {} of {} candidates at once; the original {} for the others", plan.candidates,
        candidates.size(), extras.base != nullptr ? "is read from its base" : "runs again"));
  }
  Findings found;
  const double all = static_cast<double>(candidates.size() * mine.size());
  for (std::size_t first = 0; first < candidates.size(); first += plan.candidates) {
    const auto group = candidates.subspan(first, std::min(plan.candidates, candidates.size() - first));
    WaveEvaluator evaluator(context, samples, original, group, extras.sentence_ends,
                            first == 0 ? extras.statistics : nullptr, extras.base);
    for (std::size_t begin = 0; begin < mine.size(); begin += plan.samples) {
      const std::size_t end = std::min(mine.size(), begin + plan.samples);
      const std::vector<std::uint64_t> wave(mine.begin() + static_cast<std::ptrdiff_t>(begin),
                                            mine.begin() + static_cast<std::ptrdiff_t>(end));
      evaluator.run(wave, [&](double fraction) {
        const double samples_done = static_cast<double>(begin) + fraction * static_cast<double>(end - begin);
        const double whole =
            (static_cast<double>(first * mine.size()) + static_cast<double>(group.size()) * samples_done) /
            all;
        progress(whole);
      });
    }
    found.cost.original_nanoseconds += evaluator.cost().original_nanoseconds;
    found.cost.candidate_nanoseconds += evaluator.cost().candidate_nanoseconds;
    for (CandidateScores& scores : evaluator.scores()) found.candidates.push_back(std::move(scores));
  }
  return found;
}

/// Collective: joins what all ranks found of one candidate, on rank 0.
CandidateScores join_ranks(const Communicator& comm, const CandidateScores& mine) {
  const std::vector<std::uint64_t> words = mine.summary.words();
  const auto summaries = comm.gather(std::span<const std::uint64_t>(words), "collect scores");
  const auto sentences = comm.gather(mine.worst.sentences(), "collect sentences");
  CandidateScores joined;
  for (const std::vector<std::uint64_t>& part : summaries)
    joined.summary.merge(ScoreSummary::from_words(part));
  for (const std::vector<Sentence>& part : sentences) {
    for (const Sentence& sentence : part) joined.worst.add(sentence);
  }
  return joined;
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

EvaluationScores evaluate_candidates(const StageContext& context, const SampleSet& samples,
                                     const ModelSource& original, std::span<const Candidate> candidates,
                                     const EvaluationExtras& extras) {
  const std::vector<std::uint64_t> mine =
      samples_of_group(static_cast<std::uint32_t>(context.comm.rank()),
                       static_cast<std::uint32_t>(context.comm.size()), samples.samples.size());
  std::optional<ProgressBar> bar;
  if (!extras.progress) bar.emplace(context.log, "Evaluating", samples.samples.size(), "chunks");
  const auto show = [&](double whole) {
    if (extras.progress) return extras.progress(whole);
    bar->update(static_cast<std::uint64_t>(whole * static_cast<double>(samples.samples.size())), whole);
  };
  if (extras.statistics != nullptr) {
    // Made here, so that ranks without samples have them for the reduction.
    extras.statistics->assign(original.spec().n_layers,
                              LayerStatistics(original.spec(), ImportanceMethod::activation));
  }
  Findings found;
  found.candidates.resize(candidates.size());
  context.comm.together("evaluate", [&] {
    if (!mine.empty()) found = evaluate_mine(context, samples, original, candidates, mine, extras, show);
  });
  if (bar) bar->finish();
  EvaluationScores scores;
  for (const CandidateScores& one : found.candidates)
    scores.candidates.push_back(join_ranks(context.comm, one));
  std::array cost = {found.cost.original_nanoseconds, found.cost.candidate_nanoseconds};
  context.comm.reduce_to_root(std::span<std::int64_t>(cost), comm::ReduceOp::sum,
                              "add up the cost of the passes");
  scores.cost = {cost[0], cost[1]};
  if (extras.statistics == nullptr) return scores;
  for (std::uint32_t layer = 0; layer < original.spec().n_layers; ++layer)
    (*extras.statistics)[layer].reduce_to_root(context.comm, layer);
  return scores;
}

}  // namespace llmq
