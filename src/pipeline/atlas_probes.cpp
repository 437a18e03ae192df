#include "pipeline/atlas_probes.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <set>

#include <fmt/format.h>

#include "llmq/allocate/candidates.hpp"
#include "llmq/core/error.hpp"
#include "llmq/model/requantized_source.hpp"
#include "llmq/quality/scores.hpp"

#include "pipeline/quality_evaluate.hpp"
#include "pipeline/result_journal.hpp"

namespace llmq {
namespace {

constexpr std::uint32_t kFewLayers = 8;
constexpr const char* kJournal = "probes";

/// What a change of this tensor reaches.
ModelDifference difference_of(const ModelSource& source, const ModelTensor& tensor) {
  ModelDifference difference;
  if (tensor.layer >= 0) difference.layers.insert(static_cast<std::uint32_t>(tensor.layer));
  const bool embedding = tensor.name == "token_embd.weight";
  difference.embedding = embedding;
  difference.head = tensor.name == "output.weight" || (embedding && source.find("output.weight") == nullptr);
  return difference;
}

/// Probes that are measured together, because they share what comes before them: those of one layer.
struct Batch {
  std::vector<std::size_t> probes;
};

class ProbeRun {
 public:
  ProbeRun(const StageContext& context, const ModelSource& source, std::span<const AtlasTask> tasks,
           const SampleSet& samples, const JobDirectory& job)
      : context_(context),
        source_(source),
        tasks_(tasks),
        samples_(samples),
        job_(job),
        probes_(plan_probes(tasks, source.spec().n_layers)) {
    std::map<std::int32_t, Batch> by_layer;
    for (std::size_t i = 0; i < probes_.size(); ++i)
      by_layer[tasks[probes_[i].task].tensor->layer].probes.push_back(i);
    for (auto& [layer, batch] : by_layer) batches_.push_back(std::move(batch));
  }

  void run(Atlas& atlas) {
    std::vector<double> results(2 * probes_.size(), -1.0);  // divergence and its error; negative: not yet
    take_up(results);
    measure(results);
    if (!context_.comm.is_root()) return;
    for (const AtlasTask& task : tasks_) atlas.tensors.at(task.tensor->name).probes.clear();
    for (std::size_t i = 0; i < probes_.size(); ++i) {
      AtlasTensor& tensor = atlas.tensors.at(tasks_[probes_[i].task].tensor->name);
      tensor.probes.push_back({probes_[i].type, results[2 * i], results[2 * i + 1]});
      std::sort(tensor.probes.begin(), tensor.probes.end(),
                [](const AtlasProbe& a, const AtlasProbe& b) { return a.type < b.type; });
    }
  }

 private:
  void take_up(std::vector<double>& results) const {
    context_.comm.together("look for finished probes", [&] {
      if (!context_.comm.is_root() || !job_.enabled() || !job_.resuming()) return;
      for (const auto& [probe, figures] : ResultJournal::read_all(job_.path(), kJournal)) {
        if (probe < probes_.size() && figures.size() == 2)
          std::copy(figures.begin(), figures.end(), results.begin() + static_cast<std::ptrdiff_t>(2 * probe));
      }
    });
    context_.comm.broadcast(std::span(results), 0, "share finished probes");
  }

  void measure(std::vector<double>& results) const {
    // More ranks than samples: groups of ranks, each with some of the batches.
    const auto ranks = static_cast<std::size_t>(context_.comm.size());
    const std::size_t groups = std::clamp<std::size_t>(ranks / samples_.samples.size(), 1, batches_.size());
    const auto group = static_cast<std::size_t>(context_.comm.rank()) % groups;
    const Communicator mine = context_.comm.split(static_cast<int>(group), context_.comm.rank());
    StageContext context{mine, context_.log, context_.threads, context_.memory_limit_bytes};
    std::unique_ptr<ResultJournal> journal;
    context_.comm.together("open the journal", [&] {
      journal =
          std::make_unique<ResultJournal>(mine.is_root() ? job_.place_of(context_.comm.rank()) : std::nullopt,
                                          kJournal, context_.comm.rank());
    });
    std::vector<std::uint64_t> found(results.size(), 0);  // bits of what this rank is first to know
    ProgressBar bar(context_.log, "Measuring single changes", probes_.size(), "changes");
    context_.comm.together("measure single changes", [&] {
      for (std::size_t b = group; b < batches_.size(); b += groups) {
        measure_batch(context, batches_[b], results, *journal, found, [&](double part) {
          const double whole = (static_cast<double>(b) + part * static_cast<double>(groups)) /
                               static_cast<double>(batches_.size());
          bar.update(static_cast<std::uint64_t>(std::min(1.0, whole) * static_cast<double>(probes_.size())),
                     std::min(1.0, whole));
        });
      }
    });
    bar.finish();
    context_.comm.all_reduce(std::span(found), comm::ReduceOp::sum, "share probes");
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i] < 0) results[i] = std::bit_cast<double>(found[i]);
    }
  }

  void measure_batch(const StageContext& context, const Batch& batch, const std::vector<double>& known,
                     ResultJournal& journal, std::vector<std::uint64_t>& found,
                     const std::function<void(double)>& progress) const {
    std::vector<std::size_t> todo;
    for (const std::size_t probe : batch.probes) {
      if (known[2 * probe] < 0) todo.push_back(probe);
    }
    if (todo.empty()) return;
    std::vector<std::unique_ptr<RequantizedSource>> changed;
    std::vector<Candidate> candidates;
    for (const std::size_t probe : todo) {
      const AtlasTask& task = tasks_[probes_[probe].task];
      const auto* importance = task.importance == nullptr ? nullptr : &task.importance->columns;
      changed.push_back(std::make_unique<RequantizedSource>(
          source_,
          std::map<std::string, Requantization>{
              {task.tensor->name, {probes_[probe].type, importance, task.protected_weights}}},
          context.threads));
      candidates.push_back(
          {changed.back().get(), difference_of(source_, *task.tensor),
           fmt::format("the model with {} as {}", task.tensor->name, type_name(probes_[probe].type))});
    }
    const auto scores = evaluate_candidates(context, samples_, source_, candidates, {progress, {}, nullptr});
    context.comm.together("sum up probes", [&] {
      if (!context.comm.is_root()) return;
      for (std::size_t i = 0; i < todo.size(); ++i) {
        const MeanError kld = scores.candidates[i].summary.metrics().kld;
        const double figures[2] = {std::max(0.0, kld.mean), kld.error};
        journal.record(todo[i], figures);
        for (std::size_t k = 0; k < 2; ++k) found[2 * todo[i] + k] = std::bit_cast<std::uint64_t>(figures[k]);
      }
    });
  }

  const StageContext& context_;
  const ModelSource& source_;
  std::span<const AtlasTask> tasks_;
  const SampleSet& samples_;
  const JobDirectory& job_;
  std::vector<Probe> probes_;
  std::vector<Batch> batches_;
};

}  // namespace

ProbeDepth probe_depth(std::uint32_t n_layers) {
  if (n_layers <= kFewLayers) return {n_layers, {2.0, 3.0, 4.5}, 4096};
  return {5, {2.0, 4.5}, 2048};
}

std::vector<std::uint32_t> probed_layers(std::uint32_t n_layers) {
  const std::uint32_t count = probe_depth(n_layers).layers;
  std::vector<std::uint32_t> layers;
  for (std::uint32_t i = 0; i < count; ++i)
    layers.push_back(count == 1 ? 0 : i * (n_layers - 1) / (count - 1));
  return layers;
}

std::vector<Probe> plan_probes(std::span<const AtlasTask> tasks, std::uint32_t n_layers) {
  const std::vector<std::uint32_t> layers = probed_layers(n_layers);
  const std::vector<double> wanted_bits = probe_depth(n_layers).bits;
  std::vector<Probe> probes;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const std::int32_t layer = tasks[i].tensor->layer;
    if (layer >= 0 && !std::binary_search(layers.begin(), layers.end(), static_cast<std::uint32_t>(layer)))
      continue;
    // Of the usual candidates only, so that a pinned type changes no probe.
    const std::vector<GgmlType> usual =
        candidate_types(tasks[i].tensor->row_elems(), tasks[i].tensor->stored_type);
    std::vector<GgmlType> among;
    std::set_intersection(usual.begin(), usual.end(), tasks[i].types.begin(), tasks[i].types.end(),
                          std::back_inserter(among));
    if (among.empty()) continue;
    std::set<GgmlType> types;
    for (const double bits : wanted_bits) {
      const auto distance = [&](GgmlType type) { return std::fabs(bits_per_weight(type) - bits); };
      types.insert(*std::min_element(among.begin(), among.end(),
                                     [&](GgmlType a, GgmlType b) { return distance(a) < distance(b); }));
    }
    for (const GgmlType type : types) probes.push_back({i, type});
  }
  return probes;
}

SampleSet choose_probe_samples(const SampleSet& samples, std::uint32_t n_layers) {
  SampleSet chosen = samples;
  const std::uint64_t all = samples.samples.size();
  const std::uint64_t count = std::clamp<std::uint64_t>(probe_depth(n_layers).tokens / samples.ctx, 1, all);
  chosen.samples.clear();
  for (std::uint64_t i = 0; i < count; ++i)
    chosen.samples.push_back(samples.samples[(2 * i + 1) * all / (2 * count)]);
  return chosen;
}

void measure_probes(const StageContext& context, const ModelSource& source, std::span<const AtlasTask> tasks,
                    const SampleSet& samples, const JobDirectory& job, Atlas& atlas) {
  if (tasks.empty()) return;
  ProbeRun(context, source, tasks, samples, job).run(atlas);
}

}  // namespace llmq
