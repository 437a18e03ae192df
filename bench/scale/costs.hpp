// What single operations cost on the machine where measure_costs ran. The only input of the simulator that is
// measured; everything else is arithmetic. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace llmq::scale {

/// Seconds by number of ranks on one node.
using ByRanks = std::map<int, double>;

/// Seconds of one thread for one operation, unless the name says otherwise.
struct Costs {
  int cores = 1;  ///< of the machine that was measured

  ByRanks start;            ///< wall seconds of a program that starts MPI and ends
  ByRanks agree;            ///< Communicator::agree
  ByRanks all_reduce;       ///< of 8 bytes
  ByRanks gather;           ///< of 8 bytes a rank
  ByRanks reduce_i128;      ///< reduce_to_root, per element
  double counter_take = 0;  ///< WorkCounter::take inside a node
  double message = 0;       ///< one small message, one way
  double message_byte = 0;

  double unit = 0;  ///< run_units with units that do nothing
  double journal_record = 0;
  double checksum_byte = 0;
  double verify_byte = 0;   ///< a unit read back from the page cache into fresh memory, and its checksum
  double write_byte = 0;    ///< pwrite into fresh pages of a reserved file
  double sync = 0;          ///< fsync with next to nothing to write
  double sync_byte = 0;     ///< what a byte to write adds
  double read_weight = 0;   ///< ModelSource::read_rows of BF16 in the page cache
  double check_weight = 0;  ///< the look for values that are not finite
  std::map<std::string, double> encode_weight;  ///< by block type

  double open_model = 0;        ///< config, heads, vocabulary, fingerprint; of a model of `open_tensors`
  double open_tensor = 0;       ///< the part of open_model and plan that grows with the tensors, per tensor
  double vocabulary_token = 0;  ///< reading and writing the vocabulary, per token
  double load_pass = 0;         ///< the shared module of the forward pass
  double text_byte = 0;         ///< calibration text to tokens
  double load_weight = 0;       ///< a layer's weights for the forward pass, pread counted
  double checkpoint_byte = 0;   ///< boundary states into a generation
  double imatrix_value = 0;     ///< totals to a finished .imatrix, per column of a weight

  double matmul_flop = 0;        ///< from here on: fitted to the result of an analyze run
  double attention_flop = 0;     ///< of the causal half
  double elementwise_value = 0;  ///< per token and value of (2 hidden + ffn)
  double statistics_value = 0;   ///< per token and column
};

/// @throws Error(invalid_arguments) that names a missing or senseless field.
Costs costs_from_json(const nlohmann::json& document);
nlohmann::json to_json(const Costs& costs);

/// Cost at `ranks` on a node: as measured where the measured machine had a core a rank, else grown with the
/// logarithm from the largest such count. Counts beyond the cores are used only for machines that are as
/// short of cores (`crowded`).
double at_ranks(const ByRanks& costs, int ranks, int measured_cores, bool crowded);

}  // namespace llmq::scale
