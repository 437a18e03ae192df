// Pieces of an HTML page. What comes from outside goes through `escape`; functions that take plain text say
// so. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace llmq::html {

/// Plain text as content or attribute: no markup, no control characters, each byte that is not part of a
/// character replaced.
std::string escape(std::string_view text);

/// Four significant digits, as every figure on a page.
std::string number(double value);

struct Column {
  std::string title;
  bool numeric = true;  ///< to the right
};

/// Titles and cells are plain text.
struct Table {
  std::string id;
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;
};
/// Scrolls by itself where the page is narrower than the table.
std::string draw(const Table& table);

/// A card with a heading; `title` is plain text, `body` markup.
std::string section(std::string_view id, std::string_view title, std::string_view body, bool wide = false);

/// Opens an SVG of this many units that fills its card up to that width. `label` is plain text.
std::string open_svg(std::string_view id, std::string_view label, double width, double height);

/// Plain text.
std::string paragraph(std::string_view text);

struct Fact {
  std::string name, value;
};
/// Title and facts above the sections; plain text.
std::string header(std::string_view title, const std::vector<Fact>& facts);

/// The whole document. `title` is plain text, `header` and `sections` markup.
std::string page(std::string_view title, std::string_view header, std::string_view sections);

/// The first digits of "sha256:..." or of a bare hash.
std::string short_hash(std::string hash);

}  // namespace llmq::html
