// Document to job: shape, names, variables, order, options, outputs - in this order.
#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "llmq/core/json.hpp"
#include "llmq/pipeline/job.hpp"

#include "pipeline/job/job_order.hpp"
#include "pipeline/job/job_schema.hpp"
#include "pipeline/job/job_steps.hpp"
#include "pipeline/job/job_text.hpp"
#include "pipeline/job/job_variables.hpp"

namespace llmq {
namespace {

using namespace llmq::job;
using nlohmann::json;

constexpr const char* kStepKeys[] = {"id", "type", "needs"};  // of a step, not options of its command

/// An option as the document has it, from the step or from the defaults of its type.
struct RawOption {
  const json* value = nullptr;
  std::string pointer;
};

struct RawStep {
  std::string id;
  std::string type;
  std::string pointer;
  std::map<std::string, RawOption> options;
  std::vector<std::size_t> needs;  ///< positions in the document, sorted, each once
};

class JobParser {
 public:
  JobParser(const json& document, const std::filesystem::path& file, const JobSurroundings& surroundings)
      : document_(document), file_(file.string()), variables_(document, file, surroundings) {}

  Job parse() {
    check_names();
    for (std::size_t i = 0; i < document_["steps"].size(); ++i) read_step(i);
    for (std::size_t i = 0; i < steps_.size(); ++i) read_needs(i);
    std::vector<std::vector<std::size_t>> needs;
    for (const RawStep& step : steps_) needs.push_back(step.needs);
    const std::vector<std::size_t> order = order_steps(needs);
    if (order.size() < steps_.size()) throw_cycle(find_cycle(needs, order));

    Job job{file_, document_["name"], string_member(document_, "description", ""), {}};
    Expander expander(file_, [&](const std::string& name, const std::string& pointer) {
      return look_up(job, name, pointer);
    });
    for (const std::size_t index : order) job.steps.push_back(resolve(steps_[index], expander));
    check_outputs(job);
    return job;
  }

 private:
  [[noreturn]] void fail(const std::string& pointer, std::string_view reason, std::string suggestion) const {
    throw JobError(file_, pointer, reason, std::move(suggestion));
  }

  void check_name(const std::string& name, const std::string& pointer, std::string_view extra) const {
    const auto fits = [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             extra.find(c) != std::string_view::npos;
    };
    if (!name.empty() && name.front() != '.' && std::all_of(name.begin(), name.end(), fits)) return;
    fail(pointer, fmt::format("\"{}\" is not a name: letters, digits and {} only", name, extra),
         "Choose another name");
  }

  void check_names() const {
    check_name(document_["name"], "/name", ".-_");
    if (document_.contains("variables")) {
      for (const auto& [name, text] : document_["variables"].items())
        check_name(name, "/variables/" + pointer_token(name), "-_");
    }
    if (!document_.contains("defaults")) return;
    for (const auto& [type, options] : document_["defaults"].items()) {
      for (const char* key : kStepKeys) {
        if (options.contains(key))
          fail(fmt::format("/defaults/{}/{}", type, key), "only a step has this", "Move it into a step");
      }
    }
  }

  void read_step(std::size_t index) {
    const json& source = document_["steps"][index];
    RawStep step{source["id"], source["type"], fmt::format("/steps/{}", index), {}, {}};
    check_name(step.id, step.pointer + "/id", "-_");
    if (const auto [other, is_new] = positions_.emplace(step.id, index); !is_new) {
      fail(step.pointer + "/id", fmt::format("id \"{}\" is also that of /steps/{}", step.id, other->second),
           "Give every step an id of its own");
    }
    if (document_.contains("defaults") && document_["defaults"].contains(step.type))
      add_options(step, document_["defaults"][step.type], "/defaults/" + step.type);
    add_options(step, source, step.pointer);
    for (const OptionRule& rule : step_type(step.type).options) {
      if (!rule.required || step.options.contains(std::string(rule.name))) continue;
      fail(step.pointer, fmt::format("step \"{}\" ({}) has no \"{}\"", step.id, step.type, rule.name),
           fmt::format("Add it to the step or to /defaults/{}", step.type));
    }
    steps_.push_back(std::move(step));
  }

  static void add_options(RawStep& step, const json& source, const std::string& pointer) {
    for (const auto& [key, value] : source.items()) {
      if (std::find(std::begin(kStepKeys), std::end(kStepKeys), key) != std::end(kStepKeys)) continue;
      step.options[key] = {&value, pointer + "/" + pointer_token(key)};
    }
  }

  void read_needs(std::size_t index) {
    RawStep& step = steps_[index];
    std::set<std::size_t> needs;
    const json& source = document_["steps"][index];
    const std::size_t listed = source.contains("needs") ? source["needs"].size() : 0;
    for (std::size_t i = 0; i < listed; ++i) {
      const std::string pointer = fmt::format("{}/needs/{}", step.pointer, i);
      if (!needs.insert(position_of(source["needs"][i], pointer)).second)
        fail(pointer, fmt::format("\"{}\" is listed twice", source["needs"][i].get<std::string>()),
             "Remove one");
    }
    for (const auto& [name, option] : step.options) {
      for_each_string(option, [&](const std::string& text, const std::string& pointer) {
        for (const std::string& id : step_references(text, file_, pointer))
          needs.insert(position_of(id, pointer));
      });
    }
    step.needs.assign(needs.begin(), needs.end());
  }

  std::size_t position_of(const std::string& id, const std::string& pointer) const {
    if (const auto found = positions_.find(id); found != positions_.end()) return found->second;
    std::vector<std::string> ids;
    for (const auto& [known, position] : positions_) ids.push_back(known);
    const std::string near = nearest(id, ids);
    fail(pointer, fmt::format("there is no step \"{}\"", id.substr(0, 64)),
         near.empty() ? "List ids of steps of this job" : fmt::format("Did you mean \"{}\"?", near));
  }

  [[noreturn]] void throw_cycle(const std::vector<std::size_t>& cycle) const {
    std::string text;
    for (const std::size_t step : cycle) text += (text.empty() ? "" : " -> ") + steps_[step].id;
    fail(steps_[cycle.front()].pointer, fmt::format("steps need each other: {}", text),
         "Remove one of these needs or references");
  }

  template <typename Use>
  static void for_each_string(const RawOption& option, Use use) {
    if (option.value->is_string()) use(option.value->get<std::string>(), option.pointer);
    if (!option.value->is_array()) return;
    for (std::size_t i = 0; i < option.value->size(); ++i)
      use((*option.value)[i].get<std::string>(), fmt::format("{}/{}", option.pointer, i));
  }

  std::string look_up(const Job& job, const std::string& name, const std::string& pointer) {
    if (!name.starts_with("steps.")) return variables_.value(name, pointer);
    const std::string id = name.substr(6, name.rfind(".output") - 6);
    // In execution order what is referred to has been resolved before.
    const auto step =
        std::find_if(job.steps.begin(), job.steps.end(), [&](const JobStep& one) { return one.id == id; });
    if (step == job.steps.end()) throw InternalError("a step was resolved before what it needs");
    if (!step->output.empty()) return step->output.string();
    fail(pointer, fmt::format("step \"{}\" writes no file", id),
         fmt::format("Give \"output\" to step \"{}\"", id));
  }

  JobStep resolve(const RawStep& raw, Expander& expander) const {
    JobStep step{raw.id, raw.type, raw.pointer, {}, {}, {}};
    for (const std::size_t needed : raw.needs) step.needs.push_back(steps_[needed].id);
    std::sort(step.needs.begin(), step.needs.end());
    for (const auto& [name, option] : raw.options) {
      JobOption resolved{name, {}, option.value->is_boolean(), option.pointer};
      if (option.value->is_boolean()) {
        if (!option.value->get<bool>()) continue;
        resolved.values = {"true"};
      } else if (option.value->is_number()) {
        resolved.values = {option.value->dump()};
      }
      for_each_string(option, [&](const std::string& text, const std::string& pointer) {
        resolved.values.push_back(expander.expand(text, pointer));
        if (resolved.values.back().empty() || resolved.values.back().find('\0') != std::string::npos)
          fail(pointer, fmt::format("\"{}\" is empty", text.substr(0, 64)), "Set the variables in it");
      });
      step.options.push_back(std::move(resolved));
    }
    step.output = output_of(step, file_);
    return step;
  }

  /// No two steps write the same file, and what one step writes another reads only when it comes after it.
  void check_outputs(const Job& job) const {
    std::map<std::string, const JobStep*> writers;
    for (const JobStep& step : job.steps) {
      if (step.output.empty()) continue;
      const auto [other, is_new] = writers.emplace(same_form(step.output), &step);
      if (is_new) continue;
      fail(step.pointer,
           fmt::format("step \"{}\" writes {}, which step \"{}\" writes too", step.id, step.output.string(),
                       other->second->id),
           "Give one of them another output");
    }
    for (const JobStep& step : job.steps) {
      for (const JobOption& option : step.options) {
        const OptionRole role = role_of(step, option.name);
        if (role == OptionRole::plain || role == OptionRole::place) continue;
        for (const std::string& path : option.values) check_reader(step, option, path, writers);
      }
    }
  }

  void check_reader(const JobStep& step, const JobOption& option, const std::string& path,
                    const std::map<std::string, const JobStep*>& writers) const {
    const auto writer = writers.find(same_form(path));
    if (writer == writers.end()) return;
    const std::string& id = writer->second->id;
    if (std::binary_search(step.needs.begin(), step.needs.end(), id)) return;
    if (id == step.id)
      fail(option.pointer, fmt::format("{} is what the step itself writes", path), "Choose another output");
    fail(option.pointer,
         fmt::format("{} is the output of step \"{}\", which step \"{}\" does not need", path, id, step.id),
         fmt::format("Write ${{steps.{}.output}}", id));
  }

  static std::string same_form(const std::filesystem::path& path) {
    return std::filesystem::absolute(path).lexically_normal().string();
  }

  const json& document_;
  std::string file_;
  Variables variables_;
  std::vector<RawStep> steps_;  ///< in document order
  std::map<std::string, std::size_t> positions_;
};

}  // namespace

Job parse_job(std::string_view text, const std::filesystem::path& file, const JobSurroundings& surroundings) {
  const json document = parse_json_strict(text, file.string(), ExitCode::invalid_arguments);
  check_schema(document, file.string());
  return JobParser(document, file, surroundings).parse();
}

}  // namespace llmq
