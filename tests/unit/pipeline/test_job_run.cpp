// Which steps of a job run: an executor that writes small texts stands for the commands.
#include <algorithm>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/core/file.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/pipeline/job_run.hpp"

#include "pipeline/job/job_identity.hpp"
#include "pipeline/job/job_ledger.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;

/// A quality step "copies" its text into its report; what it was asked is noted.
class CopyExecutor final : public StepExecutor {
 public:
  void check(const JobStep&) const override {}
  StepOutcome execute(const StageContext& context, const JobStep& step, const StepMode& mode) override {
    ran.push_back(step.id);
    if (mode.checkpoints.continue_found && damaged.contains(step.id)) {
      context.comm.together("test", [] { throw Error(ExitCode::checkpoint, "damaged"); });
    }
    if (const auto code = failing.find(step.id); code != failing.end()) {
      context.comm.together("test", [&] { throw Error(code->second, "it failed", "do this"); });
    }
    if (!step.output.empty())
      write_file_atomically(step.output, read_file(step.value("text"), 1000) + step.value("ctx"));
    return {R"({"status": "success"})", false};
  }

  std::vector<std::string> ran;
  std::map<std::string, ExitCode> failing;
  std::set<std::string> damaged;
};

class JobRunTest : public testing::Test {
 protected:
  JobRunTest() {
    write("text.txt", "hello");
    options_.file = scratch_ / "job.json";
    options_.checkpoint_directory = scratch_ / "cp";
    job(64);
  }

  void write(const char* name, const std::string& text) { write_file_atomically(scratch_ / name, text); }
  /// a writes a.json from text.txt; b writes b.json from a's output; c needs nothing and writes nothing.
  void job(int ctx, const std::string& b_output = "b.json") {
    const std::string model = std::string(LLMQ_TEST_DATA) + "/pebble";
    const std::string common =
        R"("type": "quality", "original": ")" + model + R"(", "candidates": ")" + model + "\"";
    const std::string dir = (scratch_ / "").string();
    write("job.json", R"({"version": 1, "name": "t", "steps": [
        {"id": "a", )" + common +
                          R"(, "text": ")" + dir + R"(text.txt", "ctx": )" + std::to_string(ctx) +
                          R"(, "output": ")" + dir + R"(a.json"},
        {"id": "b", )" + common +
                          R"(, "text": "${steps.a.output}", "output": ")" + dir + b_output + R"("},
        {"id": "c", )" + common +
                          "}]}");
  }
  std::vector<std::string> run() {
    executor_.ran.clear();
    result_ = run_job(context_, options_, executor_);
    return executor_.ran;
  }
  std::string reason(std::size_t step) { return result_.steps.at(step).reason; }

  testing_support::ScratchDirectory scratch_;
  Log log_{{Verbosity::quiet, false, false, "", ""}};
  Communicator comm_ = Communicator::serial();
  StageContext context_{comm_, log_, 1, 1 << 30};
  JobRunOptions options_;
  CopyExecutor executor_;
  JobRunResult result_;
};

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(JobRunTest, finished_steps_are_skipped_and_keep_their_result) {
  EXPECT_THAT(run(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_EQ(result_.steps[1].status, StepStatus::skipped);
  EXPECT_THAT(result_.steps[1].result, HasSubstr("success"));
}

TEST_F(JobRunTest, a_change_reruns_the_step_and_what_reads_another_content) {
  run();
  write("text.txt", "other");
  EXPECT_THAT(run(), ElementsAre("a", "b"));
  EXPECT_EQ(reason(0), "content of text changed");
  job(65);
  EXPECT_THAT(run(), ElementsAre("a", "b"));
  EXPECT_EQ(reason(0), "ctx changed from 64 to 65");
  write("a.json", "damaged");  // made again with the bytes that b has read
  EXPECT_THAT(run(), ElementsAre("a"));
  EXPECT_EQ(reason(0), "output was changed");
  std::filesystem::remove(scratch_ / "b.json");
  EXPECT_THAT(run(), ElementsAre("b"));
  EXPECT_EQ(reason(1), "output is missing");
  job(65, "renamed.json");
  EXPECT_THAT(run(), ElementsAre("b"));
  EXPECT_EQ(reason(1), "output is another file");
}

TEST_F(JobRunTest, a_dry_run_says_what_would_run_and_writes_nothing) {
  options_.dry_run = true;
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_EQ(reason(1), "follows \"a\"");
  EXPECT_EQ(result_.steps[2].status, StepStatus::would_run);
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "cp"));
}

TEST_F(JobRunTest, a_failure_stops_only_what_needs_it) {
  executor_.failing["a"] = ExitCode::calibration_data;
  try {
    run();
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::calibration_data);
    EXPECT_EQ(error.suggestion(), "do this");
    EXPECT_THAT(error.what(), HasSubstr("/steps/0: step \"a\" (quality): it failed"));
    EXPECT_THAT(error.what(), HasSubstr("not run because of it: b"));
  }
  EXPECT_THAT(executor_.ran, ElementsAre("a", "c"));
  executor_.failing.clear();
  EXPECT_THAT(run(), ElementsAre("a", "b"));
  EXPECT_EQ(reason(0), "not finished");
}

TEST_F(JobRunTest, an_interrupt_stops_the_run_at_once) {
  executor_.failing["b"] = ExitCode::interrupted;
  try {
    run();
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::interrupted);
    EXPECT_THAT(error.suggestion(), HasSubstr("again"));
  }
  EXPECT_THAT(executor_.ran, ElementsAre("a", "b"));
  executor_.failing.clear();
  EXPECT_THAT(run(), ElementsAre("b", "c"));
}

TEST_F(JobRunTest, a_useless_checkpoint_costs_its_work_only) {
  executor_.damaged.insert("a");
  EXPECT_THAT(run(), ElementsAre("a", "a", "b", "c"));
  EXPECT_THAT(log_.warnings(), ElementsAre(HasSubstr("step a starts over")));
}

TEST_F(JobRunTest, a_damaged_state_means_that_all_runs_again) {
  run();
  const auto state = scratch_ / "cp" / "t.state.json";
  std::string text = read_file(state, 100000);
  for (const std::string& damaged :
       {std::string("{"), std::string("[]"), text.replace(text.find("\"64\""), 4, "\"65\"")}) {
    write_file_atomically(state, damaged);
    EXPECT_THAT(run(), ElementsAre("a", "b", "c"));
  }
  EXPECT_FALSE(log_.warnings().empty());
}

TEST_F(JobRunTest, two_runs_of_a_job_at_once_are_refused) {
  job::JobState other(options_.checkpoint_directory, "t", log_);
  other.lock();
  try {
    run();
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::checkpoint);
  }
}

TEST_F(JobRunTest, inputs_are_looked_at_before_anything_runs) {
  std::filesystem::remove(scratch_ / "text.txt");
  try {
    run();
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::calibration_data);
    EXPECT_THAT(error.what(), HasSubstr("step \"a\""));
  }
  EXPECT_THAT(executor_.ran, IsEmpty());
}

TEST(StepKey, says_what_was_made_and_not_where) {
  const auto key = [](std::vector<JobOption> options) {
    JobStep step{"x", "analyze", "/steps/0", {}, std::move(options), {}};
    job::ContentIndex contents;
    return job::step_key(job::step_fields(step, contents));
  };
  const std::string model = std::string(LLMQ_TEST_DATA) + "/pebble";
  const JobOption given{"model", {model}, false, ""};
  EXPECT_EQ(key({given}), key({given, {"output", {"elsewhere"}, false, ""}}));
  EXPECT_EQ(key({given}), key({{"model", {model + "/../pebble/"}, false, ""}}));
  EXPECT_NE(key({given}), key({{"ctx", {"64"}, false, ""}, given}));
  EXPECT_NE(key({given}), key({{"model", {std::string(LLMQ_TEST_DATA) + "/stories260k"}, false, ""}}));
}

}  // namespace
