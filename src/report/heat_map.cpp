#include "report/heat_map.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "report/html.hpp"

namespace llmq {
namespace {

// Units of the drawing; its width is about a phone's, so that its letters keep their size there.
constexpr double kWidth = 380, kLeft = 34, kGap = 1, kWidestCell = 52, kLegend = 40;
constexpr double kLetter = 4.4;  ///< what a letter of a label at 45 degrees takes, across and up
constexpr std::uint32_t kManyLayers = 40;

struct Scale {
  double min = 0, max = 0;  ///< over the positive values; 0, 0: there are none
  bool zeros = false;
};

/// Where cells stand. Many layers: lower cells, a number at every fifth.
struct Grid {
  std::uint32_t layers;
  double top;
  double cell_width, cell_height;
  std::uint32_t label_step;

  double x(std::size_t column) const { return kLeft + static_cast<double>(column) * cell_width; }
  double y(std::uint32_t layer) const { return top + layer * cell_height; }
};

Grid make_grid(const HeatMap& map) {
  std::size_t longest = 0;
  for (const std::string& role : map.roles) longest = std::max(longest, role.size());
  const double lean = kLetter * static_cast<double>(longest);
  const double columns = static_cast<double>(std::max<std::size_t>(1, map.roles.size()));
  // The last label leans out of its column, from the middle of it.
  const double width = std::min(kWidestCell, (kWidth - kLeft - lean) / (columns - 0.5));
  return map.n_layers > kManyLayers ? Grid{map.n_layers, lean + 14, width, 9, 5}
                                    : Grid{map.n_layers, lean + 14, width, 18, 1};
}

Scale make_scale(const HeatMap& map) {
  Scale scale;
  for (const HeatCell& cell : map.cells) {
    const std::optional<double>& value = cell.value;
    if (!value || cell.layer >= map.n_layers) continue;
    if (!(*value > 0)) {
      scale.zeros = true;
      continue;
    }
    scale.min = scale.min > 0 ? std::min(scale.min, *value) : *value;
    scale.max = std::max(scale.max, *value);
  }
  return scale;
}

std::string draw_labels(const Grid& grid, const std::vector<std::string>& roles) {
  std::string out = fmt::format("<text class=\"t\" x=\"0\" y=\"{:g}\">layer</text>\n", grid.top - 6);
  for (std::size_t column = 0; column < roles.size(); ++column) {
    const double x = grid.x(column) + grid.cell_width / 2;
    out += fmt::format(
        "<text class=\"t\" transform=\"translate({:.1f} {:g}) "
        "rotate(-45)\">{}</text>\n",
        x, grid.top - 6, html::escape(roles[column]));
  }
  for (std::uint32_t layer = 0; layer < grid.layers; layer += grid.label_step) {
    out += fmt::format("<text class=\"t e\" x=\"{:g}\" y=\"{:.1f}\">{}</text>\n", kLeft - 6,
                       grid.y(layer) + grid.cell_height / 2 + 4, layer);
  }
  return out;
}

std::string draw_cells(const HeatMap& map, const Grid& grid, const Scale& scale) {
  std::string out;
  for (const HeatCell& cell : map.cells) {
    const std::optional<double>& value = cell.value;
    if (!value || cell.layer >= map.n_layers) continue;
    const auto column = std::find(map.roles.begin(), map.roles.end(), cell.role) - map.roles.begin();
    const std::string colour = *value > 0
                                   ? fmt::format("q{}", heat_step(*value, scale.min, scale.max, map.linear))
                                   : std::string("z");
    out += fmt::format(
        "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:g}\" width=\"{:.1f}\" "
        "height=\"{:g}\"><title>{}: {} {}</title>"
        "</rect>\n",
        colour, grid.x(static_cast<std::size_t>(column)), grid.y(cell.layer), grid.cell_width - kGap,
        grid.cell_height - kGap, html::escape(cell.name), html::number(*value), html::escape(map.label));
  }
  return out;
}

std::string draw_legend(const Scale& scale, bool linear, double top) {
  if (!(scale.max > 0)) return "";
  constexpr double step = 24;
  std::string out;
  double x = kLeft;
  if (scale.zeros) {
    out += fmt::format(
        "<rect class=\"z\" x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" "
        "height=\"10\"/>"
        "<text class=\"t\" x=\"{:g}\" y=\"{:g}\">0</text>\n",
        x, top, step - kGap, x, top + 22);
    x += step + 12;
  }
  if (!(scale.min < scale.max)) {
    return out + fmt::format(
                     "<rect class=\"q{}\" x=\"{:g}\" y=\"{:g}\" "
                     "width=\"{:g}\" height=\"10\"/>"
                     "<text class=\"t\" x=\"{:g}\" y=\"{:g}\">{}</text>\n",
                     heat_step(scale.max, scale.min, scale.max, linear), x, top, step - kGap, x, top + 22,
                     html::number(scale.max));
  }
  for (int i = 0; i < kHeatSteps; ++i) {
    out += fmt::format(
        "<rect class=\"q{}\" x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" "
        "height=\"10\"/>",
        i, x + i * step, top, step);
  }
  const double end = x + kHeatSteps * step;
  const double middle = linear ? (scale.min + scale.max) / 2 : std::sqrt(scale.min) * std::sqrt(scale.max);
  out += fmt::format("\n<text class=\"t\" x=\"{:g}\" y=\"{:g}\">{}</text>", x, top + 22,
                     html::number(scale.min));
  out += fmt::format("<text class=\"t m\" x=\"{:g}\" y=\"{:g}\">{}</text>", (x + end) / 2, top + 22,
                     html::number(middle));
  return out + fmt::format("<text class=\"t e\" x=\"{:g}\" y=\"{:g}\">{}</text>\n", end, top + 22,
                           html::number(scale.max));
}

}  // namespace

int heat_step(double value, double min, double max, bool linear) {
  if (!(min < max)) return kHeatSteps / 2;
  const double place = linear ? (value - min) / (max - min)
                              : (std::log(value) - std::log(min)) / (std::log(max) - std::log(min));
  return std::clamp(static_cast<int>(place * kHeatSteps), 0, kHeatSteps - 1);
}

std::string draw(const HeatMap& map) {
  const Grid grid = make_grid(map);
  const Scale scale = make_scale(map);
  const double bottom = grid.y(grid.layers);
  return html::open_svg(map.id, map.label + " by layer and role", kWidth, bottom + kLegend) +
         draw_labels(grid, map.roles) + draw_cells(map, grid, scale) +
         draw_legend(scale, map.linear, bottom + 12) + "</svg>\n";
}

}  // namespace llmq
