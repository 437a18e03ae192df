#include "pipeline/dynamic_compression.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include <fmt/format.h>

#include "llmq/core/text.hpp"
#include "llmq/model/requantized_source.hpp"

#include "pipeline/quality_evaluate.hpp"

namespace llmq {
namespace {

constexpr std::size_t kSizesAtOnce = 4;
constexpr int kRounds = 3;  // in the last one sizes are some 3 % apart

/// One size that was tried.
struct Trial {
  Choices choices;
  std::uint64_t bytes = 0;
  double perplexity_pct = 0;  ///< above the original's
};

std::map<std::string, Requantization> requantizations(const std::vector<DynamicTensor>& tensors,
                                                      std::span<const AtlasTask> tasks,
                                                      const Choices& choices) {
  std::map<std::string, Requantization> changes;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    changes[tensors[i].tensor->name] = {
        tensors[i].allowed[choices[i]],
        tasks[i].importance == nullptr ? nullptr : &tasks[i].importance->columns, tasks[i].protected_weights};
  }
  return changes;
}

std::uint64_t bytes_of_choices(const std::vector<DynamicTensor>& tensors, const Choices& choices) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    bytes += tensors[i].tensor->bytes_as(tensors[i].allowed[choices[i]]);
  }
  return bytes;
}

class CompressionSearch {
 public:
  CompressionSearch(const StageContext& context, const ModelSource& source,
                    const std::vector<DynamicTensor>& tensors, std::span<const AtlasTask> tasks,
                    const SampleSet& samples, double threshold_pct)
      : context_(context),
        source_(source),
        tensors_(tensors),
        tasks_(tasks),
        samples_(samples),
        threshold_pct_(threshold_pct) {}

  CompressionChoice run(std::uint64_t least, std::uint64_t most,
                        const std::function<Choices(std::uint64_t)>& allocate_within) {
    for (int round = 0; round < kRounds; ++round) {
      std::vector<Choices> sizes;
      for (std::size_t i = 0; i < kSizesAtOnce; ++i) {
        // Equal ratios. The first round holds both ends, the others lie between two sizes that were tried.
        const double part = round == 0 ? static_cast<double>(i) / (kSizesAtOnce - 1)
                                       : static_cast<double>(i + 1) / (kSizesAtOnce + 1);
        const double ratio =
            static_cast<double>(most) / static_cast<double>(std::max<std::uint64_t>(1, least));
        const auto between = static_cast<std::uint64_t>(static_cast<double>(least) * std::pow(ratio, part));
        const std::uint64_t bytes = std::clamp(between, least, most);
        Choices choices(tensors_.size(), 0);
        context_.comm.together("allocate", [&] {
          if (context_.comm.is_root()) choices = allocate_within(bytes);
        });
        context_.comm.broadcast(std::span(choices), 0, "share choices");
        const auto same = [&](const Trial& trial) { return trial.choices == choices; };
        if (std::none_of(trials_.begin(), trials_.end(), same) &&
            std::find(sizes.begin(), sizes.end(), choices) == sizes.end())
          sizes.push_back(std::move(choices));
      }
      try_sizes(sizes);
      const std::size_t best = smallest_coherent();
      if (best == 0 || !coherent(trials_[best])) break;
      least = trials_[best - 1].bytes;
      most = trials_[best].bytes;
    }
    return tell();
  }

 private:
  bool coherent(const Trial& trial) const { return trial.perplexity_pct <= threshold_pct_; }

  /// Index into the trials, which ascend by size; the last where none is coherent. All above it are coherent,
  /// too: a lucky small one does not count.
  std::size_t smallest_coherent() const {
    std::size_t best = trials_.size() - 1;
    while (best > 0 && coherent(trials_[best]) && coherent(trials_[best - 1])) --best;
    return best;
  }

  void try_sizes(const std::vector<Choices>& sizes) {
    if (sizes.empty()) return;
    std::vector<std::unique_ptr<RequantizedSource>> models;
    std::vector<Candidate> candidates;
    for (const Choices& choices : sizes) {
      models.push_back(std::make_unique<RequantizedSource>(
          source_, requantizations(tensors_, tasks_, choices), context_.threads));
      candidates.push_back({models.back().get(), std::nullopt});
    }
    const auto scores = evaluate_candidates(context_, samples_, source_, candidates);
    std::vector<double> increases(sizes.size(), 0);
    if (context_.comm.is_root()) {
      for (std::size_t i = 0; i < sizes.size(); ++i)
        increases[i] = scores.candidates[i].summary.metrics().perplexity_delta_pct;
    }
    context_.comm.broadcast(std::span(increases), 0, "share perplexities");
    for (std::size_t i = 0; i < sizes.size(); ++i)
      trials_.push_back({sizes[i], bytes_of_choices(tensors_, sizes[i]), increases[i]});
    std::sort(trials_.begin(), trials_.end(),
              [](const Trial& a, const Trial& b) { return a.bytes < b.bytes; });
  }

  CompressionChoice tell() const {
    const std::size_t best = smallest_coherent();
    std::uint64_t weights = 0;
    for (const DynamicTensor& tensor : tensors_) weights += tensor.tensor->elements();
    CompressionChoice choice{trials_[best].choices, {}};
    for (std::size_t i = 0; i < trials_.size(); ++i) {
      choice.decision.push_back(
          fmt::format("{:.3f} bits a weight: perplexity {:+.1f} % on calibration text{}",
                      8.0 * static_cast<double>(trials_[i].bytes) / static_cast<double>(weights),
                      trials_[i].perplexity_pct,
                      i != best              ? ""
                      : coherent(trials_[i]) ? fmt::format(" <- the smallest within {:g} %", threshold_pct_)
                                             : fmt::format(" <- none is within {:g} %", threshold_pct_)));
    }
    return choice;
  }

  const StageContext& context_;
  const ModelSource& source_;
  const std::vector<DynamicTensor>& tensors_;
  std::span<const AtlasTask> tasks_;
  const SampleSet& samples_;
  double threshold_pct_;
  std::vector<Trial> trials_;  ///< ascending by bytes
};

}  // namespace

CompressionChoice compress_most(const StageContext& context, const ModelSource& source,
                                const std::vector<DynamicTensor>& tensors, std::span<const AtlasTask> tasks,
                                const SampleSet& samples, double threshold_pct, std::uint64_t least_bytes,
                                std::uint64_t most_bytes,
                                const std::function<Choices(std::uint64_t)>& allocate_within) {
  return CompressionSearch(context, source, tensors, tasks, samples, threshold_pct)
      .run(least_bytes, most_bytes, allocate_within);
}

}  // namespace llmq
