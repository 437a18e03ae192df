// Job documents: what they become, and where and why they are refused.
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "llmq/embedded/schemas.hpp"
#include "llmq/pipeline/job.hpp"

#include "pipeline/job/job_order.hpp"
#include "pipeline/job/job_schema.hpp"
#include "pipeline/job/job_steps.hpp"

namespace {
using namespace llmq;

/// A job around some steps: two variables, a default model for quantize.
std::string job_of(const std::string& steps, const std::string& more = "") {
  return R"({"version": 1, "name": "test", "variables": {"m": "model", "n": "${m}-2"},
             "defaults": {"quantize": {"model": "${m}", "quant-level": "Q8_0"}})" +
         more + R"(, "steps": [)" + steps + "]}";
}

constexpr const char* kAnalyze = R"({"id": "a", "type": "analyze", "model": "${m}"})";

std::vector<std::string> ids(const Job& job) {
  std::vector<std::string> result;
  for (const JobStep& step : job.steps) result.push_back(step.id);
  return result;
}

TEST(JobParse, options_are_merged_expanded_and_referred_to) {
  const Job job = parse_job(
      job_of(std::string(kAnalyze) +
             R"(, {"id": "q", "type": "quantize", "imatrix": "${steps.a.output}", "output-name": "x$$y",
                   "output-dir": "${job.dir}/${env:PLACE}", "force": true, "allow-requantize": false},
                  {"id": "r", "type": "quality", "original": "${n}", "candidates": ["${steps.q.output}"], "ctx": 64})"),
      "dir/test.json",
      {{{"m", "other$$"}}, [](const std::string& name) { return std::optional(name + "!"); }});

  ASSERT_THAT(ids(job), testing::ElementsAre("a", "q", "r"));
  EXPECT_EQ(job.steps[0].output, "other$$.imatrix");  // --set is taken as typed
  const JobStep& q = job.steps[1];
  EXPECT_EQ(q.value("model"), "other$$");
  EXPECT_EQ(q.value("imatrix"), "other$$.imatrix");
  EXPECT_EQ(q.output, "dir/PLACE!/x$y.gguf");
  EXPECT_TRUE(q.find("force")->flag);
  EXPECT_EQ(q.find("allow-requantize"), nullptr);
  EXPECT_EQ(q.find("model")->pointer, "/defaults/quantize/model");
  EXPECT_THAT(q.needs, testing::ElementsAre("a"));
  EXPECT_EQ(job.steps[2].value("original"), "other$$-2");
  EXPECT_EQ(job.steps[2].value("ctx"), "64");
  EXPECT_TRUE(job.steps[2].output.empty());
}

TEST(JobParse, steps_run_after_what_they_need_and_else_in_document_order) {
  const auto step = [](const std::string& id, const std::string& needs) {
    return R"({"id": ")" + id + R"(", "type": "analyze", "model": "m", "output": ")" + id +
           R"(", "needs": [)" + needs + "]}";
  };
  const Job job = parse_job(job_of(step("last", R"("mid", "first")") + "," + step("mid", R"("first")") + "," +
                                   step("first", "") + "," + step("free", "")),
                            "t.json");

  EXPECT_THAT(ids(job), testing::ElementsAre("first", "mid", "last", "free"));
}

TEST(JobOrder, a_cycle_is_found_wherever_it_is) {
  EXPECT_THAT(job::order_steps({{2}, {}, {}}), testing::ElementsAre(1, 2, 0));
  const std::vector<std::vector<std::size_t>> needs = {{}, {2}, {3}, {2}, {0}};  // 2 <-> 3, and 1 needs 2
  const auto order = job::order_steps(needs);
  EXPECT_THAT(order, testing::ElementsAre(0, 4));
  EXPECT_THAT(job::find_cycle(needs, order), testing::ElementsAre(2, 3, 2));
  EXPECT_THAT(job::find_cycle({{0}}, {}), testing::ElementsAre(0, 0));
}

struct Malformed {
  std::string text;
  std::string pointer;
  std::string words;  ///< of the message
};

TEST(JobParse, what_is_malformed_is_refused_with_its_place) {
  const std::string deep = R"("x${m}${m}${m}${m}")";
  const std::vector<Malformed> table = {
      {"[]", "", "object"},
      {"{}", "", "is missing"},
      {R"({"version": 2, "name": "t", "steps": [{"id": "a", "type": "analyze", "model": "m"}]})", "/version",
       "expected 1"},
      {R"({"version": 1, "name": "t", "steps": []})", "/steps", "1 to 1000 steps"},
      {R"({"version": 1, "name": "t", "steps": {}})", "/steps", "found {}"},
      {R"({"version": 1, "name": "../t", "steps": [{"id": "a", "type": "analyze", "model": "m"}]})", "/name",
       "not a name"},
      {job_of(kAnalyze, R"(, "step": 3)"), "/step", "unknown here"},
      {job_of("3"), "/steps/0", "expected a step"},
      {job_of(R"({"id": "a"})"), "/steps/0", "\"type\" is missing"},
      {job_of(R"({"id": "a", "type": "analyse", "model": "m"})"), "/steps/0/type", "analyze, profile"},
      {job_of(R"({"id": "", "type": "analyze", "model": "m"})"), "/steps/0/id", "an id"},
      {job_of(R"({"id": "a b", "type": "analyze", "model": "m"})"), "/steps/0/id", "not a name"},
      {job_of(R"({"id": "a", "type": "analyze"})"), "/steps/0", "has no \"model\""},
      {job_of(R"({"id": "a", "type": "analyze", "model": 3})"), "/steps/0/model", "expected a model"},
      {job_of(R"({"id": "a", "type": "analyze", "model": "m", "ctx": 1})"), "/steps/0/ctx", "2 or more"},
      {job_of(R"({"id": "a", "type": "analyze", "model": "m", "ctx": 1.5})"), "/steps/0/ctx", "2 or more"},
      {job_of(R"({"id": "a", "type": "analyze", "model": "m", "calibration_samples": 3})"),
       "/steps/0/calibration_samples", "unknown"},
      {job_of(R"({"id": "a", "type": "analyze", "model": "m", "a/b~": 3})"), "/steps/0/a~1b~0", "unknown"},
      {job_of(R"({"id": "q", "type": "quantize", "force": "yes"})"), "/steps/0/force", "true or false"},
      {job_of(R"({"id": "q", "type": "quantize", "quant-level": "Q4_9"})"), "/steps/0/quant-level",
       "unknown quantization level"},
      {job_of(R"({"id": "q", "type": "quality", "original": "m", "candidates": [3]})"),
       "/steps/0/candidates/0", "a path"},
      {job_of(R"({"id": "q", "type": "quality", "original": "m", "candidates": []})"), "/steps/0/candidates",
       "a list"},
      {job_of(std::string(kAnalyze) + "," + kAnalyze), "/steps/1/id", "also that of /steps/0"},
      {job_of(R"({"id": "a", "type": "analyze", "model": "m", "needs": ["b"]})"), "/steps/0/needs/0",
       "no step \"b\""},
      {job_of(R"({"id": "a", "type": "analyze", "model": "m", "needs": "b"})"), "/steps/0/needs",
       "list of step ids"},
      {job_of(std::string(kAnalyze) +
              R"(,{"id": "b", "type": "analyze", "model": "x", "needs": ["a", "a"]})"),
       "/steps/1/needs/1", "twice"},
      {job_of(R"({"id": "a", "type": "analyze", "model": "m", "needs": ["a"]})"), "/steps/0", "a -> a"},
      {job_of(
           R"({"id": "a", "type": "analyze", "model": "${steps.b.output}"}, {"id": "b", "type": "analyze", "model": "m", "needs": ["a"]})"),
       "/steps/0", "a -> b -> a"},
      {job_of(R"({"id": "a", "type": "analyze", "model": "${steps.c.output}"})"), "/steps/0/model",
       "no step \"c\""},
      {job_of(std::string(kAnalyze) + R"(,{"id": "b", "type": "analyze", "model": "${steps.a.path}"})"),
       "/steps/1/model", "steps.ID.output"},
      {job_of(R"({"id": "a", "type": "analyze", "model": "${model}"})"), "/steps/0/model",
       "unknown variable \"model\""},
      {job_of(R"({"id": "a", "type": "analyze", "model": "${m"})"), "/steps/0/model", "without"},
      {job_of(R"({"id": "a", "type": "analyze", "model": "${}"})"), "/steps/0/model", "names nothing"},
      {job_of(R"({"id": "a", "type": "analyze", "model": "${env:HOME}"})"), "/steps/0/model", "not set"},
      {job_of(
           R"({"id": "q", "type": "quality", "original": "m", "candidates": "c"}, {"id": "r", "type": "analyze", "model": "${steps.q.output}"})"),
       "/steps/1/model", "writes no file"},
      {job_of(R"({"id": "q", "type": "quantize"}, {"id": "r", "type": "quantize"})"), "/steps/1",
       "writes too"},
      {job_of(
           R"({"id": "q", "type": "quantize"}, {"id": "r", "type": "quality", "original": "m", "candidates": "./model-Q8_0.gguf"})"),
       "/steps/1/candidates", "does not need"},
      {job_of(R"({"id": "a", "type": "analyze", "model": "m", "output": "./m"})"), "/steps/0/model",
       "itself writes"},
      {R"({"version": 1, "name": "t", "variables": {"a": "${b}", "b": "${a}"}, "steps": [{"id": "a", "type": "analyze", "model": "m"}]})",
       "/variables/a", "itself"},
      {R"({"version": 1, "name": "t", "variables": {"a": 3}, "steps": [{"id": "a", "type": "analyze", "model": "m"}]})",
       "/variables/a", "a string"},
      {R"({"version": 1, "name": "t", "variables": {"a": ""}, "steps": [{"id": "a", "type": "analyze", "model": "${a}"}]})",
       "/steps/0/model", "empty"},
      {R"({"version": 1, "name": "t", "defaults": {"quantise": {}}, "steps": [{"id": "a", "type": "analyze", "model": "m"}]})",
       "/defaults/quantise", "unknown"},
      {R"({"version": 1, "name": "t", "defaults": {"analyze": {"id": "a"}}, "steps": [{"id": "a", "type": "analyze", "model": "m"}]})",
       "/defaults/analyze/id", "only a step"},
      {R"({"version": 1, "name": "t", "defaults": {"analyze": {"ctx": true}}, "steps": [{"id": "a", "type": "analyze", "model": "m"}]})",
       "/defaults/analyze/ctx", "number of tokens"},
  };
  for (const Malformed& row : table) {
    try {
      (void)parse_job(row.text, "t.json");
      ADD_FAILURE() << "accepted: " << row.text;
    } catch (const JobError& error) {
      EXPECT_EQ(error.pointer(), row.pointer) << error.what();
      EXPECT_EQ(error.code(), ExitCode::invalid_arguments);
      EXPECT_THAT(error.what(), testing::HasSubstr(row.words));
      EXPECT_THAT(error.what(), testing::StartsWith("t.json: "));
      EXPECT_FALSE(error.suggestion().empty());
    }
  }
}

TEST(JobParse, json_itself_is_strict) {
  for (const char* text : {"", "{", "{\"version\": 1, \"version\": 1}", "\"\xff\""}) {
    try {
      (void)parse_job(text, "t.json");
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::invalid_arguments);
    }
  }
}

TEST(JobParse, near_names_are_suggested) {
  const auto suggestion = [](const std::string& text,
                             const JobSurroundings& surroundings = {}) -> std::string {
    try {
      (void)parse_job(text, "t.json", surroundings);
    } catch (const JobError& error) {
      return error.suggestion();
    }
    return {};
  };
  EXPECT_EQ(suggestion(job_of(R"({"id": "a", "type": "analyze", "model": "m", "calibration_samples": 3})")),
            "Did you mean \"calibration-samples\"?");
  EXPECT_EQ(suggestion(job_of(R"({"id": "abc", "type": "analyze", "model": "m", "needs": ["abd"]})")),
            "Did you mean \"abc\"?");
  EXPECT_EQ(suggestion(job_of(kAnalyze), {{{"mm", "x"}}, {}}), "Did you mean \"m\"?");
  EXPECT_EQ(suggestion(job_of(R"({"id": "abc", "type": "analyze", "model": "m", "needs": ["unlike"]})")),
            "List ids of steps of this job");
}

TEST(JobParse, what_expands_without_end_is_refused) {
  std::string variables = R"("v0": "0123456789")";
  for (int i = 1; i < 30; ++i) {
    const std::string before = "${v" + std::to_string(i - 1) + "}";
    variables += ", \"v" + std::to_string(i) + "\": \"" + before + before + "\"";
  }
  EXPECT_THROW(parse_job(R"({"version": 1, "name": "t", "variables": {)" + variables +
                             R"(}, "steps": [{"id": "a", "type": "analyze", "model": "m"}]})",
                         "t.json"),
               JobError);
}

TEST(JobSchema, lists_the_options_of_the_step_table) {
  const nlohmann::json schema = nlohmann::json::parse(embedded_job_schema());
  for (const job::StepType& type : job::step_types()) {
    std::set<std::string> table = {"id", "type", "needs"};
    for (const job::OptionRule& rule : type.options) table.emplace(rule.name);
    std::set<std::string> listed;
    for (const auto& [name, value] : schema["definitions"][std::string(type.name)]["properties"].items())
      listed.insert(name);
    EXPECT_EQ(listed, table) << type.name;
  }
  EXPECT_EQ(schema["definitions"]["step"]["properties"]["type"]["enum"].size(), job::step_types().size());
}

TEST(Jobs, the_files_in_jobs_are_valid_and_tell_what_is_ahead) {
  for (const auto& [name, supported] :
       std::map<std::string, bool>{{"single-level", true}, {"sweep", true}, {"dynamic-budgets", true}}) {
    const std::string path = std::string(LLMQ_TEST_DATA) + "/../../jobs/" + name + ".json";
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();

    const Job job = parse_job(text.str(), path);

    EXPECT_EQ(job.name, name);
    EXPECT_FALSE(job.description.empty());
    std::string ahead;
    for (const JobStep& step : job.steps) ahead += unsupported_part(step);
    EXPECT_EQ(ahead.empty(), supported) << ahead;
  }
}

}  // namespace
