#include "scale/costs.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"

namespace llmq::scale {
namespace {

using nlohmann::json;

// One row a figure; reading and writing walk the same tables.
const std::vector<std::pair<const char*, double Costs::*>> kFigures = {
    {"counter_take", &Costs::counter_take},
    {"message", &Costs::message},
    {"message_byte", &Costs::message_byte},
    {"unit", &Costs::unit},
    {"journal_record", &Costs::journal_record},
    {"checksum_byte", &Costs::checksum_byte},
    {"verify_byte", &Costs::verify_byte},
    {"write_byte", &Costs::write_byte},
    {"sync", &Costs::sync},
    {"sync_byte", &Costs::sync_byte},
    {"read_weight", &Costs::read_weight},
    {"check_weight", &Costs::check_weight},
    {"open_model", &Costs::open_model},
    {"open_tensor", &Costs::open_tensor},
    {"vocabulary_token", &Costs::vocabulary_token},
    {"load_pass", &Costs::load_pass},
    {"text_byte", &Costs::text_byte},
    {"load_weight", &Costs::load_weight},
    {"checkpoint_byte", &Costs::checkpoint_byte},
    {"imatrix_value", &Costs::imatrix_value},
};
const std::vector<std::pair<const char*, double Costs::*>> kFitted = {
    {"matmul_flop", &Costs::matmul_flop},
    {"attention_flop", &Costs::attention_flop},
    {"elementwise_value", &Costs::elementwise_value},
    {"statistics_value", &Costs::statistics_value},
};
const std::vector<std::pair<const char*, ByRanks Costs::*>> kByRanks = {
    {"start", &Costs::start},
    {"agree", &Costs::agree},
    {"gather", &Costs::gather},
    {"all_reduce", &Costs::all_reduce},
    {"reduce_i128", &Costs::reduce_i128},
};

[[noreturn]] void refuse(const std::string& field, const char* reason) {
  throw Error(ExitCode::invalid_arguments, fmt::format("costs: \"{}\" {}", field, reason),
              "Make the file with measure_costs");
}

double figure(const json& document, const std::string& field) {
  if (!document.contains(field)) refuse(field, "is missing");
  if (!document[field].is_number()) refuse(field, "is no number");
  const double value = document[field].get<double>();
  if (!(value >= 0) || !std::isfinite(value)) refuse(field, "is no cost");
  return value;
}

}  // namespace

Costs costs_from_json(const json& document) {
  Costs costs;
  costs.cores = static_cast<int>(figure(document, "cores"));
  for (const auto& [name, member] : kFigures) costs.*member = figure(document, name);
  for (const auto& [name, member] : kFitted) {
    if (document.contains(name)) costs.*member = figure(document, name);
  }
  for (const auto& [name, member] : kByRanks) {
    if (!document.contains(name) || !document[name].is_object() || document[name].empty())
      refuse(name, "is no table by ranks");
    for (const auto& [ranks, value] : document[name].items()) {
      if (ranks.find_first_not_of("0123456789") != std::string::npos) refuse(name, "has no rank numbers");
      (costs.*member)[std::stoi(ranks)] = value.get<double>();
    }
  }
  if (!document.contains("encode_weight")) refuse("encode_weight", "is missing");
  for (const auto& [type, value] : document["encode_weight"].items())
    costs.encode_weight[type] = value.get<double>();
  return costs;
}

json to_json(const Costs& costs) {
  json document;
  document["cores"] = costs.cores;
  for (const auto& [name, member] : kFigures) document[name] = costs.*member;
  for (const auto& [name, member] : kFitted) document[name] = costs.*member;
  for (const auto& [name, member] : kByRanks) {
    for (const auto& [ranks, value] : costs.*member) document[name][std::to_string(ranks)] = value;
  }
  document["encode_weight"] = costs.encode_weight;
  return document;
}

double at_ranks(const ByRanks& costs, int ranks, int measured_cores, bool crowded) {
  if (const auto exact = costs.find(ranks);
      exact != costs.end() && (crowded || ranks <= measured_cores || ranks == 1)) {
    return exact->second;
  }
  double best = 0;
  int at = 0;
  for (const auto& [measured, value] : costs) {
    const bool usable = measured <= ranks && (crowded || measured <= measured_cores);
    if (at == 0 || usable) best = value, at = measured;
  }
  return at < 2 ? best : best * std::log2(ranks) / std::log2(at);
}

}  // namespace llmq::scale
