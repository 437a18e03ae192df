#include "llmq/allocate/profile.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

using Json = nlohmann::ordered_json;

/// 4 rather than 4.0 in files.
Json number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e9) return static_cast<std::int64_t>(value);
  return value;
}

Json number_or_null(const std::optional<double>& value) { return value ? number(*value) : Json(nullptr); }

Json assignment_json(const LayerAssignment& assignment) {
  Json json = {{"layer_name", assignment.layer_name},
               {"bit_width", number(assignment.bit_width)},
               {"is_protected", assignment.is_protected}};
  if (assignment.tensor_types.empty()) return json;
  for (const TensorPin& pin : assignment.tensor_types) json["tensor_types"][pin.role] = type_name(pin.type);
  return json;
}

}  // namespace

std::string_view name_of(ProfileStrategy strategy) {
  switch (strategy) {
    case ProfileStrategy::attention_high:
      return "attention_high";
    case ProfileStrategy::balanced:
      return "balanced";
    case ProfileStrategy::compression_max:
      return "compression_max";
    case ProfileStrategy::custom:
      return "custom";
  }
  throw InternalError("unknown profile strategy");
}

double average_limit(double bit_width) {
  struct Nominal {
    double bits;
    GgmlType type;
  };
  static constexpr Nominal kNominal[] = {{2, GgmlType::Q2_K}, {3, GgmlType::Q3_K}, {4, GgmlType::Q4_K},
                                         {5, GgmlType::Q5_K}, {6, GgmlType::Q6_K}, {8, GgmlType::Q8_0},
                                         {16, GgmlType::F16}};
  for (const Nominal& row : kNominal) {
    if (row.bits == bit_width) return bits_per_weight(row.type);
  }
  return std::max(bit_width, bits_per_weight(GgmlType::IQ1_S));
}

nlohmann::ordered_json profile_json(const Profile& profile) {
  Json assignments = Json::array();
  for (const LayerAssignment& one : profile.layer_assignments) assignments.push_back(assignment_json(one));
  return {{"profile_id", profile.id},
          {"profile_name", profile.name},
          {"description", profile.description},
          {"strategy", name_of(profile.strategy)},
          {"layer_assignments", assignments},
          {"target_bpw", number_or_null(profile.target_bpw)},
          {"target_compression", number_or_null(profile.target_compression)}};
}

std::string profile_text(const Profile& profile) {
  return profile_json(profile).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace llmq
