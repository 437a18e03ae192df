// What the simulator is told: costs, machines, layouts.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"

#include "scale/fit.hpp"
#include "scale/machine.hpp"

namespace {
using namespace llmq;
using namespace llmq::scale;
using nlohmann::json;

json example() { return json::parse(read_file(LLMQ_EXAMPLE_COSTS, 1 << 20)); }

TEST(Costs, survive_writing_and_reading) {
  const Costs costs = costs_from_json(example());

  EXPECT_EQ(to_json(costs_from_json(to_json(costs))), to_json(costs));
  EXPECT_GT(costs.matmul_flop, 0);
}

TEST(Costs, a_missing_or_senseless_figure_is_named) {
  for (const char* field : {"cores", "unit", "agree", "encode_weight", "sync_byte"}) {
    json document = example();
    document.erase(field);
    EXPECT_THROW(
        try { costs_from_json(document); } catch (const Error& error) {
          EXPECT_NE(std::string(error.what()).find(field), std::string::npos);
          throw;
        },
        Error);
  }
  json document = example();
  document["unit"] = -1;
  EXPECT_THROW(costs_from_json(document), Error);
}

TEST(Costs, calls_grow_with_the_logarithm_beyond_the_measured_cores) {
  const ByRanks table = {{1, 0.0}, {2, 1.0}, {3, 9.0}, {4, 20.0}};

  EXPECT_DOUBLE_EQ(at_ranks(table, 2, 2, false), 1);
  EXPECT_DOUBLE_EQ(at_ranks(table, 8, 2, false), 3);  // log2(8) times the two ranks that had a core each
  EXPECT_DOUBLE_EQ(at_ranks(table, 4, 2, true), 20);  // as short of cores as the machine was
  EXPECT_DOUBLE_EQ(at_ranks(table, 1, 2, false), 0);
}

TEST(Costs, the_forward_pass_is_fitted_from_a_result) {
  Costs costs;
  const Shape shape = shape_of("280m");
  const LayerWork work = layer_work(shape.spec, 512);
  const json result = {{"ctx", 512},
                       {"calibration_samples", 2},
                       {"timeline", json::array({json::object()})},
                       {"phase_seconds",
                        {{"matmul", 48 * work.matmul_flops * 1e-11},
                         {"attention", 1},
                         {"elementwise", 1},
                         {"statistics", 1}}}};

  fit_forward(result, shape, costs);

  EXPECT_NEAR(costs.matmul_flop, 1e-11, 1e-15);
}

TEST(Machine, is_read_from_words) {
  const Machine machine = machine_from_text("cores=2,cached=1,fs_rate=5e9");

  EXPECT_DOUBLE_EQ(machine.cores, 2);
  EXPECT_TRUE(machine.cached);
  EXPECT_DOUBLE_EQ(machine.fs_rate, 5e9);
  EXPECT_EQ(layout_from_text("64x8x4").workers(), 2048);
  for (const char* text : {"core=2", "cores", "cores=0", "cores=x"})
    EXPECT_THROW(machine_from_text(text), Error);
  for (const char* text : {"8x8", "8x8x", "0x1x1"}) EXPECT_THROW(layout_from_text(text), Error);
}

}  // namespace
