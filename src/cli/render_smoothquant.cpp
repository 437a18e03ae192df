#include "cli/render_smoothquant.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/text.hpp"

namespace llmq::cli {
namespace {

/// The mappings of one kind in all layers.
struct Kind {
  std::string name;  ///< "attn_norm -> attn_q, attn_k, attn_v"
  std::vector<const MappingReport*> mappings;
};

/// "blk.3.ffn_up -> ffn_down" -> "ffn_up -> ffn_down".
std::string kind_of(const std::string& name) {
  const auto layer = name.find('.');
  return name.substr(name.find('.', layer + 1) + 1);
}

std::vector<Kind> kinds_of(const SmoothQuantResult& result) {
  std::vector<Kind> kinds;
  for (const MappingReport& mapping : result.mappings) {
    const std::string name = kind_of(mapping.name);
    auto found =
        std::find_if(kinds.begin(), kinds.end(), [&](const Kind& kind) { return kind.name == name; });
    if (found == kinds.end()) found = kinds.insert(kinds.end(), {name, {}});
    found->mappings.push_back(&mapping);
  }
  return kinds;
}

/// "0.5", "0.4-0.7", "-" where nothing is folded.
std::string alpha_text(const Kind& kind) {
  double least = 2, most = -1;
  for (const MappingReport* mapping : kind.mappings) {
    if (!mapping->folded) continue;
    least = std::min(least, mapping->alpha);
    most = std::max(most, mapping->alpha);
  }
  if (most < 0) return "-";
  return least == most ? fmt::format("{:g}", most) : fmt::format("{:g}-{:g}", least, most);
}

/// How many times the channel in the middle the largest is, at most over the layers.
double spread(const Kind& kind, RangeSummary MappingReport::*range) {
  double most = 0;
  for (const MappingReport* mapping : kind.mappings) {
    const RangeSummary& one = mapping->*range;
    if (one.median > 0) most = std::max(most, one.largest / one.median);
  }
  return most;
}

std::string kind_row(const Kind& kind) {
  std::size_t folded = 0;
  const MappingReport* worst = kind.mappings.front();
  for (const MappingReport* mapping : kind.mappings) {
    if (mapping->folded) ++folded;
    if (mapping->error > worst->error) worst = mapping;
  }
  return fmt::format("  {:<36} {:>9} {:>8} {:>7.0f}x {:>7.0f}x {:>11.4f}  {}\n", kind.name,
                     fmt::format("{} of {}", folded, kind.mappings.size()), alpha_text(kind),
                     spread(kind, &MappingReport::input_before), spread(kind, &MappingReport::input_after),
                     worst->error, worst->name.substr(0, worst->name.find('.', 4)));
}

Json range_json(const RangeSummary& before, const RangeSummary& after) {
  const auto one = [](const RangeSummary& range) -> Json {
    return {{"largest", range.largest}, {"median", range.median}};
  };
  return {{"before", one(before)}, {"after", one(after)}};
}

Json mapping_json(const MappingReport& mapping) {
  Json widest = Json::array();
  for (const WideChannel& one : mapping.widest)
    widest.push_back({{"channel", one.channel}, {"times_median", one.times_median}});
  return {
      {"name", mapping.name},
      {"folded", mapping.folded},
      {"alpha", mapping.folded ? Json(mapping.alpha) : Json(nullptr)},
      {"refined", mapping.refined},
      {"input_range", range_json(mapping.input_before, mapping.input_after)},
      {"weight_range", range_json(mapping.weight_before, mapping.weight_after)},
      {"scales",
       {{"min", mapping.scale_smallest}, {"median", mapping.scale_median}, {"max", mapping.scale_largest}}},
      {"error", mapping.error},
      {"error_is", mapping.measured ? "measured" : "bound"},
      {"wide_channels", {{"total", mapping.wide_channels}, {"widest", widest}}}};
}

}  // namespace

std::string smoothquant_table(const SmoothQuantResult& result) {
  if (result.mappings.empty()) return "";
  const bool measured = result.mappings.front().measured;
  std::string text = fmt::format("  {:<36} {:>9} {:>8} {:>8} {:>8} {:>11}  {}\n", "smoothed inputs", "folded",
                                 "alpha", "spread", "after", measured ? "worst error" : "error below", "in");
  for (const Kind& kind : kinds_of(result)) text += kind_row(kind);
  return text + "  spread: the largest channel of an input over the one in the middle\n\n";
}

Json smoothquant_json(const SmoothQuantResult& result) {
  Json mappings = Json::array();
  for (const MappingReport& mapping : result.mappings) mappings.push_back(mapping_json(mapping));
  return {{"alpha", result.alpha ? Json(*result.alpha) : Json("auto")},
          {"activation_scales", result.activations == ActivationScales::dynamic ? "dynamic" : "static"},
          {"imatrix",
           {{"path", result.imatrix.empty() ? Json(nullptr) : Json(result.imatrix.string())},
            {"reused", result.imatrix_reused}}},
          {"shards", result.shards},
          {"kept", result.kept},
          {"range_seconds", result.range_seconds},
          {"search_seconds", result.search_seconds},
          {"mappings", mappings}};
}

}  // namespace llmq::cli
