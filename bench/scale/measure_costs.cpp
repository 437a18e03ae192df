// Prints what single operations cost here, as JSON for `simulate`:
//   mpirun -n RANKS measure_costs MODEL SMALL_MODEL WORK_DIRECTORY CORES [1:SECONDS,2:SECONDS,...]
// The last word is the start-up by number of ranks: wall seconds of `mpirun -n N measure_costs start`, taken
// by the caller. Figures of threads are measured on CORES ranks at once, as in a run that uses the machine,
// and averaged. SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "scale/measure.hpp"

namespace {

using namespace llmq;
using namespace llmq::scale;
using nlohmann::json;

void read_start(std::string_view text, ByRanks& start) {
  while (!text.empty()) {
    const std::string part(text.substr(0, text.find(',')));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    start[std::stoi(part)] = std::stod(part.substr(part.find(':') + 1));
  }
}

/// Means of all figures over the ranks of `comm`, on rank 0; tables by ranks are left alone.
void average(const Communicator& comm, Costs& costs) {
  const std::string mine = to_json(costs).dump();
  const auto all = comm.gather(std::span<const char>(mine), "collect figures");
  if (!comm.is_root()) return;
  json sum = json::parse(all[0].begin(), all[0].end());
  const auto add = [&](json& into, const json& from) {
    for (auto& [name, value] : into.items()) {
      if (value.is_number_float()) value = value.get<double>() + from[name].get<double>() / comm.size();
    }
  };
  for (auto* table : {&sum, &sum["encode_weight"]}) {
    for (auto& [name, value] : table->items()) {
      if (value.is_number_float()) value = 0.0;
    }
  }
  for (const auto& text : all) {
    const json one = json::parse(text.begin(), text.end());
    add(sum, one);
    add(sum["encode_weight"], one["encode_weight"]);
  }
  costs = costs_from_json(sum);
}

int run(const Communicator& world, const std::vector<std::string>& words) {
  Costs costs;
  costs.cores = std::stoi(words[3]);
  if (words.size() > 4) read_start(words[4], costs.start);
  measure_ranks(world, costs);
  on_first_ranks(world, std::min(costs.cores, world.size()), [&](const Communicator& comm) {
    measure_local(words[2], costs);
    measure_model(words[0], words[1], costs);
    // Only rank 0 has seen every number of ranks; what it alone measured must not be averaged.
    const Costs ranks = costs;
    for (ByRanks Costs::*table :
         {&Costs::start, &Costs::agree, &Costs::all_reduce, &Costs::gather, &Costs::reduce_i128})
      costs.*table = {{1, 0.0}};
    average(comm, costs);
    for (ByRanks Costs::*table :
         {&Costs::start, &Costs::agree, &Costs::all_reduce, &Costs::gather, &Costs::reduce_i128})
      costs.*table = ranks.*table;
    for (double Costs::*own : {&Costs::unit, &Costs::message, &Costs::message_byte, &Costs::counter_take})
      costs.*own = ranks.*own;
  });
  if (world.is_root()) fmt::print("{}\n", to_json(costs).dump(2));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    const MpiEnvironment mpi;
    const Communicator world = mpi.world();
    if (words.size() == 1 && words[0] == "start") return 0;
    if (words.size() < 4) {
      fmt::print(stderr,
                 "measure_costs MODEL SMALL_MODEL WORK_DIRECTORY CORES [RANKS:SECONDS,...] | start\n");
      return 2;
    }
    return run(world, words);
  } catch (const std::exception& error) {
    fmt::print(stderr, "measure_costs: {}\n", error.what());
    MpiEnvironment::abort(1);
  }
}
