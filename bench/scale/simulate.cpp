// Predicts the wall time of quantize and analyze on machines that are not here:
//   simulate --costs FILE [--model 70b] [--machine cores=64,fs_rate=25e9] [--ranks NODESxRANKSxTHREADS]
//   [--phases]
//       quantize LEVEL [gather] | analyze SAMPLES CTX LAYER_GROUPS|auto
//       fit RESULT.json          prints the costs with the forward pass's rates of a one-rank analyze result
//       compare RESULT.json WALL CPU  prints predicted beside measured for a run of the program
// `auto` takes the fastest L; --machine node_cache=0 lets every rank of a node fetch what it reads.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"

#include "scale/fit.hpp"
#include "scale/report.hpp"
#include "scale/simulate_analyze.hpp"
#include "scale/simulate_quantize.hpp"

namespace {

using namespace llmq;
using namespace llmq::scale;
using nlohmann::json;

struct Options {
  std::string costs;
  std::string model = "70b";
  std::string machine;
  std::string ranks = "1x8x8";
  bool phases = false;
  std::vector<std::string> words;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--phases") {
      options.phases = true;
      continue;
    }
    std::string* value = word == "--costs"     ? &options.costs
                         : word == "--model"   ? &options.model
                         : word == "--machine" ? &options.machine
                         : word == "--ranks"   ? &options.ranks
                                               : nullptr;
    if (value == nullptr) {
      options.words.push_back(word);
    } else if (++i < argc) {
      *value = argv[i];
    }
  }
  if (options.costs.empty() || options.words.empty())
    throw Error(ExitCode::invalid_arguments, "want --costs FILE and a command",
                "The head of simulate.cpp lists them");
  return options;
}

json read_json(const std::string& path) { return json::parse(read_file(path, 1 << 26)); }

/// The L with the least time; that of memory is not asked.
AnalyzeJob fastest(const Scene& scene, AnalyzeJob job) {
  std::optional<double> best;
  AnalyzeJob chosen = job;
  const int ranks = scene.layout.ranks();
  for (int groups = 1; groups <= std::min<int>(ranks, static_cast<int>(scene.shape.spec.n_layers));
       ++groups) {
    if (ranks % groups != 0) continue;
    job.layer_groups = groups;
    const double seconds = predict_analyze(scene, job).seconds();
    fmt::print("  L = {:<3} {:.4g} s\n", groups, seconds);
    if (!best || seconds < *best) best = seconds, chosen = job;
  }
  return chosen;
}

void print(const std::string& title, const Scene& scene, const Predict& predict, bool phases) {
  const Prediction prediction = predict(scene);
  fmt::print("{}: {}\n{}\n", title, summary(prediction), describe(twice_as_fast(scene, predict)));
  if (phases) fmt::print("{}", phase_table(prediction));
}

void quantize(const Scene& scene, const Options& options) {
  QuantizeJob job;
  job.level = options.words.at(1);
  job.gather = options.words.size() > 2 && options.words[2] == "gather";
  print(
      fmt::format("quantize {}{}", job.level, job.gather ? ", gather" : ""), scene,
      [&](const Scene& any) { return predict_quantize(any, job); }, options.phases);
}

void analyze(const Scene& scene, const Options& options) {
  AnalyzeJob job;
  job.samples = std::stoi(options.words.at(1));
  job.ctx = std::stoi(options.words.at(2));
  if (options.words.at(3) == "auto") {
    job = fastest(scene, job);
  } else {
    job.layer_groups = std::stoi(options.words[3]);
  }
  print(
      fmt::format("analyze {} x {}, L = {}", job.samples, job.ctx, job.layer_groups), scene,
      [&](const Scene& any) { return predict_analyze(any, job); }, options.phases);
}

/// Thread-seconds that need a core: computing, and what every rank does before.
double cpu_seconds(const Prediction& prediction, const Layout& layout) {
  double sum = 0;
  for (const Phase& phase : prediction.phases) {
    if (phase.name == "plan" || phase.name == "imatrix") sum += phase.seconds * layout.ranks();
    sum += phase.seconds * layout.workers() * phase.shares[static_cast<std::size_t>(Cause::compute)];
  }
  return sum;
}

/// A result of the program beside its prediction on the same ranks. WALL is the user's clock, launcher
/// included; CPU is that of all ranks without starting and ending MPI.
void compare(const Costs& costs, const Machine& machine, const Shape& shape, const Options& options) {
  const json result = read_json(options.words.at(1));
  const double wall = std::stod(options.words.at(2));
  const double cpu = std::stod(options.words.at(3));
  Layout layout;
  layout.ranks_per_node = static_cast<int>(result.at("timeline").size());
  layout.threads = result["timeline"][0].at("threads").get<int>();
  const Scene scene{costs, machine, layout, shape};
  Prediction prediction;
  std::string what;
  if (result.contains("quantization_level")) {
    what = result["quantization_level"].get<std::string>();
    prediction = predict_quantize(scene, {what, false});
  } else {
    AnalyzeJob job;
    job.samples = result.at("calibration_samples").get<int>();
    job.ctx = result.at("ctx").get<int>();
    job.layer_groups = result.at("grid").at("layer_groups").get<int>();
    what = fmt::format("analyze L = {}", job.layer_groups);
    prediction = predict_analyze(scene, job);
  }
  const double predicted_cpu = cpu_seconds(prediction, layout);
  fmt::print("| {} | {} | {:.2f} | {:.2f} | {:.2f} | {:.2f} | {:.2f} | {:.2f} |\n", what,
             layout.ranks_per_node, prediction.seconds(), wall, prediction.seconds() / wall, predicted_cpu,
             cpu, predicted_cpu / cpu);
  if (options.phases) fmt::print("{}", phase_table(prediction));
}

int run(const Options& options) {
  Costs costs = costs_from_json(read_json(options.costs));
  const Machine machine = machine_from_text(options.machine);
  const Shape shape = shape_of(options.model);
  const std::string& command = options.words[0];
  if (command == "fit") {
    fit_forward(read_json(options.words.at(1)), shape, costs);
    fmt::print("{}\n", to_json(costs).dump(2));
    return 0;
  }
  if (command == "compare") {
    compare(costs, machine, shape, options);
    return 0;
  }
  const Scene scene{costs, machine, layout_from_text(options.ranks), shape};
  fmt::print("{} on {}\n", shape.spec.name, describe(scene.layout));
  if (options.phases) fmt::print("  {}\n", describe(machine));
  if (command == "quantize") {
    quantize(scene, options);
  } else if (command == "analyze") {
    analyze(scene, options);
  } else {
    throw Error(ExitCode::invalid_arguments, "no command \"" + command + "\"");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse(argc, argv));
  } catch (const std::exception& error) {
    fmt::print(stderr, "simulate: {}\n", error.what());
    return 2;
  }
}
