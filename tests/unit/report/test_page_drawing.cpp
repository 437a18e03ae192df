// What drawings and words of pages rest on: names that tell files apart, places without overlap, ink that can
// be read.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <random>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/file_names.hpp"
#include "report/name_placer.hpp"
#include "report/page_style.hpp"

namespace {
using namespace llmq;
using testing::ElementsAre;

TEST(FileNames, without_directories_and_numbered_where_equal) {
  EXPECT_EQ(shown_name("/a/model/"), "model");
  EXPECT_THAT(shown_names({"a/x.gguf", "b/x.gguf", "y.gguf", "c/x.gguf"}),
              ElementsAre("x.gguf", "x.gguf (2)", "y.gguf", "x.gguf (3)"));
}

TEST(FileNames, short_ones_leave_out_what_all_have) {
  EXPECT_THAT(short_names({"d/Pebble-1B-q4_0.gguf", "d/Pebble-1B-q8_0.gguf"}), ElementsAre("q4_0", "q8_0"));
  EXPECT_THAT(short_names({"m-q4_0-v1.5.gguf", "m-q8_0-v1.5.gguf"}), ElementsAre("q4_0", "q8_0"));
  EXPECT_THAT(short_names({"m-a.gguf"}), ElementsAre("m-a"));
  EXPECT_THAT(short_names({"m-a.gguf", "x/m-a.gguf"}), ElementsAre("m-a", "m-a (2)"));
  EXPECT_THAT(short_names({"m-.gguf", "m-a.gguf"}), ElementsAre("m-", "m-a")) << "something is left of each";
  EXPECT_THAT(short_names({"-a", "-b"}), ElementsAre("a", "b"));
  EXPECT_THAT(short_names({"a-x", "b-x"}), ElementsAre("a", "b"));
  EXPECT_THAT(short_names({".gguf", "q"}), ElementsAre(".gguf", "q"));
  EXPECT_TRUE(short_names({}).empty());
}

TEST(FileNames, long_ones_lose_their_middle_between_characters) {
  EXPECT_EQ(cut_middle("0123456789", 10), "0123456789");
  EXPECT_EQ(cut_middle("0123456789", 7), "012…789");
  EXPECT_EQ(cut_middle("äöüßéèêëïî", 5), "äö…ïî");
  EXPECT_EQ(character_count("äö…"), 3U);
  for (const char* broken : {"\x80\x80\x80\x80", "\xff\xff\xff\xff",
                             "a\x80\x80"
                             "b\x80"
                             "cd"})
    EXPECT_LE(character_count(cut_middle(broken, 2)), 2U);
}

TEST(NamePlacer, names_meet_neither_each_other_nor_points_nor_the_border) {
  const Box area{50, 0, 380, 230};
  std::mt19937 random(7);
  std::size_t placed = 0;
  for (int round = 0; round < 100; ++round) {
    NamePlacer placer(area);
    std::vector<std::array<double, 2>> points(20);
    for (auto& [x, y] : points) {
      x = 60 + static_cast<double>(random() % 300);
      y = 10 + static_cast<double>(random() % 200);
      placer.take_point(x, y);
    }
    placer.take_line(60, 10, 360, 210);
    for (const auto& [x, y] : points) placer.place(fmt::format("name_{}", random() % 1000), x, y);
    const std::vector<Box>& names = placer.names();
    placed += names.size();
    for (std::size_t one = 0; one < names.size(); ++one) {
      EXPECT_TRUE(area.holds(names[one]));
      for (std::size_t other = 0; other < one; ++other) EXPECT_FALSE(names[one].meets(names[other]));
      for (const auto& [x, y] : points) EXPECT_FALSE(names[one].meets({x, y, x + 1, y + 1}));
    }
  }
  EXPECT_GT(placed, 1900U) << "hardly any of 2000 names is left out";
}

TEST(NamePlacer, a_name_without_a_line_stands_nearest_to_its_own_point) {
  NamePlacer placer({0, 0, 300, 200});
  placer.take_point(100, 100);
  placer.take_point(112, 92);  // to the right of the first, a little above it
  EXPECT_EQ(placer.place("first", 100, 100).find("class=\"lead\""), std::string::npos);
  const Place own{100, 100}, other{112, 92};
  EXPECT_LT(own.distance_to(placer.names()[0]), other.distance_to(placer.names()[0]));
}

TEST(NamePlacer, gives_up_where_there_is_no_room) {
  NamePlacer placer({0, 0, 30, 20});
  EXPECT_EQ(placer.place("a_name_that_is_too_long", 15, 10), "");
  EXPECT_TRUE(placer.names().empty());
}

/// Of WCAG 2: from 1 to 21.
double contrast(const std::string& a, const std::string& b) {
  const auto light = [](const std::string& colour) {
    std::string digits = colour.substr(1);
    if (digits.size() == 3) digits = {digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]};
    double sum = 0;
    const double weights[] = {0.2126, 0.7152, 0.0722};
    for (std::size_t part = 0; part < 3; ++part) {
      int value = 0;
      std::from_chars(digits.data() + 2 * part, digits.data() + 2 * part + 2, value, 16);
      const double c = value / 255.0;
      sum += weights[part] * (c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4));
    }
    return sum + 0.05;
  };
  return std::max(light(a), light(b)) / std::min(light(a), light(b));
}

/// The variables of a scheme, one that names another followed to its colour.
class Scheme {
 public:
  explicit Scheme(std::string_view css) : css_(css.substr(0, css.find('}'))) {}

  std::string colour(const std::string& name) const {
    const std::string_view value = value_of(css_, "--" + name + ":");
    return value.starts_with("var(--") ? colour(std::string(value.substr(6, value.size() - 7)))
                                       : std::string(value);
  }
  static std::string_view value_of(std::string_view css, const std::string& key) {
    const std::size_t at = css.find(key);
    if (at == std::string_view::npos) return "";
    const std::string_view rest = css.substr(at + key.size());
    return rest.substr(0, rest.find_first_of(";}"));
  }

 private:
  std::string_view css_;
};

TEST(PageStyle, words_can_be_read_on_every_step_in_both_schemes) {
  const std::string_view css = kPageStyle;
  const Scheme light(css.substr(css.find(":root{")));
  const Scheme dark(css.substr(css.rfind(":root{")));
  EXPECT_NE(light.colour("q0"), dark.colour("q0"));
  for (const Scheme& scheme : {light, dark}) {
    for (int step = 0; step < 10; ++step) {
      const std::size_t at = css.find(fmt::format(".k{}{{", step));
      ASSERT_NE(at, std::string_view::npos);
      const std::string_view rule = css.substr(at, css.find('}', at) - at + 1);
      const std::string_view ink = Scheme::value_of(rule, ";color:");
      const std::string name = ink.empty() ? "ink" : std::string(ink.substr(6, ink.size() - 7));
      EXPECT_GE(contrast(scheme.colour(fmt::format("q{}", step)), scheme.colour(name)), 4.5)
          << "step " << step << ", " << name;
    }
    EXPECT_GE(contrast(scheme.colour("card"), scheme.colour("soft")), 4.5);
  }
}

}  // namespace
