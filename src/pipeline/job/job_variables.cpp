#include "pipeline/job/job_variables.hpp"

#include <fmt/format.h>

#include "llmq/core/json_schema.hpp"

namespace llmq::job {
namespace {

constexpr std::string_view kEnvironment = "env:";

std::string directory_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path().string() : std::string(".");
}

}  // namespace

Variables::Variables(const nlohmann::json& document, const std::filesystem::path& file,
                     const JobSurroundings& surroundings)
    : file_(file.string()),
      surroundings_(surroundings),
      expander_(file_, [this](const std::string& name, const std::string& pointer) {
        return value(name, pointer);
      }) {
  values_ = {{"job.dir", directory_of(file)}, {"job.name", document["name"].get<std::string>()}};
  std::vector<std::string> names;
  if (document.contains("variables")) {
    for (const auto& [name, text] : document["variables"].items()) {
      texts_[name] = text.get<std::string>();
      names.push_back(name);
    }
  }
  for (const auto& [name, text] : surroundings.variables) {
    if (!texts_.contains(name)) {
      const std::string near = nearest(name, names);
      throw JobError(file_, "/variables", fmt::format("--set {}: the job has no variable of this name", name),
                     near.empty() ? "Set a name that stands under variables"
                                  : fmt::format("Did you mean \"{}\"?", near));
    }
    values_[name] = text;  // as typed: nothing in it is replaced
  }
  for (const std::string& name : names) declared(name);
}

std::string Variables::declared(const std::string& name) {
  if (const auto known = values_.find(name); known != values_.end()) return known->second;
  const std::string pointer = "/variables/" + pointer_token(name);
  if (!open_.insert(name).second) {
    throw JobError(file_, pointer, fmt::format("variable \"{}\" stands for itself", name),
                   "Break the circle of variables");
  }
  const std::string text = expander_.expand(texts_.at(name), pointer);
  open_.erase(name);
  return values_[name] = text;
}

std::string Variables::value(const std::string& name, const std::string& pointer) {
  if (name.starts_with(kEnvironment)) {
    const std::string key = name.substr(kEnvironment.size());
    if (surroundings_.environment) {
      if (const auto text = surroundings_.environment(key)) return *text;
    }
    throw JobError(file_, pointer, fmt::format("environment variable \"{}\" is not set", key.substr(0, 64)),
                   "Set it, or use a variable of the job");
  }
  if (texts_.contains(name) || values_.contains(name)) return declared(name);
  std::vector<std::string> known;
  for (const auto& [declared_name, text] : texts_) known.push_back(declared_name);
  const std::string near = nearest(name, known);
  throw JobError(file_, pointer, fmt::format("unknown variable \"{}\"", name.substr(0, 64)),
                 near.empty() ? "Declare it under variables; $$ is a dollar sign"
                              : fmt::format("Did you mean \"{}\"?", near));
}

}  // namespace llmq::job
