#include "pipeline/quantize_files.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/gguf_split.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

bool is_first(const fs::path& file) {
  const auto shard = parse_gguf_shard_name(file);
  return !shard || shard->index == 0;
}

/// Names as paths of one directory can be told apart.
bool same_name(const fs::path& a, const fs::path& b) { return a.filename() == b.filename(); }

void remove_file(const fs::path& file) {
  std::error_code error;
  fs::remove(file, error);
  if (error)
    throw Error(ExitCode::general, fmt::format("cannot remove {}: {}", file.string(), error.message()));
}

}  // namespace

QuantizeFiles quantize_files(const QuantizePlan& plan, const fs::path& output) {
  QuantizeFiles files;
  GgufShardName name{gguf_stem(output), 0, static_cast<std::uint32_t>(plan.shards.size())};
  if (plan.shards.empty()) files.finished.push_back(output);
  for (; name.index < plan.shards.size(); ++name.index) files.finished.push_back(name.path());
  files.partial = files.finished;
  for (fs::path& file : files.partial) file += ".partial";
  return files;
}

std::vector<OutputFile> output_files(const QuantizePlan& plan, const QuantizeFiles& files) {
  if (plan.shards.empty()) return {{files.partial.front(), plan.file_bytes, encode_gguf_head(plan.header)}};
  std::vector<OutputFile> made;
  for (std::size_t i = 0; i < plan.shards.size(); ++i)
    made.push_back({files.partial[i], plan.shards[i].file_bytes, encode_gguf_head(plan.shards[i].header)});
  return made;
}

std::vector<OutputShard> describe_shards(const QuantizePlan& plan, const QuantizeFiles& files) {
  std::vector<OutputShard> shards;
  for (std::size_t i = 0; i < plan.shards.size(); ++i)
    shards.push_back({files.finished[i], plan.shards[i].file_bytes, plan.shards[i].header.tensors.size()});
  return shards;
}

void require_free_stem(const fs::path& output, const std::vector<fs::path>& inputs, bool force,
                       bool resumed) {
  for (const fs::path& there : gguf_files_of_stem(gguf_stem(output))) {
    for (const fs::path& input : inputs) {
      if (!is_same_file(there, input)) continue;
      throw Error(ExitCode::invalid_arguments,
                  fmt::format("{}: output is the same file as the input {}", there.string(), input.string()),
                  "Choose another --output-name or --output-dir");
    }
    if (force || (resumed && !is_first(there))) continue;
    throw Error(ExitCode::invalid_arguments, fmt::format("{}: output exists already", there.string()),
                "Use --force to overwrite it, or choose another --output-name");
  }
}

void publish_files(const QuantizePlan& plan, const QuantizeFiles& files) {
  const fs::path& first = files.finished.front();
  if (!plan.shards.empty() && fs::exists(first)) remove_file(first);
  for (std::size_t i = 1; i < files.finished.size(); ++i) publish_file(files.partial[i], files.finished[i]);
  publish_file(files.partial.front(), first);
  if (plan.split_max_bytes == 0) return;
  for (const fs::path& there : gguf_files_of_stem(gguf_stem(first))) {
    const auto is_there = [&](const fs::path& file) { return same_name(file, there); };
    if (std::none_of(files.finished.begin(), files.finished.end(), is_there)) remove_file(there);
  }
}

}  // namespace llmq
