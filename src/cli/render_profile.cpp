#include "cli/render_profile.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "cli/json_document.hpp"

namespace llmq::cli {
namespace {

std::string row(std::string_view name, const std::string& value) {
  return fmt::format("  {:<22} {}\n", name, value);
}

std::string targets(const Profile& profile) {
  if (profile.target_bpw && profile.target_compression)
    return fmt::format("{:g} bits a weight and {:g} of the original", *profile.target_bpw,
                       *profile.target_compression);
  if (profile.target_bpw) return fmt::format("{:g} bits a weight", *profile.target_bpw);
  if (profile.target_compression) return fmt::format("{:g} of the original", *profile.target_compression);
  return "none";
}

std::string pins(const LayerAssignment& assignment) {
  std::vector<std::string> words;
  for (const TensorPin& pin : assignment.tensor_types)
    words.push_back(fmt::format("{}={}", pin.role, type_name(pin.type)));
  return fmt::format("{}", fmt::join(words, " "));
}

std::string described(const Profile& profile) {
  std::string text;
  text += row("id", profile.id);
  if (!profile.description.empty()) text += row("description", profile.description);
  text += row("strategy", std::string(name_of(profile.strategy)));
  text += row("target", targets(profile));
  if (profile.layer_assignments.empty()) return text + row("layers", "all by importance");
  text +=
      fmt::format("\n  {:<34} {:>6} {:>8}  {:<9}  {}\n", "layer", "bits", "at most", "protected", "types");
  for (const LayerAssignment& one : profile.layer_assignments) {
    std::string line = fmt::format("  {:<34} {:>6g} {:>8g}  {:<9}  {}", one.layer_name, one.bit_width,
                                   average_limit(one.bit_width), one.is_protected ? "yes" : "no", pins(one));
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

Json with_status(const Profile& profile, const std::vector<std::string>& warnings) {
  Json document = profile_json(profile);
  document["status"] = "success";
  document["warnings"] = warnings;
  return document;
}

Json path_or_null(const std::filesystem::path& path) {
  return path.empty() ? Json(nullptr) : Json(path.string());
}

}  // namespace

std::string human(const std::vector<ListedProfile>& profiles) {
  std::string text;
  for (const ListedProfile& one : profiles) {
    std::string line = fmt::format("  {:<17} {}", one.name,
                                   one.problem.empty() ? one.description : "unusable: " + one.problem);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string human(const FoundProfile& found) {
  return fmt::format("Profile {}\n", found.profile.name) +
         row("from", found.path.empty() ? "preset" : found.path.string()) + described(found.profile);
}

std::string human(const ProfileCreateResult& result) {
  return fmt::format("Profile {}\n", result.profile.name) + row("output", result.output.string()) +
         described(result.profile);
}

std::string human(const ProfileValidateResult& result) {
  std::string text;
  if (result.problems.empty()) {
    text = fmt::format("Profile {} fits {}\n", result.profile, result.model.string());
  } else {
    text = misfit_message(result) + "\n";
    std::size_t place = 5, tensor = 6;
    for (const ProfileProblem& one : result.problems) {
      place = std::max(place, one.pointer.size());
      tensor = std::max(tensor, one.tensor.size());
    }
    text += fmt::format("  {:<{}}  {:<{}}  {}\n", "place", place, "tensor", tensor, "problem");
    for (const ProfileProblem& one : result.problems)
      text += fmt::format("  {:<{}}  {:<{}}  {}\n", one.pointer, place, one.tensor.empty() ? "-" : one.tensor,
                          tensor, one.message);
  }
  text += row("quantized tensors", fmt::format("{}: {} with an exact type, {} within a layer's limit",
                                               result.tensors, result.pinned, result.limited));
  if (result.most_bytes)
    text += row("budget", fmt::format("{} bytes ({:.4f} bits a weight)", format_count(*result.most_bytes),
                                      result.most_bpw));
  for (const std::string& note : result.notes) text += row("note", note);
  return text;
}

std::string json(const std::vector<ListedProfile>& profiles, const std::vector<std::string>& warnings) {
  Json list = Json::array();
  for (const ListedProfile& one : profiles) {
    list.push_back({{"name", one.name},
                    {"description", one.description},
                    {"source", one.path.empty() ? "preset" : "user"},
                    {"path", path_or_null(one.path)},
                    {"problem", one.problem.empty() ? Json(nullptr) : Json(one.problem)}});
  }
  return text({{"status", "success"}, {"profiles", list}, {"warnings", warnings}});
}

std::string json(const FoundProfile& found, const std::vector<std::string>& warnings) {
  return text(with_status(found.profile, warnings));
}

std::string json(const ProfileCreateResult& result, const std::vector<std::string>& warnings) {
  Json document = with_status(result.profile, warnings);
  document["output_path"] = result.output.string();
  return text(document);
}

std::string json(const ProfileValidateResult& result, const std::vector<std::string>& warnings) {
  Json document = {{"status", result.problems.empty() ? "success" : "error"}};
  if (!result.problems.empty()) {
    document["error_code"] = static_cast<int>(ExitCode::profile);
    document["error_type"] = error_type(ExitCode::profile);
    document["message"] = misfit_message(result);
    document["suggestion"] = kMisfitSuggestion;
  }
  document["profile"] = result.profile;
  document["model_path"] = result.model.string();
  Json problems = Json::array();
  for (const ProfileProblem& one : result.problems) {
    problems.push_back({{"pointer", one.pointer},
                        {"tensor", one.tensor.empty() ? Json(nullptr) : Json(one.tensor)},
                        {"message", one.message}});
  }
  document["problems"] = problems;
  document["notes"] = result.notes;
  document["tensors"] = {
      {"quantized", result.tensors}, {"pinned", result.pinned}, {"limited", result.limited}};
  document["budget_bytes"] = result.most_bytes ? Json(*result.most_bytes) : Json(nullptr);
  document["warnings"] = warnings;
  return text(document);
}

std::string misfit_message(const ProfileValidateResult& result) {
  return fmt::format("profile {} does not fit {}: {} problem{}", result.profile, result.model.string(),
                     result.problems.size(), result.problems.size() == 1 ? "" : "s");
}

}  // namespace llmq::cli
