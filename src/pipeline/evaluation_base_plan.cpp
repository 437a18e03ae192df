#include "pipeline/evaluation_base_plan.hpp"

#include <limits>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/formats/safetensors_layout.hpp"
#include "llmq/quality/scores.hpp"

#include "pipeline/layer_statistics.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "llm-quantize evaluation base";
constexpr const char* kFormatVersion = "1";

/// As share_importance names and measures them.
std::vector<BaseColumns> columns_of(const ModelSpec& spec) {
  std::vector<BaseColumns> columns;
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) {
    for (const LayerWeight& weight : layer_weights(spec))
      columns.push_back({fmt::format("blk.{}.{}", layer, weight.name), input_width(spec, weight.input)});
  }
  return columns;
}

/// Metadata of the base that stands there. @throws Error(invalid_arguments) for anything else.
SafetensorsMetadata read_metadata(const fs::path& path) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("--base {}: {}, no evaluation base; it is left as it is", path.string(), what),
                "Name a file that does not exist yet, or one that an earlier --base has made");
  };
  if (!fs::is_regular_file(path)) refuse(fs::is_directory(path) ? "is a directory" : "is no regular file");
  const File file(path, File::Mode::read);
  SafetensorsMetadata metadata;
  try {
    metadata = read_safetensors_metadata(file);
  } catch (const FormatError& error) {
    refuse(fmt::format("is no safetensors file ({})", error.reason()));
  }
  if (metadata["format"] != kFormat) refuse("is another safetensors file");
  return metadata;
}

/// Names of the members that are not the same in both.
std::string differing_members(const SafetensorsMetadata& wanted, const SafetensorsMetadata& found) {
  std::string names;
  for (const auto& [name, value] : wanted) {
    const auto other = found.find(name);
    if (other == found.end() || other->second != value) names += (names.empty() ? "" : ", ") + name;
  }
  return names;
}

}  // namespace

std::string hash_tokens(const SampleSet& samples) {
  Sha256 hash;
  for (const std::vector<TokenId>& sample : samples.samples) hash.update(std::as_bytes(std::span(sample)));
  return "sha256:" + hash.hex();
}

EvaluationBasePlan plan_evaluation_base(const ModelSpec& spec, const SampleSet& samples,
                                        const BaseIdentity& identity) {
  const std::uint64_t chunks = samples.samples.size();
  const std::uint64_t scored = scored_range(samples.ctx).size();
  EvaluationBasePlan plan;
  plan.metadata = {{"format", kFormat},
                   {"format_version", kFormatVersion},
                   {"version", LLMQ_VERSION},
                   {"original", identity.original},
                   {"ctx", fmt::format("{}", samples.ctx)},
                   {"chunks", fmt::format("{}", chunks)},
                   {"tokens", identity.tokens},
                   {"arithmetic", identity.arithmetic}};
  plan.columns = columns_of(spec);
  std::vector<SafetensorsEntry> entries;
  for (const BaseColumns& columns : plan.columns)
    entries.push_back({"importance." + columns.weight, DType::F64, {columns.count}});
  // 8-byte numbers first, as the layout has them: all columns stand together, then what checks them.
  const std::size_t first_check = entries.size();
  entries.push_back({"importance_checksum", DType::U64, {1}});
  entries.push_back({"checksums", DType::U64, {chunks}});
  entries.push_back({"states", DType::F32, {chunks, scored, spec.hidden_size}});
  const SafetensorsLayout layout =
      plan_safetensors(entries, std::numeric_limits<std::uint64_t>::max(), plan.metadata);
  plan.head = layout.shards.front().head;
  plan.file_bytes = layout.shards.front().file_bytes;
  plan.chunk_values = scored * spec.hidden_size;
  plan.columns_offset = layout.places.front().offset_bytes;
  plan.columns_checksum_offset = layout.places[first_check].offset_bytes;
  plan.checksums_offset = layout.places[first_check + 1].offset_bytes;
  plan.states_offset = layout.places[first_check + 2].offset_bytes;
  return plan;
}

bool is_planned_file(const File& file, const EvaluationBasePlan& plan) {
  if (file.size() != plan.file_bytes) return false;
  std::string head(plan.head.size(), '\0');
  file.read_at(std::as_writable_bytes(std::span(head)), 0);
  return head == plan.head;
}

FoundBase inspect_evaluation_base(const fs::path& path, const EvaluationBasePlan& plan) {
  if (!fs::exists(fs::symlink_status(path))) return {};
  const std::string differing = differing_members(plan.metadata, read_metadata(path));
  if (!differing.empty()) return {BaseFit::other_contents, differing};
  const bool whole = is_planned_file(File(path, File::Mode::read), plan);
  return {whole ? BaseFit::same : BaseFit::damaged, {}};
}

}  // namespace llmq
