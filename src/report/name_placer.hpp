// Names beside the points of a drawing so that none lies over another. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace llmq {

/// A part of a drawing; y grows downwards.
struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;

  bool meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
  bool holds(const Box& other) const {
    return left <= other.left && right >= other.right && top <= other.top && bottom >= other.bottom;
  }
};

struct Place {
  double x = 0, y = 0;

  double distance_to(const Box& box) const;
};

class NamePlacer {
 public:
  explicit NamePlacer(const Box& area) : area_(area) {}

  /// Points and lines first: no name lies on them.
  void take_point(double x, double y);
  void take_line(double x0, double y0, double x1, double y1);

  /// SVG of the name at the nearest free place, with a line to its point where that is not next to it. Long
  /// names are cut. Empty when there is no place.
  std::string place(const std::string& name, double x, double y);
  const std::vector<Box>& names() const noexcept { return names_; }

 private:
  bool free(const Box& box) const;
  /// That no other point stands nearer to it than (x, y).
  bool belongs_to(const Box& box, double x, double y) const;
  bool leads_freely(double x0, double y0, double x1, double y1) const;

  Box area_;
  std::vector<Place> points_;
  std::vector<Box> taken_, names_;
};

}  // namespace llmq
