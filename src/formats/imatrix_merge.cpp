#include "llmq/formats/imatrix_merge.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/core/text.hpp"

namespace llmq {
namespace {

using Inputs = std::span<const NamedImatrix>;

[[noreturn]] void refuse(const std::string& reason) {
  throw Error(ExitCode::imatrix, "the importance matrices cannot be merged: " + reason,
              "Merge files of one model, one tokenizer and one method");
}

std::uint64_t add_counts(std::uint64_t a, std::uint64_t b, std::string_view what) {
  std::uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) refuse(fmt::format("{} overflows 64 bits", what));
  return sum;
}

void add_values(std::vector<double>& into, const std::vector<double>& from, const std::string& name) {
  for (std::size_t i = 0; i < into.size(); ++i) {
    into[i] += from[i];
    if (!std::isfinite(into[i])) refuse(fmt::format("a sum of {} overflows", name));
  }
}

// --- what must agree

/// Two files that know different values of one identity do not belong together.
void require_one(Inputs inputs, std::string_view what, std::string Imatrix::*identity) {
  const NamedImatrix* first = nullptr;
  for (const NamedImatrix& input : inputs) {
    if ((input.imatrix.*identity).empty()) continue;
    if (first == nullptr) first = &input;
    if (first->imatrix.*identity != input.imatrix.*identity) {
      refuse(fmt::format("{} of {} is {}, of {} {}", what, first->name, first->imatrix.*identity, input.name,
                         input.imatrix.*identity));
    }
  }
}

/// An entry and the file it stands in.
struct Part {
  const NamedImatrix* input;
  const ImatrixEntry* entry;
};

std::map<std::string, std::vector<Part>> parts_by_name(Inputs inputs) {
  std::map<std::string, std::vector<Part>> parts;
  for (const NamedImatrix& input : inputs) {
    for (const auto& [name, entry] : input.imatrix.entries) parts[name].push_back({&input, &entry});
  }
  return parts;
}

/// The part that tells experts apart, if any does.
const Part& shape_of(const std::vector<Part>& parts) {
  return *std::max_element(parts.begin(), parts.end(),
                           [](const Part& a, const Part& b) { return a.entry->n_mat < b.entry->n_mat; });
}

void require_shapes(const std::string& name, const std::vector<Part>& parts) {
  const Part& shape = shape_of(parts);
  for (const Part& part : parts) {
    if (!fit_entry(*part.entry, shape.entry->in_features, shape.entry->n_mat)) {
      refuse(fmt::format("{} has {} x {} columns in {}, {} x {} in {}", name, part.entry->n_mat,
                         part.entry->in_features, part.input->name, shape.entry->n_mat,
                         shape.entry->in_features, shape.input->name));
    }
    const Sensitivity& a = part.entry->sensitivity;
    const Sensitivity& b = shape.entry->sensitivity;
    if (a.empty() != b.empty()) {
      refuse(fmt::format("{} has no sensitivities in {}, but in {}", name,
                         a.empty() ? part.input->name : shape.input->name,
                         a.empty() ? shape.input->name : part.input->name));
    }
    if (a.rows.size() != b.rows.size()) {
      refuse(fmt::format("{} has {} rows in {}, {} in {}", name, a.rows.size(), part.input->name,
                         b.rows.size(), shape.input->name));
    }
  }
}

// --- calls of legacy files

/// The ctx that all files with token rows share; 0 when they differ or do not know.
std::uint64_t common_ctx(Inputs inputs) {
  std::set<std::uint64_t> known;
  for (const NamedImatrix& input : inputs) {
    if (!input.imatrix.counts_are_calls) known.insert(input.imatrix.ctx);
  }
  return known.size() == 1 ? *known.begin() : 0;
}

void calls_to_tokens(Imatrix& imatrix, std::uint64_t ctx) {
  for (auto& [name, entry] : imatrix.entries) {
    for (double& value : entry.sum_sq) value *= static_cast<double>(ctx);
    for (std::uint64_t& count : entry.counts) {
      if (__builtin_mul_overflow(count, ctx, &count))
        refuse(fmt::format("a count of {} overflows 64 bits", name));
    }
  }
  imatrix.ctx = ctx;
  imatrix.counts_are_calls = false;
}

void unify_counts(std::vector<NamedImatrix>& inputs, std::vector<std::string>& notes) {
  const auto has_calls = [](const NamedImatrix& input) { return input.imatrix.counts_are_calls; };
  const std::uint64_t ctx = common_ctx(inputs);
  std::vector<std::string> light;
  for (NamedImatrix& input : inputs) {
    if (!has_calls(input)) continue;
    if (ctx > 0) {
      calls_to_tokens(input.imatrix, ctx);
    } else {
      light.push_back(input.name);
    }
  }
  if (!light.empty() && light.size() < inputs.size()) {
    notes.push_back(fmt::format("counts of calls whose length is not known weigh less than tokens: {}",
                                join_some(light)));
  }
}

// --- entries

struct Statistic {
  std::string_view name;
  std::vector<double> ImatrixEntry::*values;
};
constexpr std::array<Statistic, 2> kStatistics = {
    {{"sums of a", &ImatrixEntry::sum}, {"sums of a^4", &ImatrixEntry::sum_quad}}};
constexpr std::string_view kMaxima = "max |a|";

/// What was left out because a file lacks it: statistic -> names of those files.
using LeftOut = std::map<std::string, std::set<std::string>, std::less<>>;

/// True if every part has it; else what a part has is noted as left out.
template <typename Has>
bool all_have(const std::vector<Part>& parts, std::string_view what, LeftOut& left_out, Has&& has) {
  std::set<std::string> lacking;
  for (const Part& part : parts) {
    if (!has(*part.entry)) lacking.insert(part.input->name);
  }
  if (!lacking.empty() && lacking.size() < parts.size())
    left_out[std::string(what)].insert(lacking.begin(), lacking.end());
  return lacking.empty();
}

void add_sensitivity(Sensitivity& into, const Sensitivity& from, const std::string& name) {
  add_values(into.columns, from.columns, name);
  add_values(into.rows, from.rows, name);
  add_values(into.scores, from.scores, name);
  into.samples = add_counts(into.samples, from.samples, "samples of " + name);
}

void add_entry(ImatrixEntry& into, const ImatrixEntry& from, const std::string& name) {
  add_values(into.sum_sq, from.sum_sq, name);
  for (const Statistic& statistic : kStatistics) {
    if (!(into.*statistic.values).empty()) add_values(into.*statistic.values, from.*statistic.values, name);
  }
  for (std::size_t i = 0; i < into.max_abs.size(); ++i)
    into.max_abs[i] = std::max(into.max_abs[i], from.max_abs[i]);
  for (std::size_t mat = 0; mat < into.counts.size(); ++mat)
    into.counts[mat] = add_counts(into.counts[mat], from.counts[mat], "a count of " + name);
  if (!into.sensitivity.empty()) add_sensitivity(into.sensitivity, from.sensitivity, name);
}

ImatrixEntry merge_entry(const std::string& name, const std::vector<Part>& parts, LeftOut& left_out) {
  const ImatrixEntry& shape = *shape_of(parts).entry;
  ImatrixEntry merged = *fit_entry(*parts.front().entry, shape.in_features, shape.n_mat);
  for (const Statistic& statistic : kStatistics) {
    if (!all_have(parts, statistic.name, left_out,
                  [&](const ImatrixEntry& entry) { return !(entry.*statistic.values).empty(); }))
      (merged.*statistic.values).clear();
  }
  if (!all_have(parts, kMaxima, left_out, [](const ImatrixEntry& entry) { return !entry.max_abs.empty(); }))
    merged.max_abs.clear();
  for (std::size_t i = 1; i < parts.size(); ++i)
    add_entry(merged, *fit_entry(*parts[i].entry, shape.in_features, shape.n_mat), name);
  return merged;
}

// --- the head

std::string join_names(Inputs inputs) {
  std::set<std::string> names;
  for (const NamedImatrix& input : inputs) {
    if (!input.imatrix.dataset_name.empty()) names.insert(input.imatrix.dataset_name);
  }
  return fmt::format("{}", fmt::join(names, "+"));
}

/// Over the sorted hashes; one file keeps its own. Empty when a file does not know.
std::string join_hashes(Inputs inputs) {
  std::vector<std::string> hashes;
  for (const NamedImatrix& input : inputs) {
    hashes.push_back(input.imatrix.dataset_hash);
    if (hashes.back().empty()) return {};
  }
  if (hashes.size() == 1) return hashes.front();
  std::sort(hashes.begin(), hashes.end());
  Sha256 hash;
  for (const std::string& one : hashes) hash.field(one);
  return "sha256:" + hash.hex();
}

std::string known(Inputs inputs, std::string Imatrix::*identity) {
  for (const NamedImatrix& input : inputs) {
    if (!(input.imatrix.*identity).empty()) return input.imatrix.*identity;
  }
  return {};
}

Imatrix merge_heads(Inputs inputs) {
  Imatrix merged;
  merged.method = inputs.front().imatrix.method;
  merged.dataset_name = join_names(inputs);
  merged.dataset_hash = join_hashes(inputs);
  merged.model_hash = known(inputs, &Imatrix::model_hash);
  merged.tokenizer_hash = known(inputs, &Imatrix::tokenizer_hash);
  merged.ctx = inputs.front().imatrix.ctx;
  merged.counts_are_calls = true;
  for (const NamedImatrix& input : inputs) {
    if (input.imatrix.ctx != merged.ctx) merged.ctx = 0;
    if (!input.imatrix.counts_are_calls) merged.counts_are_calls = false;
    merged.samples = add_counts(merged.samples, input.imatrix.samples, "the number of samples");
  }
  return merged;
}

// --- what the user is told

void note_equal_files(Inputs sorted, const std::vector<std::string>& hashes,
                      std::vector<std::string>& notes) {
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (hashes[i] == hashes[i - 1])
      notes.push_back(fmt::format("{} and {} hold the same statistics, which count twice", sorted[i - 1].name,
                                  sorted[i].name));
  }
}

void note_super_weights(Inputs inputs, std::vector<std::string>& notes) {
  std::vector<std::string> names;
  for (const NamedImatrix& input : inputs) {
    if (input.imatrix.super_weights.searched) names.push_back(input.name);
  }
  if (!names.empty())
    notes.push_back(fmt::format("super weights are not merged: those of {} are left out", join_some(names)));
}

/// Sorted by content, so that the order on the command line decides nothing; with the hashes.
std::vector<std::string> sort_by_content(std::vector<NamedImatrix>& inputs) {
  std::vector<std::pair<std::string, NamedImatrix>> keyed;
  for (NamedImatrix& input : inputs) {
    std::string hash = input.imatrix.content_hash();
    keyed.emplace_back(std::move(hash), std::move(input));
  }
  std::sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second.name < b.second.name;
  });
  std::vector<std::string> hashes;
  for (std::size_t i = 0; i < keyed.size(); ++i) {
    hashes.push_back(std::move(keyed[i].first));
    inputs[i] = std::move(keyed[i].second);
  }
  return hashes;
}

}  // namespace

void require_mergeable(Inputs inputs) {
  require_one(inputs, "method", &Imatrix::method);
  require_one(inputs, "model", &Imatrix::model_hash);
  require_one(inputs, "tokenizer", &Imatrix::tokenizer_hash);
  for (const auto& [name, parts] : parts_by_name(inputs)) require_shapes(name, parts);
}

MergedImatrix merge_imatrices(std::vector<NamedImatrix> inputs) {
  if (inputs.empty()) throw InternalError("no importance matrix to merge");
  require_mergeable(inputs);
  const std::vector<std::string> hashes = sort_by_content(inputs);
  MergedImatrix result;
  note_equal_files(inputs, hashes, result.notes);
  unify_counts(inputs, result.notes);
  result.imatrix = merge_heads(inputs);
  LeftOut left_out;
  std::vector<std::string> partial;
  for (const auto& [name, parts] : parts_by_name(inputs)) {
    result.imatrix.entries[name] = merge_entry(name, parts, left_out);
    if (parts.size() < inputs.size()) partial.push_back(name);
  }
  for (const auto& [what, files] : left_out) {
    result.notes.push_back(fmt::format("left out, as not every file has it: {} (missing in {})", what,
                                       join_some(std::vector<std::string>(files.begin(), files.end()))));
  }
  if (!partial.empty())
    result.notes.push_back(fmt::format("only some of the merged files have {}", join_some(partial)));
  note_super_weights(inputs, result.notes);
  return result;
}

}  // namespace llmq
