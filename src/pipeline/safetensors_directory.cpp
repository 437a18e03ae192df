#include "pipeline/safetensors_directory.hpp"

#include <cmath>
#include <set>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/quant/codec.hpp"

#include "pipeline/quantize_checks.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr float kLeastTooLargeForHalf = 65520.0F;

void check_values(const PlainRows& rows, std::span<const float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool finite = std::isfinite(values[i]);
    if (finite && (rows.dtype != DType::F16 || std::fabs(values[i]) < kLeastTooLargeForHalf)) continue;
    throw Error(
        ExitCode::validation,
        fmt::format("tensor {}, row {}, column {}: {} {}", rows.tensor, rows.first_row + i / rows.width,
                    i % rows.width, values[i], finite ? "does not fit F16" : "is not a finite weight"),
        finite ? rows.instead_of_half : "The model's files are damaged; fetch them again");
  }
}

}  // namespace

fs::path partial_directory(const fs::path& output) {
  fs::path partial = output;
  partial += ".partial";
  return partial;
}

std::vector<OutputFile> output_files(const SafetensorsLayout& layout, const fs::path& directory) {
  std::vector<OutputFile> files;
  for (const SafetensorsShard& shard : layout.shards) {
    const auto head = std::as_bytes(std::span(shard.head));
    files.push_back({directory / shard.file_name, shard.file_bytes, {head.begin(), head.end()}});
  }
  return files;
}

std::string hash_of_heads(const SafetensorsLayout& layout, const NamedTexts& files) {
  Sha256 hash;
  for (const auto& [name, text] : files) hash.field(name).field(text);
  for (const SafetensorsShard& shard : layout.shards) hash.field(shard.head);
  return "sha256:" + hash.hex();
}

void describe_directory(const ModelSource& source, const SafetensorsLayout& layout, const NamedTexts& files,
                        QuantizeResult& result) {
  for (const SafetensorsShard& shard : layout.shards) {
    result.head_bytes += shard.head.size();
    result.file_bytes += shard.file_bytes;
  }
  for (const auto& [name, text] : files) {
    result.head_bytes += text.size();
    result.file_bytes += text.size();
  }
  result.original_bytes = source.stored_bytes();
  result.original_dtype = source.spec().torch_dtype;
  result.compression_ratio =
      static_cast<double>(result.file_bytes) / static_cast<double>(result.original_bytes);
  result.layers = source.spec().n_layers;
}

void encode_plain_rows(const PlainRows& rows, std::vector<float>& values, std::span<std::byte> out) {
  if (rows.offset != 0) {
    for (float& value : values) value -= rows.offset;
  }
  check_values(rows, values);
  encode_rows(block_type_of(rows.dtype), values, rows.width, {}, out);
}

void complete_directory(const fs::path& partial, const SafetensorsLayout& layout, const NamedTexts& files) {
  std::set<std::string> ours;
  for (const SafetensorsShard& shard : layout.shards) ours.insert(shard.file_name);
  for (const auto& entry : fs::directory_iterator(partial)) {
    if (!ours.contains(entry.path().filename().string())) fs::remove_all(entry.path());
  }
  for (const auto& [name, text] : files) write_file_atomically(partial / name, text);
}

void write_directory(const StageContext& context, JobDirectory& job, const fs::path& partial,
                     std::uint64_t bytes, const UnitOutput& output, const std::function<void()>& make,
                     const std::function<void()>& publish) {
  context.comm.together("check disk space", [&] {
    if (!context.comm.is_root()) return;
    require_disk({partial}, bytes);
    fs::create_directory(partial);
  });
  const auto work = [&] {
    make();
    context.comm.together("publish the directory", [&] {
      if (context.comm.is_root()) publish();
    });
  };
  run_resumable(context, job, work, [&] {
    std::error_code ignored;
    if (output.owns_files()) fs::remove_all(partial, ignored);
  });
}

}  // namespace llmq
