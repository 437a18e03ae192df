#include "llmq/allocate/fit_profile.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

#include "llmq/allocate/tensor_names.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/json_schema.hpp"
#include "llmq/core/text.hpp"
#include "llmq/quant/type_policy.hpp"

namespace llmq {
namespace {

bool is_pattern(std::string_view text) { return text.find('*') != std::string_view::npos; }

std::uint64_t bytes_as(GgmlType type, const ProfileTensor& tensor) {
  return row_bytes(type, tensor.ne0) * tensor.rows;
}

double bits_a_weight(std::uint64_t bytes, std::uint64_t weights) {
  return weights == 0 ? 0.0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

/// Most whole bytes that `limit` bits a weight allow.
std::uint64_t bytes_within(double limit, std::uint64_t weights) {
  return static_cast<std::uint64_t>(std::floor(limit * static_cast<double>(weights) / 8.0));
}

/// Tensors by all their names, so that a name without `*` is found at once.
class NameIndex {
 public:
  explicit NameIndex(std::span<const ProfileTensor> tensors) {
    const bool tied = std::none_of(tensors.begin(), tensors.end(),
                                   [](const ProfileTensor& one) { return one.name == "output.weight"; });
    for (std::size_t index = 0; index < tensors.size(); ++index) {
      add(tensors[index].name, index);
      // Where the embedding is the output too, it answers to both names.
      if (tied && tensors[index].name == "token_embd.weight") add("output.weight", index);
    }
  }

  /// Indices of the tensors that a layer_name names, ascending.
  std::set<std::size_t> find(const std::string& layer_name) const {
    if (!is_pattern(layer_name)) {
      const auto found = tensors_.find(layer_name);
      return found == tensors_.end() ? std::set<std::size_t>() : found->second;
    }
    std::set<std::size_t> all;
    for (const auto& [name, indices] : tensors_) {
      if (matches_pattern(layer_name, name)) all.insert(indices.begin(), indices.end());
    }
    return all;
  }

 private:
  void add(std::string_view gguf_name, std::size_t index) {
    for (const std::string& name : tensor_names(gguf_name)) tensors_[name].insert(index);
  }

  std::map<std::string, std::set<std::size_t>> tensors_;
};

/// The pin for a role: the one of exactly this name, else the longest pattern. Null: none.
const TensorPin* find_pin(const LayerAssignment& assignment, std::string_view role) {
  const TensorPin* best = nullptr;
  for (const TensorPin& pin : assignment.tensor_types) {
    if (pin.role == role) return &pin;
    if (!matches_pattern(pin.role, role)) continue;
    if (best == nullptr || pin.role.size() > best->role.size()) best = &pin;
  }
  return best;
}

class Fitter {
 public:
  Fitter(const Profile& profile, std::span<const ProfileTensor> tensors)
      : profile_(profile), tensors_(tensors), names_(tensors), decided_(tensors.size(), false) {
    fit_.tensors.resize(tensors.size());
  }

  ProfileFit run() {
    for (std::size_t index = 0; index < profile_.layer_assignments.size(); ++index) assign(index);
    check_targets();
    return std::move(fit_);
  }

 private:
  void assign(std::size_t index);
  void check_pins(const LayerAssignment& assignment, const std::string& pointer,
                  const std::set<std::size_t>& named);
  void pin(const LayerAssignment& assignment, const std::string& pointer, std::size_t tensor);
  void check_group(const FittedGroup& group, const LayerAssignment& assignment);
  void protect(const std::vector<std::size_t>& tensors);
  void check_targets();
  void check_budget(const std::string& pointer, std::uint64_t most_bytes);
  std::string pins_by_cost() const;

  /// The least a tensor can take as far as this profile goes.
  std::uint64_t least_bytes(std::size_t index) const {
    return bytes_as(fit_.tensors[index].type.value_or(smallest_type(tensors_[index].ne0)), tensors_[index]);
  }
  void problem(std::string pointer, std::string tensor, std::string message) {
    fit_.problems.push_back({std::move(pointer), std::move(tensor), std::move(message)});
  }

  const Profile& profile_;
  std::span<const ProfileTensor> tensors_;
  NameIndex names_;
  std::vector<bool> decided_;
  ProfileFit fit_;
};

/// "the model has layers 0 to 27", "the model has no layers".
std::string layer_range(std::span<const ProfileTensor> tensors) {
  std::int32_t last = -1;
  for (const ProfileTensor& tensor : tensors) last = std::max(last, tensor.layer);
  return last < 0 ? "the model has no layers"
                  : fmt::format("the model's layers are model.layers.0 to model.layers.{}", last);
}

void Fitter::assign(std::size_t index) {
  const LayerAssignment& assignment = profile_.layer_assignments[index];
  const std::string pointer = fmt::format("/layer_assignments/{}", index);
  const std::set<std::size_t> named = names_.find(assignment.layer_name);
  if (named.empty()) {
    problem(pointer + "/layer_name", "",
            fmt::format("no tensor is named \"{}\": {}", assignment.layer_name, layer_range(tensors_)));
    return;
  }
  check_pins(assignment, pointer, named);
  FittedGroup group{pointer, {}, 0};
  bool quantizable = false;
  for (const std::size_t tensor : named) {
    quantizable = quantizable || tensors_[tensor].quantizable;
    if (!tensors_[tensor].quantizable || decided_[tensor]) continue;
    decided_[tensor] = true;
    fit_.tensors[tensor].group = fit_.groups.size();
    fit_.tensors[tensor].is_protected = assignment.is_protected;
    pin(assignment, pointer, tensor);
    group.tensors.push_back(tensor);
  }
  if (!quantizable) {
    problem(pointer + "/layer_name", tensors_[*named.begin()].name,
            fmt::format("\"{}\" names nothing that is quantized: norms and vectors stay as they are",
                        assignment.layer_name));
  }
  if (group.tensors.empty()) {
    if (quantizable) fit_.notes.push_back(fmt::format("{}: entries before it decide all it names", pointer));
    return;
  }
  if (assignment.is_protected) protect(group.tensors);
  std::uint64_t weights = 0;
  for (const std::size_t tensor : group.tensors) weights += tensors_[tensor].elements();
  group.most_bytes = bytes_within(average_limit(assignment.bit_width), weights);
  check_group(group, assignment);
  fit_.groups.push_back(std::move(group));
}

void Fitter::protect(const std::vector<std::size_t>& tensors) {
  std::set<std::int32_t> layers(fit_.protected_layers.begin(), fit_.protected_layers.end());
  for (const std::size_t tensor : tensors) {
    if (tensors_[tensor].layer >= 0) layers.insert(tensors_[tensor].layer);
  }
  fit_.protected_layers.assign(layers.begin(), layers.end());
}

void Fitter::check_pins(const LayerAssignment& assignment, const std::string& pointer,
                        const std::set<std::size_t>& named) {
  for (const TensorPin& one : assignment.tensor_types) {
    const auto has_role = [&](std::size_t index) {
      return tensors_[index].quantizable && matches_pattern(one.role, tensor_role(tensors_[index].name));
    };
    if (std::any_of(named.begin(), named.end(), has_role)) continue;
    problem(
        fmt::format("{}/tensor_types/{}", pointer, pointer_token(one.role)), "",
        fmt::format("\"{}\" has no quantized tensor of the role \"{}\"", assignment.layer_name, one.role));
  }
}

void Fitter::pin(const LayerAssignment& assignment, const std::string& pointer, std::size_t tensor) {
  const ProfileTensor& place = tensors_[tensor];
  const TensorPin* found = find_pin(assignment, tensor_role(place.name));
  if (found == nullptr) return;
  FittedTensor& fitted = fit_.tensors[tensor];
  fitted.type = fallback_type(found->type, place.ne0);
  if (*fitted.type == found->type) return;
  fitted.fallback_from = found->type;
  const std::string text =
      fmt::format("rows of {} weights are no multiple of {}'s block of {}; {} is possible", place.ne0,
                  type_name(found->type), block_type(found->type).block_elems, type_name(*fitted.type));
  // What is said of a family of tensors falls back as a file level does; what is said of one must hold.
  if (is_pattern(found->role) || is_pattern(assignment.layer_name))
    fit_.notes.push_back(fmt::format("{}: {}", place.name, text));
  else
    problem(fmt::format("{}/tensor_types/{}", pointer, pointer_token(found->role)), place.name, text);
}

/// Names every tensor that alone is above the limit: where the average is, there is at least one.
void Fitter::check_group(const FittedGroup& group, const LayerAssignment& assignment) {
  std::uint64_t least = 0;
  for (const std::size_t tensor : group.tensors) least += least_bytes(tensor);
  if (least <= group.most_bytes) return;
  const double limit = average_limit(assignment.bit_width);
  for (const std::size_t tensor : group.tensors) {
    const ProfileTensor& place = tensors_[tensor];
    const double bits = bits_a_weight(least_bytes(tensor), place.elements());
    if (bits <= limit) continue;
    const auto& type = fit_.tensors[tensor].type;
    const std::string why = type ? fmt::format("its type {} takes {:g}", type_name(*type), bits)
                                 : fmt::format("rows of {} weights take at least {:g} ({})", place.ne0, bits,
                                               type_name(smallest_type(place.ne0)));
    problem(group.pointer + "/bit_width", place.name,
            fmt::format("{:g} allows {:g} bits a weight, but {}", assignment.bit_width, limit, why));
  }
}

/// "attn_v of blk.0 ...": the pins that cost most above the smallest type.
std::string Fitter::pins_by_cost() const {
  std::vector<std::pair<std::uint64_t, std::string>> costs;
  for (std::size_t index = 0; index < tensors_.size(); ++index) {
    if (!fit_.tensors[index].type) continue;
    const std::uint64_t smallest = bytes_as(smallest_type(tensors_[index].ne0), tensors_[index]);
    const std::uint64_t pinned = least_bytes(index);
    if (pinned <= smallest) continue;
    const std::uint64_t more = pinned - smallest;
    costs.emplace_back(more, fmt::format("{} as {} +{} bytes", tensors_[index].name,
                                         type_name(*fit_.tensors[index].type), format_count(more)));
  }
  std::stable_sort(costs.begin(), costs.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> words;
  for (auto& [more, text] : costs) words.push_back(std::move(text));
  return join_some(words);
}

void Fitter::check_budget(const std::string& pointer, std::uint64_t most_bytes) {
  fit_.most_bytes = std::min(fit_.most_bytes.value_or(most_bytes), most_bytes);
  std::uint64_t weights = 0, smallest = 0, least = 0;
  for (std::size_t index = 0; index < tensors_.size(); ++index) {
    if (!tensors_[index].quantizable) continue;
    weights += tensors_[index].elements();
    smallest += bytes_as(smallest_type(tensors_[index].ne0), tensors_[index]);
    least += least_bytes(index);
  }
  const auto said = [&](std::uint64_t bytes) {
    return fmt::format("{} bytes ({:.4f} bits a weight)", format_count(bytes), bits_a_weight(bytes, weights));
  };
  if (smallest > most_bytes) {
    problem(
        pointer, "",
        fmt::format("allows {} for quantized tensors, but the smallest types that their rows allow take {}",
                    said(most_bytes), said(smallest)));
  } else if (least > most_bytes) {
    problem(
        pointer, "",
        fmt::format("allows {} for quantized tensors, but with the pinned types they take at least {}: {}",
                    said(most_bytes), said(least), pins_by_cost()));
  }
}

void Fitter::check_targets() {
  std::uint64_t weights = 0, quantized_original = 0, original = 0, kept = 0;
  for (const ProfileTensor& tensor : tensors_) {
    original += tensor.original_bytes;
    if (tensor.quantizable) weights += tensor.elements();
    (tensor.quantizable ? quantized_original : kept) +=
        tensor.quantizable ? tensor.original_bytes : tensor.kept_bytes;
  }
  if (profile_.target_bpw) {
    const double available = bits_a_weight(quantized_original, weights);
    if (quantized_original > 0 && *profile_.target_bpw > available) {
      problem("/target_bpw", "",
              fmt::format("{:g} is above the {:g} bits a weight of the original", *profile_.target_bpw,
                          available));
    }
    check_budget("/target_bpw", bytes_within(*profile_.target_bpw, weights));
  }
  if (profile_.target_compression) {
    const auto all =
        static_cast<std::uint64_t>(std::floor(*profile_.target_compression * static_cast<double>(original)));
    check_budget("/target_compression", all > kept ? all - kept : 0);
  }
}

}  // namespace

GgmlType smallest_type(std::uint64_t row_elems) noexcept { return fallback_type(GgmlType::IQ1_S, row_elems); }

ProfileFit fit_profile(const Profile& profile, std::span<const ProfileTensor> tensors) {
  return Fitter(profile, tensors).run();
}

std::string text_of(const ProfileProblem& problem) {
  return problem.tensor.empty() ? fmt::format("{}: {}", problem.pointer, problem.message)
                                : fmt::format("{}: {}: {}", problem.pointer, problem.tensor, problem.message);
}

void require_fit(const ProfileFit& fit, std::string_view profile) {
  if (fit.problems.empty()) return;
  const std::size_t more = fit.problems.size() - 1;
  throw Error(ExitCode::profile,
              fmt::format("profile {} does not fit the model: {}{}", profile, text_of(fit.problems.front()),
                          more == 0 ? "" : fmt::format(" (and {} more)", more)),
              "All of them: llm-quantize profile validate PROFILE MODEL");
}

}  // namespace llmq
