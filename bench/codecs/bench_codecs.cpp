// Our encoders and decoders beside the reference's: error by its own measure, speed of one thread.
//   bench_codecs --peer LIBGGML_BASE [--types A,B] [--rows gauss,heavy,model:PATH] [--importance
//   none|given|both]
//                [--seconds 0.2] [--kernels NAME] [--format text|json]
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/kernels.hpp"
#include "llmq/quant/codec.hpp"

#include "codecs/measure.hpp"
#include "codecs/peer.hpp"
#include "codecs/report.hpp"
#include "codecs/rows.hpp"

namespace {

using namespace llmq;
using namespace llmq::bench;

struct Options {
  std::string peer;
  std::vector<GgmlType> types;
  std::vector<std::string> rows = {"gauss", "heavy"};
  std::vector<Importance> importance = {Importance::none, Importance::given};
  double seconds = 0.2;
  bool json = false;
};

Error usage(std::string_view what) {
  return Error(
      ExitCode::invalid_arguments,
      fmt::format("{}; bench_codecs --peer LIBGGML_BASE [--types A,B] [--rows gauss,heavy,model:PATH] "
                  "[--importance none|given|both] [--seconds S] [--kernels NAME] [--format text|json]",
                  what));
}

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    parts.emplace_back(list.substr(0, list.find(',')));
    list.remove_prefix(std::min(list.size(), parts.back().size() + 1));
  }
  return parts;
}

GgmlType type_named(const std::string& name) {
  const auto type = ggml_type_from_name(name);
  if (!type) throw usage(fmt::format("no such type: {}", name));
  return *type;
}

double number(std::string_view text) {
  double value = 0.0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size())
    throw usage(fmt::format("no number: {}", text));
  return value;
}

void set(Options& options, std::string_view name, std::string_view value) {
  if (name == "--peer") {
    options.peer = value;
  } else if (name == "--types") {
    for (const std::string& type : split(value)) options.types.push_back(type_named(type));
  } else if (name == "--rows") {
    options.rows = split(value);
  } else if (name == "--importance" && value == "none") {
    options.importance = {Importance::none};
  } else if (name == "--importance" && value == "given") {
    options.importance = {Importance::given};
  } else if (name == "--importance" && value == "both") {
    options.importance = {Importance::none, Importance::given};
  } else if (name == "--seconds") {
    options.seconds = number(value);
  } else if (name == "--kernels") {
    force_kernels(value);
  } else if (name == "--format" && (value == "text" || value == "json")) {
    options.json = value == "json";
  } else {
    throw usage(fmt::format("cannot take {} {}", name, value));
  }
}

Options parse(const std::vector<std::string>& words) {
  Options options;
  if (words.size() % 2 != 0) throw usage("every option takes a value");
  for (std::size_t i = 0; i < words.size(); i += 2) set(options, words[i], words[i + 1]);
  if (options.peer.empty()) throw usage("--peer is missing");
  return options;
}

/// Those asked for, or all that both sides know. F32 is a copy and left out.
std::vector<GgmlType> choose_types(const Options& options, const Peer& peer) {
  std::vector<GgmlType> types;
  for (const Codec& codec : codecs()) {
    if (codec.type == GgmlType::F32) continue;
    if (!options.types.empty() && std::ranges::find(options.types, codec.type) == options.types.end())
      continue;
    if (can_encode(codec.type) && peer.knows(codec.type)) {
      types.push_back(codec.type);
    } else if (block_type(codec.type).in_files) {
      fmt::print(stderr, "{} left out: {}\n", type_name(codec.type),
                 can_encode(codec.type) ? "unknown to the library" : "no encoder of ours");
    }
  }
  return types;
}

int run(const Options& options) {
  const Peer peer(options.peer);
  const std::vector<GgmlType> types = choose_types(options, peer);
  std::vector<Cell> cells;
  for (const std::string& kind : options.rows) {
    const Rows rows = make_rows(kind);
    for (const Importance importance : options.importance) {
      for (const GgmlType type : types)
        cells.push_back(measure(peer, type, rows, importance, options.seconds));
    }
  }
  fmt::print("{}", options.json ? to_json(cells) : to_tables(cells));
  return std::ranges::all_of(cells, &Cell::same_decoding) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse({argv + 1, argv + argc}));
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_codecs: {}\n", error.what());
    return 2;
  }
}
