#include "report/name_placer.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "report/file_names.hpp"
#include "report/html.hpp"

namespace llmq {
namespace {

constexpr double kLetter = 6.4, kAscent = 9,
                 kDescent = 3;  ///< of a name's letters: width and parts of the height
constexpr double kGap = 6;      ///< between two names of a line
constexpr std::size_t kMostLetters = 24;
constexpr double kPoint = 5, kNear = 9, kFar = 130,
                 kFurther = 8;  ///< half a point; distances of names and their step

/// Where names are tried, best first: to the right, above it, to the left, below ...
struct Direction {
  double x, y;
};
constexpr Direction kDirections[] = {{1, 0},        {0.8, -0.8},   {-1, 0},       {-0.8, 0.8},
                                     {0.8, 0.8},    {-0.8, -0.8},  {0, -1},       {0, 1},
                                     {0.95, -0.35}, {-0.95, 0.35}, {0.35, -0.95}, {-0.35, 0.95}};

/// The name's box when it ends (or begins, or stands in the middle) at a place.
Box box_at(double x, double y, double width, const Direction& direction) {
  const double left = direction.x > 0.5 ? x : direction.x < -0.5 ? x - width : x - width / 2;
  const double half = (kAscent + kDescent) / 2;
  const double middle = y + half * direction.y;
  return {left, middle - half, left + width, middle + half};
}

/// Steps of a line that are small beside a letter.
template <class Visit>
void along(double x0, double y0, double x1, double y1, const Visit& visit) {
  const int steps = std::max(1, static_cast<int>(std::hypot(x1 - x0, y1 - y0) / 3));
  for (int step = 0; step <= steps; ++step) {
    const double part = static_cast<double>(step) / steps;
    visit(x0 + part * (x1 - x0), y0 + part * (y1 - y0));
  }
}

}  // namespace

double Place::distance_to(const Box& box) const {
  return std::hypot(std::max({box.left - x, 0.0, x - box.right}),
                    std::max({box.top - y, 0.0, y - box.bottom}));
}

void NamePlacer::take_point(double x, double y) {
  points_.push_back({x, y});
  taken_.push_back({x - kPoint, y - kPoint, x + kPoint, y + kPoint});
}

void NamePlacer::take_line(double x0, double y0, double x1, double y1) {
  along(x0, y0, x1, y1, [&](double x, double y) { taken_.push_back({x - 1, y - 1, x + 1, y + 1}); });
}

bool NamePlacer::free(const Box& box) const {
  const Box with_gap{box.left - kGap, box.top, box.right + kGap, box.bottom};
  return area_.holds(box) &&
         std::none_of(taken_.begin(), taken_.end(), [&](const Box& one) { return one.meets(box); }) &&
         std::none_of(names_.begin(), names_.end(), [&](const Box& one) { return one.meets(with_gap); });
}

bool NamePlacer::belongs_to(const Box& box, double x, double y) const {
  const double distance = Place{x, y}.distance_to(box);
  return std::none_of(points_.begin(), points_.end(), [&](const Place& point) {
    return (point.x != x || point.y != y) && point.distance_to(box) < distance + kPoint;
  });
}

bool NamePlacer::leads_freely(double x0, double y0, double x1, double y1) const {
  bool crosses = false;
  along(x0, y0, x1, y1, [&](double x, double y) {
    const Box here{x - 1, y - 1, x + 1, y + 1};
    for (const Box& name : names_) crosses = crosses || here.meets(name);
  });
  return !crosses;
}

std::string NamePlacer::place(const std::string& name, double x, double y) {
  const std::string shown = cut_middle(name, kMostLetters);
  const double width = kLetter * static_cast<double>(character_count(shown));
  for (double distance = kNear; distance <= kFar; distance += kFurther) {
    for (const Direction& direction : kDirections) {
      const double end_x = x + distance * direction.x, end_y = y + distance * direction.y;
      const Box box = box_at(end_x, end_y, width, direction);
      const bool apart = distance > 2 * kNear;
      if (!free(box) || !(apart ? leads_freely(x, y, end_x, end_y) : belongs_to(box, x, y))) continue;
      names_.push_back(box);
      std::string line;
      if (apart) {
        line = fmt::format("<path class=\"lead\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/>", x, y, end_x, end_y);
        take_line(x + kNear * direction.x, y + kNear * direction.y, end_x, end_y);
      }
      const char* anchor = direction.x > 0.5 ? "" : direction.x < -0.5 ? " e" : " m";
      const double at = direction.x > 0.5    ? box.left
                        : direction.x < -0.5 ? box.right
                                             : (box.left + box.right) / 2;
      return line + fmt::format("<text class=\"name{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", anchor, at,
                                box.bottom - kDescent, html::escape(shown));
    }
  }
  return "";
}

}  // namespace llmq
