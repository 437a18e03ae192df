#include "report/html.hpp"

#include <fmt/format.h>

#include "llmq/core/text.hpp"

namespace llmq::html {

std::string escape(std::string_view text) {
  constexpr std::string_view replacement = "\xEF\xBF\xBD";
  const bool utf8 = is_valid_utf8(text);
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (c == '\'')
      out += "&#39;";
    else if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !utf8))
      out += replacement;
    else
      out += c;
  }
  return out;
}

std::string number(double value) { return fmt::format("{:.4g}", value); }

std::string draw(const Table& table) {
  const auto side = [&](std::size_t column) { return table.columns[column].numeric ? " class=\"n\"" : ""; };
  std::string out = fmt::format("<div class=\"scroll\"><table id=\"{}\">\n<thead><tr>", escape(table.id));
  for (std::size_t i = 0; i < table.columns.size(); ++i)
    out += fmt::format("<th{}>{}</th>", side(i), escape(table.columns[i].title));
  out += "</tr></thead>\n<tbody>\n";
  for (const std::vector<std::string>& row : table.rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) out += fmt::format("<td{}>{}</td>", side(i), escape(row[i]));
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string section(std::string_view id, std::string_view title, std::string_view body, bool wide) {
  return fmt::format("<section id=\"{}\"{}>\n<h2>{}</h2>\n{}</section>\n", escape(id),
                     wide ? " class=\"wide\"" : "", escape(title), body);
}

std::string open_svg(std::string_view id, std::string_view label, double width, double height) {
  return fmt::format("<svg id=\"{}\" viewBox=\"0 0 {:g} {:g}\" role=\"img\" aria-label=\"{}\">\n", escape(id),
                     width, height, escape(label));
}

}  // namespace llmq::html
