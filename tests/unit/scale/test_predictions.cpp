// Whole predictions on the checked-in costs: they keep working, add up, and move the right way.
#include <numeric>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"

#include "scale/report.hpp"
#include "scale/simulate_analyze.hpp"
#include "scale/simulate_quantize.hpp"

namespace {
using namespace llmq;
using namespace llmq::scale;

class Predictions : public testing::Test {
 protected:
  Prediction quantize(const Layout& layout, const QuantizeJob& job = {}) const {
    return predict_quantize({costs_, machine_, layout, shape_}, job);
  }
  Prediction analyze(const Layout& layout, int layer_groups) const {
    AnalyzeJob job;
    job.layer_groups = layer_groups;
    return predict_analyze({costs_, machine_, layout, shape_}, job);
  }

  Costs costs_ = costs_from_json(nlohmann::json::parse(read_file(LLMQ_EXAMPLE_COSTS, 1 << 20)));
  Machine machine_;
  Shape shape_ = shape_of("8b");
};

TEST_F(Predictions, shares_add_up_to_the_whole) {
  for (const Prediction& one : {quantize({2, 4, 8}), quantize({2, 4, 8}, {"Q8_0", true}),
                                analyze({2, 4, 8}, 1), analyze({2, 4, 8}, 4)}) {
    const ByCause shares = one.shares();
    EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), 1, 1e-6);
    EXPECT_GT(one.seconds(), 0);
    EXPECT_NE(summary(one).find("compute"), std::string::npos);
    EXPECT_NE(phase_table(one).find("compute"), std::string::npos);
  }
}

TEST_F(Predictions, faster_parts_never_slow_a_run_down) {
  const double seconds = quantize({2, 4, 8}).seconds();
  const double analyzed = analyze({2, 4, 8}, 1).seconds();
  for (double Machine::*part :
       {&Machine::speed, &Machine::fs_rate, &Machine::node_fs_rate, &Machine::net_rate}) {
    machine_.*part *= 2;
    EXPECT_LE(quantize({2, 4, 8}).seconds(), seconds * (1 + 1e-9));
    EXPECT_LE(analyze({2, 4, 8}, 1).seconds(), analyzed * (1 + 1e-9));
    machine_.*part /= 2;
  }
}

TEST_F(Predictions, work_is_done_by_more_ranks_in_less_time) {
  double units = quantize({1, 1, 8}).seconds_of("units");
  double computing = analyze({1, 1, 8}, 1).seconds_of("compute");
  for (int nodes = 1; nodes <= 4; nodes *= 2) {
    const double now = quantize({nodes, 8, 8}).seconds_of("units");
    const double analyzing = analyze({nodes, 8, 8}, 1).seconds_of("compute");
    EXPECT_LT(now, units);
    EXPECT_LT(analyzing, computing);
    units = now, computing = analyzing;
  }
}

TEST_F(Predictions, a_slow_file_system_binds) {
  machine_.fs_rate = 1e8;
  const QuantizeJob job;
  const Scene scene{costs_, machine_, {4, 8, 8}, shape_};

  const auto gains = twice_as_fast(scene, [&](const Scene& any) { return predict_quantize(any, job); });

  EXPECT_EQ(gains.front().part, "file system");
  EXPECT_GT(gains.front().share, 0.4);
  EXPECT_EQ(predict_quantize(scene, job).mostly(), Cause::file_system);
}

TEST_F(Predictions, one_rank_that_writes_for_all_binds_many) {
  EXPECT_GT(quantize({16, 8, 8}, {"Q8_0", true}).seconds(),
            2 * quantize({16, 8, 8}, {"Q8_0", false}).seconds());
}

TEST_F(Predictions, one_pass_of_compute_is_counted_once) {
  machine_.cached = true;
  machine_.cores = 8;
  const Scene scene{costs_, machine_, {1, 1, 8}, shape_};
  const AnalyzeJob job;
  const double expected = sample_seconds(scene, job) * job.samples * shape_.spec.n_layers / 8;

  // Beside it only the next layer's loading uses the cores.
  EXPECT_NEAR(predict_analyze(scene, job).seconds_of("compute") / expected, 1, 0.05);
}

TEST_F(Predictions, the_plan_is_that_of_the_stage) {
  const QuantizePlan plan =
      plan_quantize(*source_of(shape_of("280m")), {}, *find_file_level("Q8_0"), nullptr, "");

  EXPECT_EQ(plan.units.size(), 365U);  // what the program reports for this model
  EXPECT_EQ(source_of(shape_of("70b"))->parameter_count(), 70'553'706'496U);  // Llama 3 70B
}

TEST_F(Predictions, a_grid_that_does_not_fit_is_refused) { EXPECT_THROW(analyze({1, 8, 1}, 3), Error); }

}  // namespace
