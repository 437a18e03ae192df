#include "pipeline/dynamic.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/pipeline/profile.hpp"
#include "llmq/pipeline/samples.hpp"

#include "pipeline/atlas_probes.hpp"
#include "pipeline/atlas_stage.hpp"
#include "pipeline/dynamic_compression.hpp"
#include "pipeline/dynamic_layers.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kProbeCtx = 512;

/// Samples of the calibration text, spread over it, that single changes and whole mixes are judged by.
SampleSet probe_samples(const StageContext& context, const ModelSource& source,
                        const QuantizeOptions& options) {
  return choose_probe_samples(calibration_samples(context, source, options, kProbeCtx),
                              source.spec().n_layers);
}

/// A preset is for every model: what it asks for beyond the possible is let go. True if there was need.
bool relax_preset(const DynamicRequest& request, AllocationProblem& problem, const DynamicBudget& budget) {
  return request.is_preset && relax(problem, budget.option.starts_with("--"));
}

/// Sizes alone tell what is impossible, before anything is measured.
void require_possible(const DynamicRequest& request, const std::vector<DynamicTensor>& tensors,
                      const DynamicBudget& budget, std::uint64_t fixed_bytes) {
  AllocationProblem problem = make_problem(tensors, nullptr, request.fit, budget);
  relax_preset(request, problem, budget);
  require_feasible(problem, tensors, request.fit, budget, fixed_bytes);
}

/// The choice itself; lives on rank 0, where the error table is.
class Chooser {
 public:
  Chooser(const ModelSource& source, const DynamicRequest& request, const std::vector<DynamicTensor>& tensors,
          const Atlas& atlas, const DynamicBudget& budget)
      : losses_(atlas) {
    problem_ = make_problem(tensors, &losses_, request.fit, budget);
    relaxed_ = relax_preset(request, problem_, budget);
    for (const FileLevel& level : file_levels()) {
      if (!level.available) continue;
      if (auto choices = stock_choices(level, source, request.changes.types, tensors)) {
        starts_.push_back(std::move(*choices));
        levels_.push_back(&level);
      }
    }
  }

  const AllocationProblem& problem() const noexcept { return problem_; }
  /// True if a preset asks for less than this model's rows allow and got the least possible instead.
  bool relaxed() const noexcept { return relaxed_; }
  bool measured() const noexcept { return losses_.measured(); }

  Allocation within(std::uint64_t bytes) const {
    AllocationProblem problem = problem_;
    // Never below what is possible: a preset's target may have been relaxed.
    problem.max_bytes = std::min(problem.max_bytes, std::max(bytes, bytes_of(problem_, smallest(problem_))));
    return allocate(problem, starts_);
  }

  std::uint64_t largest_bytes() const { return allocate(problem_).bytes; }

  /// The best level whose own mix has at most so many bytes.
  std::optional<StockMix> best_stock(std::uint64_t bytes) const {
    std::optional<StockMix> best;
    for (std::size_t i = 0; i < starts_.size(); ++i) {
      if (!fits(problem_, starts_[i]) || bytes_of(problem_, starts_[i]) > bytes) continue;
      const double loss = loss_of(problem_, starts_[i]);
      if (!best || loss < best->predicted_kld)
        best = StockMix{std::string(levels_[i]->name), bytes_of(problem_, starts_[i]), loss};
    }
    return best;
  }

 private:
  LossModel losses_;
  AllocationProblem problem_;
  bool relaxed_ = false;
  std::vector<Choices> starts_;
  std::vector<const FileLevel*> levels_;
};

std::string protection_hash(const Protection* protection) {
  if (protection == nullptr) return "none";
  Sha256 hash;
  for (const auto& [name, weights] : protection->weights)
    hash.field(name).update(std::as_bytes(std::span(weights)));
  return "sha256:" + hash.hex();
}

const std::vector<std::uint64_t>* protected_weights(const Protection* protection, const std::string& tensor) {
  if (protection == nullptr) return nullptr;
  const auto found = protection->weights.find(tensor);
  return found == protection->weights.end() ? nullptr : &found->second;
}

AtlasRequest atlas_request(const DynamicRequest& request, const RunImatrix& imatrix,
                           const Protection* protection, const ImportanceMap& importance,
                           const std::vector<DynamicTensor>& tensors, const std::string& fingerprint) {
  AtlasRequest wanted;
  wanted.key = {"sha256:" + fingerprint, "sha256:" + imatrix.imatrix.content_hash(),
                protection_hash(protection), LLMQ_VERSION, request.options.dynamic->atlas_rows};
  for (const DynamicTensor& tensor : tensors) {
    const auto known = importance.find(tensor.tensor->name);
    wanted.tasks.push_back({tensor.tensor, known == importance.end() ? nullptr : &known->second,
                            protected_weights(protection, tensor.tensor->name), tensor.measured});
  }
  wanted.path = atlas_path(imatrix.path, protection != nullptr);
  wanted.read_only = request.options.dry_run;
  wanted.checkpoints = request.checkpoints;
  if (request.options.assembly == Assembly::gather) wanted.directory_use = DirectoryUse::root_only;
  return wanted;
}

/// Rank 0's numbers to every rank.
void share(const Communicator& comm, Choices& choices, DynamicResult& result) {
  comm.broadcast(std::span(choices), 0, "share choices");
  double numbers[2] = {result.predicted_kld, result.bound_kld};
  comm.broadcast(std::span<double>(numbers), 0, "share choices");
  result.predicted_kld = numbers[0];
  result.bound_kld = numbers[1];
}

void report_choice(Log& log, const std::vector<std::string>& kinds, const DynamicResult& result) {
  std::string assignments = "Layer assignments:";
  for (const std::string& line : kinds) assignments += "\n" + line;
  log.status(assignments);
  for (const std::string& line : result.decision) log.status("  " + line);
  if (!result.measured) return;
  log.status(fmt::format("Predicted KL divergence: {:.4g}{}", result.predicted_kld,
                         result.stock ? fmt::format(" ({} of at most this size: {:.4g})", result.stock->level,
                                                    result.stock->predicted_kld)
                                      : ""));
}

/// From tensors and limits to one type a tensor, a step a function.
class DynamicRun {
 public:
  DynamicRun(const StageContext& context, const ModelSource& source, const DynamicRequest& request,
             const RunImatrix& imatrix, const Protection* protection)
      : context_(context),
        source_(source),
        request_(request),
        imatrix_(imatrix),
        protection_(protection),
        smallest_coherent_(request.profile.strategy == ProfileStrategy::compression_max) {}

  DynamicChoice run(const std::string& fingerprint,
                    const std::function<std::uint64_t(const PlanRecipe&)>& fixed_bytes) {
    plan(fingerprint, fixed_bytes);
    const AtlasStage stage = prepare_atlas(context_, source_, wanted_);
    decide(stage.atlas);
    return finish(stage);
  }

 private:
  void plan(const std::string& fingerprint,
            const std::function<std::uint64_t(const PlanRecipe&)>& fixed_bytes) {
    context_.comm.together("plan", [&] {
      importance_ = importance_map(imatrix_.imatrix, source_);
      tensors_ = dynamic_tensors(source_, request_.changes.types, request_.fit, importance_);
    });
    if (protection_ != nullptr) keep_types_that_hold(context_, source_, importance_, *protection_, tensors_);
    context_.comm.together("plan", [&] {
      wanted_ = atlas_request(request_, imatrix_, protection_, importance_, tensors_, fingerprint);
      wanted_.samples = probe_samples(context_, source_, request_.options);
      // Which of two targets is tighter depends on the head's size, and what the target is called stands in
      // the head: one more look, and the larger head counts.
      std::uint64_t fixed = 0;
      budget_ = dynamic_budget(*request_.options.dynamic, request_.profile, source_, tensors_, fixed);
      for (int look = 0; look < 2; ++look) {
        fixed = std::max(fixed, fixed_bytes(recipe(Choices(tensors_.size(), 0))));
        budget_ = dynamic_budget(*request_.options.dynamic, request_.profile, source_, tensors_, fixed);
      }
      require_possible(request_, tensors_, budget_, fixed);
    });
    smallest_coherent_ = smallest_coherent_ && budget_.option.empty();
    context_.log.status(
        fmt::format("Applying profile: {} (target: {})", request_.profile.id, budget_.target));
    for (const std::string& note : request_.fit.notes) context_.log.detail(note);
  }

  /// The choice, and what is predicted of it, on every rank; the best level and times on rank 0.
  void decide(const Atlas& atlas) {
    const auto start = Clock::now();
    choices_.assign(tensors_.size(), 0);
    Allocation allocation;
    std::unique_ptr<Chooser> chooser;
    std::uint64_t ends[2] = {0, 0};
    context_.comm.together("allocate", [&] {
      if (!context_.comm.is_root()) return;
      chooser = std::make_unique<Chooser>(source_, request_, tensors_, atlas, budget_);
      if (chooser->relaxed()) {
        context_.log.warn(
            fmt::format("{} asks for fewer bits than the row lengths of this model allow: the least "
                        "possible is used in its place",
                        request_.profile.id));
      }
      ends[0] = bytes_of(chooser->problem(), smallest(chooser->problem()));
      if (smallest_coherent_) ends[1] = chooser->largest_bytes();
      if (!smallest_coherent_) allocation = chooser->within(budget_.max_bytes), choices_ = allocation.choices;
    });
    if (smallest_coherent_) {
      context_.comm.broadcast(std::span<std::uint64_t>(ends), 0, "share limits");
      CompressionChoice found =
          compress_most(context_, source_, tensors_, wanted_.tasks, *wanted_.samples,
                        request_.options.dynamic->quality_threshold_pct, ends[0], ends[1],
                        [&](std::uint64_t bytes) { return chooser->within(bytes).choices; });
      choices_ = std::move(found.choices);
      result_.decision = std::move(found.decision);
    }
    context_.comm.together("allocate", [&] {
      if (!context_.comm.is_root()) return;
      const std::uint64_t bytes = bytes_of(chooser->problem(), choices_);
      const std::uint64_t limit = smallest_coherent_ ? bytes : std::max(bytes, budget_.max_bytes);
      result_.predicted_kld = loss_of(chooser->problem(), choices_);
      result_.bound_kld = smallest_coherent_ ? chooser->within(limit).bound : allocation.bound;
      result_.stock = chooser->best_stock(limit);
      result_.measured = chooser->measured();
      result_.allocation_seconds = std::chrono::duration<double>(Clock::now() - start).count();
    });
    share(context_.comm, choices_, result_);
  }

  DynamicChoice finish(const AtlasStage& stage) {
    result_.profile = request_.profile.id;
    result_.target = budget_.target;
    result_.imatrix = imatrix_.path;
    result_.imatrix_reused = imatrix_.reused;
    result_.atlas = wanted_.path;
    result_.errors_reused = stage.errors_reused;
    result_.probes_reused = stage.probes_reused;
    result_.error_table_seconds = stage.error_seconds;
    result_.probe_seconds = stage.probe_seconds;
    result_.layers = summarize_layers(tensors_, choices_, protection_);
    report_choice(context_.log, kind_lines(tensors_, choices_), result_);
    return {recipe(choices_), std::move(result_)};
  }

  PlanRecipe recipe(const Choices& choices) const {
    return {"dynamic",
            &level_of(tensors_, choices),
            type_choices(source_, tensors_, choices),
            {{"llm_quantize.profile", request_.profile.id},
             {"llm_quantize.target", budget_.target},
             {"llm_quantize.predicted_kld", result_.predicted_kld}}};
  }

  const StageContext& context_;
  const ModelSource& source_;
  const DynamicRequest& request_;
  const RunImatrix& imatrix_;
  const Protection* protection_;
  bool smallest_coherent_;  ///< nothing limits the size: the smallest that stays coherent
  ImportanceMap importance_;
  std::vector<DynamicTensor> tensors_;
  DynamicBudget budget_;
  AtlasRequest wanted_;
  Choices choices_;
  DynamicResult result_;
};

}  // namespace

DynamicRequest prepare_dynamic(const QuantizeOptions& options, const PlanChanges& changes,
                               const ModelSource& source) {
  if (changes.types.pure) {
    throw Error(ExitCode::invalid_arguments, "--pure has no meaning for level dynamic",
                "Leave it out, or choose a file level");
  }
  FoundProfile found = find_profile(options.dynamic->profile, options.dynamic->profile_directory);
  const bool is_preset = found.path.empty();
  Profile profile = std::move(found.profile);
  if (options.dynamic->target_bpw || options.dynamic->target_size) {
    profile.target_bpw.reset();  // the options' target takes their place
    profile.target_compression.reset();
  }
  ProfileFit fit = fit_profile(profile, profile_tensors(source, changes.types));
  if (!is_preset) require_fit(fit, profile.id);  // presets are for every model: what does not fit is relaxed
  return {options,        changes,   std::move(profile),
          std::move(fit), is_preset, part_checkpoints(options.checkpoints)};
}

RunImatrix dynamic_imatrix(const StageContext& context, const DynamicRequest& request) {
  const QuantizeOptions& options = request.options;
  if (options.imatrix) return given_imatrix(context, *options.imatrix);
  return analyzed_imatrix(context, options, options.calibration_samples.value_or(kDefaultCalibrationSamples),
                          options.dynamic->imatrix_cache, request.checkpoints);
}

DynamicChoice choose_dynamic(const StageContext& context, const ModelSource& source,
                             const DynamicRequest& request, const RunImatrix& imatrix,
                             const Protection* protection, const std::string& fingerprint,
                             const std::function<std::uint64_t(const PlanRecipe&)>& fixed_bytes) {
  return DynamicRun(context, source, request, imatrix, protection).run(fingerprint, fixed_bytes);
}

}  // namespace llmq
