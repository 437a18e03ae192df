#include "report/html.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/text.hpp"

#include "report/page_style.hpp"

namespace llmq::html {

namespace {

/// Bytes of the character that `text` begins with; 0 where they are none.
std::size_t character_bytes(std::string_view text) {
  for (std::size_t bytes = 1; bytes <= std::min<std::size_t>(4, text.size()); ++bytes)
    if (is_valid_utf8(text.substr(0, bytes))) return bytes;
  return 0;
}

/// What stands for a byte that HTML gives a meaning; empty: itself.
std::string_view entity(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return "";
  }
}

}  // namespace

std::string escape(std::string_view text) {
  constexpr std::string_view replacement = "\xEF\xBF\xBD";
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const std::size_t bytes = byte < 0x80 ? 1 : character_bytes(text.substr(at));
    if (bytes == 0 || byte < 0x20 || byte == 0x7F)
      out += replacement;
    else if (const std::string_view instead = entity(text[at]); !instead.empty())
      out += instead;
    else
      out += text.substr(at, bytes);
    at += std::max<std::size_t>(1, bytes);
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

std::string paragraph(std::string_view text) { return fmt::format("<p>{}</p>\n", escape(text)); }

std::string header(std::string_view title, const std::vector<Fact>& facts) {
  std::string out = fmt::format("<header>\n<h1>{}</h1>\n<dl id=\"facts\">\n", escape(title));
  for (const Fact& fact : facts)
    out += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(fact.name), escape(fact.value));
  return out + "</dl>\n</header>\n";
}

std::string page(std::string_view title, std::string_view header, std::string_view sections) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n{}<main>\n{}"
      "</main>\n<footer>llm-quantize " LLMQ_VERSION "</footer>\n</body>\n</html>\n",
      escape(title), kPageStyle, header, sections);
}

std::string short_hash(std::string hash) {
  constexpr std::size_t kDigits = 16;
  if (const auto colon = hash.find(':'); colon != std::string::npos) hash.erase(0, colon + 1);
  return hash.substr(0, kDigits);
}

}  // namespace llmq::html
