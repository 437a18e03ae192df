#include "pipeline/dynamic_problem.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/allocate/candidates.hpp"
#include "llmq/core/checked.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"
#include "llmq/formats/gguf.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/quant/codec.hpp"

namespace llmq {
namespace {

const std::uint64_t kAlignment = GgufHeader{}.alignment;
constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max() / 4;

bool needs_importance(GgmlType type, const std::string& tensor) {
  return requires_imatrix(type, *find_file_level("Q2_K"), tensor);
}

bool has_output(const ModelSource& source) { return source.find("output.weight") != nullptr; }

double bits_a_weight(std::uint64_t bytes, const std::vector<DynamicTensor>& tensors) {
  std::uint64_t weights = 0;
  for (const DynamicTensor& tensor : tensors) weights += tensor.tensor->elements();
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

/// "blk.0.attn_v.weight as Q8_0 +1,024 bytes": what pins cost above the least their tensors could take.
std::string pins_by_cost(const std::vector<DynamicTensor>& tensors) {
  std::vector<std::pair<std::uint64_t, std::string>> costs;
  for (const DynamicTensor& tensor : tensors) {
    if (tensor.pinned_by.empty()) continue;
    std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
    for (const GgmlType type : tensor.measured) least = std::min(least, tensor.tensor->bytes_as(type));
    const std::uint64_t pinned = tensor.tensor->bytes_as(tensor.allowed.front());
    if (pinned <= least) continue;
    costs.emplace_back(pinned - least, fmt::format("{} as {} +{} bytes ({})", tensor.tensor->name,
                                                   type_name(tensor.allowed.front()),
                                                   format_count(pinned - least), tensor.pinned_by));
  }
  std::stable_sort(costs.begin(), costs.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> words;
  for (auto& [bytes, text] : costs) words.push_back(std::move(text));
  return words.empty() ? "" : "; pinned: " + join_some(words);
}

}  // namespace

std::vector<DynamicTensor> dynamic_tensors(const ModelSource& source, const TypeRules& rules,
                                           const ProfileFit& fit, const ImportanceMap& importance) {
  const std::vector<MixTensor> mix = mix_tensors(source);
  std::vector<DynamicTensor> tensors;
  std::vector<std::string> uncovered;
  for (std::size_t i = 0; i < mix.size(); ++i) {
    if (!is_eligible(mix[i])) continue;
    const RuledType ruled = ruled_type(rules, mix[i].name, has_output(source));
    if (ruled.kept) continue;
    DynamicTensor made;
    made.tensor = &source.tensors()[i];
    made.index = i;
    made.measured = candidate_types(mix[i].ne0, mix[i].source_type);
    std::optional<GgmlType> pin = fit.tensors[i].type;
    made.fallback_from = fit.tensors[i].fallback_from;
    if (pin) made.pinned_by = "profile";
    if (ruled.type) {
      pin = fallback_type(*ruled.type, mix[i].ne0);
      made.fallback_from = *pin == *ruled.type ? std::nullopt : ruled.type;
      made.rule = ruled.rule;
      made.pinned_by = "option";
    }
    const bool covered = importance.contains(mix[i].name);
    if (pin) {
      made.allowed = {*pin};
      if (!std::binary_search(made.measured.begin(), made.measured.end(), *pin))
        made.measured.insert(std::upper_bound(made.measured.begin(), made.measured.end(), *pin), *pin);
      if (!covered && needs_importance(*pin, mix[i].name))
        uncovered.push_back(fmt::format("{} ({})", mix[i].name, type_name(*pin)));
    } else {
      for (const GgmlType type : made.measured) {
        if (covered || !needs_importance(type, mix[i].name)) made.allowed.push_back(type);
      }
    }
    tensors.push_back(std::move(made));
  }
  if (!uncovered.empty()) {
    throw Error(ExitCode::imatrix,
                fmt::format("the importance matrix lacks tensors whose pinned type requires one: {}",
                            fmt::join(uncovered, ", ")),
                "Make one with: llm-quantize analyze MODEL, then pass --imatrix MODEL.imatrix");
  }
  return tensors;
}

DynamicBudget dynamic_budget(const DynamicOptions& options, const Profile& profile, const ModelSource& source,
                             const std::vector<DynamicTensor>& tensors, std::uint64_t fixed_bytes) {
  DynamicBudget budget{kNoLimit, "none", ""};
  const auto limit_file = [&](std::uint64_t bytes, std::string option) {
    const std::uint64_t left = bytes > fixed_bytes ? bytes - fixed_bytes : 0;
    if (left >= budget.max_bytes) return;
    budget = {left, fmt::format("{} bytes", bytes), std::move(option)};
  };
  const auto limit_bits = [&](double bits, std::string option) {
    std::uint64_t weights = 0;
    for (const DynamicTensor& tensor : tensors) weights += tensor.tensor->elements();
    const auto bytes = static_cast<std::uint64_t>(std::floor(bits * static_cast<double>(weights) / 8.0));
    if (bytes < budget.max_bytes) budget = {bytes, fmt::format("{:g} bpw", bits), std::move(option)};
  };
  if (options.target_size) {
    limit_file(options.target_size->most_bytes(source.stored_bytes()), "--target-size");
  } else if (options.target_bpw) {
    limit_bits(*options.target_bpw, "--target-bpw");
  } else {
    const auto said_by = [&](const char* pointer) {
      return fmt::format("{} of profile {}", pointer, profile.id);
    };
    if (profile.target_bpw) limit_bits(*profile.target_bpw, said_by("/target_bpw"));
    if (profile.target_compression) {
      const TargetSize size{*profile.target_compression, std::nullopt};
      limit_file(size.most_bytes(source.stored_bytes()), said_by("/target_compression"));
    }
  }
  return budget;
}

AllocationProblem make_problem(const std::vector<DynamicTensor>& tensors, const LossModel* losses,
                               const ProfileFit& fit, const DynamicBudget& budget) {
  AllocationProblem problem;
  problem.max_bytes = budget.max_bytes;
  std::map<std::size_t, std::size_t> position;
  for (const DynamicTensor& tensor : tensors) {
    position[tensor.index] = problem.tensors.size();
    std::vector<TypeOption> options;
    for (const GgmlType type : tensor.allowed)
      options.push_back({type, align_up(tensor.tensor->bytes_as(type), kAlignment),
                         losses == nullptr ? 0 : losses->loss(tensor.tensor->name, type)});
    problem.tensors.push_back(std::move(options));
  }
  for (const FittedGroup& group : fit.groups) {
    GroupLimit limit{{}, group.most_bytes};
    for (const std::size_t index : group.tensors) {
      if (const auto found = position.find(index); found != position.end())
        limit.tensors.push_back(found->second);
    }
    problem.groups.push_back(std::move(limit));
  }
  return problem;
}

bool relax(AllocationProblem& problem, bool keep_whole) {
  const Choices least = smallest(problem);
  bool any = false;
  for (GroupLimit& group : problem.groups) {
    std::uint64_t bytes = 0;
    for (const std::size_t tensor : group.tensors) bytes += problem.tensors[tensor][least[tensor]].bytes;
    any = any || bytes > group.max_bytes;
    group.max_bytes = std::max(group.max_bytes, bytes);
  }
  if (keep_whole || bytes_of(problem, least) <= problem.max_bytes) return any;
  problem.max_bytes = bytes_of(problem, least);
  return true;
}

void require_feasible(const AllocationProblem& problem, const std::vector<DynamicTensor>& tensors,
                      const ProfileFit& fit, const DynamicBudget& budget, std::uint64_t fixed_bytes) {
  const Choices least = smallest(problem);
  for (std::size_t g = 0; g < problem.groups.size(); ++g) {
    std::uint64_t bytes = 0;
    std::vector<DynamicTensor> members;
    for (const std::size_t tensor : problem.groups[g].tensors) {
      bytes += problem.tensors[tensor][least[tensor]].bytes;
      members.push_back(tensors[tensor]);
    }
    if (bytes <= problem.groups[g].max_bytes) continue;
    throw Error(ExitCode::profile,
                fmt::format("{}/bit_width: {} bytes are allowed, the least possible is {} bytes{}",
                            fit.groups[g].pointer, format_count(problem.groups[g].max_bytes),
                            format_count(bytes), pins_by_cost(members)),
                "Raise the bit width, or take back a pin");
  }
  const std::uint64_t bytes = bytes_of(problem, least);
  if (bytes <= problem.max_bytes) return;
  throw Error(ExitCode::profile,
              fmt::format("{}: {} cannot be reached: with the smallest types allowed the file has {} bytes "
                          "({:.3f} bits a quantized weight){}",
                          budget.option, budget.target, format_count(bytes + fixed_bytes),
                          bits_a_weight(bytes, tensors), pins_by_cost(tensors)),
              "Raise the target, or take back a pin");
}

std::optional<Choices> stock_choices(const FileLevel& level, const ModelSource& source,
                                     const TypeRules& rules, const std::vector<DynamicTensor>& tensors) {
  const std::vector<TypeChoice> types =
      choose_types(level, mix_model(source.spec()), mix_tensors(source), true, rules);
  Choices choices;
  for (const DynamicTensor& tensor : tensors) {
    const auto found = std::find(tensor.allowed.begin(), tensor.allowed.end(), types[tensor.index].type);
    if (found == tensor.allowed.end() && tensor.pinned_by.empty()) return std::nullopt;
    choices.push_back(tensor.pinned_by.empty() ? static_cast<std::size_t>(found - tensor.allowed.begin())
                                               : 0);
  }
  return choices;
}

std::vector<TypeChoice> type_choices(const ModelSource& source, const std::vector<DynamicTensor>& tensors,
                                     const Choices& choices) {
  const std::vector<MixTensor> mix = mix_tensors(source);
  std::vector<TypeChoice> made(mix.size());
  for (std::size_t i = 0; i < mix.size(); ++i) made[i].type = mix[i].source_type;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    TypeChoice& choice = made[tensors[i].index];
    choice = {tensors[i].allowed[choices[i]], true, tensors[i].fallback_from, tensors[i].rule};
  }
  return made;
}

const FileLevel& level_of(const std::vector<DynamicTensor>& tensors, const Choices& choices) {
  std::map<GgmlType, std::uint64_t> weights;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    weights[tensors[i].allowed[choices[i]]] += tensors[i].tensor->elements();
  const FileLevel* best = find_file_level("Q2_K");
  std::uint64_t most = 0;
  for (const FileLevel& level : file_levels()) {
    const auto found = weights.find(level.default_type);
    if (level.name == "Q2_K_S" || found == weights.end() || found->second <= most) continue;
    most = found->second;
    best = &level;
  }
  return *best;
}

}  // namespace llmq
