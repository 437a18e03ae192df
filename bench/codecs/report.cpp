#include "codecs/report.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace llmq::bench {
namespace {

using nlohmann::ordered_json;

/// Types whose encoders do work of one kind.
std::string_view class_of(GgmlType type) {
  switch (type) {
    case GgmlType::Q4_0:
    case GgmlType::Q4_1:
    case GgmlType::Q5_0:
    case GgmlType::Q5_1:
      return "32";
    case GgmlType::Q2_K:
    case GgmlType::Q3_K:
    case GgmlType::Q4_K:
    case GgmlType::Q5_K:
    case GgmlType::Q6_K:
      return "K";
    case GgmlType::IQ4_NL:
    case GgmlType::IQ4_XS:
      return "IQ4";
    case GgmlType::IQ2_XXS:
    case GgmlType::IQ2_XS:
    case GgmlType::IQ2_S:
    case GgmlType::IQ3_XXS:
    case GgmlType::IQ3_S:
      return "IQ2, IQ3";
    case GgmlType::IQ1_S:
    case GgmlType::IQ1_M:
      return "IQ1";
    default:
      return "rounding";
  }
}

using Ratio = std::function<double(const Cell&)>;
double error_ratio(const Cell& cell) { return cell.error.ratio(); }
double importance_ratio(const Cell& cell) { return cell.importance_error.ratio(); }
double encode_ratio(const Cell& cell) { return cell.encode.ratio(); }
double decode_ratio(const Cell& cell) { return cell.decode.ratio(); }

double geometric_mean(std::span<const Cell> cells, const Ratio& ratio) {
  double sum = 0.0;
  for (const Cell& cell : cells) sum += std::log(std::max(ratio(cell), 1e-9));
  return cells.empty() ? 1.0 : std::exp(sum / static_cast<double>(cells.size()));
}

const Cell& highest(std::span<const Cell> cells, const Ratio& ratio) {
  return *std::ranges::max_element(cells, {}, ratio);
}
const Cell& lowest(std::span<const Cell> cells, const Ratio& ratio) {
  return *std::ranges::min_element(cells, {}, ratio);
}

std::string place(const Cell& cell) {
  return fmt::format("{} {} {}", type_name(cell.type), cell.rows, cell.importance);
}

std::map<std::string_view, std::vector<Cell>> by_class(std::span<const Cell> cells) {
  std::map<std::string_view, std::vector<Cell>> classes;
  for (const Cell& cell : cells) classes[class_of(cell.type)].push_back(cell);
  return classes;
}

std::vector<Cell> with_importance(std::span<const Cell> cells) {
  std::vector<Cell> chosen;
  std::ranges::copy_if(cells, std::back_inserter(chosen),
                       [](const Cell& cell) { return cell.importance == "given"; });
  return chosen;
}

std::string head(const Cell& cell) {
  return fmt::format(
      "\nrows {}, importance {}\n{:8} {:>10} {:>10} {:>7} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8} {:>6}\n",
      cell.rows, cell.importance == "given" ? "given" : "none (ones where the reference needs some)", "type",
      "error", "ours", "ratio", "a ratio", "enc M/s", "ours", "ratio", "dec M/s", "ours", "ratio");
}

std::string line(const Cell& cell) {
  const std::string importance =
      cell.importance == "given" ? fmt::format("{:.4f}", cell.importance_error.ratio()) : "-";
  return fmt::format(
      "{:8} {:>10.4g} {:>10.4g} {:>7.4f} {:>8} {:>8.3g} {:>8.3g} {:>6.2f} {:>8.4g} {:>8.4g} {:>6.2f}{}\n",
      type_name(cell.type), cell.error.theirs, cell.error.ours, cell.error.ratio(), importance,
      cell.encode.theirs * 1e-6, cell.encode.ours * 1e-6, cell.encode.ratio(), cell.decode.theirs * 1e-6,
      cell.decode.ours * 1e-6, cell.decode.ratio(), cell.same_decoding ? "" : "  DECODED VALUES DIFFER");
}

std::string summary(std::span<const Cell> cells) {
  const Cell& worst = highest(cells, error_ratio);
  std::string text =
      fmt::format("\nerror ours/theirs: geometric mean {:.4f} of {} cells, worst {:.4f} ({})\n",
                  geometric_mean(cells, error_ratio), cells.size(), worst.error.ratio(), place(worst));
  if (const auto given = with_importance(cells); !given.empty()) {
    const Cell& bad = highest(given, importance_ratio);
    text += fmt::format("importance error ours/theirs: geometric mean {:.4f}, worst {:.4f} ({})\n",
                        geometric_mean(given, importance_ratio), bad.importance_error.ratio(), place(bad));
  }
  for (const auto& [name, members] : by_class(cells)) {
    const Cell& encode = lowest(members, encode_ratio);
    const Cell& decode = lowest(members, decode_ratio);
    text += fmt::format(
        "class {}: error {:.4f}; least speed ours/theirs: encode {:.2f} ({}), decode {:.2f} ({})\n", name,
        geometric_mean(members, error_ratio), encode.encode.ratio(), place(encode), decode.decode.ratio(),
        place(decode));
  }
  return text;
}

ordered_json pair_json(const Pair& pair) {
  return {{"theirs", pair.theirs}, {"ours", pair.ours}, {"ratio", pair.ratio()}};
}

ordered_json cell_json(const Cell& cell) {
  ordered_json json = {{"type", type_name(cell.type)},
                       {"class", class_of(cell.type)},
                       {"rows", cell.rows},
                       {"importance", cell.importance},
                       {"error", pair_json(cell.error)},
                       {"square_error", pair_json(cell.square_error)},
                       {"encode_weights_per_second", pair_json(cell.encode)},
                       {"decode_weights_per_second", pair_json(cell.decode)},
                       {"same_decoding", cell.same_decoding}};
  if (cell.importance == "given") json["importance_error"] = pair_json(cell.importance_error);
  return json;
}

ordered_json summary_json(std::span<const Cell> cells) {
  const Cell& worst = highest(cells, error_ratio);
  ordered_json json = {{"error_ratio", geometric_mean(cells, error_ratio)},
                       {"worst", {{"ratio", worst.error.ratio()}, {"cell", place(worst)}}}};
  if (const auto given = with_importance(cells); !given.empty())
    json["importance_error_ratio"] = geometric_mean(given, importance_ratio);
  for (const auto& [name, members] : by_class(cells)) {
    json["classes"][std::string(name)] = {{"error_ratio", geometric_mean(members, error_ratio)},
                                          {"encode_ratio", encode_ratio(lowest(members, encode_ratio))},
                                          {"decode_ratio", decode_ratio(lowest(members, decode_ratio))}};
  }
  return json;
}

}  // namespace

std::string to_tables(std::span<const Cell> cells) {
  std::string text;
  const Cell* before = nullptr;
  for (const Cell& cell : cells) {
    if (before == nullptr || before->rows != cell.rows ||
        (before->importance == "given") != (cell.importance == "given"))
      text += head(cell);
    text += line(cell);
    before = &cell;
  }
  return cells.empty() ? "nothing to compare\n" : text + summary(cells);
}

std::string to_json(std::span<const Cell> cells) {
  ordered_json json = {{"cells", ordered_json::array()}};
  for (const Cell& cell : cells) json["cells"].push_back(cell_json(cell));
  if (!cells.empty()) json["summary"] = summary_json(cells);
  return json.dump(2) + "\n";
}

}  // namespace llmq::bench
